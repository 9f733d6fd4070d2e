"""
Bulk statements of a session: DELETE becomes UPDATE, the others are filtered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

from sqlalchemy import func, select, tuple_, update
from sqlalchemy.sql.dml import Delete, Insert

from pgultra.features.soft_delete import mapped, surface, turns
from pgultra.features.soft_delete.departure import depart
from pgultra.features.soft_delete.edges import mappers_below, root_of
from pgultra.features.soft_delete.model import SoftDelete, deleted_column

if TYPE_CHECKING:
    from sqlalchemy import Result
    from sqlalchemy.orm import Mapper, ORMExecuteState

__all__ = ["execute"]


def execute(state: ORMExecuteState, criterion: Any) -> Result[Any] | None:
    """
    Filter an UPDATE, DELETE or INSERT FROM SELECT; a DELETE of soft-deletable rows marks them.

    Args:
        state: what the session is about to execute.
        criterion: the option to add, or None.
    """
    statement: Any = state.statement
    if isinstance(statement, Insert):
        if statement.select is not None and criterion is not None:
            statement = statement.options(criterion)
            statement.select = surface.rebuilt(statement.select)
            state.statement = statement
        return None
    entity = statement.table._annotations.get("parententity")
    soft = entity is not None and issubclass(entity.mapper.class_, SoftDelete)
    if soft and isinstance(statement, Delete):
        return _mark(state, entity.mapper, criterion)
    if criterion is None or not statement._where_criteria:
        if soft and criterion is not None and not isinstance(state.parameters, list):
            state.statement = statement.options(criterion)
        return None
    statement = statement.options(criterion)
    statement._where_criteria = (
        *map(surface.rebuilt, statement._where_criteria),
        *surface.missing(statement, () if entity is None else (entity, entity.mapper)),
    )
    state.statement = statement
    return None


def _mark(state: ORMExecuteState, mapper: Mapper[Any], criterion: Any) -> Result[Any]:
    """
    Execute the UPDATE that stands for a DELETE, as one deletion.

    The rows are locked in the order of their keys before the first is changed.
    """
    statement: Any = state.statement
    root = root_of(mapper)
    live = deleted_column(mapper).is_(None)
    keys = [getattr(root.class_, root.get_property_by_column(key).key) for key in root.primary_key]
    chosen = [
        getattr(mapper.class_, root.get_property_by_column(key).key) for key in root.primary_key
    ]
    doomed = surface.completed(
        select(*chosen)
        .where(*statement._where_criteria)
        .where(live)
        .order_by(*chosen)
        .with_for_update(of=mapped.table_of(root))
        .correlate(None)  # not to the UPDATE around it
    )
    deletion = uuid4()
    marking: Any = (
        update(root.class_)
        .where(tuple_(*keys).in_(doomed) if len(keys) > 1 else keys[0].in_(doomed), live)
        .values({"deleted_at": func.now(), "deletion_id": deletion})
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
    connection = state.session.connection(bind_arguments={"mapper": root})
    turns.alone(connection, mappers_below(root))
    result: Any = state.session.execute(marking, state.parameters, execution_options=options)
    if statement._returning:
        result = result.freeze()()  # rows of entities are made before these leave the session
    if synchronize is not False:
        depart(state.session, [root], [deletion])
    return result  # type: ignore[no-any-return]  # typed by the caller
