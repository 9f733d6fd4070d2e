"""
SQL text with columns in it, as an expression that SQLAlchemy can adapt and cache.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import Boolean, Float, FromClause, Text
from sqlalchemy.dialects.postgresql import TSQUERY
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.visitors import InternalTraversal

from pgultra import sql
from pgultra.features.search.parts import ROW

if TYPE_CHECKING:
    from sqlalchemy.sql.compiler import SQLCompiler

    from pgultra.features.search.parts import Resolved

__all__ = ["HOLE", "Parsed", "Score", "Template", "Truth", "document_of", "template_of"]

HOLE = "\x05"
"""Stands in a template's text for an expression."""


class Template(ColumnElement[Any]):
    """
    Text with holes, and the columns, tables and other expressions that fill them.

    One element instead of a tree of function calls: a statement with a headline is built
    and looked up in SQLAlchemy's cache in a third of the time.
    """

    inherit_cache = True
    __visit_name__ = "pgultra_search_template"
    _traverse_internals = [  # noqa: RUF012  # SQLAlchemy's own declaration
        ("text", InternalTraversal.dp_string),
        ("columns", InternalTraversal.dp_clauseelement_tuple),
    ]
    type: Any = Text()

    def __init__(self, text: str, columns: tuple[Any, ...]) -> None:
        self.text = text
        self.columns = columns

    @property
    def _from_objects(self) -> list[FromClause]:  # so that a select knows where it comes from
        columns = (each for each in self.columns if not isinstance(each, FromClause))
        return [each for column in columns for each in column._from_objects]


class Parsed(Template):
    """
    One that gives a tsquery.
    """

    inherit_cache = True
    type = TSQUERY()


class Score(Template):
    """
    One that gives a number.
    """

    inherit_cache = True
    type = Float(53)


class Truth(Template):
    """
    One that gives true or false.
    """

    inherit_cache = True
    type = Boolean()


@compiles(Template)
def _template(element: Template, compiler: SQLCompiler, **kw: Any) -> str:
    first, *others = element.text.split(HOLE)
    doubled = compiler.preparer._double_percents
    pieces = [first.replace("%", "%%") if doubled else first]
    for column, text in zip(element.columns, others, strict=True):
        if isinstance(column, FromClause):
            kw = {**kw, "asfrom": True}  # its name, in the schema that it is translated to
        pieces.append(compiler.process(column, **kw))
        pieces.append(text.replace("%", "%%") if doubled else text)
    return "".join(pieces)


def document_of(part: Resolved, length: int) -> str:
    """
    A part's text as somebody reads it, for ``template_of``.

    Args:
        part: which part.
        length: characters at most.
    """
    return part.readable(ROW, length)


def template_of(text: str, source: FromClause | None, *more: ColumnElement[Any]) -> Template:
    """
    Text with marked columns as an expression on a table or an alias of it.

    Args:
        text: with ``ROW`` before each column, and ``HOLE`` for each of ``more``.
        source: the table or alias, if columns are marked.
        more: what else fills holes, in their order.
    """
    columns = {} if source is None else {column.name: column for column in source.c}
    bare, names = _read(text, tuple(columns))
    others = iter(more)
    return Template(bare, tuple(columns[name] if name else next(others) for name in names))


@lru_cache(maxsize=256)
def _read(text: str, columns: tuple[str, ...]) -> tuple[str, tuple[str | None, ...]]:
    """
    A text with holes alone, and the column that fills each; None for something else.
    """
    marked = {ROW + sql.identifier(name): name for name in columns}
    pattern = "|".join(re.escape(name) for name in [*sorted(marked, key=len, reverse=True), HOLE])
    return re.sub(pattern, HOLE, text), tuple(map(marked.get, re.findall(pattern, text)))
