"""
Deleted objects leave their session, as they do when their rows are really gone.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from sqlalchemy import Integer, and_, column, literal_column, select, tuple_, values
from sqlalchemy.orm.attributes import set_committed_value

from pgultra.features.soft_delete.edges import mappers_below, root_of
from pgultra.features.soft_delete.model import SoftDelete, deleted_column, has_flag

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from uuid import UUID

    from sqlalchemy import Connection, Row, Select
    from sqlalchemy.orm import InstanceState, Mapper, Session

__all__ = ["asked", "depart", "departed", "matching", "remove", "stamp", "witness"]

CHUNK = 1000
DEPARTED = "pgultra.soft_delete.departed"
COLUMNS = ("deleted_at", "deleted_by", "deletion_id")


def remove(session: Session, states: Sequence[InstanceState[Any]]) -> None:
    """
    Take objects out of the session; a rollback brings them back, and expires them.

    This is what SQLAlchemy does after a DELETE. The methods are private; a test pins them.
    """
    gone = departed(session)
    session._register_altered(states)  # the rollback of a savepoint expires no others
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


def depart(
    session: Session,
    roots: Iterable[Mapper[Any]],
    deletions: Sequence[UUID],
    bind: Mapping[str, Any] | None = None,
) -> None:
    """
    Take out of the session whatever the given deletions took in the database.

    Args:
        session: its identity map is searched; rows that it does not hold are not loaded.
        roots: the mappers whose rows were deleted; all that is below them may be gone too.
        deletions: the ids of the deletions.
        bind: the ``bind_arguments`` of the statement that deleted them.
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
        for state, said in witness(session, mapper, states, deletions, bind):
            stamp(state, said)
            gone.append(state)
        remove(session, gone)


def witness(
    session: Session,
    mapper: Mapper[Any],
    states: Sequence[InstanceState[Any]],
    deletions: Sequence[UUID],
    bind: Mapping[str, Any] | None = None,
) -> Iterator[tuple[InstanceState[Any], Sequence[Any]]]:
    """
    Which of some objects of one hierarchy the deletions took, and what their rows say now.
    """
    connection = session.connection(bind_arguments={**(bind or {}), "mapper": mapper})
    columns = [deleted_column(mapper, name) for name in COLUMNS]
    keys = list(mapper.primary_key)
    statement = select(*keys, *columns).where(columns[-1].in_(deletions))
    for start in range(0, len(states), CHUNK):
        by_key = {tuple(each.key[1]): each for each in states[start : start + CHUNK] if each.key}
        for key, row in asked(connection, statement, keys, list(by_key)):
            yield by_key[key], row[len(keys) : len(keys) + len(columns)]


def asked(
    connection: Connection, statement: Select[Any], keys: Sequence[Any], wanted: Sequence[Any]
) -> Iterator[tuple[tuple[Any, ...], Row[Any]]]:
    """
    Select some rows, their primary key first; gives each key as it was asked for, and the row.

    A key may come back as another value than the one that found it: lower-cased by its type,
    padded by ``CHAR(n)``. Then the places of those that were wanted are selected too.
    """
    known = set(wanted)
    rows = connection.execute(statement.where(matching(keys, wanted))).all()
    found = [tuple(row[: len(keys)]) for row in rows]
    if known.issuperset(found):
        yield from zip(found, rows, strict=True)
        return
    names = [f"k{number}" for number in range(len(keys))]
    given = values(
        *(column(name, key.type) for name, key in zip(names, keys, strict=True)),
        column("place", Integer),
        name="wanted",
    ).data([(*key, literal_column(str(place))) for place, key in enumerate(wanted)])
    pairs = zip(keys, names, strict=True)
    joined = statement.add_columns(given.c.place).where(
        *(key == given.c[name] for key, name in pairs)
    )
    for row in connection.execute(joined):
        yield wanted[row[-1]], row


def matching(keys: Sequence[Any], values: Sequence[Sequence[Any]]) -> Any:
    """
    The condition that a primary key is one of some.

    One alone is said with ``=``, from which other rooms read which row it is.
    """
    if len(values) == 1:
        return and_(*(key == value for key, value in zip(keys, values[0], strict=True)))
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
