"""
The options of the room, and the columns that they name.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from sqlalchemy import Boolean, Column, DateTime, Text, Uuid, false

from pgultra import sql
from pgultra.errors import DeclarationError
from pgultra.features.soft_delete.shape import Columns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Table

__all__ = [
    "ATTRIBUTES",
    "Cascade",
    "SoftDeleteOptions",
    "columns_of",
    "complete",
    "keeping_unknown",
    "names_of",
]

Cascade: TypeAlias = "Literal['orm'] | tuple[Any, ...]"
"""
What goes along: "orm" (every relationship that cascades deletes), or exactly the named ones.
"""

ATTRIBUTES = {
    "deleted_at": "deleted_at",
    "deleted_by": "deleted_by",
    "deletion_id": "deletion_id",
    "flag": "is_deleted",
}
"""
The option that names a column, and the attribute under which a mapped class has it.
"""


@dataclass(frozen=True, kw_only=True)
class SoftDeleteOptions:
    """
    What a class says in ``__soft_delete__``.

    Args:
        deleted_at: name of the timestamp column; NULL in it means live.
        deleted_by: name of the column that says who deleted the row.
        deletion_id: name of the column that all rows of one deletion share.
        flag: name of a boolean column that the database keeps equal to
            ``deleted_at IS NOT NULL``, whichever of the two is written; None for no flag.
        cascade: "orm" takes along every relationship that cascades deletes; a tuple of
            relationship names takes exactly those; ``()`` takes none.
        guard: "raise" makes the database refuse DELETE and TRUNCATE; "allow" does not.
        refuse_orphans: the database refuses a live row under a deleted cascade parent.
        purge_after: how long `purge` keeps deleted rows when it is not told.
        view: True makes a view ``<table>_live`` of the live rows; a text names it.
        concurrently: migrations build the room's indexes without blocking writes.

    A misspelt option is kept until the class is mapped, so that the error can name it.

    >>> SoftDeleteOptions(deleted_at="deletedAt", flag="is_deleted").flag
    'is_deleted'
    """

    deleted_at: str = "deleted_at"
    deleted_by: str = "deleted_by"
    deletion_id: str = "deletion_id"
    flag: str | None = None
    cascade: Cascade = "orm"
    guard: Literal["raise", "allow"] = "raise"
    refuse_orphans: bool = False
    purge_after: timedelta | None = None
    view: bool | str = False
    concurrently: bool = False

    def view_name(self, table: Table) -> str | None:
        """
        The name of the live view, or None when there is none.
        """
        if isinstance(self.view, str):
            return self.view
        return sql.short_name(table.name, "live") if self.view else None

    def checked(self, place: str) -> SoftDeleteOptions:
        """
        Refuse what cannot be, naming the place and the option.

        Args:
            place: the class and its table, as an error names them.

        Raises:
            DeclarationError: an option is unknown or has a value it cannot have.
        """
        known = [field.name for field in dataclasses.fields(SoftDeleteOptions)]
        for name in self.__dict__.get("_unknown", {}):
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
            raise DeclarationError(f"{place}: SoftDeleteOptions has no option {name!r}; {hint}")
        for name, problem in self._problems():
            value = getattr(self, name)
            raise DeclarationError(f"{place}: option {name}={value!r}: {problem}")
        return self

    def _problems(self) -> Iterator[tuple[str, str]]:
        names: dict[str, str] = {}
        for option in ATTRIBUTES:
            name = getattr(self, option)
            if name is None and option == "flag":
                continue
            if not isinstance(name, str) or not name:
                yield option, "must be the name of a column"
            elif name in names:
                yield option, f"is the column of {names[name]} already; give each its own"
            else:
                names[name] = option
        if self.cascade != "orm" and not isinstance(self.cascade, tuple):
            yield "cascade", 'must be "orm" or a tuple of relationship names; () for none'
        if self.guard not in ("raise", "allow"):
            yield "guard", 'must be "raise" or "allow"'
        for option in ("refuse_orphans", "concurrently"):
            if not isinstance(getattr(self, option), bool):
                yield option, "must be True or False"
        if self.purge_after is not None and (
            not isinstance(self.purge_after, timedelta) or self.purge_after < timedelta(0)
        ):
            yield "purge_after", "must be a timedelta that is not negative, or None"
        if not isinstance(self.view, bool | str) or self.view == "":
            yield "view", "must be True, False or a name"


def keeping_unknown(initialize: Callable[..., None]) -> Callable[..., None]:
    """
    Let a constructor keep options that it does not know, for `SoftDeleteOptions.checked`.
    """
    known = {field.name for field in dataclasses.fields(SoftDeleteOptions)}

    @functools.wraps(initialize)
    def initialized(self: SoftDeleteOptions, **options: Any) -> None:
        unknown = {name: value for name, value in options.items() if name not in known}
        initialize(self, **{name: options[name] for name in options if name in known})
        if unknown:
            object.__setattr__(self, "_unknown", unknown)

    return initialized


SoftDeleteOptions.__init__ = keeping_unknown(  # type: ignore[method-assign]  # the dataclass's own, wrapped
    SoftDeleteOptions.__init__
)


def columns_of(table: Table, options: SoftDeleteOptions) -> dict[str, Column[Any]]:
    """
    Find the room's columns in a table, by option; a name is a key first, then a name.
    """
    found: dict[str, Column[Any]] = {}
    for option in ATTRIBUTES:
        name = getattr(options, option)
        if name is None:
            continue
        column = table.columns.get(name)
        if column is None:
            column = next((each for each in table.columns if each.name == name), None)
        if column is not None:
            found[option] = column
    return found


def names_of(table: Table, options: SoftDeleteOptions) -> Columns:
    """
    The real names of the room's columns, as both sides of the room pass them around.
    """
    names = {option: column.name for option, column in columns_of(table, options).items()}
    return Columns(**names)


def complete(table: Table, options: SoftDeleteOptions, place: str) -> None:
    """
    Give a table the columns that it lacks, and check the ones that it has.

    Raises:
        DeclarationError: a column of that name is something else.
    """
    present = columns_of(table, options)
    for option in ATTRIBUTES:
        name = getattr(options, option)
        if option in present:
            problem = _clash(option, present[option])
            if problem:
                raise DeclarationError(
                    f"{place}: option {option}={name!r} names a column of the table that "
                    f"{problem}; name another column in SoftDeleteOptions({option}=...)"
                )
        elif name is not None:
            table.append_column(_made(option, name))


def _made(option: str, name: str) -> Column[Any]:
    if option == "deleted_at":
        return Column(name, DateTime(timezone=True), nullable=True)
    if option == "deleted_by":
        return Column(name, Text, nullable=True)
    if option == "deletion_id":
        return Column(name, Uuid, nullable=True)
    return Column(
        name,
        Boolean,
        nullable=False,
        server_default=false(),
    )


def _clash(option: str, column: Column[Any]) -> str | None:
    """
    Say why a column that is there cannot serve, or None when it can.
    """
    if column.primary_key:
        return "is part of the primary key"
    if option != "flag" and column.nullable is False:
        return "does not allow NULL"
    wanted: type[Any] | None = {
        "deleted_at": DateTime,
        "deletion_id": Uuid,
        "flag": Boolean,
    }.get(option)
    if wanted is not None and not isinstance(column.type, wanted):
        return f"has the type {column.type!r} instead of {wanted.__name__}"
    if isinstance(column.type, Uuid) and not (column.type.native_uuid and column.type.as_uuid):
        return f"has the type {column.type!r}, which is not uuid on both sides: write Uuid()"
    return None
