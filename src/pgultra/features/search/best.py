"""
The best keys of a statement and their ranks, as one clause that is written out when compiled.

``top`` is called for every search. What it adds to a statement is one element with a handful
of parts, and not some fifty SQLAlchemy objects, which took a tenth of the search to build.
SQLAlchemy compiles it once for each shape of statement, and caches what comes out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import ColumnElement, FromClause, Join, Label, Select, literal_column, select, true
from sqlalchemy.dialects.postgresql import TSVECTOR
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.elements import ColumnClause
from sqlalchemy.sql.selectable import (
    CTE,
    AliasedReturnsRows,
    ForUpdateArg,
    SelectBase,
    TableClause,
)
from sqlalchemy.sql.visitors import InternalTraversal

from pgultra.features.search.template import HOLE, Score, Truth
from pgultra.features.search.words import number

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy.sql.compiler import SQLCompiler

__all__ = ["RANKED", "Best", "Way"]

RANKED: ColumnElement[Any] = literal_column("found.vector", TSVECTOR())
"""The vector of a row that was found: what is ranked."""
BEST_FIRST: ColumnElement[Any] = literal_column("rank DESC")


class Way(NamedTuple):
    """
    How many, and which first: quickly hashed, for it is part of the statement's cache key.

    Attributes:
        limit: how many rows; None for all candidates.
        candidates: how many matches are ranked; None for all.
        newest: those with the last keys.
        offset: how many of the best to leave out.
    """

    limit: int | None
    candidates: int | None
    newest: bool
    offset: int


class Best(FromClause):
    """
    Keys (``k0``, ``k1`` …) and ranks of the best rows.

    Attributes:
        statement: whose rows.
        vector: their vector.
        keys_of: the columns that name a row.
        conditions: which rows match.
        score: the rank, of ``RANKED``.
        asked: what has to be joined for it, if anything: one row.
        way: how many.
    """

    __visit_name__ = "pgultra_search_best"
    _traverse_internals = [  # noqa: RUF012  # SQLAlchemy's own declaration
        ("statement", InternalTraversal.dp_clauseelement),
        ("vector", InternalTraversal.dp_clauseelement),
        ("keys_of", InternalTraversal.dp_clauseelement_list),
        ("conditions", InternalTraversal.dp_clauseelement_list),
        ("score", InternalTraversal.dp_clauseelement),
        ("asked", InternalTraversal.dp_clauseelement),
        ("way", InternalTraversal.dp_plain_obj),
    ]
    inherit_cache = True
    named_with_column = True
    name = "pgultra_best"

    def __init__(
        self,
        statement: Select[Any],
        vector: ColumnElement[Any],
        keys: Sequence[ColumnElement[Any]],
        conditions: Sequence[ColumnElement[Any]],
        score: ColumnElement[float],
        asked: FromClause | None,
        way: Way,
    ) -> None:
        self.statement = statement
        self.vector = vector
        self.keys_of = list(keys)
        self.conditions = list(conditions)
        self.score = score
        self.asked = asked
        self.way = way

    def joined(self) -> Select[Any]:
        """
        The statement with the rank as its last column, for these rows alone, the best first.

        As ``add_columns``, ``where`` and ``order_by`` would make it, in one step.
        """
        keys = self.keys_of
        pairs: list[Any] = []
        for place, mine in enumerate(keys):
            pairs += [mine, ColumnClause(f"k{place}", mine.type, _selectable=self)]
        rank: ColumnElement[float] = ColumnClause("rank", Score.type, _selectable=self)
        same = " AND ".join([f"{HOLE} = {HOLE}"] * len(keys))
        found = self.statement._generate()
        found._raw_columns = [*found._raw_columns, rank]
        found._where_criteria = (*found._where_criteria, Truth(same, tuple(pairs)))
        found._order_by_clauses = (rank.desc(), *keys)
        lock = found._for_update_arg
        if lock is not None and lock.of is None:
            found._for_update_arg = _on_its_own(lock, self.statement)
        return found

    def rows(self, outer: Iterable[FromClause] = ()) -> Select[Any]:
        """
        The clause as a select.

        Args:
            outer: what the statement takes from a query around it, as a LATERAL one does.
        """
        way = self.way
        names = [f"k{place}" for place in range(len(self.keys_of))]
        found = self.statement.with_only_columns(
            *map(Label, names, self.keys_of),
            self.vector.label("vector"),
            maintain_column_froms=True,
        )
        found = found.where(*self.conditions).order_by(None)
        found = found.limit(number(way.candidates, "candidates")).offset(None)
        if way.candidates is not None and way.newest:
            found = found.order_by(*(each.desc() for each in self.keys_of))
        found._with_options = ()  # loader options are for the rows that are returned
        found._for_update_arg = None  # so are locks
        found = found.correlate(*outer) if outer else found
        rows = found.subquery("found")
        best = select(*(rows.c[name] for name in names), self.score.label("rank"))
        best = best.select_from(rows if self.asked is None else rows.join(self.asked, true()))
        best = best.order_by(BEST_FIRST, *map(literal_column, names))
        if way.limit is not None:
            best = best.limit(number(way.limit))
        return best.offset(number(way.offset, "offset")) if way.offset else best


def _on_its_own(lock: ForUpdateArg, statement: Select[Any]) -> ForUpdateArg:
    """
    FOR UPDATE for the rows of a statement, and not for the candidates behind the best.

    Tables that only a condition names are not locked: they may be those of a query around it.
    """
    own: list[Any] = []
    bare = statement._generate()
    bare._where_criteria = ()
    froms: list[Any] = list(bare.get_final_froms())
    while froms:
        each = froms.pop(0)
        if isinstance(each, Join):
            froms[:0] = [each.left, each.right]
        elif _can_be_locked(each):
            own.append(each)
    return ForUpdateArg(
        nowait=lock.nowait,
        read=lock.read,
        of=own,
        skip_locked=lock.skip_locked,
        key_share=lock.key_share,
    )


def _can_be_locked(each: Any) -> bool:
    """
    No function, VALUES or CTE: FOR UPDATE passes over them, and refuses OF them.
    """
    inner = each.element if isinstance(each, AliasedReturnsRows) else each
    return not isinstance(each, CTE) and isinstance(inner, TableClause | SelectBase)


@compiles(Best)
def _compile_best(element: Best, compiler: SQLCompiler, **options: Any) -> str:
    for each in ("asfrom", "from_linter", "fromhints", "ashint", "iscrud", "enclosing_alias"):
        options.pop(each, None)
    outer: list[FromClause] = []
    for around in compiler.stack[-1:]:
        # The vector's own rows are looked up here, whatever stands around. What is joined there
        # is among these too; the join itself stands for all of it.
        own = set(element.vector._from_objects)
        found = around["correlate_froms"] - around["asfrom_froms"] - own
        outer = [each for each in found if not isinstance(each, Join)]
    rows = element.rows(outer)
    return f"({compiler.process(rows, asfrom=True, **options)}) AS {element.name}"
