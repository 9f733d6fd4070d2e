"""
What a user typed, as a tsquery; and what stands behind a vector column.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import (
    ClauseElement,
    ColumnElement,
    FromClause,
    Integer,
    SQLColumnExpression,
    func,
    literal_column,
)

from pgultra import sql
from pgultra.errors import DeclarationError
from pgultra.features.search.configuration import Configuration
from pgultra.features.search.parts import ROW
from pgultra.features.search.template import HOLE, Parsed
from pgultra.features.search.typed import bound, constant
from pgultra.plan.options import refused

if TYPE_CHECKING:
    from pgultra.features.search.rules import Rules

    Searched = SQLColumnExpression[Any]
    """A vector column: an attribute of a class, or a column of a table or alias."""
    Words = str | SQLColumnExpression[str]
    """What a user typed, or an expression that gives it."""

__all__ = [
    "checked",
    "cut",
    "each_configuration",
    "number",
    "own_reading",
    "plain",
    "read",
    "readings",
    "regconfig",
    "rules_behind",
    "source_behind",
    "table_behind",
]

RULES = "_pgultra_search"
"""Where a column keeps its rules."""

LENGTH = 1000
"""Characters of a query that are read; what is beyond is left out."""

SPACES = "\\s\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
NEGATIONS = f"-[{SPACES}!&|()-]*-"
"""Each of these would nest a negation in the last, until PostgreSQL's stack is too small."""

RUNS = re.compile(NEGATIONS)
SPACE = " \t-\r\x1c-\x1f\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
"""What Python takes for a space; PostgreSQL's ``\\s`` depends on the database's locale."""
LAST = re.compile(f"[^{SPACE}]*$")


def plain(column: Any) -> Any:
    """
    An attribute as the column that it stands for.
    """
    element = getattr(column, "__clause_element__", None)
    return column if element is None else element()


def rules_behind(column: Any) -> Rules | None:
    """
    The rules of a vector column, of an alias of it, of an attribute.
    """
    for base in getattr(plain(column), "base_columns", ()):
        rules: Rules | None = base.__dict__.get(RULES)
        if rules is not None:
            return rules
    return None


def table_behind(column: Any) -> Any:
    """
    The Table that a column is of, behind any alias.
    """
    return next(iter(plain(column).base_columns)).table


def source_behind(column: Any) -> FromClause:
    """
    The table or alias itself.
    """
    source: FromClause = plain(column).table
    return source


def configuration_of(column: Any, config: str | None) -> Configuration:
    """
    What a column's texts are read with.

    Raises:
        DeclarationError: nothing tells.
    """
    if config is not None:
        if not isinstance(plain(column), ClauseElement):
            raise refused("search", "column", column, "a vector column")
        return Configuration.of(config, place="search")
    rules = rules_behind(column)
    if rules is not None:
        return rules.configuration
    made = getattr(getattr(plain(column), "type", None), "configuration", None)
    if isinstance(made, Configuration):
        return made
    raise DeclarationError(
        f"search: {column} is no vector of pgultra, so nothing tells how its words are read; "
        "give config='english' or another"
    )


def regconfig(column: Any, config: str | None, language: str | None) -> str:
    """
    The configuration of the row that the column is of, or the one that was asked for.
    """
    configuration = configuration_of(column, config)
    rules = rules_behind(column)
    if rules is not None and configuration.languages and config is None and language is None:
        return rules.vector(table_behind(column)).regconfig(ROW)
    name = dict(configuration.languages).get(language or "", configuration.default)
    return configuration.literal(name)


def each_configuration(column: Any, config: str | None, language: str | None) -> list[str]:
    """
    The configurations that a query is read with, as constants.
    """
    configuration = configuration_of(column, config)
    if language is not None and not isinstance(language, str):
        raise refused("search", "language", language, "a value of the language column")
    names = configuration.names
    if language is not None:
        names = (dict(configuration.languages).get(language, configuration.default),)
    return [configuration.literal(name) for name in names]


MOST = 2**63 - 1
INTEGER = 2**31 - 1
QUERIES = (str, ClauseElement, type(None))
Kind = Literal["websearch", "phrase", "prefix", "any"]


def read(
    column: Any,  # a vector in any form
    query: Any,  # a text or an expression
    config: str | None = None,
    language: str | None = None,
    kind: Kind = "websearch",
) -> ColumnElement[Any]:
    """
    A query as a tsquery, in one configuration or several.
    """
    text, given = readings(column, query, config, language, kind, (" || ", "({})"))
    return Parsed(text, given)


def readings(
    column: Any,  # a vector in any form
    query: Any,  # a text or an expression
    config: str | None,
    language: str | None,
    kind: Kind,
    joined: tuple[str, str],
    each: str = "{}",
) -> tuple[str, tuple[Any, ...]]:
    """
    A query in each configuration, as text with holes and what fills them.

    Args:
        column: the vector.
        query: the query.
        config: as for ``match``.
        language: as for ``match``.
        kind: how it is read.
        joined: what stands between several, and around them.
        each: what stands around each.
    """
    if not isinstance(query, str):
        insist_on_words("query", query)
    given = _GIVEN[kind](query)
    found = [
        each.format(READERS[kind].format(hole=HOLE, regconfig=name))
        for name in each_configuration(column, config, language)
    ]
    between, around = joined
    text = found[0] if len(found) == 1 else around.format(between.join(found))
    return text, given * len(found)


def own_reading(
    column: Any,  # a vector in any form
    query: Any,  # a text or an expression
    config: str | None = None,
    language: str | None = None,
    kind: Kind = "websearch",
) -> ColumnElement[Any] | None:
    """
    A query as a tsquery in the row's own configuration; None where all rows have the same.

    What all languages make of a query finds rows by the index, and some too many: a word that
    must not be there is another one in each language.
    """
    rules = rules_behind(column)
    if rules is None or config is not None or language is not None:
        return None
    configuration = rules.configuration
    if len(configuration.names) == 1:
        return None
    name = rules.vector(table_behind(column)).language
    spoken = next((each for each in source_behind(column).c if each.name == name), None)
    if spoken is None:  # a subquery without the language
        return None
    given, reader = _GIVEN[kind](query), READERS[kind]
    others = [pair for pair in configuration.languages if pair[1] != configuration.default]
    cases = "".join(
        f"WHEN {sql.literal(value)}::text "
        f"THEN {reader.format(hole=HOLE, regconfig=configuration.literal(name))} "
        for value, name in others
    )
    rest = reader.format(hole=HOLE, regconfig=configuration.literal())
    text = f"(CASE ({HOLE})::text {cases}ELSE {rest} END)"
    return Parsed(text, (spoken, *given * (len(others) + 1)))


def is_sql(given: Any) -> bool:
    """
    Whether it is an expression, or stands for one.
    """
    return isinstance(given, ClauseElement) or hasattr(given, "__clause_element__")


def insist_on_words(option: str, query: Any) -> None:
    """
    Insist on a text, an expression, or None.

    Raises:
        DeclarationError: it is something else.
    """
    if not isinstance(query, QUERIES) and not hasattr(query, "__clause_element__"):
        raise refused("search", option, query, "a text or an expression")


def checked(query: str) -> str:
    """
    What a user typed, cut to a length that PostgreSQL can read.

    Raises:
        ValueError: it holds NUL, or half of a surrogate pair.
    """
    if "\x00" in query:
        raise ValueError("the query holds a NUL character, which PostgreSQL cannot take: remove it")
    try:
        query.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"the query is no valid Unicode text: {error.reason}") from None
    return query[:LENGTH]


def cut(query: Any) -> ColumnElement[str]:
    """
    The same for a text or an expression, as an expression.
    """
    if isinstance(query, str):
        return bound(checked(query))
    return func.left(query, literal_column(str(LENGTH)))


def number(value: int | None, option: str = "limit") -> ColumnElement[int] | None:
    """
    A LIMIT that the planner can see.
    """
    return None if value is None else literal_column(str(count(value, option)), Integer())


def count(value: Any, option: str, most: int = MOST) -> int:
    """
    How many, as an option says it; a text of digits will do.

    Raises:
        DeclarationError: it is no whole number from 0 on, or more than PostgreSQL reads.
    """
    if type(value) is int and 0 <= value <= most:
        return value
    try:
        found = int(value)
        if 0 <= found <= most and (found == value or not isinstance(value, float)):
            return found
    except (TypeError, ValueError, OverflowError):
        pass
    takes = "a whole number from 0 on" if most == MOST else f"a whole number from 0 to {most}"
    raise refused("search", option, value, takes)


def _calm(query: Any) -> tuple[Any, ...]:
    """
    A query without runs of negations: in Python for a text, in SQL for an expression.
    """
    if isinstance(query, str):
        return (bound(RUNS.sub("-", checked(query))),)
    return (func.regexp_replace(cut(query), constant(NEGATIONS), constant("-"), constant("g")),)


def _ends(query: Any) -> tuple[Any, ...]:
    """
    All words but the last, and the last twice: to be stemmed, and as typed.
    """
    if isinstance(query, str):
        text = checked(query).rstrip()
        start = len(text) - len(LAST.search(text)[0])  # type: ignore[index]  # always matches
        before, last = bound(text[:start]), bound(text[start:])
    else:
        whole = cut(query)
        before = func.regexp_replace(whole, constant(f"[^{SPACE}]*[{SPACE}]*$"), constant(""))
        last = func.coalesce(
            func.substring(whole, constant(f"([^{SPACE}]+)[{SPACE}]*$")), constant("")
        )
    return before, last, last


_GIVEN: dict[Kind, Any] = {
    "websearch": _calm,
    "phrase": lambda query: (cut(query),),
    "prefix": _ends,
    "any": lambda query: (cut(query),),
}
BEGINNING = (
    "CAST(regexp_replace(plainto_tsquery({}, {{hole}})::text, "
    "'''(?=(?: [|&] [^()]*)? [)]$)|''$', ''':*', 'g') AS tsquery)"
)
"""A word as ``word:*``, or all that a dictionary makes of it; nothing of it stays nothing."""
READERS: dict[Kind, str] = {
    "websearch": "websearch_to_tsquery({regconfig}, {hole})",
    "phrase": "phraseto_tsquery({regconfig}, {hole})",
    "prefix": "(plainto_tsquery({regconfig}, {hole}) && ("
    + BEGINNING.format("{regconfig}")
    + " || "
    + BEGINNING.format("'simple'::regconfig")
    + "))",
    "any": "replace(plainto_tsquery({regconfig}, {hole})::text, ' & ', ' | ')::tsquery",
}
