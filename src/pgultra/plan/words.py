"""
The names that a piece of SQL may mean.

Nothing is parsed: a word too many costs nothing where it contradicts nothing.
"""

from __future__ import annotations

import re
import string
from typing import TYPE_CHECKING, Any

from sqlalchemy import Index as SchemaIndex
from sqlalchemy import types
from sqlalchemy.exc import CompileError
from sqlalchemy.schema import Column, SchemaItem, Table
from sqlalchemy.sql import ClauseElement

from pgultra import sql
from pgultra.objects import Function, Trigger

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pgultra.objects import DatabaseObject

__all__ = [
    "names_of_types",
    "words_at_run_time",
    "words_checked",
    "words_in",
    "words_of",
    "words_of_schema_items",
    "words_of_signature",
]

_WORD = re.compile(
    r"""
    --[^\n]*
    | /\*.*?\*/
    | "(?:[^"]|"")+"
    | [eE]'(?:[^'\\]|\\.|'')*'
    | '(?P<string>(?:[^']|'')*)'(?P<name>(?=\s*::\s*reg))?
    | (?P<dollar>\$(?:[^\W\d]\w*)?\$).*?(?P=dollar)
    | (?P<word>[^\W\d][\w$]*)
    """,
    re.VERBOSE | re.DOTALL,
)
_DECLARED = re.compile(r"\bdeclare\b(.*?)\bbegin\b", re.IGNORECASE | re.DOTALL)
_FOLDED = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


def words_in(subject: DatabaseObject) -> frozenset[str]:
    """
    The names that PostgreSQL looks for when it makes the object.
    """
    if isinstance(subject, Function):
        return words_checked(subject)
    texts = [
        getattr(subject, field, None) for field in ("query", "condition", "when", "definition")
    ]
    words = words_of("\n".join(filter(None, texts)))
    return words | {subject.function} if isinstance(subject, Trigger) else words


def words_checked(function: Function) -> frozenset[str]:
    """
    The names that PostgreSQL looks for when it makes the function.

    The signature always; the body of an SQL function, and the declared variables of a
    PL/pgSQL one.
    """
    language = function.language.lower()
    body = function.body if language == "sql" else ""
    if language == "plpgsql":
        body = " ".join(_DECLARED.findall(function.body))
    return words_of(body) | words_of_signature(function)


def words_of_signature(function: Function) -> frozenset[str]:
    """
    The names in its arguments and its result.
    """
    return words_of(f"{function.arguments}\n{function.returns}")


def words_at_run_time(function: Function) -> frozenset[str]:
    """
    The names in its body, which it may call.
    """
    return words_of(function.body)


def words_of_schema_items(items: Iterable[Any]) -> frozenset[str]:
    """
    The names that SQLAlchemy's own items may mean.

    Those of defaults, generated columns, domains, checks, exclusions and indexes, and of
    what a table is partitioned by.
    """
    return words_of("\n".join(text for item in items for text in _expressions(item)))


def _expressions(item: Any) -> Iterable[str]:
    if isinstance(item, SchemaIndex):
        found = [*item.expressions, item.dialect_options["postgresql"]["where"]]
    elif isinstance(item, Table):
        found = [item.dialect_options["postgresql"]["partition_by"]]
    elif _is(item, "exclude_constraint"):
        found = [*(expression for expression, _, _ in item._render_exprs), item.where]
    elif not isinstance(item, SchemaItem):  # a piece of an index, or of PARTITION BY
        found = [item]
    else:
        found = [
            getattr(getattr(item, "computed", None), "sqltext", None),
            getattr(getattr(item, "server_default", None), "arg", None),
            getattr(item, "sqltext", None),
        ]
        if isinstance(item, Column):
            found += _of_domain(item.type)
    for expression in found:
        if isinstance(expression, ClauseElement):
            try:
                yield sql.render(expression)
            except CompileError:  # a value without a literal form; names are what counts
                yield str(expression)
        elif expression is not None:
            yield str(expression)


def names_of_types(tables: Iterable[Table]) -> frozenset[str]:
    """
    The enums and domains that come with some tables.
    """
    return frozenset(
        str(name)
        for table in tables
        for column in table.columns
        if (name := getattr(_innermost(column.type), "name", None)) is not None
    )


def _innermost(type_: Any) -> Any:
    if isinstance(type_, types.TypeDecorator):
        return _innermost(type_.impl_instance)
    return _innermost(type_.item_type) if isinstance(type_, types.ARRAY) else type_


def _of_domain(type_: Any) -> Iterable[Any]:
    """
    The default and the check of a domain, also in an array.
    """
    type_ = _innermost(type_)
    return [type_.default, type_.check] if _is(type_, "DOMAIN") else []


def _is(item: Any, kind: str) -> bool:
    """
    Whether it is one of the PostgreSQL dialect's own, which is not imported for this.
    """
    return getattr(item, "__visit_name__", None) == kind


def words_of(text: str) -> frozenset[str]:
    """
    The names that may be meant in a piece of SQL; in a string only if it is cast to a name.

    What is not quoted is folded as PostgreSQL folds it, comments are left out.

    >>> sorted(words_of("One.two = 'three' AND four = 'five'::regclass -- and six"))
    ['and', 'five', 'four', 'one', 'regclass', 'two']
    """
    found: set[str] = set()
    for match in _WORD.finditer(text):
        if match["name"] is not None:
            found |= words_of(match["string"])
        elif match["word"] is not None:
            found.add(match["word"].translate(_FOLDED))
        elif match[0].startswith('"'):
            found.add(match[0][1:-1].replace('""', '"'))
    return frozenset(found)
