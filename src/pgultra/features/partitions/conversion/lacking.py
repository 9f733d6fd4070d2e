"""
Foreign keys that lack the partition key, and what the models of their tables say of them.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from pgultra import sql
from pgultra.features.partitions.conversion.survey import Survey
from pgultra.features.partitions.conversion.widen import Widened

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    import sqlalchemy as sa

__all__ = ["foreseen", "widened"]

NEW_COLUMN = {
    "not_null": False,
    "identity": "",
    "generated": "",
    "default": None,
    "target": None,
    "options": [],
}


def widened(
    old: Survey,
    table: sa.Table,
    unique: Collection[frozenset[str]],
    lost: Collection[str] = (),
    home: str | None = None,
) -> Iterator[Widened]:
    """
    The foreign keys of others that lack columns, and for which the model tells them.

    Args:
        old: the table as it is.
        table: the model's.
        unique: the columns of each unique rule that the new table will have.
        lost: names of what is given up.
        home: the schema of tables that name none; the table's own if left out.
    """
    for each in old["incoming"]:
        if frozenset(each["columns"]) in unique or each["name"] in lost:
            continue
        models = _models(table, each, home or old.schema)
        found = (_declared(old, table, other, each, unique) for other in models)
        yield from islice(filter(None, found), 1)


def _models(table: sa.Table, each: Mapping[str, Any], home: str) -> list[sa.Table]:
    """
    The models that may be of a table; one that names its schema comes first.
    """
    named = [other for other in table.metadata.tables.values() if other.name == each["table"]]
    found = [other for other in named if (other.schema or home) == each["schema"]]
    return sorted(found, key=lambda other: other.schema is None)


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
            itself=each["oid"] == old["oid"],
            elsewhere=each["schema"] != old.schema,
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


def foreseen(old: Survey, found: Iterable[Widened], added: Collection[str] = ()) -> Survey:
    """
    The table with the columns that foreign keys to itself get; those are not among what it had.

    Args:
        old: the table as it is.
        found: the foreign keys that lack columns.
        added: columns that this conversion has added already.
    """
    itself = [each for each in found if each.itself]
    coming = {name: each.types[name] for each in itself for name in each.missing}
    document = dict(old.document)
    document["columns"] = [
        *old.columns,
        *({**NEW_COLUMN, "name": name, "type": type_} for name, type_ in coming.items()),
    ]
    document["incoming"] = [
        {**each, "present": {k: v for k, v in each["present"].items() if k not in added}}
        if each["oid"] == old["oid"]
        else each
        for each in old["incoming"]
    ]
    return Survey(document)
