"""
Words and meaning in one list: rankers of a table, fused by their ranks.

The rankers are found in the table's facts; this room brings the one by words.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real
from operator import eq
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import (
    ColumnElement,
    Float,
    Integer,
    Label,
    Select,
    Table,
    case,
    cast,
    func,
    inspect,
    literal,
    literal_column,
    select,
    union_all,
)
from sqlalchemy.exc import NoInspectionAvailable

from pgultra.errors import DeclarationError
from pgultra.features.search.rows import rows_of
from pgultra.features.search.top import live_rows, ranked
from pgultra.features.search.words import count, is_sql, number
from pgultra.plan import facts_of
from pgultra.plan.options import names, refused
from pgultra.plan.rankers import Ranker, source_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import FromClause, SQLColumnExpression

__all__ = ["TextRanker", "hybrid"]

Entity = TypeVar("Entity")
ALL, ANY = literal_column("0", Integer()), literal_column("1", Integer())
SMOOTHING = 10
"""
The constant of reciprocal rank fusion (Cormack, Clarke and Büttcher, SIGIR 2009).

They took 60, for lists of a thousand; for pages of ten, a smaller one was better on seven of
eight measurements (docs/explanation/relevance.md).
"""


@dataclass(frozen=True, kw_only=True)
class TextRanker(Ranker):
    """
    Ranks rows by the words of a vector column: those with all words, then those with some.

    Attributes:
        table: whose vector it is.
    """

    table: Table

    def candidates(
        self,
        statement: Select[Any],  # only FROM and WHERE count
        query: Any,  # a text
        limit: int,
    ) -> Select[Any]:
        """
        The best rows for a query, by rank and then by key.
        """
        source = source_of(statement, self.table)
        column, most = source.c[self.column], max(1000, limit)
        names = [column.key for column in source.primary_key]
        places = [f"k{index}" for index in range(len(names))]
        strict = ranked(statement, column, query, limit, candidates=most).cte()
        few = select(func.count()).select_from(strict).scalar_subquery() < number(limit)
        loose = ranked(
            statement.where(few),
            column,
            query,
            limit,
            candidates=10 * most,
            words="any",
            fallback=False,
        ).cte()
        sides = union_all(
            *(
                select(*(side.c[place] for place in places), side.c.rank, tier.label("tier"))
                for side, tier in ((strict, ALL), (loose, ANY))
            )
        ).subquery("sides")
        keys = [sides.c[place] for place in places]
        order = [func.min(sides.c.tier), func.max(sides.c.rank).desc(), *keys]
        labelled = [key.label(name) for key, name in zip(keys, names, strict=True)]
        rank = func.row_number().over(order_by=order)
        found: Select[Any] = select(*labelled, cast(rank, Integer).label("rank"))
        return found.group_by(*keys).order_by(*order).limit(number(limit))


def hybrid(
    entity: type[Entity],
    *,
    text: str | None = None,
    vector: Any = None,  # a vector in any form that the other room takes
    limit: int = 10,
    filters: Sequence[SQLColumnExpression[bool]] = (),
    weights: tuple[float, float] = (1.0, 1.0),
    candidates: int | None = None,
    by: Sequence[str] = (),
    smoothing: float = SMOOTHING,
) -> Select[Entity, float, int | None, int | None]:
    """
    The best rows by words and by meaning, in one statement.

    Each side gives its best candidates under the same filters; a row's score is the sum of
    ``weight / (10 + rank)`` over the sides that found it (reciprocal rank fusion), so that
    no side's scores need to be comparable with the other's. Soft-deleted rows are left out.

    Choose the weights on questions of your own: with equal ones hybrid was worse than the
    better side alone in five of eight measurements, and with chosen ones in none.

    Args:
        entity: a mapped class, an alias of one, or a Table.
        text: what the user typed; None leaves this side out.
        vector: the query's embedding; None leaves this side out.
        limit: how many rows.
        filters: conditions on the entity, for both sides; rows of other tables may take part.
        weights: of the text and of the vector: more for the side that is better on your data;
            try (4, 1), (2, 1), (1, 1), (1, 2) and (1, 4).
        candidates: how many rows each side gives; five times the limit, 100 at least.
        by: keys of the columns to rank by, where the table has several of a kind.
        smoothing: what is added to each rank; more of it favours rows that both sides found.

    Returns:
        rows of the entity, ``score``, ``text_rank`` and ``vector_rank``; a rank is None if
        that side did not find the row. Equal scores are in the order of the primary key.

    Raises:
        DeclarationError: the table has no ranker of a kind, or several and ``by`` names none; or
            an option takes something else.
        ValueError: neither ``text`` nor ``vector`` is given.

    Example:
        ``session.execute(search.hybrid(Article, text="fox", vector=embedded, limit=10))``
    """
    if text is None and vector is None:
        raise ValueError("hybrid needs text=, vector= or both")
    _judge(filters, weights, by, smoothing)
    limit = count(limit, "limit")
    table, source = _table(entity)
    statement = rows_of(entity, source, filters)
    most = max(100, 5 * limit) if candidates is None else count(candidates, "candidates")
    keys = [f"key_{place}" for place, _ in enumerate(source.primary_key)]
    sides = []
    for kind, query, weight in (("text", text, weights[0]), ("vector", vector, weights[1])):
        if query is not None:
            ranker = _ranker(table, kind, by)
            own = statement.where(*live_rows(source.c[ranker.column]))
            found = _named(ranker.candidates(own, query, most), keys)
            sides.append((kind, found.cte(f"pgultra_by_{kind}"), weight))
    best = _fused(sides, keys, limit, smoothing).cte("pgultra_fused")
    result: Any = (
        select(entity, best.c.score, best.c.text_rank, best.c.vector_rank)
        .where(*map(eq, source.primary_key, (best.c[key] for key in keys)))
        .order_by(best.c.score.desc(), *source.primary_key)
    )
    typed: Select[Entity, float, int | None, int | None] = result
    return typed


def _judge(filters: Any, weights: Any, by: Any, smoothing: Any) -> None:
    """
    Refuse options that no statement can be made of.
    """
    place = "search.hybrid"
    if not isinstance(filters, list | tuple) or not all(map(is_sql, filters)):
        takes = "a list or tuple of conditions, such as [Article.active]"
        raise refused(place, "filters", filters, takes)
    if (
        not isinstance(weights, list | tuple)
        or len(weights) != 2
        or not all(isinstance(each, Real) and math.isfinite(each) for each in weights)
    ):
        raise refused(place, "weights", weights, "two numbers, of the text and of the vector")
    names(place, "by", by, "['embedding']")
    if not isinstance(smoothing, Real) or not 0 <= float(smoothing) < math.inf:
        raise refused(place, "smoothing", smoothing, "a number, 0 or more")


def _fused(
    sides: list[tuple[str, Any, float]], keys: list[str], limit: int, smoothing: float
) -> Select[Any]:
    (_, first, _), *others = sides
    joined, known = first, {key: first.c[key] for key in keys}
    for _, other, _ in others:
        joined = joined.join(other, _equal(first, other, keys), full=True)
        known = {key: func.coalesce(first.c[key], other.c[key]) for key in keys}
    scores = [
        case((side.c.rank.is_(None), 0.0), else_=weight / (float(smoothing) + side.c.rank))
        for _, side, weight in sides
    ]
    score: Any = scores[0]
    for each in scores[1:]:
        score = score + each
    ranks = {kind: side.c.rank for kind, side, _ in sides}
    total = cast(score, Float(53)).label("score")
    places = [known[key].label(key) for key in keys]
    return (
        select(
            *places,
            total,
            *(
                cast(ranks.get(kind, literal(None)), Integer).label(f"{kind}_rank")
                for kind in ("text", "vector")
            ),
        )
        .select_from(joined)
        .order_by(total.desc(), *places)
        .limit(number(limit))
    )


def _named(found: Select[Any], keys: list[str]) -> Select[Any]:
    """
    A ranker's rows with names of ours for the key's columns: one may be called ``rank``.
    """
    labelled = map(Label, [*keys, "rank"], found.selected_columns)
    return found.with_only_columns(*labelled, maintain_column_froms=True)


def _equal(one: Any, other: Any, keys: list[str]) -> Any:
    condition = one.c[keys[0]] == other.c[keys[0]]
    for key in keys[1:]:
        condition = condition & (one.c[key] == other.c[key])
    return condition


def _table(entity: Any) -> tuple[Table, FromClause]:
    """
    The table behind an entity, and what a statement selects from.
    """
    try:
        source = inspect(entity).selectable
    except (NoInspectionAvailable, AttributeError):  # AttributeError: a column
        source = entity
    element = None if isinstance(source, ColumnElement) else getattr(source, "element", source)
    if not isinstance(element, Table):
        raise DeclarationError(
            "search.hybrid takes a mapped class of one table, an alias of one or a Table, not "
            f"{entity!r}; of several tables, name the one with the vector and say in filters= "
            "which rows"
        )
    return element, source


def _ranker(table: Table, kind: Any, by: Sequence[str]) -> Ranker:
    found = [
        each for each in facts_of(table).rankers if isinstance(each, Ranker) and each.kind == kind
    ]
    named = [each for each in found if each.name in by or each.column in by]
    chosen = named or found
    if len(chosen) != 1:
        what = {"text": "SearchVector", "vector": "Embedding"}[kind]
        names = ", ".join(each.name for each in found)
        raise DeclarationError(
            f"search.hybrid: table {table.fullname} has "
            + (
                f"several columns to rank a {kind} by ({names}): name one with by="
                if found
                else f"no {what} to rank a {kind} by: declare one, or leave {kind}= out"
            )
        )
    return chosen[0]
