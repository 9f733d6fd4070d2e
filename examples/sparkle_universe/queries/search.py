"""
Phase 6 of the seed: ``search_all`` and ``search_suggestions``, as statements.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Float, Integer, Text, case, cast, func, literal, or_, select, union_all

from models import Group, Post, User
from pgultra import search
from queries.listings import ACTIVE
from queries.sources import SOURCES

if TYPE_CHECKING:
    from sqlalchemy import Select
    from sqlalchemy.engine import Row


def search_all(
    query: str, kind: str = "all", limit: int = 20, after: Row[Any] | None = None
) -> Select[str, str, str | None, float, dict[str, Any] | None]:
    """
    What the seed's ``search_all(query, type, limit, offset)`` gives: four tables in one list.

    The seed's function reads the query eight times, ranks every match of every table, and
    its pages (OFFSET without a unique order) may repeat and skip rows; this one reads it
    once, ranks a bounded number, and goes on after the last row of the page before.
    Words may be typed as in a web search: ``"a phrase"``, ``or``, ``-not``. A query of stop
    words alone finds names that hold them, where the seed's finds nothing.
    """
    chosen = list(SOURCES.values()) if kind == "all" else [SOURCES[kind]]
    return search.federated(chosen, query, limit=limit, after=after, normalization=0)


def search_posts(query: str, limit: int = 10) -> Select[str, str, float]:
    """
    Posts with the words marked in their excerpts, as safe HTML; the seed gives the bare text.
    """
    found = select(
        Post.title,
        search.headline(Post.search_vector, query, of="excerpt").label("headline"),
    ).where(Post.published)
    return search.top(found, Post.search_vector, query, limit)


NAMES = {
    "posts": (Post.title, Post.title_words, Post.published),
    "users": (User.username, User.name_words, ACTIVE),
    "groups": (Group.name, Group.name_words, Group.visibility != "HIDDEN"),
}


def search_suggestions(partial: str, kind: str = "all", limit: int = 10) -> Select[str, str, float]:
    """
    What the seed's ``search_suggestions(partial, type, limit)`` was meant to give.

    The seed compares whole names by pg_trgm's ``%``, which three letters never reach: "spa"
    and "Sparkle basics" are similar by 0.18 where 0.3 is asked; nor is there an index for
    it. Here the words of names are a vector of their own, and the last one typed is a
    beginning. ``similarity`` is the share of the name that has been typed.
    """
    arms = [
        select(
            cast(name, Text).label("suggestion"),
            literal(SOURCES[each].name, Text).label("result_type"),
            (cast(len(partial), Float) / func.length(name)).label("similarity"),
        )
        .where(search.prefix(words, partial), shown)
        .distinct()
        for each, (name, words, shown) in NAMES.items()
        if kind in ("all", each)
    ]
    found = union_all(*arms).subquery("suggestions")
    return (
        select(found)
        .order_by(found.c.similarity.desc(), found.c.suggestion, found.c.result_type)
        .limit(limit)
    )


def completions(partial: str, limit: int = 10) -> Select[str, int]:
    """
    Ways to complete the word that is being typed, by how often names have it.

    Words are counted in all live rows, in names of hidden groups and of drafts too.
    """
    arms = [search.suggest(words, partial, limit).subquery() for _, words, _ in NAMES.values()]
    found = union_all(*(select(each) for each in arms)).subquery("completions")
    names = cast(func.sum(found.c.count), Integer).label("names")
    return (
        select(found.c.suggestion, names)
        .group_by(found.c.suggestion)
        .order_by(names.desc(), found.c.suggestion)
        .limit(limit)
    )


def did_you_mean(query: str) -> Select[str | None]:
    """
    A query that finds nothing, corrected by the words of titles and names; NULL if it needs none.

    This is what the seed wanted of ``similarity``: it works with no extension at all.
    """
    finds = or_(
        *(
            select(each.entity.id).where(search.match(each.column, query), *each.filters).exists()
            for each in SOURCES.values()
        )
    )
    corrected = func.coalesce(
        *(search.did_you_mean(words, query).scalar_subquery() for _, words, _ in NAMES.values())
    )
    return select(case((finds, None), else_=corrected))
