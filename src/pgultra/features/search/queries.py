"""
Expressions of full-text search: they take columns and give SQLAlchemy expressions.

A query is read with the very configuration that its column is indexed with.
"""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import REAL, Boolean, ColumnElement, Text, and_, cast, func, literal_column

from pgultra.features.search.template import HOLE, Score
from pgultra.features.search.typed import constant
from pgultra.features.search.words import own_reading, plain, read
from pgultra.plan.options import refused

if TYPE_CHECKING:
    from pgultra.features.search.words import Kind, Searched, Words

__all__ = [
    "any_word",
    "match",
    "phrase",
    "prefix",
    "rank",
    "rank_cd",
    "ranked_by",
    "score",
    "understood",
]


def match(
    column: Searched, query: Words, *, config: str | None = None, language: str | None = None
) -> ColumnElement[bool]:
    """
    Whether a row has what was asked for, in the syntax of web search engines.

    Words must all be there; ``or``, ``-not`` and ``"a phrase"`` are understood. Any text
    is: PostgreSQL never raises, 1,000 characters are read.

    Args:
        column: a vector.
        query: what the user typed, as it is.
        config: the configuration, for a column that is no ``TSVectorType``.
        language: one value of the language column, for columns with several; without it
            each row is judged as its own language reads the query.

    Raises:
        DeclarationError: the column is no vector of pgultra and ``config`` is not said, or the
            query is neither a text nor an expression.
        ValueError: the query holds a NUL character, or half of a surrogate pair, which PostgreSQL
            cannot take.

    Example:
        ``select(Article).where(search.match(Article.search, "quick -lazy"))``
    """
    return _matches(column, query, config, language, "websearch")


def phrase(
    column: Searched, query: Words, *, config: str | None = None, language: str | None = None
) -> ColumnElement[bool]:
    """
    Whether a row has these words side by side, in this order.

    Args:
        column: a vector.
        query: what the user typed, as it is.
        config: as for ``match``.
        language: as for ``match``.

    Raises:
        DeclarationError, ValueError: as for ``match``.

    Example:
        ``select(Article).where(search.phrase(Article.search, "quick brown fox"))``
    """
    return _matches(column, query, config, language, "phrase")


def any_word(
    column: Searched, query: Words, *, config: str | None = None, language: str | None = None
) -> ColumnElement[bool]:
    """
    Whether a row has one of these words at least: for questions, which few rows answer wholly.

    Args:
        column: a vector.
        query: what the user typed, as it is.
        config: as for ``match``.
        language: as for ``match``.

    Raises:
        DeclarationError, ValueError: as for ``match``.

    Example:
        ``select(Article).where(search.any_word(Article.search, "who paints foxes"))``
    """
    return _matches(column, query, config, language, "any")


def prefix(
    column: Searched, query: Words, *, config: str | None = None, language: str | None = None
) -> ColumnElement[bool]:
    """
    Whether a row has these words, and one that begins with the last: for search as you type.

    Args:
        column: a vector.
        query: what the user typed, as it is.
        config: as for ``match``.
        language: as for ``match``.

    Raises:
        DeclarationError, ValueError: as for ``match``.

    Example:
        ``select(Article).where(search.prefix(Article.search, "quick bro"))``
    """
    return _matches(column, query, config, language, "prefix")


def rank(
    column: Searched,
    query: Words,
    *,
    weights: Mapping[str, float] | None = None,
    normalization: int = 0,
    config: str | None = None,
    language: str | None = None,
) -> ColumnElement[float]:
    """
    How often and with which weight a row has the words: ``ts_rank``.

    Args:
        column: a vector.
        query: what the user typed, as it is.
        weights: by letter, from 0 to 1; those left out keep PostgreSQL's (A 1.0, B 0.4,
            C 0.2, D 0.1).
        normalization: PostgreSQL's flags: 1 divides by the logarithm of the length, 2 by
            the length, 32 gives a number below 1; they can be added.
        config: as for ``match``.
        language: as for ``match``.

    Raises:
        DeclarationError: ``weights`` are not numbers from 0 to 1 by letter, or ``normalization`` is
            no sum of PostgreSQL's flags.
        ValueError: as for ``match``.

    Example:
        ``search.rank(Article.search, "quick fox", normalization=1).desc()``
    """
    tsquery = read(column, query, config, language)
    return ranked_by("ts_rank", column, tsquery, weights, normalization)


def rank_cd(
    column: Searched,
    query: Words,
    *,
    weights: Mapping[str, float] | None = None,
    normalization: int = 0,
    config: str | None = None,
    language: str | None = None,
) -> ColumnElement[float]:
    """
    How close to each other the words are: ``ts_rank_cd``.

    Args:
        column: a vector.
        query: what the user typed, as it is.
        weights: as for ``rank``.
        normalization: as for ``rank``.
        config: as for ``match``.
        language: as for ``match``.

    Raises:
        DeclarationError: ``weights`` are not numbers from 0 to 1 by letter, or ``normalization`` is
            no sum of PostgreSQL's flags.
        ValueError: as for ``match``.

    Example:
        ``search.rank_cd(Article.search, "quick fox").desc()``
    """
    tsquery = read(column, query, config, language)
    return ranked_by("ts_rank_cd", column, tsquery, weights, normalization)


def understood(
    column: Searched, query: Words, *, config: str | None = None, language: str | None = None
) -> ColumnElement[str]:
    """
    What PostgreSQL made of a query; NULL if nothing is left of it (only stop words).

    Such a query matches no row: ask for this when ``match`` finds nothing, and say so.

    Args:
        column: a vector.
        query: what the user typed, as it is.
        config: as for ``match``.
        language: as for ``match``.

    Raises:
        DeclarationError, ValueError: as for ``match``.

    Example:
        ``session.scalar(select(search.understood(Article.search, "the")))`` gives None
    """
    tsquery = read(column, query, config, language)
    left: ColumnElement[str] = func.nullif(cast(tsquery, Text), constant(""))
    return left


def ranked_by(
    function: Literal["ts_rank", "ts_rank_cd"],
    column: Any,  # a vector in any form
    tsquery: Any,  # an expression of type tsquery
    weights: Mapping[str, float] | None,
    normalization: int,
) -> ColumnElement[float]:
    """
    One of PostgreSQL's two rankings, as a function call.
    """
    prefix, flags = _options(weights, normalization)
    arguments: list[ColumnElement[Any]] = [literal_column(each) for each in prefix]
    call = getattr(func.pg_catalog, function)
    found: ColumnElement[float] = call(
        *arguments, column, tsquery, literal_column(flags), type_=REAL()
    )
    return found


def score(
    function: Literal["ts_rank", "ts_rank_cd"],
    column: ColumnElement[Any],
    tsquery: ColumnElement[Any],
    weights: Mapping[str, float] | None,
    normalization: int,
) -> ColumnElement[float]:
    """
    The same as text, which is quicker to build and has no name.
    """
    prefix, flags = _options(weights, normalization)
    text = ", ".join([*prefix, HOLE, HOLE, flags])
    return Score(f"pg_catalog.{function}({text})", (column, tsquery))


LEAST = 1e-37
"""What is smaller, PostgreSQL's numbers of four bytes refuse."""


def _options(weights: Mapping[str, float] | None, normalization: int) -> tuple[list[str], str]:
    """
    What stands before a ranking's vector, and after its query.

    Raises:
        DeclarationError: a weight's letter is none, or the normalization is out of range.
    """
    if not isinstance(normalization, int) or not 0 <= normalization < 64:
        raise refused("search", "normalization", normalization, "a sum of 1, 2, 4, 8, 16 and 32")
    if weights is None:
        return [], str(int(normalization))
    known = {"D": 0.1, "C": 0.2, "B": 0.4, "A": 1.0}
    if (
        not isinstance(weights, Mapping)
        or not weights.keys() <= known.keys()
        or not all(isinstance(each, Real) and 0 <= each <= 1 for each in weights.values())
    ):
        takes = "a mapping of the letters A, B, C and D to numbers from 0 to 1"
        raise refused("search", "weights", weights, takes)
    known.update({letter: float(weight) for letter, weight in weights.items()})
    numbers = ",".join(str(each if each >= LEAST else 0.0) for each in known.values())
    return [f"'{{{numbers}}}'::float4[]"], str(int(normalization))


def _matches(
    column: Any, query: Any, config: str | None, language: str | None, kind: Kind
) -> ColumnElement[bool]:
    """
    What the index finds; and again in the row's own language, where rows have several.
    """
    tsquery = read(column, query, config, language, kind)  # judges the column too
    matches = plain(column).op("@@", is_comparison=True, return_type=Boolean())
    found: ColumnElement[bool] = matches(tsquery)
    own = own_reading(column, query, config, language, kind)
    return found if own is None else and_(found, matches(own))
