"""
Cascades as edges between tables: from ORM relationships, or from foreign keys for Core.

Relationships are known only when mappers are configured, so edges are derived each time
they are asked for.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from sqlalchemy import Column, String, Table
from sqlalchemy.orm import RelationshipDirection
from sqlalchemy.sql import operators, visitors
from sqlalchemy.sql.elements import BinaryExpression
from sqlalchemy.types import NullType

from pgultra.errors import DeclarationError
from pgultra.features.soft_delete import keys, mapped
from pgultra.features.soft_delete.indexes import rules_of
from pgultra.features.soft_delete.options import SoftDeleteOptions, columns_of, names_of
from pgultra.features.soft_delete.shape import Edge, TableName
from pgultra.plan.declare import entries

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sqlalchemy import MetaData
    from sqlalchemy.orm import Mapper, RelationshipProperty

__all__ = [
    "edges_of",
    "excluded",
    "joined",
    "links",
    "mappers_below",
    "name_of",
    "relationships_of",
    "root_of",
    "tables_around",
]


def name_of(table: Table) -> TableName:
    """
    A table's name as the database side passes it around.
    """
    return TableName(table.schema, table.name)


def edges_of(metadata: MetaData) -> tuple[Edge, ...]:
    """
    Every cascade that the tables of a MetaData take part in.

    Raises:
        DeclarationError: a cascade leads where it cannot.
    """
    seen: list[MetaData] = []
    waiting = [metadata]
    edges: dict[Edge, None] = {}
    while waiting:
        current = waiting.pop()
        seen.append(current)
        found, elsewhere = _edges_in(current)
        edges.update(found)
        above = [each for each in _neighbours(current) if current in _edges_in(each)[1]]
        waiting += [
            each for each in (*elsewhere, *above) if each not in seen and each not in waiting
        ]
    return tuple(edges)


def _neighbours(metadata: MetaData) -> list[MetaData]:
    """
    The other MetaData that have classes of the same registries: their cascades may lead here.
    """
    mapped_tables = list(mapped.tables())
    here = {mapper.registry for table, mapper in mapped_tables if table.metadata is metadata}
    found = {
        table.metadata: None
        for table, mapper in mapped_tables
        if mapper.registry in here and table.metadata is not metadata
    }
    return list(found)


def tables_around(table: Table) -> dict[TableName, Table]:
    """
    The tables to which edges of a table may lead: of its MetaData, or of classes like its own.
    """
    found = {name_of(each): each for each in table.metadata.tables.values()}
    mapper = mapped.mapper_of(table)
    for other, its in mapped.tables():
        if mapper is not None and its.registry is mapper.registry:
            found.setdefault(name_of(other), other)
    return found


Known = tuple["tuple[Any, ...]", "dict[Edge, None]", "list[weakref.ref[MetaData]]"]
_known: weakref.WeakKeyDictionary[MetaData, Known] = weakref.WeakKeyDictionary()


def _edges_in(metadata: MetaData) -> tuple[dict[Edge, None], list[MetaData]]:
    """
    The cascades that begin in one MetaData, and the others that they lead to.

    All tables ask for all cascades, so the answer is kept until a table, a class or a
    relationship comes or goes.
    """
    tables = list(_declared(metadata))
    mappers = [(table, rules, mapped.mapper_of(table)) for table, rules in tables]
    for mapper in {mapper.registry: mapper for *_, mapper in mappers if mapper}.values():
        mapper.registry.configure(cascade=True)
    print_of = tuple(
        (table.key, id(rules), id(mapper), _width(mapper)) for table, rules, mapper in mappers
    )
    known = _known.get(metadata)
    if known is None or known[0] != print_of:
        edges: dict[Edge, None] = {}
        elsewhere: dict[MetaData, None] = {}
        for table, rules in tables:
            for edge, child in _edges_below(table, rules):
                edges[edge] = None
                elsewhere[child.metadata] = None
        known = _known[metadata] = (print_of, edges, [weakref.ref(each) for each in elsewhere])
    return known[1], [each for each in (reference() for reference in known[2]) if each]


def _width(mapper: Mapper[Any] | None) -> int:
    """
    How many attributes a hierarchy has: a relationship more is one more.
    """
    if mapper is None:
        return 0
    return sum(len(each.attrs) for each in mapper.self_and_descendants)


def _declared(metadata: MetaData) -> Iterator[tuple[Table, SoftDeleteOptions]]:
    for target, declaration in entries(metadata):
        if isinstance(declaration, SoftDeleteOptions) and isinstance(target, Table):
            yield target, declaration


def _edges_below(table: Table, rules: SoftDeleteOptions) -> Iterator[tuple[Edge, Table]]:
    mapper, translated = mapped.mapper_of(table), False
    if mapper is None:
        mapper = _original(table, rules)
        translated = mapper is not None
    if mapper is None:
        pairs_by_child = keys.cascades(table, rules)
    else:
        mapper.registry.configure(cascade=True)
        pairs_by_child = (joined(each) for each in relationships_of(mapper, rules))
    for child, pairs in pairs_by_child:
        there = _twin(child, table.metadata) if translated else child
        child_rules = rules_of(there)
        if child_rules is None:
            raise DeclarationError(
                f"table {table.fullname}: option cascade={rules.cascade!r} leads to table "
                f"{there.fullname}, which is not soft-deletable: declare soft_delete.Rules() on it"
            )
        _check_names(table, rules, there, child_rules)
        edge = Edge(
            parent=name_of(table),
            child=name_of(there),
            parent_key=tuple(parent.name for parent, _ in pairs),
            child_key=tuple(column.name for _, column in pairs),
            parent_columns=names_of(table, rules),
            child_columns=names_of(there, child_rules),
            parent_primary_key=tuple(column.name for column in table.primary_key),
            child_primary_key=tuple(column.name for column in there.primary_key),
        )
        yield edge, there


def _check_names(
    table: Table, rules: SoftDeleteOptions, child: Table, child_rules: SoftDeleteOptions
) -> None:
    """
    Refuse a child that cannot say who deleted it: the cascade copies that from the parent.
    """
    given = columns_of(table, rules)["deleted_by"].type
    taken = columns_of(child, child_rules)["deleted_by"].type
    kinds = {each._type_affinity for each in (given, taken)}
    if len(kinds) > 1 and NullType not in kinds and taken._type_affinity is not String:
        raise DeclarationError(
            f"table {table.fullname}: option cascade={rules.cascade!r} leads to table "
            f"{child.fullname}, whose {child_rules.deleted_by} has the type {taken!r} and cannot "
            f"take {given!r} from here: give both columns one type"
        )


def _original(table: Table, rules: SoftDeleteOptions) -> Mapper[Any] | None:
    """
    For a copy of a mapped table in another schema, the mapper of the original.
    """
    for original, mapper in mapped.tables():
        if original.name == table.name and rules_of(original) is rules:
            return mapper
    return None


def _twin(table: Table, metadata: MetaData) -> Table:
    rules = rules_of(table)
    for candidate, declared in _declared(metadata):
        if candidate.name == table.name and declared is rules:
            return candidate
    return table


def root_of(mapper: Mapper[Any]) -> Mapper[Any]:
    """
    The mapper at the root of a hierarchy, whose table has the room's columns.
    """
    while mapper.inherits is not None and not mapper.concrete:
        mapper = mapper.inherits
    return mapper


BELOW = "pgultra.soft_delete.below"


def mappers_below(root: Mapper[Any]) -> frozenset[Mapper[Any]]:
    """
    The roots of all hierarchies that a deletion in this one can reach, itself included.
    """
    known = mapped.any_mapped()
    remembered: tuple[int, frozenset[Mapper[Any]]] | None = root.class_manager.info.get(BELOW)
    if remembered is not None and remembered[0] == known:
        return remembered[1]
    found = {root}
    waiting = [root]
    while waiting:
        for target, _, _ in links(waiting.pop()):
            if target not in found:
                found.add(target)
                waiting.append(target)
    below = frozenset(found)
    root.class_manager.info[BELOW] = (known, below)
    return below


def links(
    root: Mapper[Any],
) -> Iterator[tuple[Mapper[Any], list[Column[Any]], list[Column[Any]]]]:
    """
    What a hierarchy takes along: the child's root, the parent's columns, the child's columns.
    """
    table = root.local_table
    rules = rules_of(table) if isinstance(table, Table) else None
    for relationship in relationships_of(root, rules) if rules is not None else ():
        _, pairs = joined(relationship)
        yield root_of(relationship.mapper), [here for here, _ in pairs], [c for _, c in pairs]


def relationships_of(
    mapper: Mapper[Any], rules: SoftDeleteOptions
) -> list[RelationshipProperty[Any]]:
    """
    The relationships of a hierarchy along which deletions cascade.

    Args:
        mapper: the root of the hierarchy.
        rules: its rules.

    Raises:
        DeclarationError: the option ``cascade`` names none, or one leads where it cannot.
    """
    if rules.cascade == "orm":
        chosen = [each for each in _relationships(mapper) if each.cascade.delete]
    else:
        known = {each.key: each for each in _relationships(mapper)}
        chosen = []
        for name in rules.cascade:
            key = getattr(name, "key", name)
            if key not in known:
                raise DeclarationError(
                    f"{_place(mapper)}: option cascade={rules.cascade!r} names the relationship "
                    f"{key!r}, which does not exist; there are {', '.join(sorted(known)) or 'none'}"
                )
            chosen.append(known[key])
    for each in chosen:
        _check(each, rules)
    return chosen


def excluded(mapper: Mapper[Any], rules: SoftDeleteOptions) -> list[RelationshipProperty[Any]]:
    """
    Relationships that cascade deletes by themselves, but that the option leaves out.
    """
    if rules.cascade == "orm":
        return []
    named = {getattr(name, "key", name) for name in rules.cascade}
    return [
        each for each in _relationships(mapper) if each.cascade.delete and each.key not in named
    ]


def _relationships(mapper: Mapper[Any]) -> Iterable[RelationshipProperty[Any]]:
    found = {
        (each.parent, each.key): each
        for descendant in mapper.self_and_descendants
        for each in descendant.relationships
        if each.parent is descendant and not each.viewonly
    }
    return found.values()


def _place(mapper: Mapper[Any]) -> str:
    table = getattr(mapper.local_table, "fullname", mapper.local_table)
    return f"class {mapper.class_.__name__} (table {table})"


def _check(relationship: RelationshipProperty[Any], rules: SoftDeleteOptions) -> None:
    place = f"{_place(relationship.parent)}: option cascade={rules.cascade!r}"
    name = f"relationship {relationship.key!r}"
    target = relationship.mapper
    out = "take 'delete' out of its cascade, or leave it out of SoftDeleteOptions(cascade=...)"
    root = root_of(target)
    if not isinstance(root.local_table, Table) or mapped.mapper_of(root.local_table) is None:
        raise DeclarationError(
            f"{place}: {name} cascades deletes to {target.class_.__name__}, which has no "
            f"SoftDelete: write class {target.class_.__name__}(SoftDelete, ...), or {out}"
        )
    if relationship.direction is RelationshipDirection.MANYTOMANY:
        raise DeclarationError(
            f"{place}: {name} cascades deletes through the table "
            f"{getattr(relationship.secondary, 'name', '')!r}: a cascade follows one foreign key; "
            f"map that table as a class with SoftDelete, or {out}"
        )
    equalities = [
        each
        for each in visitors.iterate(relationship.primaryjoin)
        if isinstance(each, BinaryExpression)
    ]
    if len(equalities) != len(relationship.synchronize_pairs) or any(
        each.operator is not operators.eq for each in equalities
    ):
        raise DeclarationError(
            f"{place}: {name} joins on more than equal keys ({relationship.primaryjoin}), and "
            f"the database would cascade along the keys alone: {out}"
        )
    child, pairs = joined(relationship)
    for column, table in (
        *((here, root_of(relationship.parent).local_table) for here, _ in pairs),
        *((there, child) for _, there in pairs),
    ):
        if column.table is not table:
            raise DeclarationError(
                f"{place}: {name} leads into the middle of a hierarchy: its key {column} is not "
                f"in {table}, the table at the root, where deletions are kept: move the key "
                f"there, or {out}"
            )
    inside = target is not root and not target.concrete
    if inside and any(root.has_property(_attribute(target, column)) for _, column in pairs):
        raise DeclarationError(
            f"{place}: {name} leads into the middle of a hierarchy, to {target.class_.__name__}, "
            f"but its key belongs to every {root.class_.__name__}: let the relationship lead to "
            f"{root.class_.__name__}, or {out}"
        )


def _attribute(mapper: Mapper[Any], column: Column[Any]) -> str:
    return mapper.get_property_by_column(column).key


def joined(
    relationship: RelationshipProperty[Any],
) -> tuple[Table, list[tuple[Column[Any], Column[Any]]]]:
    """
    The table that goes along, and pairs of columns: of the parent's table, of its own.

    A many-to-one relationship cascades from the row that holds the key to the one it names.
    """
    backwards = relationship.direction is RelationshipDirection.MANYTOONE
    parent, target = relationship.parent, relationship.mapper
    pairs = []
    for source, destination in relationship.synchronize_pairs:
        here, there = (destination, source) if backwards else (source, destination)
        pairs.append((at_root(parent, here), at_root(target, there)))
    root = root_of(target)
    return root.local_table, pairs  # type: ignore[return-value]  # checked to be a Table


def at_root(mapper: Mapper[Any], column: Any) -> Column[Any]:
    """
    The same value in the table at the root: a joined class repeats the key in its own table.
    """
    root = root_of(mapper)
    candidates = mapper.get_property_by_column(column).columns
    for candidate in candidates:
        if isinstance(candidate, Column) and candidate.table is root.local_table:
            return candidate
    return column  # type: ignore[no-any-return]  # a column by inspection
