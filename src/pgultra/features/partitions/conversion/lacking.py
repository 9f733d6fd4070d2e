"""
Foreign keys that lack the partition key, and what the models of their tables say of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pgultra import sql
from pgultra.features.partitions.conversion.widen import Widened

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    import sqlalchemy as sa

    from pgultra.features.partitions.conversion.survey import Survey

__all__ = ["widened"]


def widened(
    old: Survey,
    table: sa.Table,
    unique: Collection[frozenset[str]],
    lost: Collection[str] = (),
) -> Iterator[Widened]:
    """
    The foreign keys of others that lack columns, and for which the model tells them.

    Args:
        old: the table as it is.
        table: the model's.
        unique: the columns of each unique rule that the new table will have.
        lost: names of what is given up.
    """
    for each in old["incoming"]:
        if frozenset(each["columns"]) in unique or each["name"] in lost:
            continue
        if each["oid"] != old["oid"]:
            for other in _models(table, each):
                found = _declared(old, table, other, each, unique)
                if found is not None:
                    yield found
                    break


def _models(table: sa.Table, each: Mapping[str, Any]) -> list[sa.Table]:
    """
    The models that may be of a table; one that names its schema comes first.
    """
    places = (each["schema"], None)
    named = [other for other in table.metadata.tables.values() if other.name == each["table"]]
    found = [other for other in named if other.schema in places]
    return sorted(found, key=lambda other: places.index(other.schema))


def _declared(
    old: Survey,
    table: sa.Table,
    other: sa.Table,
    each: Mapping[str, Any],
    unique: Collection[frozenset[str]],
) -> Widened | None:
    own, theirs = tuple(each["own"]), tuple(each["columns"])
    for key in other.foreign_key_constraints:
        pairs = {element.parent.name: element.column.name for element in key.elements}
        before = dict(zip(own, theirs, strict=True))
        if (
            key.referred_table is not table
            or not before.items() <= pairs.items()
            or frozenset(pairs.values()) not in unique
        ):
            continue
        added = tuple((mine, their) for mine, their in pairs.items() if mine not in own)
        described = {mine: old.column(their) for mine, their in added}
        primary = tuple(column.name for column in other.primary_key.columns)
        held = tuple((each["primary"] or {}).get("columns", ()))
        widens = bool(held) and set(held) < set(primary) <= {*held, *(mine for mine, _ in added)}
        return Widened(
            each=each,
            name=sql.short_name(key.name) if isinstance(key.name, str) else each["name"],
            definition=_definition(old, pairs, key),
            own=own,
            theirs=theirs,
            added=added,
            types={mine: column["type"] for mine, column in described.items() if column},
            required=tuple(mine for mine, _ in added if not other.c[_key(other, mine)].nullable),
            primary=primary if widens else None,
        )
    return None


def _key(table: sa.Table, name: str) -> str:
    return next(column.key for column in table.c if column.name == name)


def _definition(old: Survey, pairs: Mapping[str, str], key: sa.ForeignKeyConstraint) -> str:
    """
    As after ADD CONSTRAINT.
    """
    own, theirs = (", ".join(map(sql.identifier, names)) for names in (pairs, pairs.values()))
    parts = [f"FOREIGN KEY ({own}) REFERENCES {old.table}({theirs})"]
    parts += [f"MATCH {key.match}"] if key.match else []
    parts += [f"ON UPDATE {key.onupdate}"] if key.onupdate else []
    parts += [f"ON DELETE {key.ondelete}"] if key.ondelete else []
    parts += ["DEFERRABLE"] if key.deferrable else []
    parts += [f"INITIALLY {key.initially}"] if key.initially else []
    return " ".join(parts)
