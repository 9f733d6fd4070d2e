"""
What the ORM's unit of work would leave out: a value and its context are written together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine, Table, event, select, tuple_
from sqlalchemy import inspect as inspected
from sqlalchemy.orm import Mapper, Session
from sqlalchemy.orm.attributes import flag_modified, set_attribute, set_committed_value
from sqlalchemy.orm.exc import UnmappedColumnError
from sqlalchemy.schema import sort_tables_and_constraints

from pgultra.features.encryption.defaults import MISSING, default_of
from pgultra.features.encryption.tables import secrets_of
from pgultra.features.encryption.telling import forget, tell

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Column, Connection

    from pgultra.features.encryption.tables import Secrets

__all__ = ["listen"]

AT_ONCE = 1000


def listen() -> None:
    """
    Register the listeners.
    """
    event.listen(Session, "before_flush", _before_flush)
    event.listen(Mapper, "before_insert", _before_insert)
    event.listen(Mapper, "before_update", _before_update)
    event.listen(Engine, "rollback", forget)
    event.listen(Engine, "rollback_savepoint", forget)


def _secrets(mapper: Mapper[Any]) -> Iterator[tuple[Table, Secrets]]:
    for table in mapper.tables:
        if isinstance(table, Table):
            yield table, secrets_of(table)


def _attribute(mapper: Mapper[Any], column: Column[Any]) -> str | None:
    """
    The attribute of a column; None where this class of several has none.
    """
    try:
        return str(mapper.get_property_by_column(column).key)
    except UnmappedColumnError:
        return None


def _changed(target: Any, attribute: str) -> bool:
    return bool(inspected(target).attrs[attribute].history.has_changes())


def _bound(mapper: Mapper[Any], secrets: Secrets) -> Iterator[tuple[str, dict[str, Column[Any]]]]:
    """
    Each attribute that is bound to a context, and the context's attributes with their columns.
    """
    for column, needed in secrets.bound:
        attribute = _attribute(mapper, column)
        if attribute is not None:
            named = ((_attribute(mapper, each), each) for each in needed)
            yield attribute, {name: each for name, each in named if name is not None}


def _before_insert(mapper: Mapper[Any], connection: object, target: Any) -> None:
    """
    Client-side defaults, of values and of their contexts, are taken before the row is sealed.
    """
    _write_both(mapper, target)
    for _, secrets in _secrets(mapper):
        for sealed, needed in secrets.bound:
            for column in (sealed, *needed):
                attribute = _attribute(mapper, column)
                if attribute is None or inspected(target).dict.get(attribute) is not None:
                    continue
                value = default_of(column)
                if value is not MISSING:
                    set_attribute(target, attribute, value)


def _before_update(mapper: Mapper[Any], connection: Connection, target: Any) -> None:
    """
    A value whose context moved is sealed anew; a context that did not move is told, not written.
    """
    _write_both(mapper, target)
    written = [
        (table, attribute, context)
        for table, secrets in _secrets(mapper)
        for attribute, context in _bound(mapper, secrets)
        if any(_changed(target, each) for each in (attribute, *context))
    ]  # all of them first: what is flagged below has changed too
    for table, attribute, context in written:
        getattr(target, attribute)  # loaded, with the old context, if it was not
        flag_modified(target, attribute)
        beside = _beside_the_key(context)
        tell(
            connection,
            table,
            _key(mapper, table, target),
            {column.key: getattr(target, name) for name, column in beside.items()},
        )


def _beside_the_key(context: dict[str, Column[Any]]) -> dict[str, Column[Any]]:
    """
    The part of a context that the WHERE clause does not tell.
    """
    return {name: column for name, column in context.items() if not column.primary_key}


def _key(mapper: Mapper[Any], table: Table, target: Any) -> tuple[Any, ...]:
    """
    The primary key of an object's row in one of its tables, as it is in the database.
    """
    names = [mapper.get_property_by_column(each).key for each in mapper.primary_key]
    identity = dict(zip(names, inspected(target).identity, strict=True))
    return tuple(identity[mapper.get_property_by_column(each).key] for each in table.primary_key)


def _before_flush(session: Session, flush_context: object, instances: object) -> None:
    """
    Where a value or its context changed, read the rest again: others may have changed it.

    The rows stay locked, so that a value is sealed for the row that it gets into, and none
    is sealed anew that is not the last.
    """
    stale: dict[tuple[Mapper[Any], Table], list[Any]] = {}
    for target in session.dirty:
        mapper = inspected(target).mapper
        for table, secrets in _secrets(mapper):
            again = False
            for attribute, context in _bound(mapper, secrets):
                moved = any(_changed(target, each) for each in context)
                changed = _changed(target, attribute)
                again |= moved or (changed and bool(_beside_the_key(context)))
                if moved and not changed:
                    session.expire(target, [attribute])
            if again:
                stale.setdefault((mapper, table), []).append(target)
    for mapper, table in sorted(stale, key=_place) if len(stale) > 1 else stale:
        targets = stale[mapper, table]
        for start in range(0, len(targets), AT_ONCE):
            _read_again(session, mapper, table, targets[start : start + AT_ONCE])


def _place(of: tuple[Mapper[Any], Table]) -> tuple[int, str, str]:
    """
    Where the unit of work writes a table, about: parents first, in every session.
    """
    mapper, table = of
    every = table.metadata.tables.values()
    order = [each for each, _ in sort_tables_and_constraints(every)]  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it untyped
    return order.index(table), table.fullname, mapper.class_.__name__


def _read_again(session: Session, mapper: Mapper[Any], table: Table, targets: list[Any]) -> None:
    columns = {
        name: column
        for _, context in _bound(mapper, secrets_of(table))
        for name, column in _beside_the_key(context).items()
    }
    key = list(table.primary_key)
    by_key = {_key(mapper, table, target): target for target in targets}
    statement = (
        select(*key, *columns.values())
        .where(tuple_(*key).in_(list(by_key)))
        .order_by(*key)  # as the unit of work updates them, so that none waits for another
        .with_for_update(key_share=True, of=table)
    )
    for row in session.connection(bind_arguments={"mapper": mapper}).execute(statement):
        target = by_key.get(tuple(row[: len(key)]))
        for name, value in zip(columns, row[len(key) :], strict=True):
            if target is not None and not _changed(target, name):
                set_committed_value(target, name, value)


def _write_both(mapper: Mapper[Any], target: Any) -> None:
    """
    While a plaintext is being replaced, whichever attribute was set sets the other.
    """
    for _, secrets in _secrets(mapper):
        for column, plain in secrets.doubled:
            sealed_key, plain_key = _attribute(mapper, column), _attribute(mapper, plain)
            if sealed_key is None or plain_key is None:
                continue  # only one of the two is mapped
            if _changed(target, sealed_key):
                set_attribute(target, plain_key, inspected(target).dict[sealed_key])
            elif _changed(target, plain_key):
                set_attribute(target, sealed_key, inspected(target).dict[plain_key])
