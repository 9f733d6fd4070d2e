"""
Phase 6: the seed's two test queries, and what it could not ask.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy.orm import Session

from queries.search import (
    completions,
    did_you_mean,
    search_all,
    search_posts,
    search_suggestions,
)
from stage import scene, table

if TYPE_CHECKING:
    from sqlalchemy import Engine


def searching(engine: Engine) -> None:
    """
    One list of four kinds, page by page; suggestions; corrections.
    """
    with Session(engine) as session:
        scene("search_all('sparkle', 'all', 5)")
        page = session.execute(search_all("sparkle", "all", 5)).all()
        table((row.rank, row.source, row.title, row.extra["url"]) for row in page)
        print("the next page begins after the last row:")
        page = session.execute(search_all("sparkle", "all", 5, after=page[-1])).all()
        table((row.rank, row.source, row.title, row.extra["url"]) for row in page)
        print("a query of stop words alone, 'to be or not to be':")
        page = session.execute(search_all("to be or not to be")).all()
        table((row.rank, row.source, row.title, row.extra["url"]) for row in page)
        print("marked and escaped:")
        table((row.title, row.headline) for row in session.execute(search_posts("safely or brush")))

        scene("search_suggestions('spa', 'all', 5)")
        table(session.execute(search_suggestions("spa", "all", 5)))
        print("words that begin so:", *session.scalars(completions("spa", 5)))
        print(f"did you mean: {session.scalar(did_you_mean('sparkel brush'))}")
