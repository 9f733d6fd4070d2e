"""
The best rows of a statement: a bounded number of matches is ranked, and no more.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal, TypedDict, TypeVar, TypeVarTuple, overload

from sqlalchemy import (
    Boolean,
    ColumnElement,
    FromClause,
    Select,
    String,
    Table,
    TypeDecorator,
    literal_column,
)

from pgultra.errors import DeclarationError
from pgultra.features.search.best import RANKED, Best, Way
from pgultra.features.search.queries import score
from pgultra.features.search.rarity import ranked_by_rarity
from pgultra.features.search.template import HOLE, Parsed, Truth
from pgultra.features.search.typed import bound
from pgultra.features.search.words import (
    checked,
    count,
    own_reading,
    plain,
    read,
    readings,
    rules_behind,
    source_behind,
    table_behind,
)
from pgultra.plan import facts_of
from pgultra.plan.options import flag, one_of, selected

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Unpack

    from sqlalchemy.types import TypeEngine

    from pgultra.features.search.words import Kind, Searched, Words

__all__ = ["live_rows", "ranked", "spelt", "top"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

FIRST: ColumnElement[bool] = literal_column(
    "(SELECT set_config('synchronize_seqscans', 'off', true)) IS NOT NULL", Boolean()
)
"""
The first rows are those that are stored first; otherwise PostgreSQL begins a large table
where the last scan of it ended, and each call gives others. Evaluated before the scan begins.
"""
MATCHES = f"({HOLE} @@ {HOLE})"
MATCHES_OR_STANDS = f"({HOLE} @@ {HOLE} OR (numnode({HOLE}) = 0 AND {HOLE}))"
MATCHES_TWICE = f"({HOLE} @@ {HOLE} AND {HOLE} @@ {HOLE})"
"""By the index in any language, and in the row's own."""
TWICE_OR_STANDS = f"({MATCHES_TWICE} OR ({HOLE} AND numnode({HOLE}) = 0 AND {HOLE}))"
WITH_DELETED = "pgultra.deleted"
"""The execution option by which a statement asks for deleted rows too, or for them alone."""
WHICH = ("all", "any")
EMPTY = (", ", "least({}) = 0")
"""Whether some language leaves no word of a query."""


class _Options(TypedDict, total=False):
    """
    What `top` takes by name, for its overloads.
    """

    candidates: int | None
    newest: bool
    offset: int
    cover: bool
    weights: Mapping[str, float] | None
    normalization: int
    config: str | None
    language: str | None
    words: Literal["all", "any"]
    fallback: bool


@overload
def top(
    statement: Select[*Ts],  # as SQLAlchemy 2.1 types it; with 2.0 the row's types are Any
    column: Searched,
    query: Words,
    limit: int = ...,
    **options: Unpack[_Options],
) -> Select[*Ts, float]: ...


@overload
def top(
    statement: type[T],
    column: Searched,
    query: Words,
    limit: int = ...,
    **options: Unpack[_Options],
) -> Select[T, float]: ...


@overload
def top(
    statement: FromClause,
    column: Searched,
    query: Words,
    limit: int = ...,
    **options: Unpack[_Options],
) -> Select[Any]: ...


def top(
    statement: Any,  # a Select of any rows, or what select() takes
    column: Searched,
    query: Words,
    limit: int = 10,
    *,
    candidates: int | None = 1000,
    newest: bool = False,
    offset: int = 0,
    cover: bool = False,
    weights: Mapping[str, float] | None = None,
    normalization: int = 0,
    config: str | None = None,
    language: str | None = None,
    words: Literal["all", "any"] = "all",
    fallback: bool = True,
) -> Select[Any]:
    """
    The best rows of a statement for a query, best first, with their rank.

    Ranking reads each row's vector, so that a word which half of the table has takes as
    long as half of the table. Here ``candidates`` matches are ranked, those that are stored
    first: an approximation for words with more matches than that, exact for all others.
    The same table gives the same answer, page after page: for the rest of the transaction
    ``synchronize_seqscans`` is off, with which PostgreSQL would begin anywhere.

    A query of stop words alone ("to be or not to be") leaves nothing to look up in the
    vector. Then rows are found by the words as they stand in the parts of highest weight,
    all with rank 0; a trigram index (``gin_trgm_ops``) on such a part makes that quick.
    Where rows have several languages, that holds for those whose language leaves nothing. A
    query with a word that must not be there ("-the") finds nothing so.

    Args:
        statement: a select that gives each row once, with any filters; or a mapped class.
        column: the vector, of what the statement selects from.
        query: what the user typed, as it is.
        limit: how many rows.
        offset: how many of the best to leave out.
        candidates: how many matches are ranked; None ranks all.
        newest: rank those with the last keys instead, so that new rows are found first. It
            takes longer for words that a small part of the rows have.
        cover: rank by closeness too (``ts_rank_cd``).
        weights: as for ``rank``.
        normalization: as for ``rank``.
        config: as for ``match``.
        language: as for ``match``.
        words: ``all``: rows that ``match``; ``any``: rows that have ``any_word``, those with
            more of them and with rarer ones higher, as far as PostgreSQL's statistics tell
            which are rare. Then say ``candidates=None``, unless few rows have any.
        fallback: whether a query of stop words alone finds rows at all.

    Returns:
        the statement with ``rank`` as its last column. Rows of equal rank are in the order
        of the primary key. Soft-deleted rows are left out, unless the execution options of
        ``statement`` ask for them.

    Raises:
        DeclarationError: an option takes something else, such as ``words``, or a number that is not
            whole or below 0; or the table has no primary key.
        ValueError: as for ``match``.

    Example:
        ``session.execute(search.top(select(Article), Article.search, "fox", 10))``
    """
    flag("search.top", newest=newest, cover=cover, fallback=fallback)
    one_of("search.top", "words", words, WHICH)
    if limit is not None:
        limit = count(limit, "limit")
    if candidates is not None:
        candidates = count(candidates, "candidates")
    if offset != 0:
        offset = count(offset, "offset")
    return ranking(
        selected("search", "statement", statement),
        column,
        query,
        Way(limit, candidates, newest, offset),
        cover=cover,
        weights=weights,
        normalization=normalization,
        config=config,
        language=language,
        words=words,
        fallback=fallback,
    ).joined()


def ranked(
    statement: Select[Any],
    column: Any,  # a vector in any form
    query: Any,  # a text or an expression
    limit: int | None,
    *,
    candidates: int | None = 1000,
    newest: bool = False,
    offset: int = 0,
    **options: Any,
) -> Select[Any]:
    """
    Keys (``k0``, ``k1`` …) and ranks of the best rows.

    Args:
        statement: whose rows.
        column: the vector.
        query: the query, a text or an expression.
        limit: how many rows; None for all candidates.
        candidates: as for ``top``.
        newest: as for ``top``.
        offset: as for ``top``.
        options: as for ``ranking``.
    """
    way = Way(limit, candidates, newest, offset)
    return ranking(statement, column, query, way, **options).rows()


def ranking(
    statement: Select[Any],
    column: Any,  # a vector in any form
    query: Any,  # a text or an expression
    way: Way,
    *,
    cover: bool = False,
    weights: Mapping[str, float] | None = None,
    normalization: int = 0,
    config: str | None = None,
    language: str | None = None,
    words: Literal["all", "any"] = "all",
    fallback: bool = True,
) -> Best:
    """
    The best rows, as a clause.

    Args:
        statement: whose rows.
        column: the vector.
        query: the query, a text or an expression.
        way: how many, and which first.
        cover: as for ``top``.
        weights: as for ``rank``.
        normalization: as for ``rank``.
        config: as for ``match``.
        language: as for ``match``.
        words: as for ``top``.
        fallback: as for ``top``.
    """
    kind: Kind = "any" if words == "any" else "websearch"
    tsquery = read(column, query, config, language, kind)
    element = plain(column)
    as_it_stands = spelt(column, query) if fallback and isinstance(query, str) else None
    own = own_reading(column, query, config, language, kind)
    # PostgreSQL folds the fallback away when words are left, in each language that rows have.
    if own is not None and as_it_stands is not None:
        text, given = readings(column, query, config, language, kind, EMPTY, "numnode({})")
        empty = Truth(text, given)
        holes = (element, tsquery, element, own, empty, own, as_it_stands)
        matches = Truth(TWICE_OR_STANDS, holes)
    elif own is not None:
        matches = Truth(MATCHES_TWICE, (element, tsquery, element, own))
    elif as_it_stands is not None:
        matches = Truth(MATCHES_OR_STANDS, (element, tsquery, tsquery, as_it_stands))
    else:
        matches = Truth(MATCHES, (element, tsquery))
    conditions = [matches, *_of_interest(column, statement)]
    if way.candidates is not None and not way.newest:
        conditions.append(FIRST)
    asked: FromClause | None = None
    if words == "any" and not cover:
        rank, asked = ranked_by_rarity(
            element,
            RANKED,
            query,
            weights=weights,
            normalization=normalization,
            config=config,
            language=language,
        )
    else:
        once = Parsed(f"(SELECT {HOLE})", (tsquery,))
        rank = score("ts_rank_cd" if cover else "ts_rank", RANKED, once, weights, normalization)
    return Best(statement, element, _key(source_behind(column)), conditions, rank, asked, way)


def spelt(column: Any, query: str) -> ColumnElement[bool] | None:
    """
    Whether the words of a query stand in a row side by side, in a part of highest weight.
    """
    rules, table = rules_behind(column), table_behind(column)
    words = WORDS.findall(checked(query))[:MOST]
    if rules is None or not words or UNWANTED.search(query):
        return None
    own = [part for part in rules.vector(table).parts if part.columns and not part.json]
    best = min((part.weight for part in own), default=None)
    names = {name for part in own if part.weight == best for name in part.columns}
    texts = [each for each in source_behind(column).c if each.name in names and _is_text(each.type)]
    if not texts:
        return None
    # A collation may forbid regular expressions; the database's own never does.
    holes = (
        f'({HOLE})::text COLLATE "C"'
        if getattr(each.type, "collation", None)
        else f"({HOLE})::text"
        for each in texts
    )
    pattern = bound(f"\\m{'[^[:alnum:]_]+'.join(words)}\\M")
    text = " OR ".join(f"{hole} ~* {HOLE}" for hole in holes)
    return Truth(f"({text})", tuple(each for text in texts for each in (text, pattern)))


def _is_text(type_: TypeEngine[Any]) -> bool:
    """
    Whether a column holds texts: those of an enum, and what a decorator makes of them, too.
    """
    return isinstance(type_.impl_instance if isinstance(type_, TypeDecorator) else type_, String)


WORDS = re.compile(r"\w+")
UNWANTED = re.compile(r'(?<![\w-])-"?\w')
"""A word that must not be there: its own text is no place to look for it."""
MOST = 32
"""Words of a query of stop words alone."""


def _of_interest(column: Any, statement: Select[Any]) -> list[ColumnElement[bool]]:
    """
    Live rows, if the vector does not say that deleted ones are found; or what was asked for.
    """
    rules = rules_behind(column)
    asked = statement.get_execution_options().get(WITH_DELETED)
    if asked == "include":
        return []
    if asked != "only" and rules is not None and rules.filter_live is False:
        return []
    return [~each if asked == "only" else each for each in live_rows(column)]


def live_rows(column: Any) -> list[ColumnElement[bool]]:
    """
    The predicate of live rows, if the table has one.
    """
    table = table_behind(column)
    rules = rules_behind(column)
    if not isinstance(table, Table):
        return []
    live = facts_of(table).live if rules is None else rules.live(table)
    return [] if live is None else [live.expression(source_behind(column))]


def _key(source: FromClause) -> list[ColumnElement[Any]]:
    key: list[ColumnElement[Any]] = list(source.primary_key)
    if not key:
        raise DeclarationError(f"search: {source} has no primary key to tell its rows apart")
    return key
