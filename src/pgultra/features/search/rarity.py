"""
Ranking by some of the words: rare ones count for more than those that every other row has.
"""

from __future__ import annotations

from functools import lru_cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import ARRAY, TSQUERY

from pgultra import sql
from pgultra.features.search.queries import score
from pgultra.features.search.template import HOLE, Parsed, Score, Template
from pgultra.features.search.words import cut, each_configuration, table_behind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import ColumnElement, FromClause

__all__ = ["ranked_by_rarity"]

GROUPS = 12
"""How many degrees of rarity there are: the logarithm of one in 160,000."""
GROUP = "COALESCE({place} * (numnode({words}) + 1) / 2 * {hole}, 0)"
"""``ts_rank`` takes the mean of the words, so each group counts as often as it has words."""


class Asked(Template):
    """
    One that gives an array of tsqueries.
    """

    inherit_cache = True
    type = ARRAY(TSQUERY())


def ranked_by_rarity(
    column: Any,  # a vector in any form
    vector: ColumnElement[Any],
    query: Any,  # a text or an expression
    *,
    weights: Mapping[str, float] | None,
    normalization: int,
    config: str | None,
    language: str | None,
) -> tuple[ColumnElement[float], FromClause]:
    """
    The sum over the words of ``ts_rank``, times the logarithm of how rare a word is.

    Args:
        column: tells the table and the configuration.
        vector: what is ranked.
        query: the words.
        weights: as for ``rank``.
        normalization: as for ``rank``.
        config: as for ``match``.
        language: as for ``match``.

    Returns:
        the rank, and what has to be joined for it: one row.
    """
    names = each_configuration(column, config, language)
    words = " || ".join(f"to_tsvector({name}, {HOLE})" for name in names)
    table, own = table_behind(column), next(iter(column.base_columns))
    text = _words().format(
        table=HOLE, column=sql.literal(own.name), vector=f"({words})", groups=GROUPS
    )
    asked = Asked(f"({text})", (table, *[cut(query)] * len(names)))
    named = select(asked.label("words")).cte()
    row = named.prefix_with("MATERIALIZED")
    # SQLAlchemy 2.0 takes the name from the id of the first one; the second is a copy. If the
    # first were let go, the next CTE of the statement could get its id, and so its name.
    vars(row)["named_by"] = named
    terms: list[str] = []
    holes: list[Any] = []
    for place in range(1, GROUPS + 1):
        group = Parsed(f"{HOLE}[{place}]", (row.c.words,))
        rank = score("ts_rank", vector, group, weights, normalization)
        terms.append(GROUP.format(place=place, words=HOLE, hole=HOLE))
        holes += [group, rank]
    return Score(f"({' + '.join(terms)})", tuple(holes)), row


@lru_cache(maxsize=1)
def _words() -> str:
    lines = resources.files(__package__).joinpath("sql/any_word.sql").read_text().splitlines()
    return "\n".join(line for line in lines if not line.startswith("--"))
