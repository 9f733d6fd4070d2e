"""
Indexes of the live rows only, unique or not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import ClauseElement, Column, Index, inspect
from sqlalchemy.exc import NoInspectionAvailable
from sqlalchemy.schema import SchemaItem

from pgultra import objects, sql
from pgultra.errors import DeclarationError
from pgultra.features.soft_delete import mapped
from pgultra.features.soft_delete.options import SoftDeleteOptions, columns_of
from pgultra.plan.declare import declarations, declare
from pgultra.plan.options import named, refused

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import ColumnElement, Table
    from sqlalchemy.orm import Mapper

    from pgultra.objects import DatabaseObject

__all__ = ["LiveIndex", "build_all", "index_live", "rules_of", "unique_live"]


class LiveIndex(SchemaItem):
    """
    An index on the live rows of its table, made once the table has its soft-delete columns.

    It stands among the arguments of a Table, in ``__table_args__``, or in ``declare``.
    """

    __visit_name__ = "live_index"
    room = "soft_delete"

    def __init__(
        self, columns: tuple[Any, ...], *, unique: bool, name: str | None, options: dict[str, Any]
    ) -> None:
        word = "unique_live" if unique else "index_live"
        if not columns:
            raise DeclarationError(f"{word}() names no column: write {word}('slug')")
        if "postgresql_where" in options:
            raise DeclarationError(
                f"{word}(postgresql_where=...): the condition is that the row is live; "
                "for another one use sqlalchemy.Index"
            )
        named(word, name=name)
        for column in columns:
            known = column != "" if isinstance(column, str) else isinstance(column, ClauseElement)
            if not known and not hasattr(column, "__clause_element__"):
                raise refused(word, "columns", column, "a column, its name or an expression")
        self.columns = columns
        self.unique = unique
        self.name = name
        self.options = options

    def _set_parent(self, parent: Any, **_: Any) -> None:
        declare(parent, self)

    def attached(self, table: Table) -> None:
        """
        Build the index if the table has its rules already; else they build it.
        """
        options = rules_of(table)
        if options is not None:
            self.build(table, options)

    def build(
        self, table: Table, options: SoftDeleteOptions, mapper: Mapper[Any] | None = None
    ) -> None:
        """
        Make the SQLAlchemy index on the table, unless it is there.

        Raises:
            DeclarationError: a column that is named does not exist.
        """
        expressions = [self._resolved(column, table, mapper) for column in self.columns]
        name = self._name(table, expressions)
        if any(index.name == name for index in table.indexes):
            return
        live = columns_of(table, options)["deleted_at"].is_(None)
        index = Index(name, *expressions, unique=self.unique, postgresql_where=live, **self.options)
        if index not in table.indexes:  # no Column among the expressions
            table.append_constraint(index)

    def objects(self, table: Table) -> Iterable[DatabaseObject]:
        """
        The index, for migrations.

        Raises:
            DeclarationError: the table is not soft-deletable.
        """
        options = rules_of(table)
        if options is None:
            raise DeclarationError(
                f"table {table.fullname}: {self!r} needs to know which rows are live: "
                "let the class inherit pgultra.SoftDelete, or declare soft_delete.Rules()"
            )
        expressions = [self._resolved(column, table, None) for column in self.columns]
        name = self._name(table, expressions)
        for index in table.indexes:
            if index.name == name:
                yield objects.Index.of(index, concurrently=options.concurrently)

    def _name(self, table: Table, expressions: list[Any]) -> str:
        if self.name is not None:
            return self.name
        words = [each.name for each in expressions if isinstance(each, Column)]
        if len(words) < len(expressions):
            raise DeclarationError(
                f"table {table.fullname}: {self!r} indexes an expression: give it a name=..."
            )
        return sql.short_name(table.name, "live", *words, "key" if self.unique else "idx")

    def _resolved(
        self, column: Any, table: Table, mapper: Mapper[Any] | None
    ) -> ColumnElement[Any]:
        if isinstance(column, str):
            found = table.columns.get(column)
            if found is None and mapper is None:
                mapper = mapped.mapper_of(table)
            attribute = (
                mapper.get_property(column)
                if mapper is not None and mapper.has_property(column)
                else None
            )
            columns = [
                each
                for each in getattr(attribute, "columns", ())
                if isinstance(each, Column) and each.table is table
            ]
            if found is None and not columns:
                found = next((each for each in table.columns if each.name == column), None)
            if found is not None and columns and columns[0] is not found:
                raise DeclarationError(
                    f"{_place(table, mapper)}: {self!r}: {column!r} is the key of one column "
                    f"and the attribute of another ({columns[0].name!r}): give the Column"
                )
            if found is None and columns:
                found = columns[0]
            if found is None:
                raise DeclarationError(
                    f"{_place(table, mapper)}: {self!r} names the column {column!r}, which the "
                    f"table does not have; it has {', '.join(table.columns.keys())}"
                )
            return found
        if isinstance(column, Column) and getattr(column, "table", None) is not table:
            # A mixin's, which was copied, or that of the table that this one is a copy of.
            return self._resolved(column.key, table, mapper)
        if hasattr(column, "__clause_element__"):  # an attribute, or mapped_column() in the class
            return column.__clause_element__()  # type: ignore[no-any-return]  # a column by inspection
        return column  # type: ignore[no-any-return]  # a column by inspection

    def __repr__(self) -> str:
        word = "unique_live" if self.unique else "index_live"
        return f"{word}({', '.join(map(_printed, self.columns))})"


def unique_live(*columns: Any, name: str | None = None, **options: Any) -> LiveIndex:
    """
    Make values unique among live rows: a deleted row does not keep its value taken.

    Args:
        columns: names of columns or attributes, Columns, or expressions.  # any of them: Any
        name: of the index; ``<table>_live_<columns>_key`` if not said.
        options: for ``sqlalchemy.Index``, such as ``postgresql_nulls_not_distinct=True``.

    Raises:
        DeclarationError: no column is named, one is something else, or ``postgresql_where`` is
            given: the condition is that the row is live.

    >>> from sqlalchemy import Column, MetaData, Table, Text
    >>> from pgultra import declare
    >>> from pgultra.features.soft_delete import Rules, unique_live
    >>> table = Table("article", MetaData(), Column("slug", Text), unique_live("slug"))
    >>> declare(table, Rules())
    >>> [index.name for index in table.indexes if index.unique]
    ['article_live_slug_key']
    """
    return LiveIndex(columns, unique=True, name=name, options=options)


def index_live(*columns: Any, name: str | None = None, **options: Any) -> LiveIndex:
    """
    Index the live rows only: smaller, and used by every statement that filters them.

    Args:
        columns: names of columns or attributes, Columns, or expressions.
        name: of the index; ``<table>_live_<columns>_idx`` if not said.
        options: for ``sqlalchemy.Index``, such as ``postgresql_using="gin"``.

    Raises:
        DeclarationError: no column is named, one is something else, or ``postgresql_where`` is
            given: the condition is that the row is live.

    >>> from sqlalchemy import Column, MetaData, Table, Text
    >>> from pgultra import declare
    >>> from pgultra.features.soft_delete import Rules, index_live
    >>> table = Table("article", MetaData(), Column("author", Text), index_live("author"))
    >>> declare(table, Rules())
    >>> "article_live_author_idx" in {index.name for index in table.indexes}
    True
    """
    return LiveIndex(columns, unique=False, name=name, options=options)


def rules_of(table: Table) -> SoftDeleteOptions | None:
    """
    The room's rules that were declared on a table.
    """
    for declaration in declarations(table):
        if isinstance(declaration, SoftDeleteOptions):
            return declaration
    return None


def build_all(table: Table, options: SoftDeleteOptions, mapper: Mapper[Any] | None) -> None:
    """
    Build every live index of a table that has got its columns.
    """
    for declaration in declarations(table):
        if isinstance(declaration, LiveIndex):
            declaration.build(table, options, mapper)


def _place(table: Table, mapper: Mapper[Any] | None) -> str:
    return (
        f"class {mapper.class_.__name__} (table {table.fullname})"
        if mapper
        else (f"table {table.fullname}")
    )


def _printed(column: Any) -> str:
    if isinstance(column, str):
        return repr(column)
    try:
        key = getattr(inspect(column), "key", None)  # an expression has none
    except NoInspectionAvailable:
        key = None
    return str(column if key is None else key)
