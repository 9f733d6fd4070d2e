"""
Bulk statements of a session: DELETE becomes UPDATE, the others are filtered.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from sqlalchemy import func, select, tuple_, update
from sqlalchemy.dialects.postgresql.dml import OnConflictDoUpdate
from sqlalchemy.orm import FromStatement
from sqlalchemy.sql import visitors
from sqlalchemy.sql.dml import Delete, Insert
from sqlalchemy.sql.elements import ClauseElement
from sqlalchemy.sql.selectable import SelectBase

from pgultra.errors import PgultraError
from pgultra.features.soft_delete import mapped, surface, turns
from pgultra.features.soft_delete.departure import depart
from pgultra.features.soft_delete.edges import mappers_below, root_of
from pgultra.features.soft_delete.model import SoftDelete, deleted_column

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Result
    from sqlalchemy.orm import ORMExecuteState

__all__ = ["execute"]

PARTS = (
    "select",
    "_where_criteria",
    "_values",
    "_ordered_values",
    "_multi_values",
    "_returning",
    "_post_values_clause",
)
"""
Where a statement may hold subqueries; SQLAlchemy 2.1 has no ``_ordered_values``.
"""


def execute(state: ORMExecuteState, criterion: Any) -> Result[Any] | None:
    """
    Filter an UPDATE, DELETE or INSERT; a DELETE of soft-deletable rows marks them.

    Args:
        state: what the session is about to execute.
        criterion: the option to add, or None.
    """
    statement: Any = state.statement
    wrapped = statement.element if isinstance(statement, FromStatement) else statement
    entity, soft = _target(wrapped)
    if soft and isinstance(wrapped, Delete):
        if wrapped is not statement:
            name = entity.mapper.class_.__name__
            raise PgultraError(
                f"cannot mark rows of {name} as deleted in from_statement(): execute "
                f"delete({name}).returning({name}) by itself"
            )
        return _mark(state, entity, criterion)
    if criterion is not None:
        filtered = _filtered(wrapped, criterion, many=isinstance(state.parameters, list))
        if wrapped is statement:
            state.statement = filtered
        elif filtered is not wrapped:
            copy: Any = statement.options(criterion)  # those of what it wraps are not looked at
            copy.element = filtered
            state.statement = copy
    return None


def _target(statement: Any) -> tuple[Any, bool]:
    """
    The mapper or alias that a statement writes to, if any, and whether it is soft-deletable.
    """
    entity = statement.table._annotations.get("parententity")
    return entity, entity is not None and issubclass(entity.mapper.class_, SoftDelete)


def _filtered(statement: Any, criterion: Any, *, many: bool) -> Any:
    """
    The same UPDATE, DELETE or INSERT with the criterion, where it has something to filter.
    """
    entity, soft = _target(statement)
    parts = {name: getattr(statement, name, None) for name in PARTS}
    nested = any(
        isinstance(each, SelectBase)
        for clause in _clauses(parts)
        for each in visitors.iterate(clause)
    )
    inserts = isinstance(statement, Insert)
    if not nested and (
        # New rows, rows that are named by their keys, or nothing soft-deletable at all.
        inserts or (not statement._where_criteria and (not soft or many))
    ):
        return statement
    if soft and not inserts and entity.is_aliased_class:
        name = entity.mapper.class_.__name__
        raise PgultraError(
            f"cannot filter deleted rows from an UPDATE of an alias: write update({name}) and "
            "alias what is joined to it, or with_deleted(statement)"
        )
    if nested:
        surface.refuse_changes(statement)
    statement = statement.options(criterion)
    for name, part in parts.items():
        if part is not None:
            setattr(statement, name, _rebuilt(part))
    if not inserts:
        known = () if entity is None else (entity, entity.mapper)
        statement._where_criteria += (*surface.missing(statement, known),)
    return statement


def _clauses(part: Any) -> Iterator[ClauseElement]:
    """
    The expressions in a part of a statement, which may be a collection of collections.
    """
    if isinstance(part, Mapping):
        part = list(part.values())
    if isinstance(part, OnConflictDoUpdate):
        part = [part.update_values_to_set, part.update_whereclause]
    if isinstance(part, ClauseElement):
        yield part
    elif isinstance(part, list | tuple):
        for each in part:
            yield from _clauses(each)


def _rebuilt(part: Any) -> Any:
    """
    The same part with the SELECTs in it completed.
    """
    if isinstance(part, OnConflictDoUpdate):
        copy: Any = part._clone()
        copy.update_values_to_set = _rebuilt(part.update_values_to_set)
        copy.update_whereclause = _rebuilt(part.update_whereclause)
        return copy
    if isinstance(part, ClauseElement):
        return surface.rebuilt(part)
    if isinstance(part, Mapping):
        return type(part)({key: _rebuilt(value) for key, value in part.items()})  # type: ignore[call-arg]  # a dict, or one that cannot change
    if isinstance(part, list | tuple):
        return type(part)(map(_rebuilt, part))
    return part


def _mark(state: ORMExecuteState, entity: Any, criterion: Any) -> Result[Any]:
    """
    Execute the UPDATE that stands for a DELETE, as one deletion.

    The rows are locked in the order of their keys before the first is changed. Options of
    the statement, such as somebody else's criteria, and its database hold for both.
    """
    statement: Any = state.statement
    root = root_of(entity.mapper)
    table = mapped.table_of(root)
    if entity.is_aliased_class and statement._returning:
        raise PgultraError(
            "a DELETE of an alias that is soft-deletable cannot have RETURNING: write "
            f"delete({entity.mapper.class_.__name__}) and alias what is joined to it"
        )
    live = deleted_column(entity.mapper).is_(None)
    names = [root.get_property_by_column(key).key for key in root.primary_key]
    keys = [getattr(root.class_, name) for name in names]
    chosen = [getattr(entity.entity, name) for name in names]
    target: Any = entity.selectable if entity.is_aliased_class else table
    doomed = surface.completed(
        select(*chosen)
        .where(*statement._where_criteria)
        .where(target.corresponding_column(deleted_column(entity.mapper)).is_(None))
        .order_by(*chosen)
        .with_for_update(of=target)
        .correlate(None)  # not to the UPDATE around it
    )
    deletion = uuid4()
    marking: Any = (
        update(root.class_)
        .where(tuple_(*keys).in_(doomed) if len(keys) > 1 else keys[0].in_(doomed), live)
        .values({"deleted_at": func.now(), "deletion_id": deletion})
        .options(*statement._with_options)
    )
    synchronize = {**statement.get_execution_options(), **state.local_execution_options}.get(
        "synchronize_session", "auto"
    )
    options = {
        name: value
        for name, value in {
            **statement.get_execution_options(),
            **state.local_execution_options,
        }.items()
        if not name.startswith("_sa_")
    }
    options["synchronize_session"] = False
    if statement._returning:
        marking = marking.returning(*statement._returning)
    bind = {**state.bind_arguments, "mapper": root}
    bind.pop("clause", None)  # the DELETE
    connection = state.session.connection(bind_arguments=dict(bind))  # it takes something out
    turns.alone(connection, mappers_below(root))
    result: Any = state.session.execute(
        marking, state.parameters, execution_options=options, bind_arguments=bind
    )
    if statement._returning:
        result = result.freeze()()  # rows of entities are made before these leave the session
    if synchronize is not False:
        depart(state.session, [root], [deletion], bind)
    return result  # type: ignore[no-any-return]  # typed by the caller
