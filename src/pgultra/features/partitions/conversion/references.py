"""
Foreign keys of the new table, checked partition by partition.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import text

from pgultra import sql
from pgultra.features.partitions.conversion.build import comment

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pgultra.features.partitions.conversion.design import Design
    from pgultra.features.partitions.conversion.patience import Patience

__all__ = ["Constrained", "constrain", "foreign_keys"]

HAS_CONSTRAINT = text(
    "SELECT k.convalidated FROM pg_catalog.pg_constraint AS k "
    "JOIN pg_catalog.pg_class AS c ON c.oid = k.conrelid "
    "JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace "
    "WHERE n.nspname = CAST(:schema AS name) AND c.relname = CAST(:table AS name) "
    "AND k.conname = CAST(:name AS name)"
)


@dataclass(frozen=True)
class Constrained:
    """
    A foreign key of one table, made or checked.

    Attributes:
        schema, table, name: of the constraint.
        statements: what runs in one transaction.
        checks: whether it is checked, and not made.
    """

    schema: str
    table: str
    name: str
    statements: tuple[str, ...]
    checks: bool = False


def foreign_keys(design: Design, leaves: Iterable[tuple[str, str]]) -> Iterator[Constrained]:
    """
    Each foreign key on each partition, unchecked; then checked; at last on the new table.

    PostgreSQL takes the checked ones of the partitions for its own, and checks nothing again.
    """
    partitions = list(leaves)
    for each in design.outgoing:
        name = sql.identifier(each["name"])
        for schema, leaf in partitions:
            place = sql.qualified(schema, leaf)
            add = f"ALTER TABLE {place} ADD CONSTRAINT {name} {each['definition']} NOT VALID"
            check = f"ALTER TABLE {place} VALIDATE CONSTRAINT {name}"
            yield Constrained(schema, leaf, each["name"], (add,))
            yield Constrained(schema, leaf, each["name"], (check,), checks=True)
        new = design.names.new
        add = f"ALTER TABLE {new} ADD CONSTRAINT {name} {each['definition']}"
        remark = comment(f"CONSTRAINT {name} ON {new}", each["comment"])
        yield Constrained(design.names.schema, design.names.new_name, each["name"], (add, *remark))


def constrain(patience: Patience, each: Constrained) -> None:
    """
    Make or check one, unless an earlier run came so far.
    """
    with patience.transaction(blocking=not each.checks) as connection:
        asked = {"schema": each.schema, "table": each.table, "name": each.name}
        valid = connection.execute(HAS_CONSTRAINT, asked).scalar()
        if valid if each.checks else valid is not None:
            return
        for statement in each.statements:
            connection.execute(sql.statement(statement))
