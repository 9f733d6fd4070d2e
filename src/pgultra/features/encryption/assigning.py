"""
What an INSERT or UPDATE may assign to encrypted columns, and to the columns they are bound to.

The database cannot seal. What stands in an encrypted column was sealed in Python, or is copied
from where it was sealed for a column of the same id, keys and index.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Table
from sqlalchemy.dialects.postgresql.dml import OnConflictDoUpdate
from sqlalchemy.sql.dml import Insert, Update
from sqlalchemy.sql.elements import (
    BindParameter,
    ClauseElement,
    ColumnClause,
    Grouping,
    Label,
    Null,
)
from sqlalchemy.sql.selectable import CompoundSelect, ScalarSelect, SelectStatementGrouping

from pgultra.errors import EncryptionError
from pgultra.features.encryption.comparator import is_encrypted
from pgultra.features.encryption.tables import column_key, secrets_of, type_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sqlalchemy import Column

    from pgultra.features.encryption.tables import Secrets

__all__ = ["insist", "insist_on_conflict", "values_of"]


def insist(clause: Any, given: Iterable[str]) -> None:
    """
    Insist that a statement assigns only what can be read again.

    Args:
        clause: an ``insert()`` or ``update()``.
        given: names of columns whose values are parameters.

    Raises:
        EncryptionError: with the reason.
    """
    if not isinstance(clause.table, Table):
        return
    secrets = secrets_of(clause.table)
    if not secrets.columns:
        return
    values = list(_assigned(clause))
    written = {key for key, _ in values} | {column_key(clause.table, name) for name in given}
    for column in secrets.columns:
        for key, value in values:
            if key == column.key:
                _insist_on_value(
                    column, value, selected=isinstance(clause, Insert) and clause.select is not None
                )
    if isinstance(clause, Update):
        _insist_on_context(secrets, written)
    else:
        insist_on_conflict(clause, secrets)


def values_of(clause: Any) -> dict[str, Any]:
    """
    What ``values()`` and ``ordered_values()`` were given, by the columns' keys.
    """
    pairs = [*(clause._values or {}).items(), *(getattr(clause, "_ordered_values", None) or ())]
    return {column_key(clause.table, name): value for name, value in pairs}


def _assigned(clause: Any) -> Iterator[tuple[str, Any]]:
    """
    Each column with each value that the statement itself has for it.
    """
    yield from values_of(clause).items()
    for group in getattr(clause, "_multi_values", ()):
        for row in group:
            names = row if isinstance(row, dict) else [column.key for column in clause.table.c]
            values = row.values() if isinstance(row, dict) else row
            for name, value in zip(names, values, strict=False):
                yield column_key(clause.table, name), value
    if getattr(clause, "select", None) is not None:
        for select in _selects(clause.select):
            names = clause._select_names or [column.key for column in clause.table.c]
            for name, value in zip(names, select.selected_columns, strict=False):
                yield column_key(clause.table, name), value


def _selects(select: Any) -> Iterator[Any]:
    """
    A query, or those that it is a union of.
    """
    while isinstance(select, SelectStatementGrouping):
        select = select.element
    if isinstance(select, CompoundSelect):
        for each in select.selects:
            yield from _selects(each)
    else:
        yield select


def _insist_on_value(column: Column[Any], value: Any, *, selected: bool = False) -> None:
    """
    A value of Python's, NULL, or a copy of what was sealed for such a column.
    """
    of = type_of(column)
    for source in _sources(value):
        if not isinstance(source, ClauseElement) or isinstance(source, Null):
            continue
        if selected and of.context:
            raise EncryptionError(
                f"{of.described} cannot be filled by INSERT FROM SELECT: each row's value is "
                "sealed in Python for its row"
            )
        if isinstance(source, BindParameter):
            if source.type._isnull or _same(of, source.type):
                continue
            raise EncryptionError(
                f"{of.described} takes values, and parameters of its own type, not of "
                f"{source.type!r}: give the value itself, or bindparam(name) without type and value"
            )
        if isinstance(source, ColumnClause) and is_encrypted(source.type):
            if not of.context and _same(of, source.type):
                continue
            raise EncryptionError(
                f"{of.described} cannot be filled from {source.type.described}: "  # type: ignore[attr-defined]  # our own type
                "the other's id, keys, search or row differ, and what was sealed there does not "
                "open here"
            )
        raise EncryptionError(
            f"{of.described} takes values, not SQL expressions: the database cannot seal"
        )


def _sources(value: Any) -> Iterator[Any]:
    """
    What is behind labels, brackets and scalar subqueries.
    """
    if hasattr(value, "__clause_element__"):
        value = value.__clause_element__()
    while isinstance(value, Label | Grouping):
        value = value.element
    if isinstance(value, ScalarSelect):
        for select in _selects(value.element):
            for column in select.selected_columns:
                yield from _sources(column)
    else:
        yield value


def _same(of: Any, other: Any) -> bool:
    """
    Whether what one type sealed is what the other would have.
    """
    return is_encrypted(other) and all(
        getattr(of, name) == getattr(other, name)
        for name in ("id", "keys", "context", "subjects", "search")
    )


def _insist_on_context(secrets: Secrets, written: set[str]) -> None:
    """
    An UPDATE of a context must write the value too.
    """
    for column, needed in secrets.bound:
        moved = [each.name for each in needed if each.key in written or each.onupdate is not None]
        if moved and column.key not in written:
            raise EncryptionError(
                f"{type_of(column).described} is bound to {', '.join(moved)}: an UPDATE of that "
                "must write the encrypted value too (load and flush the object, which does)"
            )


def insist_on_conflict(clause: Any, secrets: Secrets) -> None:
    """
    Insist that ``ON CONFLICT DO UPDATE`` takes a value and its context from the same row.

    Raises:
        EncryptionError: with the reason.
    """
    table, action = clause.table, getattr(clause, "_post_values_clause", None)
    if not isinstance(action, OnConflictDoUpdate):
        return
    target = {column_key(table, each) for each in action.inferred_target_elements or ()}
    pairs = action.update_values_to_set  # a list of pairs before SQLAlchemy 2.1
    values = dict(pairs.items() if isinstance(pairs, dict) else pairs)
    written = {column_key(table, name): value for name, value in values.items()}
    bound = {column.key for column, _ in secrets.bound}
    for column in secrets.columns:
        if column.key in written and column.key not in bound:
            _insist_on_value(column, written[column.key])
    for column, needed in secrets.bound:
        described = type_of(column).described
        context = {each.key for each in needed}
        names = ", ".join(sorted(context))
        if column.key not in written:
            if context & written.keys():
                raise EncryptionError(
                    f"{described} is bound to {names}: ON CONFLICT DO UPDATE of that must write "
                    "the encrypted value too"
                )
            continue
        if isinstance(written[column.key], Null):
            continue
        if not context <= target | written.keys():
            raise EncryptionError(
                f"{described} is bound to {names}: ON CONFLICT DO UPDATE may write it only if "
                "these are the conflict's columns or written too"
            )
        for key in sorted({column.key} | (context & written.keys())):
            if not _excluded(written[key], key):
                raise EncryptionError(
                    f"{described}: in ON CONFLICT DO UPDATE write {key} as "
                    f"statement.excluded[{key!r}], of the row that the value is sealed for"
                )


def _excluded(value: Any, key: str) -> bool:
    """
    Whether it is this column of the row that was to be inserted.
    """
    table = getattr(value, "table", None)
    return getattr(table, "name", None) == "excluded" and getattr(value, "key", None) == key
