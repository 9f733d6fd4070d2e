"""
Giving values their context when a row is written, through whatever door of SQLAlchemy.

One listener sees every ``insert()`` and ``update()``; it returns at once where no column is
bound to a context, or replaces a plaintext.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import Column, Engine, Table, event
from sqlalchemy.orm import Mapper
from sqlalchemy.sql import operators
from sqlalchemy.sql.dml import Insert, Update
from sqlalchemy.sql.elements import (
    BinaryExpression,
    BindParameter,
    BooleanClauseList,
    ClauseElement,
    Null,
)

from pgultra.errors import EncryptionError
from pgultra.features.encryption import flushing
from pgultra.features.encryption.assigning import insist_on_conflict, values_of
from pgultra.features.encryption.context import InContext, part_of
from pgultra.features.encryption.defaults import MISSING, default_of
from pgultra.features.encryption.naming import learn
from pgultra.features.encryption.refusing import refuse
from pgultra.features.encryption.tables import column_key, secrets_of, type_of
from pgultra.features.encryption.telling import told

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sqlalchemy import Connection

    from pgultra.features.encryption.tables import Secrets

__all__ = ["listen"]

Row = dict[str, Any]


def listen() -> None:
    """
    Register the listeners, once, when the first encrypted type is made.
    """
    if not event.contains(Engine, "before_execute", _before_execute):
        event.listen(Engine, "before_execute", _before_execute, retval=True)
        event.listen(Engine, "before_cursor_execute", refuse)
        event.listen(Mapper, "after_mapper_constructed", learn)
        flushing.listen()


def _before_execute(
    connection: Connection, clause: Any, several: Any, single: Any, options: Mapping[str, Any]
) -> tuple[Any, Any, Any]:
    if isinstance(clause, Insert | Update) and isinstance(clause.table, Table):
        secrets = secrets_of(clause.table)
        if secrets.bound or secrets.doubled:
            rows = [dict(row) for row in several] or [dict(single)]
            clause = _statement(connection, clause, secrets, rows)
            if several:
                return clause, rows, single
            return clause, several, rows[0]
    return clause, several, single


def _statement(connection: Connection, clause: Any, secrets: Secrets, rows: list[Row]) -> Any:
    """
    The statement and its rows (changed in place), with contexts.
    """
    inserting = isinstance(clause, Insert)
    if inserting and clause.select is not None:
        return clause  # nothing of it can be told its context; see ``assigning``
    if inserting:
        insist_on_conflict(clause, secrets)  # before a value that is not told its context
    if getattr(clause, "_multi_values", ()):
        return _several(clause, secrets)
    inside = values_of(clause)
    _complete(secrets, rows, inside, inserting=inserting)
    where = {} if inserting else dict(_equalities(clause))
    known = [_known(connection, clause.table, where, row) for row in rows]
    own: Row = {}
    for number, (column, needed) in enumerate(secrets.bound):
        name = f"pgultra_sealed_{number}"
        for row, others in zip(rows, known, strict=True):
            sealed = _sealed(column, needed, row, inside, others)
            if sealed is MISSING:
                continue
            if column.key in row:
                row[column.key] = sealed
            else:  # each row's value of its own, though the statement has one for all
                row[name] = sealed
                own[column.key] = BindParameter(name, type_=column.type, required=True)
    return _replaced(clause, own) if own else clause


def _known(connection: Connection, table: Table, where: Row, row: Row) -> Row:
    """
    What is known of the row that is updated, and not written.
    """
    known = {name: _behind(value, row) for name, value in where.items()}
    key = tuple(known.get(each.key, MISSING) for each in table.primary_key)
    return known | told(connection, table, key) if known else known


def _replaced(clause: Any, own: Row) -> Any:
    """
    The statement with parameters in place of some values.
    """
    clause = clause._clone()

    def value_of(name: Any, value: Any) -> Any:
        return own.get(column_key(clause.table, name), value)

    if clause._values:
        pairs = {name: value_of(name, value) for name, value in clause._values.items()}
        clause._values = type(clause._values)(pairs)
    if getattr(clause, "_ordered_values", None):  # before SQLAlchemy 2.1
        clause._ordered_values = [
            (name, value_of(name, value)) for name, value in clause._ordered_values
        ]
    return clause


def _complete(secrets: Secrets, rows: list[Row], inside: Row, *, inserting: bool) -> None:
    """
    Add to every row what would be found too late: plaintexts being replaced, and defaults.

    To every row, and not to those that need it: the first one's keys are the statement's.
    """
    for sealed, plain in secrets.doubled:
        for row in rows:
            if sealed.key in row and plain.key not in row and plain.key not in inside:
                row[plain.key] = row[sealed.key]
    if not inserting:
        return
    for column, needed in secrets.bound:
        for each in (column, *needed):
            for row in rows:
                if each.key not in row and each.key not in inside:
                    value = default_of(each)
                    if value is not MISSING:
                        row[each.key] = value


def _sealed(
    column: Column[Any], needed: list[Column[Any]], row: Row, inside: Row, known: Row
) -> Any:
    """
    One value of one row with its context; ``MISSING`` where there is nothing to do.
    """
    of = type_of(column)
    value = _given(column.key, row, inside)
    if value is MISSING or isinstance(value, InContext | Null):
        return MISSING
    if value is None:
        return None
    if isinstance(value, ClauseElement) or hasattr(value, "__clause_element__"):
        raise EncryptionError(f"{of.described} takes values, not SQL expressions")
    parts = []
    for each in needed:
        part = _given(each.key, row, inside)
        if part is MISSING and each.onupdate is None:
            part = known.get(each.key, MISSING)
        if isinstance(part, Null):
            part = None
        if (
            part is MISSING
            or isinstance(part, ClauseElement)
            or hasattr(part, "__clause_element__")
        ):
            raise EncryptionError(
                f"{of.described} is bound to {each.name} of its row, which this statement does not "
                "tell; put it among the values (its default must be Python's, not the server's)"
            )
        parts.append(of.guarded(partial(part_of, of, each), part))
    return InContext(value, tuple(parts))


def _given(key: str, row: Row, inside: Row) -> Any:
    """
    The value that a row has, else the statement.
    """
    if key in row:
        return row[key]
    return _behind(inside.get(key, MISSING), row)


def _behind(value: Any, row: Row) -> Any:
    """
    The value of a parameter.
    """
    if isinstance(value, BindParameter):
        if value.key in row:
            return row[value.key]
        return MISSING if value.required else value.effective_value
    return value


def _equalities(clause: Any) -> Iterator[tuple[str, Any]]:
    """
    What ``WHERE column = value`` says of every row that is updated.
    """
    waiting = list(clause._where_criteria)
    while waiting:
        each = waiting.pop()
        if isinstance(each, BooleanClauseList) and each.operator is operators.and_:
            waiting += list(each.clauses)
        elif isinstance(each, BinaryExpression) and each.operator in (operators.eq, operators.is_):
            for one, other in ((each.left, each.right), (each.right, each.left)):
                table = getattr(one, "table", None)  # the ORM gives an annotated twin
                same = isinstance(table, Table) and table.key == clause.table.key
                if same and isinstance(other, BindParameter | Null):
                    yield column_key(clause.table, one), other


def _several(clause: Any, secrets: Secrets) -> Any:
    """
    ``insert().values([{…}, {…}])``.
    """
    clause = clause._clone()
    groups = []
    for group in clause._multi_values:
        rows = []
        for given in group:
            names = list(given) if isinstance(given, dict) else list(clause.table.c)
            values = given.values() if isinstance(given, dict) else given
            pairs = zip(names, values, strict=False)
            rows.append({column_key(clause.table, name): value for name, value in pairs})
        _complete(secrets, rows, {}, inserting=True)
        for column, needed in secrets.bound:
            for row in rows:
                sealed = _sealed(column, needed, {}, row, {})
                if sealed is not MISSING:
                    row[column.key] = sealed
        groups.append([{clause.table.c[key]: value for key, value in row.items()} for row in rows])
    clause._multi_values = tuple(groups)
    return clause
