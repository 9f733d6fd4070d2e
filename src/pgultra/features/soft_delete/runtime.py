"""
Deleting with a name, and taking a deletion back.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from sqlalchemy import inspect, select, tuple_, update
from sqlalchemy.exc import IntegrityError, NoInspectionAvailable
from sqlalchemy.orm import make_transient, make_transient_to_detached
from sqlalchemy.orm.attributes import instance_dict, set_attribute

from pgultra import sql
from pgultra.bridge import on_session
from pgultra.errors import PgultraError, RestoreConflict
from pgultra.features.soft_delete import conflicts, mapped, savepoints, turns
from pgultra.features.soft_delete.departure import CHUNK, departed, matching
from pgultra.features.soft_delete.edges import edges_of, links, mappers_below, name_of, root_of
from pgultra.features.soft_delete.locks import before_restore
from pgultra.features.soft_delete.model import SoftDelete, deleted_column
from pgultra.features.soft_delete.queries import OPTION
from pgultra.features.soft_delete.shape import TableName
from pgultra.features.soft_delete.tops import in_order

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from uuid import UUID

    from sqlalchemy import Connection, Select, Table
    from sqlalchemy.orm import InstanceState, Mapper, Session

    Keys = dict[Mapper[Any], list[tuple[Any, ...]]]

__all__ = ["delete", "identified", "restore"]


@on_session
def delete(session: Session, obj: SoftDelete, *, by: Any = None) -> None:
    """
    Mark an object for deletion, as ``session.delete`` does, and say who did it.

    The database writes at the next flush, to the row and to all that cascades from it.

    Args:
        session: a Session; with an AsyncSession, await the result.
        obj: the object, persistent or detached.
        by: goes into ``deleted_by``; else what the object says there, else the setting
            ``pgultra.actor``.  # whatever the host's column holds: Any

    Raises:
        PgultraError: the object's class has no SoftDelete.

    Example:
        ``soft_delete.delete(session, article, by="ann")``, then ``session.commit()``.
    """
    mapper, _ = identified(obj)
    session.delete(obj)
    if by is not None:
        key = mapper.get_property_by_column(deleted_column(mapper, "deleted_by")).key
        set_attribute(obj, key, by)


@on_session
def restore(session: Session, obj: SoftDelete) -> list[SoftDelete]:
    """
    Take back the deletion that an object went with: all that it took, and nothing else.

    Pending changes are flushed first. Objects that this transaction deleted are part of
    the session again; others are loaded. A live object, or one whose row is live by now,
    gives an empty list.

    Args:
        session: a Session; with an AsyncSession, await the result.
        obj: any object of the deletion, in whatever state; a detached one stays detached,
            and its row comes back as a new instance.

    Returns:
        All revived instances, parents first.

    Raises:
        RestoreConflict: live rows took unique values meanwhile, or a parent is deleted
            under another deletion. Nothing is changed.
        PgultraError: the row is gone for good, or the class has no SoftDelete.

    Example:
        ``article, *comments = soft_delete.restore(session, article)``
    """
    mapper, identity = identified(obj)
    session.flush()
    root = root_of(mapper)
    connection = session.connection(bind_arguments={"mapper": root})
    keys = list(root.primary_key)
    at, deletion = deleted_column(root), deleted_column(root, "deletion_id")
    row = connection.execute(select(at, deletion).where(matching(keys, [identity]))).first()
    if row is None:
        raise PgultraError(
            f"{root.class_.__name__} {identity} of table {root.local_table} cannot be restored: "
            "its row was removed for good"
        )
    if row[0] is None:
        return []
    savepoint = connection.begin_nested()
    try:
        revived = (
            _revive_one(connection, root, identity)
            if row[1] is None
            else _revive(connection, root, row[1])
        )
    except IntegrityError as error:
        savepoint.rollback()
        raise RestoreConflict([_said(error)]) from error
    except BaseException:
        savepoint.rollback()
        raise
    savepoint.commit()
    returned = _attach(session, revived)
    loaded = list(_loaded(session, revived))
    # The rollback of a savepoint expires them, so that none goes on claiming to live.
    session._register_altered({inspect(each) for each in loaded} - returned)
    return loaded


def identified(obj: Any) -> tuple[Mapper[Any], tuple[Any, ...]]:
    """
    The mapper and the primary key of an object that has a row.

    Raises:
        PgultraError: it has none, or its class is not soft-deletable.
    """
    try:
        state: Any = inspect(obj)
    except NoInspectionAvailable:
        state = None
    if state is None or not isinstance(obj, SoftDelete) or not hasattr(state, "mapper"):
        raise PgultraError(f"{obj!r} is no object of a class with pgultra.SoftDelete")
    if state.key is None:
        raise PgultraError(f"{obj!r} was never written: it has no row to delete or restore")
    return state.mapper, tuple(state.key[1])


def family(root: Mapper[Any]) -> list[Mapper[Any]]:
    """
    All hierarchies that can share a deletion with one, parents first.
    """
    above = [
        mapper
        for _, mapper in mapped.tables()
        if mapper.registry is root.registry and root in mappers_below(mapper)
    ]
    return in_order({below for mapper in (*above, root) for below in mappers_below(mapper)})


def parents_of(child: Mapper[Any]) -> list[Mapper[Any]]:
    """
    The hierarchies that take this one along, parents first.
    """
    return in_order(
        mapper
        for _, mapper in mapped.tables()
        if mapper.registry is child.registry
        and any(target is child for target, *_ in links(mapper))
    )


def _revive_one(connection: Connection, root: Mapper[Any], identity: tuple[Any, ...]) -> Keys:
    """
    A row that was deleted before there were deletion ids comes back alone.
    """
    key = matching(list(root.primary_key), [identity])
    connection.execute(
        update(mapped.table_of(root)).where(key).values({deleted_column(root): None})
    )
    return {root: [identity]}


def _revive(connection: Connection, root: Mapper[Any], deletion: UUID) -> Keys:
    """
    Revive the rows at the top of a deletion; the database takes along what is below.
    """
    relatives = family(root)
    turns.alone(connection, relatives)
    seen = _members(connection, relatives, deletion)
    if not seen:
        return {}
    # All locks in the order in which the database takes them, parents first; then look again.
    for lock in _locks(connection, [mapped.table_of(mapper) for mapper in seen], deletion):
        connection.execute(lock)
    members = _members(connection, list(seen), deletion)
    problems = [
        problem
        for mapper in members
        for problem in conflicts.of(connection, mapper, deletion, parents_of(mapper))
    ]
    if problems:
        raise RestoreConflict(problems)
    for only_tops in (True, False):  # rows that go round in a circle have no top
        for mapper in members:
            _update(connection, mapper, deletion, only_tops=only_tops)
    return members


def _locks(
    connection: Connection, tables: Sequence[Table], deletion: UUID
) -> Iterator[Select[Any]]:
    """
    What to lock before a restore, in the schemas where this connection has the tables.
    """

    def here(name: TableName) -> TableName:
        return TableName(sql.schema_on(connection, name.schema), name.name)

    edges = [
        dataclasses.replace(edge, parent=here(edge.parent), child=here(edge.child))
        for edge in edges_of(tables[0].metadata)
    ]
    return before_restore([here(name_of(table)) for table in tables], edges, [deletion])


def _members(connection: Connection, mappers: Sequence[Mapper[Any]], deletion: UUID) -> Keys:
    """
    The keys of the rows that a deletion took, by hierarchy.
    """
    members: Keys = {}
    for mapper in mappers:
        keys = list(mapper.primary_key)
        found = connection.execute(
            select(*keys)
            .where(
                deleted_column(mapper, "deletion_id") == deletion,
                deleted_column(mapper).is_not(None),
            )
            .order_by(*keys)
        )
        rows = [tuple(row) for row in found]
        if rows:
            members[mapper] = rows
    return members


def _update(
    connection: Connection,
    mapper: Mapper[Any],
    deletion: UUID,
    *,
    only_tops: bool,
) -> None:
    table: Any = mapper.local_table
    keys = list(mapper.primary_key)
    at, mine = deleted_column(mapper), deleted_column(mapper, "deletion_id")
    # No FOR UPDATE here: the rows are locked, and a stronger lock would meet whoever restores
    # a row below and holds FOR KEY SHARE on one of these.
    chosen = select(*keys).where(mine == deletion, at.is_not(None))
    if only_tops:
        for parent_mapper in parents_of(mapper):
            for child, here, there in links(parent_mapper):
                if child is mapper:
                    parent: Any = parent_mapper.local_table.alias()
                    of_parent = parent.c[deleted_column(parent_mapper, "deletion_id").key]
                    joins = [
                        parent.c[upper.key] == lower
                        for upper, lower in zip(here, there, strict=True)
                    ]
                    above = select(1).where(of_parent == deletion, *joins).correlate(table)
                    chosen = chosen.where(~above.exists())
    connection.execute(update(table).where(_in(keys, chosen)).values({at: None}))


def _in(keys: Sequence[Any], chosen: Any) -> Any:
    return keys[0].in_(chosen) if len(keys) == 1 else tuple_(*keys).in_(chosen)


def _said(error: IntegrityError) -> str:
    """
    What the database said, without the statement.
    """
    diagnosis = getattr(error.orig, "diag", None)
    primary = getattr(diagnosis, "message_primary", None) or str(error.orig).splitlines()[0]
    detail = getattr(diagnosis, "message_detail", None)
    return f"{primary} ({detail})" if detail else str(primary)


def _attach(session: Session, revived: Keys) -> set[InstanceState[Any]]:
    """
    Let the very objects that this transaction deleted be part of the session again.

    One whose row was loaded anew meanwhile, to look at it in the bin, gives way to its twin.
    Gives those that leave again when a savepoint is rolled back.
    """
    gone = departed(session)
    found = [
        gone.pop(mapper.identity_key_from_primary_key(key), None)
        for mapper, keys in revived.items()
        for key in keys
    ]
    back: list[Any] = [
        each
        for each in found
        if each is not None
        and inspect(each).deleted
        and inspect(each).session is session
        and inspect(each).key not in session.identity_map
    ]
    returns = list(savepoints.returns(session, back))
    if returns:
        savepoints.remember(session, returns)
    for each in back:
        if inspect(each).session is session:  # else expunged with another
            session.expunge(each)
    for each in back:
        make_transient(each)
        make_transient_to_detached(each)
        for relationship in inspect(each).mapper.relationships:
            # Their members may be deleted still; they are loaded again when asked for.
            instance_dict(each).pop(relationship.key, None)
    session.add_all(back)
    return {inspect(each.instance()) for each in returns}


def _loaded(session: Session, revived: Keys) -> Iterator[SoftDelete]:
    for mapper, keys in revived.items():
        columns = list(mapper.primary_key)
        for start in range(0, len(keys), CHUNK):
            statement = (
                select(mapper.class_)
                .where(matching(columns, keys[start : start + CHUNK]))
                .order_by(*columns)
            )
            options = {OPTION: "include", "populate_existing": True}
            yield from session.scalars(statement, execution_options=options).unique()
