"""
A foreign key of a partitioned table, which takes none NOT VALID before PostgreSQL 18.

Each of its partitions gets it unchecked, in the short moment of the exchange; then they are
checked one by one, and the table takes the checked ones of its partitions for its own.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from pgultra import sql
from pgultra.features.partitions.conversion.build import comment
from pgultra.features.partitions.conversion.references import Constrained, constrain
from pgultra.features.partitions.conversion.survey import scripted, table_oid

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pgultra.features.partitions.conversion.design import Design
    from pgultra.features.partitions.conversion.patience import Patience

    Tie = Mapping[str, Any]

__all__ = [
    "LEAVES",
    "NOT_VALID",
    "check",
    "checks",
    "crowded",
    "hold",
    "leafwise",
    "let_go",
    "refused_meanwhile",
]

NOT_VALID = 180_000
"""The version from which on a partitioned table takes a foreign key NOT VALID."""
MOST = 1500
"""More than these take half a second in which everybody waits."""
SHARE = 0.8
"""How much of the server's room for locks one transaction may take."""
REWRITES = re.compile(r"\bON (UPDATE CASCADE|(UPDATE|DELETE) SET DEFAULT)\b")
LEAVES = text(
    "SELECT n.nspname::text, c.relname::text "
    "FROM pg_catalog.pg_partition_tree(CAST(CAST(:oid AS bigint) AS oid)) AS t "
    "JOIN pg_catalog.pg_class AS c ON c.oid = t.relid "
    "JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace WHERE t.isleaf ORDER BY 1, 2"
)


def leafwise(design: Design, each: Tie, *, back: bool) -> bool:
    """
    Whether a foreign key is one of a partitioned table that cannot have it unchecked.

    Args:
        design: what was planned.
        each: the foreign key.
        back: whether the old table has the name.
    """
    itself = each["oid"] == design.old["oid"]
    divided = not back if itself else each["kind"] == "p"
    return bool(divided and design.old["version"] < NOT_VALID)


def hold(each: Tie) -> Iterator[str]:
    """
    The statement that gives it to each partition, unchecked: those that are there then.
    """
    yield _block("hold", each, definition=sql.literal(_definition(each)))


def let_go(design: Design, each: Tie) -> Iterator[str]:
    """
    The statement that takes it away, whether the table has it or its partitions do.
    """
    yield _block("let_go", each, referred=sql.literal(design.names.table))


def checks(each: Tie, leaves: Iterable[str]) -> Iterator[str]:
    """
    The statements that check it on each partition, and give it to the table.
    """
    for leaf in leaves:
        yield f"ALTER TABLE {leaf} VALIDATE CONSTRAINT {sql.identifier(each['name'])}"
    yield from _gathered(each)


def check(patience: Patience, each: Tie) -> None:
    """
    Check it and give it to the table, unless an earlier run came so far.
    """
    place = {"schema": each["schema"], "name": each["table"]}
    name = sql.identifier(each["name"])

    def once() -> None:
        with patience.transaction() as connection:
            oid = table_oid(connection, place["schema"], place["name"])
            found = connection.execute(LEAVES, {"oid": oid or 0})
            leaves = [(row[0], row[1]) for row in found]
        for schema, leaf in leaves:
            quoted = sql.qualified(schema, leaf)
            add = f"ALTER TABLE {quoted} ADD CONSTRAINT {name} {_definition(each)} NOT VALID"
            valid = f"ALTER TABLE {quoted} VALIDATE CONSTRAINT {name}"
            made = Constrained(schema, leaf, each["name"], (add,))
            checked = Constrained(schema, leaf, each["name"], (valid,), checks=True)
            patience.until_it_works(partial(constrain, patience, made))
            patience.until_it_works(partial(constrain, patience, checked))
        with patience.transaction(blocking=True) as connection:
            for statement in _gathered(each):
                connection.execute(sql.statement(statement))

    patience.until_it_works(once)  # again if a partition came meanwhile


def crowded(design: Design, partitions: int) -> Iterator[str]:
    """
    A sentence for each that would have to be made too often.

    Each partition that refers gets it for each partition that it may refer to.

    Args:
        design: what was planned.
        partitions: how many the new table will have.
    """
    for each in design.renewed:
        if not leafwise(design, each, back=False):
            continue
        own = partitions if each["oid"] == design.old["oid"] else len(each["leaves"])
        times = own * partitions
        locks = 3 * times + 6 * own + 4 * partitions  # as measured, on 15 and 17
        place = f"{each['schema']}.{each['table']}"
        if times > MOST or locks > SHARE * design.old["room_for_locks"]:
            yield (
                f"foreign key {each['name']} of {place} is one of {own} partitions to {partitions} "
                f"partitions, and before PostgreSQL 18 it must be made {times:,} times while "
                f"everybody waits, with {locks:,} locks: more than {MOST:,} times, or "
                f"{SHARE:.0%} of the server's max_locks_per_transaction, are refused. Convert on "
                "PostgreSQL 18, declare fewer partitions, or do without it and add it again "
                f"afterwards: give_up=[{each['name']!r}]"
            )


def refused_meanwhile(design: Design) -> Iterator[str]:
    """
    A note for each that cannot move a row to another partition until it is checked.
    """
    for each in design.renewed:
        itself = each["oid"] == design.old["oid"]
        divided_by = design.partition_key if itself else each["divided_by"]
        touched = set(each["own"]) & set(divided_by) or None in divided_by
        if REWRITES.search(each["definition"]) and touched and leafwise(design, each, back=False):
            yield (
                f"from the exchange until it is checked, foreign key {each['name']} of "
                f"{each['schema']}.{each['table']} cannot move a row to another partition: what "
                "would do so by its ON UPDATE or ON DELETE is refused"
            )


def _gathered(each: Tie) -> Iterator[str]:
    place, name = sql.qualified(each["schema"], each["table"]), sql.identifier(each["name"])
    yield _block("gather", each, place=place, constraint=name, definition=_definition(each))
    yield from comment(f"CONSTRAINT {name} ON {place}", each["comment"])


def _block(script: str, each: Tie, **words: str) -> str:
    table = sql.literal(sql.qualified(each["schema"], each["table"]))
    body = scripted(script, table=table, called=sql.literal(each["name"]), **words)
    return f"DO {sql.dollar(body)}"


def _definition(each: Tie) -> str:
    definition: str = each["definition"]
    return definition.removesuffix(" NOT VALID")
