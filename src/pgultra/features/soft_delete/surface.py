"""
Entities that a SELECT names where SQLAlchemy does not look for them.

``with_loader_criteria`` finds an entity in the FROM, in joins, as a column or as the first
in an expression; since version 2.1 in the WHERE too (SQLAlchemy #13070). It overlooks the
second entity of an expression, one that stands only inside ``FILTER``, ``OVER`` or
``WITHIN GROUP``, the alias that ``any()`` makes of a class that refers to itself, and
before 2.1 every entity that stands in the WHERE alone: all of ``any()`` and ``has()``.

Here a SELECT gets the criterion for each entity that it names and that was overlooked.
One that is filtered anyway may be named twice, which changes nothing. It happens when a
statement is compiled, not when it comes from the cache.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy
from sqlalchemy import Table
from sqlalchemy.sql import operators, visitors
from sqlalchemy.sql.dml import Delete, Update
from sqlalchemy.sql.elements import (
    BinaryExpression,
    ColumnClause,
    FunctionFilter,
    Over,
    WithinGroup,
)
from sqlalchemy.sql.selectable import FromClause, Select, SelectBase

from pgultra.errors import PgultraError
from pgultra.features.soft_delete import mapped
from pgultra.features.soft_delete.joined import apart, live_by_key
from pgultra.features.soft_delete.model import SoftDelete, deleted_column

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from sqlalchemy import ColumnElement

__all__ = [
    "completed",
    "completed_columns",
    "found",
    "mappers",
    "missing",
    "rebuilt",
    "refuse_changes",
    "refuse_hidden",
]

BEFORE_2_1 = tuple(int(part) for part in sqlalchemy.__version__.split(".")[:2]) < (2, 1)


def mappers(statement: Any) -> set[Any]:
    """
    The mappers of all entities that a statement names, at any depth.
    """
    entities = (each._annotations.get("parententity") for each in visitors.iterate(statement))
    return {entity.mapper for entity in entities if entity is not None}


def found(select: Select[Any]) -> set[Any]:
    """
    The entities that SQLAlchemy finds by itself: mappers and aliases.

    A joined subclass that stands in the WHERE alone is not left to it (`joined`).
    """
    sources: list[Any] = [*select._from_obj, *(target for target, *_ in select._setup_joins)]
    entities = {each._annotations.get("parententity") for each in sources}
    for column in select._raw_columns:
        if not isinstance(column, FunctionFilter | Over | WithinGroup):
            entities.add(next(_entities([column]), None))
    if not BEFORE_2_1:
        entities.update(
            each for each in _entities(select._where_criteria) if not apart(each.mapper)
        )
    return entities - {None}


def completed(select: Select[Any]) -> Select[Any]:
    """
    The same SELECT with the criteria that it lacks, and the SELECTs in its WHERE lack.
    """
    known = found(select) if is_orm(select) else ()
    where = (*map(rebuilt, select._where_criteria), *missing(select, known))
    if len(where) == len(select._where_criteria) and all(
        one is other for one, other in zip(where, select._where_criteria, strict=True)
    ):
        return select
    select = select._generate()
    select._where_criteria = where
    return select


def completed_columns(select: Select[Any]) -> Select[Any]:
    """
    The same for a Core SELECT whose columns hold ORM SELECTs.
    """
    select = completed(select)
    columns = [
        each if isinstance(each, FromClause) else rebuilt(each) for each in select._raw_columns
    ]
    if any(one is not other for one, other in zip(columns, select._raw_columns, strict=True)):
        select = select._generate()
        select._raw_columns = columns
    return select


def is_orm(select: Any) -> bool:
    """
    Whether SQLAlchemy compiles a SELECT as one of the ORM, so that options apply.
    """
    return bool(select._propagate_attrs.get("compile_state_plugin") == "orm")


def refuse_hidden(select: Select[Any]) -> None:
    """
    Refuse what cannot be reached: a subquery that only Core compiles, among the columns.

    Raises:
        PgultraError: there is one that names a soft-deletable class.
    """
    for part in (*select._raw_columns, *select._from_obj):
        for each in visitors.iterate(part):
            if isinstance(each, Select) and not is_orm(each):
                hidden = next(_soft(each._raw_columns), None)
                if hidden is not None:
                    name = hidden[2].class_.__name__
                    raise PgultraError(
                        f"cannot filter deleted rows of {name} from the subquery ({each}): "
                        f"write .select_from({name}) in it, or with_deleted(statement)"
                    )


def refuse_changes(statement: Any) -> None:
    """
    Refuse a DELETE or UPDATE in a CTE that would change deleted rows, or remove live ones.

    Raises:
        PgultraError: there is one.
    """
    outer = (statement, getattr(statement, "element", None))  # what from_statement() wraps
    for each in visitors.iterate(statement):
        if isinstance(each, Delete | Update) and not any(each is one for one in outer):
            entity: Any = each.table._annotations.get("parententity")
            soft = entity is not None and issubclass(entity.mapper.class_, SoftDelete)
            if soft and isinstance(each, Delete):
                raise PgultraError(
                    f"delete({entity.mapper.class_.__name__}) in a CTE would remove its rows for "
                    "good: execute it by itself, or write an update() that sets deleted_at"
                )
            unfiltered = soft and (entity.is_aliased_class or apart(entity.mapper))
            known = () if entity is None else (entity, entity.mapper)
            if unfiltered or next(missing(each, known), None) is not None:
                raise PgultraError(
                    f"cannot filter deleted rows from the UPDATE or DELETE in a CTE ({each}): "
                    "execute it by itself, or with_deleted(statement)"
                )


def rebuilt(clause: Any) -> Any:
    """
    An expression in which every SELECT is completed; tables stay themselves.
    """
    if isinstance(clause, Select):
        return completed(clause)
    if isinstance(clause, FromClause | ColumnClause) or not any(
        isinstance(each, Select) for each in visitors.iterate(clause)
    ):
        return clause
    clone = clause._clone()
    clone._copy_internals(clone=lambda each, **_: rebuilt(each))
    return clone


def missing(select: Any, known: Collection[Any]) -> Iterator[ColumnElement[bool]]:
    """
    The criteria of the entities that a SELECT, UPDATE or DELETE names beyond the known ones.

    Args:
        select: the statement.
        known: mappers and aliases that are filtered already.
    """
    clauses = [
        *getattr(select, "_raw_columns", ()),
        *select._where_criteria,
        *getattr(select, "_having_criteria", ()),
        *getattr(select, "_order_by_clauses", ()),
        *getattr(select, "_group_by_clauses", ()),
    ]
    there = [
        each.left
        for each in select._where_criteria
        if isinstance(each, BinaryExpression) and each.operator is operators.is_
    ]
    sources = getattr(select, "_from_obj", ())
    candidates = [
        (mapper, element.table)
        for element, entity, mapper in _soft(clauses)
        if entity is None or entity not in known
    ]
    for source in getattr(select, "_correlate_except", None) or ():
        if source in sources and not isinstance(source, Table):
            # any() of a class that refers to itself: an alias that nobody takes for an entity.
            tables = (each for each in visitors.iterate(source) if isinstance(each, Table))
            mappers = (mapped.mapper_of(table) for table in tables)
            candidates += [(mapper, source) for mapper in mappers if mapper is not None]
    by_key: list[Any] = [*select._where_criteria]
    for mapper, source in candidates:
        live = _in(deleted_column(mapper), [source, *sources])
        if live is not None:
            if not any(live is each for each in there):
                there.append(live)
                yield live.is_(None)
        elif apart(mapper):
            condition = live_by_key(mapper, source)
            if condition is not None and not any(condition.compare(each) for each in by_key):
                by_key.append(condition)
                yield condition


def _soft(clauses: Iterable[Any]) -> Iterator[tuple[Any, Any, Any]]:
    """
    The columns of soft-deletable classes in some expressions, with entity and mapper.
    """
    for element in _at_surface(clauses):
        mapper = element._annotations.get("parentmapper")
        source = getattr(element, "table", None)
        if mapper is not None and source is not None and issubclass(mapper.class_, SoftDelete):
            yield element, element._annotations.get("parententity"), mapper


def _in(column: Any, sources: Iterable[Any]) -> Any:
    """
    A column as it appears in the first of some FROM elements that has it.
    """
    for source in sources:
        found = source.corresponding_column(column)
        if found is not None:
            return found
    return None


def _entities(clauses: Iterable[Any]) -> Iterator[Any]:
    for element in _at_surface(clauses):
        entity = element._annotations.get("parententity")
        if entity is not None:
            yield entity


def _at_surface(clauses: Iterable[Any]) -> Iterator[Any]:
    """
    The elements of some expressions, in order, without those of the SELECTs inside them.
    """
    waiting = list(clauses)[::-1]
    while waiting:
        element = waiting.pop()
        if isinstance(element, FromClause) and "parententity" in element._annotations:
            yield element  # an entity as a whole
        elif not isinstance(element, SelectBase | FromClause):
            yield element
            waiting.extend(list(element.get_children())[::-1])
