"""
SQL text with columns in it, as an expression that SQLAlchemy can adapt and cache.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from sqlalchemy import Text
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.visitors import InternalTraversal

from pgultra import sql
from pgultra.features.search.parts import ROW

if TYPE_CHECKING:
    from sqlalchemy import FromClause
    from sqlalchemy.sql.compiler import SQLCompiler

    from pgultra.features.search.parts import Resolved

__all__ = ["Template", "document_of", "template_of"]

HOLE = "\x02"


class Template(ColumnElement[str]):
    """
    Text with holes, and the columns that fill them.
    """

    inherit_cache = True
    __visit_name__ = "pgultra_search_template"
    _traverse_internals = [  # noqa: RUF012  # SQLAlchemy's own declaration
        ("text", InternalTraversal.dp_string),
        ("columns", InternalTraversal.dp_clauseelement_tuple),
    ]
    type = Text()

    def __init__(self, text: str, columns: tuple[ColumnElement[Any], ...]) -> None:
        self.text = text
        self.columns = columns

    @property
    def _from_objects(self) -> list[FromClause]:  # so that a select knows where it comes from
        return [each for column in self.columns for each in column._from_objects]


@compiles(Template)
def _template(element: Template, compiler: SQLCompiler, **kw: Any) -> str:
    first, *others = element.text.split(HOLE)
    doubled = compiler.preparer._double_percents
    pieces = [first.replace("%", "%%") if doubled else first]
    for column, text in zip(element.columns, others, strict=True):
        pieces.append(compiler.process(column, **kw))
        pieces.append(text.replace("%", "%%") if doubled else text)
    return "".join(pieces)


def document_of(part: Resolved, source: FromClause, length: int) -> Template:
    """
    A part's text as an expression on a table or an alias of it.

    Args:
        part: which part.
        source: the table or alias.
        length: characters at most.
    """
    return template_of(f'"left"({part.document(ROW)}, {length})', source)


def template_of(text: str, source: FromClause) -> Template:
    """
    Text with marked columns as an expression on a table or an alias of it.
    """
    by_name = {ROW + sql.identifier(column.name): column for column in source.c}
    pattern = "|".join(re.escape(name) for name in sorted(by_name, key=len, reverse=True))
    columns = tuple(by_name[found] for found in re.findall(pattern, text))
    return Template(re.sub(pattern, HOLE, text), columns)
