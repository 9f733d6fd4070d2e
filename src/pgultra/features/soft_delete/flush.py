"""
`session.delete` and orphans: what the unit of work would DELETE is marked instead.

Before the flush, soft-deletable objects leave ``session.deleted``, so that the unit of
work neither deletes their rows nor clears their children's keys. When the rest is
written, one UPDATE for each object at the top of what is deleted marks it with a
deletion of its own; the database cascades. Then what it took leaves the session.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from sqlalchemy import column, event, func, select, tuple_, update, values
from sqlalchemy.orm import PassiveFlag, Session, UOWTransaction, attributes

from pgultra.features.soft_delete import changes, mapped, turns
from pgultra.features.soft_delete.departure import (
    COLUMNS,
    depart,
    matching,
    remove,
    stamp,
    witness,
)
from pgultra.features.soft_delete.edges import links, mappers_below, root_of
from pgultra.features.soft_delete.model import SoftDelete, deleted_column
from pgultra.features.soft_delete.tops import Doomed, stale, tops_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import ColumnElement
    from sqlalchemy.orm import InstanceState, Mapper, MapperProperty

__all__: list[str] = []

MANY = 500
"""
Rows in one statement of VALUES.
"""

PENDING = "pgultra.soft_delete.doomed"
SAVED = "pgultra.soft_delete.saved"
PASSIVE = PassiveFlag.PASSIVE_NO_INITIALIZE | PassiveFlag.INCLUDE_PENDING_MUTATIONS


class _Flush(UOWTransaction):
    """
    A flush out of which soft-deletable objects are taken, whenever they are found to be deleted.

    Listeners of the application run after ours and may call ``session.delete``, and the unit
    of work finds orphans by itself. SQLAlchemy made the object as its own class; a test pins
    what is overridden here.
    """

    @property
    def has_work(self) -> bool:
        """
        Whether there is anything to write; marks are.
        """
        return bool(self.states or self.attributes[PENDING])

    def register_object(
        self,
        state: InstanceState[Any],
        isdelete: bool = False,
        listonly: bool = False,
        cancel_delete: bool = False,
        operation: str | None = None,
        prop: MapperProperty[Any] | None = None,
    ) -> bool:
        """
        Take part in the flush; one that is to be deleted is taken out of it, to be marked.
        """
        saved: dict[InstanceState[Any], None] = self.attributes[SAVED]
        if cancel_delete:
            saved.pop(state, None)
        if (
            isdelete
            and not listonly
            and issubclass(state.class_, SoftDelete)
            and self.session._contains_state(state)
        ):
            if state in self.states:
                saved[state] = None  # what is new in it is written first
            else:
                self.attributes[PENDING].append(_doomed(state.obj()))
                remove(self.session, [state])
            return True
        return super().register_object(state, isdelete, listonly, cancel_delete, operation, prop)


@event.listens_for(Session, "before_flush")
def _before(session: Session, context: UOWTransaction, instances: Any) -> None:
    """
    Take out of the unit of work what is not to be deleted for real.
    """
    if not mapped.any_mapped():
        return
    chosen = None if not instances else {attributes.instance_state(each) for each in instances}
    for orphan in list(_orphans(session, chosen)):
        session.delete(orphan)  # with what cascades from it
    doomed = [
        _doomed(instance)
        for instance in session.deleted
        if isinstance(instance, SoftDelete)
        and (chosen is None or attributes.instance_state(instance) in chosen)
    ]
    context.attributes.update({PENDING: doomed, SAVED: {}})
    context.__class__ = _Flush
    remove(session, [each.state for each in doomed])


@event.listens_for(Session, "after_flush_postexec")
def _after(session: Session, context: UOWTransaction) -> None:
    """
    Mark what was taken out, now that new rows are there and changed keys are written.
    """
    if not isinstance(context, _Flush):
        return
    doomed, saved = context.attributes.pop(PENDING), context.attributes.pop(SAVED)
    if saved:
        doomed += [_doomed(state.obj()) for state in saved]
        remove(session, list(saved))
    if doomed:
        depart(session, *_mark(session, doomed))


def _orphans(session: Session, chosen: set[InstanceState[Any]] | None) -> Iterator[Any]:
    """
    Objects whose last parent let go of them, which the flush would delete.
    """
    for instance in (*session.dirty, *session.deleted):
        state = attributes.instance_state(instance)
        if chosen is not None and state not in chosen:
            continue
        mapper = state.mapper
        if (
            isinstance(instance, SoftDelete)
            and state.key is not None
            and (mapper._delete_orphans and mapper._is_orphan(state))
        ):
            yield instance
        for relationship in mapper.relationships:
            if (
                not relationship.cascade.delete_orphan
                or relationship.viewonly
                or not issubclass(relationship.mapper.class_, SoftDelete)
            ):
                continue
            history = attributes.get_state_history(state, relationship.key, PASSIVE)
            for child in history.deleted or ():
                if child is None or child not in session or child in session.new:
                    continue
                if not attributes.has_parent(relationship.parent.class_, child, relationship.key):
                    yield child


def _doomed(instance: Any) -> Doomed:
    """
    What must be known of an object before it leaves the session.
    """
    state = attributes.instance_state(instance)
    mapper = state.mapper
    root = root_of(mapper)
    changed = changes.of(instance, root)
    at, by, deletion = (deleted_column(mapper, name) for name in COLUMNS)
    for mine in (at, by, deletion):
        changed.pop(mine, None)
    actor = state.dict.get(mapper.get_property_by_column(by).key)
    if actor is not None:
        changed[by] = actor
    version = None
    if mapper.version_id_col is not None:
        key = mapper.get_property_by_column(mapper.version_id_col).key
        getattr(instance, key)  # loads it if it is expired
        history = state.attrs[key].history
        version = (history.deleted or history.unchanged or (None,))[0]
    return Doomed(state, instance, root, changed, version, changes.targets_of(instance))


def _mark(session: Session, doomed: Sequence[Doomed]) -> tuple[set[Mapper[Any]], list[UUID]]:
    """
    Write the marks; gives the mappers at the top of what was deleted, and the deletions.
    """
    for each in doomed:
        changes.complete(each)
    for root in dict.fromkeys(each.root for each in doomed):
        connection = session.connection(bind_arguments={"mapper": root})
        if len(doomed) == 1:
            turns.shared(connection, root)
        else:
            turns.alone(connection, mappers_below(root))
    tops = list(doomed) if len(doomed) == 1 else tops_of(session, doomed)
    deletions: list[UUID] = []
    for (root, alike), group in itertools.groupby(tops, lambda each: (each.root, _alike(each))):
        some = list(group)
        if alike is not None and len(some) > 1:
            deletions += _write_many(session, root, some)
            continue
        for each in some:
            deletion = _write(session, each, deletions)
            if deletion is not None:
                deletions.append(deletion)
    rest = [each for each in doomed if each not in tops]
    for each in rest:
        each.values.pop(deleted_column(each.root, "deleted_by"), None)
        changes.write(session.connection(bind_arguments={"mapper": each.root}), each, root=True)
    for root in dict.fromkeys(each.root for each in rest) if deletions else ():
        states = [each.state for each in rest if each.root is root]
        for state, found in witness(session, root, states, deletions):
            stamp(state, found)
    return {each.root for each in tops}, deletions


def _write(session: Session, doomed: Doomed, before: Sequence[UUID]) -> UUID | None:
    """
    Mark one row; None if another deletion took it meanwhile.

    Raises:
        sqlalchemy.orm.exc.StaleDataError: its version is not the one that was loaded.
    """
    root, mapper = doomed.root, doomed.state.mapper
    at, by, deletion = (deleted_column(mapper, name) for name in COLUMNS)
    chosen = uuid4()
    statement = update(mapped.table_of(root)).where(_held(root, doomed), at.is_(None))
    own = {each: new for each, new in doomed.values.items() if each.table is root.local_table}
    marks = {**own, at: func.now(), deletion: chosen}
    version = root.version_id_col
    if version is not None:
        statement = statement.where(version == doomed.version)
        generator: Any = root.version_id_generator
        if generator:
            marks[version] = generator(doomed.version)
    connection = session.connection(bind_arguments={"mapper": mapper})
    row = connection.execute(statement.values(marks).returning(at, by, deletion)).first()
    if row is not None:
        stamp(doomed.state, row)
        changes.write(connection, doomed, root=False)
        return chosen
    taken = list(witness(session, root, [doomed.state], before)) if before else []
    for state, found in taken:  # by a cascade through rows that this session did not know
        stamp(state, found)
    if version is not None and not taken:
        raise stale(doomed)
    return None


def _held(root: Mapper[Any], doomed: Doomed) -> ColumnElement[bool]:
    """
    The condition that chooses a row, which is locked before anything of it is changed.

    An UPDATE would hold it in a way that lets who adds a child pass, and then ask for more: who
    added one, and goes on to update its parent, would wait for us and we for him.
    """
    keys: list[Any] = list(root.primary_key)
    if not any(True for _ in links(root)):
        return matching(keys, [doomed.key])  # type: ignore[no-any-return]  # a comparison
    own = mapped.table_of(root).alias("own")
    chosen: list[Any] = [own.corresponding_column(key) for key in keys]
    held = select(*chosen).where(matching(chosen, [doomed.key])).with_for_update()
    target: Any = tuple_(*keys) if len(keys) > 1 else keys[0]
    return target.in_(held)  # type: ignore[no-any-return]  # a comparison


def _alike(doomed: Doomed) -> bool | None:
    """
    Whether one statement can mark a row with others: None if not, else if it names somebody.
    """
    by = deleted_column(doomed.root, "deleted_by")
    if doomed.root.version_id_col is not None or set(doomed.values) - {by}:
        return None
    return by in doomed.values


def _write_many(session: Session, root: Mapper[Any], doomed: Sequence[Doomed]) -> list[UUID]:
    """
    Mark several rows of one table, each with a deletion of its own.
    """
    table, keys = mapped.table_of(root), list(root.primary_key)
    at, by, deletion = (deleted_column(root, name) for name in COLUMNS)
    names = by in doomed[0].values
    connection = session.connection(bind_arguments={"mapper": root})
    deletions = []
    for start in range(0, len(doomed), MANY):
        # A row is known by its deletion: its key may come back as another value.
        chosen = {uuid4(): each for each in doomed[start : start + MANY]}
        given = values(
            *(column(f"k{number}", key.type) for number, key in enumerate(keys)),
            column("deletion", deletion.type),
            *((column("by", by.type),) if names else ()),
            name="doomed",
        ).data(
            [
                (*each.key, new, *((each.values[by],) if names else ()))
                for new, each in chosen.items()
            ]
        )
        marks = {at: func.now(), deletion: given.c.deletion}
        statement = (
            update(table)
            .values({**marks, by: given.c.by} if names else marks)
            .where(*(key == given.c[f"k{number}"] for number, key in enumerate(keys)), at.is_(None))
            .returning(at, by, deletion)
        )
        for row in connection.execute(statement):
            stamp(chosen[row[-1]].state, row)
            deletions.append(row[-1])
    return deletions
