"""
One search over several models: typed rows, weights, and pages that neither skip nor repeat.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Date,
    DateTime,
    Float,
    Integer,
    Numeric,
    Select,
    Table,
    Text,
    TypeDecorator,
    cast,
    func,
    inspect,
    literal,
    literal_column,
    null,
    or_,
    select,
    union_all,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import NoInspectionAvailable

from pgultra.errors import DeclarationError
from pgultra.features.search.rows import rows_of
from pgultra.features.search.top import live_rows, ranked
from pgultra.features.search.words import is_sql, number, rules_behind, table_behind
from pgultra.plan.options import flag, named, refused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import FromClause, SQLColumnExpression

__all__ = ["After", "Source", "federated"]


class After(NamedTuple):
    """
    The last row of a page: where the next one begins.

    >>> After(0.6, "article", "7").source
    'article'
    """

    rank: float
    source: str
    key: str


@dataclass(frozen=True, eq=False, kw_only=False)
class Source:
    """
    One model of a federated search.

    Args:
        entity: a mapped class, an alias of one, or a Table.
        column: its vector; its only one unless said.
        name: what rows say they are; the table's name unless said.
        title: an expression for people; the vector's first part unless said.
        weight: multiplies its ranks.
        filters: conditions that its rows must fulfil; rows of other tables may take part.
        limit: rows of it at most, on all pages together.
        extra: expressions by name, as a JSON object in each row.
        candidates: how many matches are ranked, as for ``top``; None ranks all.
        newest: rank those with the last keys instead of those that are stored first.

    Raises:
        DeclarationError: an option takes something else.

    Example:
        ``Source(Person, title=Person.name, weight=0.8, filters=[Person.active])``
    """

    entity: Any
    column: Any = None
    name: str | None = None
    title: Any = None
    weight: float = 1.0
    filters: Sequence[SQLColumnExpression[bool]] = ()
    limit: int | None = None
    extra: Mapping[str, Any] | None = None
    candidates: int | None = 1000
    newest: bool = False

    def __post_init__(self) -> None:
        named("search.Source", name=self.name)
        if isinstance(self.weight, bool) or not isinstance(self.weight, int | float | Decimal):
            raise refused("search.Source", "weight", self.weight, "a number")
        if not math.isfinite(self.weight):
            raise refused("search.Source", "weight", self.weight, "a finite number")
        flag("search.Source", newest=self.newest)
        number(self.limit, "limit")
        number(self.candidates, "candidates")
        if not isinstance(self.filters, list | tuple) or not all(map(is_sql, self.filters)):
            takes = "a list or tuple of conditions, such as [Article.active]"
            raise refused("search.Source", "filters", self.filters, takes)
        if self.extra is not None and not isinstance(self.extra, Mapping):
            raise refused("search.Source", "extra", self.extra, "a mapping of names to expressions")

    def selectable(self) -> FromClause:
        """
        What its rows are selected from.

        Raises:
            DeclarationError: ``entity`` is something else.
        """
        try:
            found = inspect(self.entity).selectable
        except (NoInspectionAvailable, AttributeError):
            found = self.entity
        if not isinstance(_table_of(found), Table):
            raise DeclarationError(
                "search.Source: entity= takes a mapped class of one table, an alias of one or a "
                f"Table, not {self.entity!r}; of several tables, name the one with the vector and "
                "say in filters= which rows"
            )
        return found  # type: ignore[no-any-return]  # a generative method

    def vector(self) -> Any:
        """
        Its vector column.

        Raises:
            DeclarationError: it has none, or several and ``column`` is not said.
        """
        source = self.selectable()
        if self.column is not None:
            return _column(self, "column", self.column)
        found = [column for column in source.c if rules_behind(column) is not None]
        if len(found) != 1:
            raise DeclarationError(
                f"search.Source({self.word()!r}) has {len(found)} vectors: say which with column="
            )
        return found[0]

    def word(self) -> str:
        """
        Its name in the rows.
        """
        source: Any = self.selectable()
        return self.name or str(getattr(source, "element", source).name)


def federated(
    sources: Sequence[Source],
    query: str,
    *,
    limit: int = 20,
    after: After | Any | None = None,  # or a row of the page before
    weights: Mapping[str, float] | None = None,
    normalization: int = 1,
    language: str | None = None,
) -> Select[str, str, str | None, float, dict[str, Any] | None]:
    """
    The best rows of several models in one list.

    The query is a constant, read when the statement is planned and never again. Each source
    is ranked by itself and gives no more rows than the page has; soft-deleted rows are left
    out. A page follows the one before: all pages together give each row once, of those that
    were ranked; a source with more matches than its ``candidates`` ranks no others.

    Args:
        sources: the models; of rows with equal rank, those of the first come first.
        query: what the user typed, as it is.
        limit: rows of a page.
        after: the last row of the page before.
        weights: of the letters, as for ``rank``.
        normalization: as for ``rank``; 1 keeps long texts from winning by their length.
        language: as for ``match``.

    Returns:
        rows of ``source``, ``key`` (the primary key as text, dates and times as in ISO 8601 and
        in UTC; a JSON array if it has several columns), ``title``, ``rank`` and ``extra``.

    Raises:
        DeclarationError: there are no sources, two have one name, or one has no vector, several and
            no ``column``, or no table; or an option takes something else.
        ValueError: as for ``match``; or ``after`` is of no source of this search.

    Example:
        ``session.execute(search.federated([Source(Article), Source(Person)], "ann")).all()``
    """
    if not isinstance(sources, list | tuple) or not all(isinstance(s, Source) for s in sources):
        takes = "a list of search.Source(...)"
        raise refused("search.federated", "sources", sources, takes)
    words = [source.word() for source in sources]
    if not words or len(set(words)) != len(words):
        raise DeclarationError(
            f"search.federated needs sources with different names, not {words!r}: give name="
        )
    ranking = {"weights": weights, "normalization": normalization, "language": language}
    arms = [
        _arm(source, place, query, limit, _beginning(words, place, after), ranking)
        for place, source in enumerate(sources)
    ]
    page = union_all(*(arm for arm, _ in arms)).subquery("page")
    found = (
        select(page.c.source, page.c.key, page.c.title, page.c.rank, page.c.extra)
        .order_by(page.c.rank.desc(), page.c.place, page.c.key)
        .limit(number(limit))
    )
    for _, statement in arms:  # a statement of the ORM, if one of them is
        if statement._propagate_attrs:
            found._set_propagate_attrs(statement._propagate_attrs)
    return found


def _arm(
    source: Source,
    place: int,
    query: str,
    limit: int,
    beginning: tuple[float, str | None, bool] | None,
    ranking: dict[str, Any],
) -> tuple[Select[Any], Select[Any]]:
    """
    The page's share of one source, and the statement of all its rows.
    """
    rows, vector = source.selectable(), source.vector()
    statement = rows_of(source.entity, rows, source.filters).where(*live_rows(vector))
    best = ranked(
        statement,
        vector,
        query,
        source.limit,
        candidates=source.candidates,
        newest=source.newest,
        **ranking,
    ).subquery()
    keys = [best.c[f"k{index}"] for index in range(len(list(rows.primary_key)))]
    same = [_steady(key) for key in keys]
    key: Any = same[0] if len(same) == 1 else func.jsonb_build_array(*same)
    rank = cast(best.c.rank, Float(53)) * float(source.weight)
    scored = select(
        *keys,
        cast(key, Text).collate("C").label("key"),
        cast(cast(rank, Numeric), Float(53)).label("rank"),  # 15 digits, as any setting sends it
    ).subquery()
    share = select(scored).order_by(scored.c.rank.desc(), scored.c.key).limit(number(limit))
    if beginning is not None:
        least, last, inclusive = beginning
        equal = scored.c.rank == least
        follows = equal & (scored.c.key > last) if last is not None else equal
        share = share.where(
            or_(scored.c.rank < least, follows)
            if last is not None or inclusive
            else scored.c.rank < least
        )
    page = share.subquery()
    share = select(
        literal(place, Integer).label("place"),
        literal(source.word(), Text).label("source"),
        page.c.key,
        cast(_title(source, rows), Text).label("title"),
        page.c.rank,
        _extra(source).label("extra"),
    ).where(*(column == page.c[f"k{index}"] for index, column in enumerate(rows.primary_key)))
    return share, statement


def _steady(key: ColumnElement[Any]) -> ColumnElement[Any]:
    """
    A part of a key, written in the same way whatever DateStyle and TimeZone are.
    """
    kind: Any = key.type
    while isinstance(kind, TypeDecorator):
        kind = kind.impl_instance
    if not isinstance(kind, Date | DateTime):
        return key
    zoned = isinstance(kind, DateTime) and kind.timezone
    moment = func.to_jsonb(func.timezone(literal_column("'UTC'"), key) if zoned else key)
    text = moment.op("#>>", return_type=Text())(literal_column("'{}'"))
    return text + literal_column("'+00:00'", Text()) if zoned else text


def _beginning(words: list[str], place: int, after: Any) -> tuple[float, str | None, bool] | None:
    """
    From which rank a source goes on: after a key of that rank, or with that rank or below.
    """
    if after is None:
        return None
    if not all(hasattr(after, name) for name in After._fields):
        takes = "After(...), or the last row of the page before"
        raise refused("search.federated", "after", after, takes)
    if after.source not in words:
        raise ValueError(f"after={after!r} is of no source of this search")
    last = words.index(after.source)
    return (float(after.rank), str(after.key) if place == last else None, place > last)


def _column(source: Source, option: str, given: Any) -> Any:
    """
    A column of a source by its key, or what was given itself.
    """
    rows = source.selectable()
    if isinstance(given, str) and given in rows.c:
        return rows.c[given]
    if isinstance(given, str) or not is_sql(given):
        takes = f"an expression, or a column of {rows}: {', '.join(rows.c.keys())}"
        raise refused(f"search.Source({source.word()!r})", option, given, takes)
    return given


def _table_of(found: Any) -> Any:
    return found if isinstance(found, ColumnElement) else getattr(found, "element", found)


def _title(source: Source, rows: FromClause) -> Any:
    if source.title is not None:
        return _column(source, "title", source.title)
    rules = rules_behind(source.vector())
    if rules is not None:
        for part in rules.vector(table_behind(source.vector())).parts:
            if part.columns and not part.json:
                return next(column for column in rows.c if column.name == part.columns[0])
    return null()


def _extra(source: Source) -> Any:
    if not source.extra:
        return cast(null(), JSONB)
    pairs = [each for name, value in source.extra.items() for each in (literal(name, Text), value)]
    return func.jsonb_build_object(*pairs, type_=JSONB())
