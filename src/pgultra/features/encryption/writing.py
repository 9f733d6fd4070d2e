"""
Giving values their context when a row is written, through whatever door of SQLAlchemy.

One listener sees every ``insert()`` and ``update()``; it returns at once where no column is
bound to a context. Another completes what the ORM's unit of work would leave out.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from sqlalchemy import Column, Engine, Table, event
from sqlalchemy import inspect as inspected
from sqlalchemy.dialects.postgresql.dml import OnConflictDoUpdate
from sqlalchemy.orm import Mapper
from sqlalchemy.orm.attributes import flag_modified, set_attribute
from sqlalchemy.sql import operators
from sqlalchemy.sql.dml import Insert, Update
from sqlalchemy.sql.elements import BinaryExpression, BindParameter, BooleanClauseList, Null

from pgultra.errors import EncryptionError
from pgultra.features.encryption.comparator import is_encrypted
from pgultra.features.encryption.context import InContext, columns_of, part_of, plain_column
from pgultra.features.encryption.naming import learn
from pgultra.features.encryption.refusing import refuse

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pgultra.features.encryption.model import Encrypted

__all__ = ["listen"]

Row = dict[str, Any]

SEALED = "pgultra_sealed"
"""The execution option of statements that write values sealed already (rotation)."""

_bound: WeakKeyDictionary[Table, tuple[tuple[Column[Any], list[Column[Any]]], ...]] = (
    WeakKeyDictionary()
)
_doubled: WeakKeyDictionary[Table, tuple[tuple[Column[Any], Column[Any]], ...]] = (
    WeakKeyDictionary()
)
_MISSING = object()


def listen() -> None:
    """
    Register the listeners, once, when the first encrypted type is made.
    """
    if not event.contains(Engine, "before_execute", _before_execute):
        event.listen(Engine, "before_execute", _before_execute, retval=True)
        event.listen(Engine, "before_cursor_execute", refuse)
        event.listen(Mapper, "after_mapper_constructed", learn)
        event.listen(Mapper, "before_insert", _before_insert)
        event.listen(Mapper, "before_update", _before_update)


def bound_columns(table: Table) -> tuple[tuple[Column[Any], list[Column[Any]]], ...]:
    """
    The columns of a table that are bound to a context, each with its context columns.
    """
    known = _bound.get(table)
    if known is None:
        known = tuple(
            (column, columns_of(column.type, table))  # type: ignore[arg-type]  # our own type
            for column in table.columns
            if is_encrypted(column.type) and column.type.context  # type: ignore[attr-defined]  # our own type
        )
        _bound[table] = known
    return known


def doubled_columns(table: Table) -> tuple[tuple[Column[Any], Column[Any]], ...]:
    """
    The columns of a table that replace a plaintext, each with the plain one.
    """
    known = _doubled.get(table)
    if known is None:
        known = tuple(
            (column, plain_column(column.type, table))  # type: ignore[arg-type]  # our own type
            for column in table.columns
            if is_encrypted(column.type) and column.type.dual  # type: ignore[attr-defined]  # our own type
        )
        _doubled[table] = known
    return known


def _before_execute(
    connection: object, clause: Any, several: Any, single: Any, options: Mapping[str, Any]
) -> tuple[Any, Any, Any]:
    if isinstance(clause, Insert | Update) and isinstance(clause.table, Table):
        bound = bound_columns(clause.table)
        if bound and not options.get(SEALED):
            rows = [dict(row) for row in several] or [dict(single)]
            clause = _statement(clause, bound, rows)
            if several:
                return clause, rows, single
            return clause, several, rows[0]
    return clause, several, single


def _statement(
    clause: Any, bound: Iterable[tuple[Column[Any], list[Column[Any]]]], rows: list[Row]
) -> Any:
    """
    The statement and its rows (changed in place), with contexts.
    """
    inserting = isinstance(clause, Insert)
    if inserting and clause.select is not None:
        names = {getattr(name, "key", name) for name in clause._select_names or ()}
        for column, _ in bound:
            if column.key in names or not names:
                raise EncryptionError(
                    f"{_of(column).described} cannot be filled by INSERT FROM SELECT: each row's "
                    "value is sealed in Python for its row"
                )
        return clause
    inside = {_key(key): value for key, value in (clause._values or {}).items()}
    inside |= {_key(key): value for key, value in getattr(clause, "_ordered_values", None) or ()}
    where = {} if inserting else dict(_equalities(clause))
    changed: Row = {}
    for column, needed in bound:
        if clause._multi_values:
            clause = _several(clause, column, needed)
            continue
        for row in rows:
            _one(column, needed, row, inside, changed, where, inserting=inserting)
    if changed:
        clause = clause._clone()
        replaced = {
            key: changed.get(_key(key), value) for key, value in (clause._values or {}).items()
        }
        clause._values = type(clause._values)(replaced) if clause._values is not None else None
    if inserting and clause._post_values_clause is not None:
        _check_conflict(clause, bound)
    return clause


def _one(
    column: Column[Any],
    needed: list[Column[Any]],
    row: Row,
    inside: Row,
    changed: Row,
    where: Row,
    *,
    inserting: bool,
) -> None:
    """
    Give one value of one row its context.
    """
    of, key = _of(column), column.key
    value = row.get(key, _given(inside.get(key, _MISSING), row))
    parts_written = [each.key for each in needed if each.key in row or each.key in inside]
    if value is _MISSING:
        if parts_written and not inserting:
            raise EncryptionError(
                f"{of.described} is bound to {', '.join(parts_written)}: an UPDATE of that must "
                "write the encrypted value too (load and flush the object, which does)"
            )
        return
    if value is None or isinstance(value, InContext | Null):
        return
    parts = []
    for each in needed:
        part = row.get(each.key, _given(inside.get(each.key, _MISSING), row))
        if part is _MISSING and inserting:
            part = _default(each)
            if part is not _MISSING:
                row[each.key] = part
        if part is _MISSING and not inserting:
            part = _given(where.get(each.key, _MISSING), row)
        if part is _MISSING or hasattr(part, "__clause_element__") or hasattr(part, "compile"):
            raise EncryptionError(
                f"{of.described} is bound to {each.name} of its row, which this statement does not "
                "tell; put it among the values (its default must be Python's, not the server's)"
            )
        parts.append(of.guarded(partial(part_of, of, each), part))
    sealed = InContext(_plain(of, value), tuple(parts))
    if key in row:
        row[key] = sealed
    else:
        changed[key] = BindParameter(None, sealed, type_=column.type, unique=True)


def _plain(of: Encrypted, value: Any) -> Any:
    if hasattr(value, "compile"):
        raise EncryptionError(f"{of.described} takes values, not SQL expressions")
    return value


def _given(value: Any, row: Mapping[str, Any]) -> Any:
    """
    The value behind a parameter.
    """
    if isinstance(value, BindParameter):
        if value.key in row:
            return row[value.key]
        return _MISSING if value.required else value.effective_value
    return value


def _default(column: Column[Any]) -> Any:
    default = column.default
    if default is None:
        return _MISSING
    if default.is_callable:
        return default.arg(None)  # type: ignore[attr-defined]  # a callable default has one
    if default.is_scalar:
        return default.arg  # type: ignore[attr-defined]  # a scalar default has one
    return _MISSING


def _equalities(clause: Any) -> Iterator[tuple[str, Any]]:
    """
    What ``WHERE column = value`` says of every row that is updated.
    """
    waiting = list(clause._where_criteria)
    while waiting:
        each = waiting.pop()
        if isinstance(each, BooleanClauseList) and each.operator is operators.and_:
            waiting += list(each.clauses)
        elif isinstance(each, BinaryExpression) and each.operator is operators.eq:
            for one, other in ((each.left, each.right), (each.right, each.left)):
                table = getattr(one, "table", None)  # the ORM gives an annotated twin
                same = isinstance(table, Table) and table.key == clause.table.key
                if same and isinstance(other, BindParameter):
                    yield str(one.key), other


def _several(clause: Any, column: Column[Any], needed: list[Column[Any]]) -> Any:
    """
    ``insert().values([{…}, {…}])``.
    """
    clause = clause._clone()
    groups = []
    for group in clause._multi_values:
        rows = []
        for given in group:
            names = list(given) if isinstance(given, dict) else list(clause.table.c)
            values = given if isinstance(given, dict) else dict(zip(names, given, strict=False))
            row = {_key(name): value for name, value in values.items()}
            _one(column, needed, row, {}, {}, {}, inserting=True)
            rows.append({clause.table.c[key]: value for key, value in row.items()})
        groups.append(rows)
    clause._multi_values = tuple(groups)
    return clause


def _check_conflict(clause: Any, bound: Iterable[tuple[Column[Any], list[Column[Any]]]]) -> None:
    """
    ``ON CONFLICT DO UPDATE`` keeps a value's context only where the conflict is over it.
    """
    action = clause._post_values_clause
    if not isinstance(action, OnConflictDoUpdate):
        return
    target = {str(getattr(each, "key", each)) for each in action.inferred_target_elements or ()}
    written = {_key(key) for key, _ in _written(action)}
    for column, needed in bound:
        context = {each.key for each in needed}
        if column.key in written and not context <= target | written:
            raise EncryptionError(
                f"{_of(column).described} is bound to {', '.join(sorted(context))}: ON CONFLICT DO "
                "UPDATE may write it only if these are the conflict's columns or written too"
            )
        for key, value in _written(action):
            excluded = getattr(getattr(value, "table", None), "name", None) == "excluded"
            if _key(key) == column.key and not excluded:
                raise EncryptionError(
                    f"{_of(column).described}: in ON CONFLICT DO UPDATE write it as "
                    "statement.excluded[column]"
                )


def _written(action: Any) -> list[tuple[Any, Any]]:
    values = action.update_values_to_set  # a list of pairs before SQLAlchemy 2.1
    return list(values.items() if isinstance(values, dict) else values)


def _key(name: Any) -> str:  # a Column, an attribute or a name
    return str(getattr(name, "key", name))


def _of(column: Column[Any]) -> Encrypted:
    return column.type  # type: ignore[return-value]  # our own type


# -- the unit of work -------------------------------------------------------------------------


def _before_insert(mapper: Mapper[Any], connection: object, target: Any) -> None:
    """
    Client-side defaults of context columns are taken before the row is sealed.
    """
    _write_both(mapper, target)
    for table in mapper.tables:
        for _, needed in bound_columns(table) if isinstance(table, Table) else ():
            for column in needed:
                attribute = mapper.get_property_by_column(column).key
                if inspected(target).dict.get(attribute) is None:
                    value = _default(column)
                    if value is not _MISSING:
                        set_attribute(target, attribute, value)


def _before_update(mapper: Mapper[Any], connection: object, target: Any) -> None:
    """
    A value and its context are written together: what changed brings the other along.
    """
    _write_both(mapper, target)
    for table in mapper.tables:
        for column, needed in bound_columns(table) if isinstance(table, Table) else ():
            key = mapper.get_property_by_column(column).key
            state = inspected(target)
            context = [mapper.get_property_by_column(each) for each in needed]
            moved = any(state.attrs[each.key].history.has_changes() for each in context)
            if not moved and not state.attrs[key].history.has_changes():
                continue
            getattr(target, key)  # loaded with the old context, if it was not
            flag_modified(target, key)
            for each in context:
                if each.columns[0].primary_key:
                    continue  # the WHERE clause tells it
                getattr(target, each.key)
                flag_modified(target, each.key)


def _write_both(mapper: Mapper[Any], target: Any) -> None:
    """
    While a plaintext is being replaced, whichever attribute was set sets the other.
    """
    for table in mapper.tables:
        for column, plain in doubled_columns(table) if isinstance(table, Table) else ():
            state = inspected(target)
            if not any(each is plain for each in mapper.columns.values()):
                continue  # only the new column is mapped
            sealed_key = mapper.get_property_by_column(column).key
            plain_key = mapper.get_property_by_column(plain).key
            if state.attrs[sealed_key].history.has_changes():
                set_attribute(target, plain_key, state.dict[sealed_key])
            elif state.attrs[plain_key].history.has_changes():
                set_attribute(target, sealed_key, state.dict[plain_key])
