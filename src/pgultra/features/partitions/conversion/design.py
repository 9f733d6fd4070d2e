"""
What the new table shall be: decided from the old one and from the model, before anything starts.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from pgultra import sql
from pgultra.features.partitions.conversion.lacking import widened
from pgultra.features.partitions.conversion.names import Called, Names
from pgultra.features.partitions.conversion.route import Route
from pgultra.features.partitions.conversion.widen import Widened, following, identity
from pgultra.objects import Index
from pgultra.plan.collect import collect

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from pgultra.features.partitions.conversion.survey import Survey
    from pgultra.features.partitions.rules import Rules

__all__ = ["Design", "Planned", "design"]


@dataclass(frozen=True)
class Planned:
    """
    One index or constraint with an index, of the new table.

    Attributes:
        name: its final name.
        constraint: the definition of a constraint; None for an index.
        unique: of an index.
        tail: of an index: from USING on.
        comment: its comment.
        tablespace: where it lies, if not in the database's own.
        instead: the name of the unique rule without the partition key that it stands for.
    """

    name: str
    constraint: str | None = None
    unique: bool = False
    tail: str = ""
    comment: str | None = None
    tablespace: str | None = None
    instead: str | None = None

    @property
    def columns(self) -> frozenset[str]:
        """
        The columns of a constraint.
        """
        definition = self.constraint or "()"
        inner = definition[definition.index("(") + 1 : definition.index(")")]
        parts = (part.strip() for part in inner.split(", "))
        return frozenset(part.strip('"').replace('""', '"') for part in parts)


@dataclass(frozen=True)
class Design:
    """
    The new table, and what stands in its way.

    Attributes:
        old: the table as it is.
        names: what everything is called.
        key: the columns of the new primary key.
        partition_key: the columns of all levels.
        clause: as after ``PARTITION BY``.
        indexes: all of its indexes, the primary key first.
        obstacles: a sentence for each thing that cannot be; nothing starts while there is any.
        notes: a sentence for each thing that will not be as it was.
        lost: names of what was given up.
        widened: the foreign keys of others that get the partition key.
    """

    old: Survey
    names: Names
    key: tuple[str, ...]
    partition_key: tuple[str, ...]
    clause: str
    indexes: tuple[Planned, ...]
    obstacles: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    lost: frozenset[str] = field(default=frozenset())
    widened: tuple[Widened, ...] = ()

    @property
    def outgoing(self) -> list[Mapping[str, Any]]:
        """
        The foreign keys from the table to others, those given up left out.
        """
        found = [each for each in self.old.constraints("f") if each["name"] not in self.lost]
        return [each for each in found if each["refers_to"] != self.old["oid"]]

    @property
    def incoming(self) -> list[Mapping[str, Any]]:
        """
        The foreign keys to the table, its own to itself among them.
        """
        return [each for each in self.old["incoming"] if each["name"] not in self.lost]

    @property
    def abandoned(self) -> list[Mapping[str, Any]]:
        """
        The foreign keys to the table that are given up.
        """
        return [each for each in self.old["incoming"] if each["name"] in self.lost]

    @property
    def renewed(self) -> list[Mapping[str, Any]]:
        """
        The foreign keys from others to the table, as they are once it is partitioned.
        """
        found = {identity(each.each): each.renewed for each in self.widened}
        return [found.get(identity(each), each) for each in self.incoming]

    @property
    def passing(self) -> frozenset[str]:
        """
        The names of triggers that the old table has until the exchange, and no longer.
        """
        forward = self.names.forward
        return following(self.widened) | {forward, self.names.emptied(forward)}

    def route(self) -> Route:
        """
        From the old table to the new one, before the exchange.
        """
        pages = next(self.page_keys())
        operators = self.operators()
        types = {each["name"]: each["type"] for each in self.old.columns}
        return Route(
            source=self.names.table,
            target=self.names.new,
            columns=tuple(self.old.stored),
            key=self.key,
            pages=pages,
            types={name: types[name] for name in self.key},
            operators=operators,
            ordered=self.key[: len(pages)] == pages,
        )

    def page_keys(self) -> Iterator[tuple[str, ...]]:
        """
        The keys of the old table within the new one; best those that the new one begins with.
        """
        found = [tuple(each["columns"]) for each in self.old.identifying()]
        fit = [columns for columns in found if set(columns) <= set(self.key)]
        yield from sorted(fit, key=lambda columns: self.key[: len(columns)] != columns)

    def operators(self) -> dict[str, tuple[str, str]]:
        """
        Equality as the indexes mean it; the type's own where no index tells.
        """
        found: dict[str, tuple[str, str]] = dict.fromkeys(self.key, ("pg_catalog", "="))
        for index in self.old["indexes"]:
            if len(index["operators"]) == len(index["columns"]):
                for name, operator in zip(index["columns"], index["operators"], strict=True):
                    if name in found and index["unique"]:
                        found[name] = (operator[0], operator[1])
        return found


def design(
    old: Survey,
    table: sa.Table,
    rules: Rules,
    give_up: Collection[str] = (),
    home: str | None = None,
) -> Design:
    """
    Decide what the new table has, and collect what stands in the way.

    Args:
        old: the table as it is.
        table: the model's.
        rules: how it shall be partitioned.
        give_up: names of constraints, indexes and dependents that may be lost.
        home: the schema of tables that name none; the table's own if left out.
    """
    from pgultra.features.partitions.conversion.obstacles import notes, obstacles

    partition_key = tuple(column.name for column in rules.key_columns(table))
    key = tuple(column.name for column in table.primary_key.columns)
    indexes = tuple(_indexes(old, table, key, partition_key, frozenset(give_up)))
    unique = {each.columns for each in indexes if each.constraint}
    kept = {each.name for each in indexes}
    before = {each["name"] for each in old["indexes"]}
    called = [Called("TABLE", old.name)]
    called += [
        Called("INDEX", name, name in before, name in kept) for name in sorted(kept | before)
    ]
    called += [Called("STATISTICS", each["name"]) for each in old["statistics"]]
    called += [Called("SEQUENCE", each["name"]) for each in old["sequences"] if each["internal"]]
    found = Design(
        old=old,
        names=Names(old.schema, old.name, tuple(called)),
        key=key,
        partition_key=partition_key,
        clause=rules.clause(table),
        indexes=indexes,
        lost=frozenset(give_up),
        widened=tuple(widened(old, table, unique, give_up, home)),
    )
    return dataclasses.replace(
        found,
        obstacles=tuple(obstacles(found, table, rules)),
        notes=tuple(notes(found)),
    )


def _indexes(
    old: Survey,
    table: sa.Table,
    key: tuple[str, ...],
    partition_key: tuple[str, ...],
    give_up: frozenset[str],
) -> Iterator[Planned]:
    constraints = {each["name"]: each for each in old.constraints("p", "u", "x")}
    primary = next(iter(old.constraints("p")), None)
    yield _primary(old, table, key, primary)
    replaced = {
        **dict(_rooms_replacements(table, partition_key)),
        **dict(_replacements(old, table, partition_key)),
    }
    for index in old["indexes"]:
        if index["primary"] or index["name"] in give_up or not index["valid"]:
            continue
        holds = set(partition_key) <= set(index["columns"])
        constraint = constraints.get(index["constraint"])
        if index["unique"] and not holds:
            if index["name"] in replaced:
                yield dataclasses.replace(replaced[index["name"]], instead=index["name"])
            continue  # an obstacle, unless it was given up
        yield Planned(
            name=index["name"],
            constraint=constraint["definition"] if constraint else None,
            unique=index["unique"],
            tail=index["tail"],
            comment=constraint["comment"] if constraint else index["comment"],
            tablespace=index["tablespace"],
        )


def _primary(
    old: Survey, table: sa.Table, key: tuple[str, ...], primary: Mapping[str, Any] | None
) -> Planned:
    """
    The model's primary key, under the name that it has.
    """
    given = table.primary_key.name
    name = str(given) if given else (primary["name"] if primary else f"{old.name}_pkey")
    name = sql.short_name(name)
    columns = ", ".join(map(sql.identifier, key))
    same = primary is not None and tuple(primary["columns"]) == key
    definition = primary["definition"] if primary and same else f"PRIMARY KEY ({columns})"
    place = next((each["tablespace"] for each in old["indexes"] if each["primary"]), None)
    remark = primary["comment"] if primary else None
    return Planned(name, definition, True, comment=remark, tablespace=place)


def _replacements(
    old: Survey, table: sa.Table, partition_key: tuple[str, ...]
) -> Iterator[tuple[str, Planned]]:
    """
    What the model has instead of a unique rule without the key: the same columns, and the key.
    """
    known = {each["name"] for each in old["indexes"]}
    rules: list[tuple[str, tuple[str, ...], Planned]] = []
    for constraint in table.constraints:
        if isinstance(constraint, sa.UniqueConstraint):
            columns = tuple(column.name for column in constraint.columns)
            name = str(constraint.name or sql.short_name(old.name, *columns, "key"))
            listed = ", ".join(map(sql.identifier, columns))
            options = constraint.dialect_options["postgresql"]
            nulls = " NULLS NOT DISTINCT" if options.get("nulls_not_distinct") else ""
            rules.append((name, columns, Planned(name, f"UNIQUE{nulls} ({listed})", True)))
    for index in table.indexes:
        if index.unique and index.name:
            columns = tuple(each.name for each in index.columns)
            text = str(sa.schema.CreateIndex(index).compile(dialect=sql.dialect()))
            tail = (
                text[text.index(" (") + 1 :]
                if " USING " not in text
                else text[text.index("USING ") :]
            )
            rules.append((str(index.name), columns, Planned(str(index.name), None, True, tail)))
    for lost in old["indexes"]:
        if lost["primary"] or not lost["unique"] or set(partition_key) <= set(lost["columns"]):
            continue
        wanted = set(lost["columns"]) | set(partition_key)
        for name, columns, planned in rules:
            fits = set(columns) == wanted or (name == lost["name"] and wanted <= set(columns))
            if fits and (name == lost["name"] or name not in known):
                yield lost["name"], planned
                break


def _rooms_replacements(
    table: sa.Table, partition_key: tuple[str, ...]
) -> Iterator[tuple[str, Planned]]:
    """
    What rooms have under the same name, with the key: blind indexes of unique encrypted columns.
    """
    declared = (each for each in collect(table.metadata).values() if isinstance(each, Index))
    for each in declared:
        here = (each.schema, each.table) == (table.schema, table.name) and each.unique
        if here and all(sql.identifier(key) in each.definition for key in partition_key):
            yield each.name, Planned(each.name, None, True, each.definition)
