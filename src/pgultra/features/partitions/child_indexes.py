"""
Indexes that a migration made ON ONLY the parent: built concurrently on each partition.

PostgreSQL builds no index concurrently on a partitioned table. The migration makes it on the
parent alone, not valid, in a moment; here each partition gets its own, which is attached,
and with the last one the parent's becomes valid. A build that broke off is dropped and
begun anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pgultra import sql
from pgultra.objects._catalog import rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Connection

    from pgultra.features.partitions.attempts import Attempts

__all__ = ["IndexWork", "build", "indexes_to_build"]

WORK = """
SELECT i.indexrelid::text AS index_oid,
    pn.nspname AS parent_schema, pi.relname AS parent_index,
    i.indisunique AS is_unique,
    pg_catalog.pg_get_constraintdef(con.oid) AS constraint_text,
    pg_catalog.substr(pg_catalog.pg_get_indexdef(i.indexrelid), 1 + pg_catalog.length(
        pg_catalog.format('CREATE %sINDEX %I ON ONLY %I.%I ',
            CASE WHEN i.indisunique THEN 'UNIQUE ' ELSE '' END,
            pi.relname, pn.nspname, t.relname))) AS definition,
    cn.nspname AS child_schema, c.relname AS child, c.relkind = 'p' AS is_partitioned,
    own.name AS attached, own.valid
FROM pg_catalog.pg_index AS i
JOIN pg_catalog.pg_class AS pi ON pi.oid = i.indexrelid AND pi.relkind = 'I'
JOIN pg_catalog.pg_namespace AS pn ON pn.oid = pi.relnamespace
JOIN pg_catalog.pg_class AS t ON t.oid = i.indrelid
LEFT JOIN pg_catalog.pg_constraint AS con ON con.conindid = i.indexrelid
    AND con.conrelid = i.indrelid AND con.contype IN ('p', 'u')
JOIN pg_catalog.pg_inherits AS h ON h.inhparent = t.oid AND NOT h.inhdetachpending
JOIN pg_catalog.pg_class AS c ON c.oid = h.inhrelid AND c.relkind IN ('r', 'p')
JOIN pg_catalog.pg_namespace AS cn ON cn.oid = c.relnamespace
LEFT JOIN LATERAL (
    SELECT k.relname AS name, ci.indisvalid AS valid
    FROM pg_catalog.pg_inherits AS ih
    JOIN pg_catalog.pg_index AS ci ON ci.indexrelid = ih.inhrelid AND ci.indrelid = c.oid
    JOIN pg_catalog.pg_class AS k ON k.oid = ci.indexrelid
    WHERE ih.inhparent = i.indexrelid
) AS own ON true
WHERE i.indrelid::text = ANY (:parents) AND NOT i.indisvalid AND NOT i.indisexclusion
ORDER BY pi.relname, c.relname
"""
STATE = """
SELECT i.indisvalid, i.indrelid = c.oid AS right_table,
    EXISTS (SELECT FROM pg_catalog.pg_constraint AS k WHERE k.conindid = i.indexrelid
        AND k.conrelid = i.indrelid) AS is_constraint
FROM pg_catalog.pg_class AS x
JOIN pg_catalog.pg_namespace AS n ON n.oid = x.relnamespace AND n.nspname = :schema
JOIN pg_catalog.pg_index AS i ON i.indexrelid = x.oid
JOIN pg_catalog.pg_class AS c ON c.relname = :table AND c.relnamespace = n.oid
WHERE x.relname = :index
"""


@dataclass(frozen=True)
class IndexWork:
    """
    An index of a parent that one of its partitions lacks, or that is not valid yet.

    Attributes:
        parent_schema, parent_index: the index on the parent.
        definition: what follows ``CREATE INDEX name ON table``.
        is_unique: whether it is a unique one.
        constraint: ``UNIQUE (…)`` or ``PRIMARY KEY (…)``, if it stands for one.
        child_schema, child: the partition.
        is_partitioned: the partition is partitioned itself.
        attached: the partition's index that is attached already: only the parent is to be asked.
    """

    parent_schema: str
    parent_index: str
    definition: str
    is_unique: bool
    constraint: str | None
    child_schema: str
    child: str
    is_partitioned: bool
    attached: str | None = None

    @property
    def name(self) -> str:
        """
        The name of the partition's index: always the same, so that a broken build is found.
        """
        return self.attached or sql.short_name(self.child, self.parent_index)

    @property
    def attach(self) -> str:
        """
        The last statement; on an index that is attached it only looks whether all are.
        """
        return (
            f"ALTER INDEX {sql.qualified(self.parent_schema, self.parent_index)} "
            f"ATTACH PARTITION {sql.qualified(self.child_schema, self.name)}"
        )

    @property
    def create(self) -> str:
        """
        The statement that builds it, concurrently unless there is nothing to build.
        """
        name, table = sql.identifier(self.name), sql.qualified(self.child_schema, self.child)
        unique = "UNIQUE " if self.is_unique else ""
        if self.is_partitioned and self.constraint is not None:
            return f"ALTER TABLE ONLY {table} ADD CONSTRAINT {name} {self.constraint}"
        if self.is_partitioned:
            return f"CREATE {unique}INDEX {name} ON ONLY {table} {self.definition}"
        return f"CREATE {unique}INDEX CONCURRENTLY {name} ON {table} {self.definition}"

    def statements(self) -> Iterator[str]:
        """
        Everything that will be run, if no earlier build broke off.
        """
        if self.attached is None:
            yield self.create
            if self.constraint is not None and not self.is_partitioned:
                yield self.constrain
        yield self.attach

    @property
    def constrain(self) -> str:
        """
        The statement that makes the index a constraint, as its parent is one.
        """
        name = sql.identifier(self.name)
        kind = "PRIMARY KEY" if (self.constraint or "").startswith("PRIMARY") else "UNIQUE"
        return (
            f"ALTER TABLE {sql.qualified(self.child_schema, self.child)} "
            f"ADD CONSTRAINT {name} {kind} USING INDEX {name}"
        )


def indexes_to_build(connection: Connection, parents: Sequence[int]) -> tuple[IndexWork, ...]:
    """
    What is to be built on the partitions of these parents, by oid.
    """
    found = rows(connection, WORK, parents=[str(each) for each in parents])
    by_index: dict[str, list[Any]] = {}
    for row in found:
        by_index.setdefault(row.index_oid, []).append(row)
    chosen: list[Any] = []
    for several in by_index.values():
        lacking = [row for row in several if row.attached is None]
        # all have one, and still the parent's is not valid: ask it to look again
        ask = [] if lacking or not all(row.valid for row in several) else several[:1]
        chosen += lacking or ask
    return tuple(
        IndexWork(
            row.parent_schema,
            row.parent_index,
            row.definition,
            row.is_unique,
            row.constraint_text,
            row.child_schema,
            row.child,
            row.is_partitioned,
            row.attached,
        )
        for row in chosen
    )


def build(attempts: Attempts, work: IndexWork) -> None:
    """
    Build, or go on with, one partition's index, and attach it.

    While it is built nobody waits: neither readers nor writers of the partition. The build
    itself waits for older transactions without a limit, for giving up would leave an invalid
    index behind each time.
    """
    if work.attached is None:
        _stand(attempts, work)
    attempts.run([work.attach])


def _stand(attempts: Attempts, work: IndexWork) -> None:
    with attempts.transaction(patient=True) as connection:
        found = rows(connection, STATE, schema=work.child_schema, table=work.child, index=work.name)
    state = next((row for row in found if row.right_table), None)
    if state is not None and not state.indisvalid and not work.is_partitioned:
        index = sql.qualified(work.child_schema, work.name)
        attempts.outside(f"DROP INDEX CONCURRENTLY {index}", patient=True)
        state = None
    if state is None:
        if work.is_partitioned:
            attempts.run([work.create])
        else:
            attempts.outside(work.create, patient=True)
    if work.constraint and not work.is_partitioned and not (state and state.is_constraint):
        attempts.run([work.constrain])
