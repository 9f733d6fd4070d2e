"""
New partitions: made by the SQL function, or drained out of the default partition.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from pgultra import sql
from pgultra.errors import PgultraError, sqlstate_of
from pgultra.features.partitions import ddl
from pgultra.features.partitions.attempts import plainly
from pgultra.features.partitions.bounds import ListBound, RangeBound, literal, typed
from pgultra.features.partitions.draining import Drain
from pgultra.features.partitions.objects import premake_function
from pgultra.features.partitions.registration import registered

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from pgultra.features.partitions.attempts import Attempts
    from pgultra.features.partitions.bounds import Bound
    from pgultra.features.partitions.children import Child, Parent
    from pgultra.features.partitions.draining import Drained
    from pgultra.features.partitions.level import Level

__all__ = ["SHIELD", "drain_bound", "premake", "shield"]

SHIELD = "pgultra_shield_"
"""How the names of the CHECKs begin that a default partition bears for a moment."""


def premake(attempts: Attempts, parent: Parent, moment: datetime) -> tuple[str, ...]:
    """
    Let the database make what is missing, in one transaction; the names of what it made.

    Raises:
        PgultraError: the function is not there.
    """
    function = premake_function(parent.table.metadata, parent.schema)
    name = sql.qualified(parent.schema, function.name)
    statement = text(
        f"SELECT {plainly(name)}(CAST(CAST(:parent AS text) AS regclass), CAST(:rules AS jsonb), "
        "CAST(:moment AS timestamptz))"
    )
    given = {
        "parent": parent.spelt,
        "rules": registered(parent.table, parent.rules, parent.application, function.name),
        "moment": moment,
    }

    def once() -> tuple[str, ...]:
        with attempts.transaction() as connection:
            return tuple(connection.execute(statement, given).scalar_one() or ())

    try:
        return attempts.until_it_works(once)
    except DBAPIError as error:
        if sqlstate_of(error) == "42883":
            raise PgultraError(
                f"the function {name} is not there: migrate, or call create_all"
            ) from error
        raise


def outside(bound: Bound, column: str) -> str | None:
    """
    The opposite of a bound, spelt so that PostgreSQL can prove from it what ATTACH must know.

    >>> from pgultra.features.partitions.bounds import RangeBound
    >>> outside(RangeBound(1, 5), "n")
    "n IS NULL OR n < '1' OR n >= '5'"
    """
    if isinstance(bound, RangeBound):
        parts = [f"{column} IS NULL"]
        if bound.lower is not None:
            parts.append(f"{column} < {typed(bound.lower)}")
        if bound.upper is not None:
            parts.append(f"{column} >= {typed(bound.upper)}")
        return " OR ".join(parts)
    if isinstance(bound, ListBound) and bound.values:
        listed = f"{column} NOT IN ({', '.join(map(literal, bound.values))})"
        if bound.null:
            return f"{column} IS NOT NULL AND {listed}"
        return f"{column} IS NULL OR {listed}"
    return None


def shield(
    attempts: Attempts, level: Level, default: Child, bounds: Sequence[Bound], away: list[str]
) -> None:
    """
    Say of a default partition, by CHECKs, that it holds nothing of these bounds.

    With them, ATTACH need not read the default partition while it is locked.

    Args:
        attempts: how it waits.
        level: what the partitions belong to.
        default: the default partition.
        bounds: what it shall hold nothing of.
        away: gets the statements that take them away again, each before what it undoes.
    """
    for number, bound in enumerate(bounds):
        condition = outside(bound, level.column)
        if condition is None:
            continue
        name = sql.identifier(f"{SHIELD}{number}")
        drop = f"ALTER TABLE {default.spelt} DROP CONSTRAINT IF EXISTS {name}"
        add = f"ALTER TABLE {default.spelt} ADD CONSTRAINT {name} CHECK ({condition}) NOT VALID"
        away.append(drop)
        attempts.run([drop, add])
        attempts.run([f"ALTER TABLE {default.spelt} VALIDATE CONSTRAINT {name}"])


def drain_bound(
    attempts: Attempts,
    level: Level,
    default: Child,
    name: str,
    bound: Bound,
    batch: int,
    progress: Callable[[int], object] | None = None,
) -> Drained:
    """
    Make one partition out of rows of the default one, all of them visible throughout.
    """
    parent, rules = level.parent, level.rules
    if rules.then is not None and rules.then.grid(parent.table) is not None:
        raise PgultraError(
            f"the rows of {default.spelt} belong into partitions that are partitioned by a range "
            "in turn: move them by hand, or take the default partition away"
        )
    column = level.column
    return Drain(
        attempts,
        parent=(level.oid, level.schema, level.name),
        default=(default.oid, default.schema, default.name),
        child=(level.schema, name),
        inside=lambda prefix: bound.check(prefix + column),
        bound=bound.render(),
        stage=ddl.make_child(
            parent, name, bound, rules, of=level.spelt, schema=level.schema, attached=False
        ),
        attach=ddl.attach(
            level.spelt, sql.qualified(level.schema, name), bound, checked=bool(bound.check(column))
        ),
    ).run(batch, progress)
