"""
Deleted objects leave their session, as they do when their rows are really gone.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from sqlalchemy import select, tuple_
from sqlalchemy.orm.attributes import set_committed_value

from pgultra.features.soft_delete.edges import mappers_below, root_of
from pgultra.features.soft_delete.model import SoftDelete, deleted_column, has_flag

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from uuid import UUID

    from sqlalchemy.orm import InstanceState, Mapper, Session

__all__ = ["depart", "departed", "matching", "remove", "stamp", "witness"]

CHUNK = 1000
DEPARTED = "pgultra.soft_delete.departed"
COLUMNS = ("deleted_at", "deleted_by", "deletion_id")


def remove(session: Session, states: Sequence[InstanceState[Any]]) -> None:
    """
    Take objects out of the session; a rollback brings them back.

    This is what SQLAlchemy does after a DELETE. The method is private; a test pins it.
    """
    gone = departed(session)
    for state in states:
        instance = state.obj()
        if state.key is not None and instance is not None:
            gone[state.key] = instance
    session._remove_newly_deleted(states)


def departed(session: Session) -> weakref.WeakValueDictionary[Any, Any]:
    """
    The objects that left a session, by identity key, as long as somebody holds them.
    """
    found: weakref.WeakValueDictionary[Any, Any] = session.info.setdefault(
        DEPARTED, weakref.WeakValueDictionary()
    )
    return found


def depart(session: Session, roots: Iterable[Mapper[Any]], deletions: Sequence[UUID]) -> None:
    """
    Take out of the session whatever the given deletions took in the database.

    Args:
        session: its identity map is searched; rows that it does not hold are not loaded.
        roots: the mappers whose rows were deleted; all that is below them may be gone too.
        deletions: the ids of the deletions.
    """
    concerned = {each for root in roots for each in mappers_below(root)}
    held: dict[Mapper[Any], list[InstanceState[Any]]] = {}
    for state in session.identity_map.all_states():
        if isinstance(state.obj(), SoftDelete) and state.key is not None:
            root = root_of(state.mapper)
            if root in concerned:
                held.setdefault(root, []).append(state)
    for mapper, states in held.items():
        gone = []
        for state, values in witness(session, mapper, states, deletions):
            stamp(state, values)
            gone.append(state)
        remove(session, gone)


def witness(
    session: Session,
    mapper: Mapper[Any],
    states: Sequence[InstanceState[Any]],
    deletions: Sequence[UUID],
) -> Iterator[tuple[InstanceState[Any], Sequence[Any]]]:
    """
    Which of some objects of one hierarchy the deletions took, and what their rows say now.
    """
    connection = session.connection(bind_arguments={"mapper": mapper})
    columns = [deleted_column(mapper, name) for name in COLUMNS]
    keys = list(mapper.primary_key)
    for start in range(0, len(states), CHUNK):
        by_key = {state.key[1]: state for state in states[start : start + CHUNK] if state.key}
        statement = select(*keys, *columns).where(
            matching(keys, list(by_key)), columns[-1].in_(deletions)
        )
        for row in connection.execute(statement):
            state = by_key.get(tuple(row[: len(keys)]))
            if state is not None:
                yield state, row[len(keys) :]


def matching(keys: Sequence[Any], values: Sequence[Sequence[Any]]) -> Any:
    """
    The condition that a primary key is one of some.
    """
    if len(keys) == 1:
        return keys[0].in_([value[0] for value in values])
    return tuple_(*keys).in_([tuple(value) for value in values])


def stamp(state: InstanceState[Any], values: Sequence[Any]) -> None:
    """
    Let an object that leaves say since when, by whom and in which deletion it is deleted.
    """
    instance = state.obj()
    if instance is None:
        return
    said = dict(zip(COLUMNS, values, strict=True))
    if has_flag(state.mapper):
        said["flag"] = said["deleted_at"] is not None
    for name, value in said.items():
        key = state.mapper.get_property_by_column(deleted_column(state.mapper, name)).key
        set_committed_value(instance, key, value)
