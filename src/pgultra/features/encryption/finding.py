"""
Searching an index that also finds what was not asked for, and filtering after decryption.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, overload

from pgultra.bridge import on_session
from pgultra.errors import EncryptionError
from pgultra.features.encryption.comparator import candidates, is_encrypted
from pgultra.features.encryption.quarantine import Quarantined
from pgultra.features.encryption.search import Prefix

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from sqlalchemy import Select
    from sqlalchemy.ext.asyncio import AsyncSession
    from sqlalchemy.orm import Session

__all__ = ["find"]

Found = TypeVar("Found")


# A statement's type holds a tuple in SQLAlchemy 2.0, and what it selects since 2.1.
@overload
def find(
    session: Session,
    statement: Select[tuple[Found]],
    column: Any,
    value: Any = None,
    *,
    starts_with: str | None = None,
) -> list[Found]: ...


@overload
def find(
    session: Session,
    statement: Select[Found],
    column: Any,
    value: Any = None,
    *,
    starts_with: str | None = None,
) -> list[Found]: ...


@overload
def find(
    session: AsyncSession,
    statement: Select[tuple[Found]],
    column: Any,
    value: Any = None,
    *,
    starts_with: str | None = None,
) -> Coroutine[Any, Any, list[Found]]: ...


@overload
def find(
    session: AsyncSession,
    statement: Select[Found],
    column: Any,
    value: Any = None,
    *,
    starts_with: str | None = None,
) -> Coroutine[Any, Any, list[Found]]: ...


def find(
    session: Any,  # a Session or AsyncSession
    statement: Select[Any],
    column: Any,  # a column or mapped attribute
    value: Any = None,  # of the column's Python type
    *,
    starts_with: str | None = None,
) -> Any:
    """
    Rows that hold a value, or a text that begins so; false positives are filtered out.

    For columns with ``Equality(bits=…)`` or ``Prefix(…)``, whose index tells less than a
    whole one and finds more than was asked for.

    Args:
        session: a Session, or an AsyncSession (then await).
        statement: a ``select`` of one thing, without LIMIT: the filter comes after it.
        column: the encrypted column, from the same statement.
        value: what it must equal, in its normal form.
        starts_with: what it must begin with, in its normal form.

    Raises:
        EncryptionError: the index cannot answer this.

    Example::

        find(session, select(Person).where(Person.active), Person.surname, starts_with="Mül")
    """
    return _find(session, statement, column, value, starts_with)


@on_session
def _find(
    session: Session, statement: Select[Any], column: Any, value: Any, starts_with: str | None
) -> list[Any]:
    element = column.__clause_element__() if hasattr(column, "__clause_element__") else column
    of: Any = element.type
    if not is_encrypted(of) or of.search is None:
        raise EncryptionError(
            f"{column} has no blind index; declare search=Equality() or Prefix(n)"
        )
    _judge(of, statement, value, starts_with)
    search = of.search
    asked = value if starts_with is None else starts_with
    wanted = search.normal(asked)
    found: Any = session.execute(statement.where(candidates(column, asked)).add_columns(column))
    if _is_entity(statement):  # whose collections may be loaded by joins
        found = found.unique()
    rows = [row for row in found if not isinstance(row[-1], Quarantined)]
    if starts_with is None:
        return [row[0] for row in rows if search.normal(row[-1]) == wanted]
    return [row[0] for row in rows if search.normal(row[-1]).startswith(wanted)]


def _is_entity(statement: Select[Any]) -> bool:
    [described] = statement.column_descriptions
    return described.get("entity") is not None and described["expr"] is described["entity"]


def _judge(of: Any, statement: Select[Any], value: Any, starts_with: str | None) -> None:
    if (value is None) == (starts_with is None):
        raise EncryptionError("find takes a value or starts_with")
    if len(statement.column_descriptions) != 1:
        raise EncryptionError("find takes a select of one thing: select(Person)")
    bounds = statement._limit_clause, statement._offset_clause, statement._fetch_clause
    if any(each is not None for each in bounds):
        raise EncryptionError("find filters after LIMIT, FETCH and OFFSET: slice what it returns")
    asked = value if starts_with is None else starts_with
    if isinstance(of.search, Prefix) and len(of.search.normal(asked)) < of.search.length:
        if starts_with is None:
            return  # a short value is its own prefix
        raise EncryptionError(
            f"{of.described}: its prefixes have {of.search.length} characters; ask for as many"
        )
    if starts_with is not None and not isinstance(of.search, Prefix):
        raise EncryptionError(f"{of.described} has no prefixes; declare search=Prefix(n)")
