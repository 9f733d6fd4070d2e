"""
The ledger: which declarations a MetaData holds, and the way to add one.

It lives in ``MetaData.info``, under one key. ``Table.info`` would be printed into
migrations. Copies made with ``Table.to_metadata()`` go to another MetaData and do not
carry declarations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from sqlalchemy import MetaData, Table, inspect
from sqlalchemy.exc import NoInspectionAvailable

from pgultra import sql
from pgultra.errors import DeclarationError
from pgultra.objects import DatabaseObject
from pgultra.plan.facts import Facts
from pgultra.plan.options import refused

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["Declaration", "application_of", "declarations", "declare", "facts_of", "function_name"]

KEY = "pgultra"
APPLICATION = "pgultra.app"
BY_HAND = "declared"
"""The room of objects that were declared one by one."""


@runtime_checkable
class Declaration(Protocol):
    """
    What a mixin, a column type or a marker says of a table.

    The objects are derived every time from the final table, so that naming conventions,
    late columns and schemas are right. A declaration may also have a method
    ``facts(table) -> Facts``, and ``companions(table)`` for tables that come and go with this
    one where ``create_all`` and ``drop_all`` are told of some. On a MetaData, ``objects`` is
    given the MetaData.

    Attributes:
        room: the word that goes into the ownership mark.
    """

    room: str

    def objects(self, table: Any) -> Iterable[DatabaseObject]:  # Table, or MetaData
        """
        The database objects that it stands for.
        """


class _Page(list["Declaration | DatabaseObject"]):
    """
    What is declared on one table, or on the MetaData itself.
    """

    def __init__(self, table: Table | None) -> None:
        super().__init__()
        self.table = table


def page_of(metadata: MetaData, table: Table | None, *, new: bool = False) -> _Page:
    """
    The page of a table, or of the MetaData; an empty one if nothing is declared.

    A table that was removed from its MetaData takes its page along: another one of the same
    name begins anew.
    """
    ledger: dict[str | None, _Page] = metadata.info.get(KEY, {})
    key = None if table is None else table.key
    page = ledger.get(key)
    if page is None or page.table is not table:
        page = _Page(table)
        if new:
            metadata.info.setdefault(KEY, ledger)[key] = page
    return page


def declare(target: Any, *declared: Declaration | DatabaseObject) -> None:
    """
    Declare rooms' rules or single objects on a table or on a whole MetaData.

    Args:
        target: a Table or mapped class; a MetaData or declarative base for what belongs
            to no table.
        declared: declarations (``soft_delete.Rules()``) or objects (``View(…)``).

    Raises:
        DeclarationError: the target or what is declared is none of these.

    >>> from sqlalchemy import MetaData
    >>> from pgultra import View
    >>> metadata = MetaData()
    >>> declare(metadata, View(name="answer", query="SELECT 42 AS answer"))
    """
    metadata, table = _place(target)
    for declaration in declared:
        if not isinstance(declaration, DatabaseObject | Declaration):
            raise DeclarationError(
                f"{declaration!r} cannot be declared on "
                f"{table if table is not None else 'the MetaData'}: "
                "give an object such as View(...) or a room's rules such as soft_delete.Rules()"
            )
        page = page_of(metadata, table, new=True)
        if declaration not in page:
            page.append(declaration)
            if table is not None and (first := next(iter(table.columns), None)) is not None:
                first.info[KEY] = table.name  # goes along with a copy, which the ledger does not
            attached = getattr(declaration, "attached", None)
            if attached is not None and table is not None:
                attached(table)


def _place(target: Any) -> tuple[MetaData, Table | None]:
    if isinstance(target, MetaData):
        return target, None
    if isinstance(target, Table):
        return target.metadata, target
    try:
        table = inspect(target).local_table
    except (NoInspectionAvailable, AttributeError):
        metadata = getattr(target, "metadata", None)
        if isinstance(metadata, MetaData):
            return metadata, None
        takes = "a Table, a mapped class, a declarative base or a MetaData"
        raise refused("declare", "target", target, takes) from None
    if not isinstance(table, Table):
        raise DeclarationError(
            f"declare: {getattr(target, '__name__', target)} is mapped to a "
            f"{type(table).__name__}, not to one table; declare on that one of its tables where "
            "the objects belong, or on the MetaData"
        )
    return table.metadata, table


def is_declared(metadata: MetaData) -> bool:
    """
    Whether anything was declared: the doors return at once when not.
    """
    return KEY in metadata.info


def entries(
    metadata: MetaData,
) -> Iterator[tuple[Table | MetaData, Declaration | DatabaseObject]]:
    """
    All declarations with what they were declared on: tables in their order, then the rest.
    """
    for table in metadata.tables.values():
        for declaration in page_of(metadata, table):
            yield table, declaration
    for declaration in page_of(metadata, None):
        yield metadata, declaration


def has_lost_declarations(table: Table, of: str | None = None) -> bool:
    """
    Whether the table is a copy of one with declarations, which stayed with the original.

    Args:
        table: the copy.
        of: the name of the original; any if it is not said.
    """
    names = {column.info[KEY] for column in table.columns if KEY in column.info}
    copied = bool(names) if of is None else of in names
    return copied and not declarations(table)


def declarations(table: Table) -> tuple[Declaration | DatabaseObject, ...]:
    """
    What was declared on one table.
    """
    return tuple(page_of(table.metadata, table))


def facts_of(table: Table) -> Facts:
    """
    What rooms may know of a table: all its declarations' facts, merged.
    """
    answers = (getattr(declaration, "facts", None) for declaration in declarations(table))
    return Facts.merged((answer(table) for answer in answers if answer), table.fullname)


def application_of(metadata: MetaData) -> str:
    """
    The name that this MetaData's objects are marked with.
    """
    return str(metadata.info.get(APPLICATION, "default"))


def function_name(metadata: MetaData, room: str, verb: str) -> str:
    """
    The name of a function that a room's tables share, apart for each application.

    >>> from sqlalchemy import MetaData
    >>> function_name(MetaData(), "soft_delete", "stamp")
    'pgultra_soft_delete_stamp'
    """
    application = application_of(metadata)
    words = ("pgultra",) if application == "default" else ("pgultra", application)
    return sql.short_name(*words, room, verb)
