"""
What the filter does to every shape of query, with every loader, sync and async.

Of what is deleted, nothing may be seen; of what is live, nothing may be missing.
"""

from __future__ import annotations

import gc
import pickle
import weakref
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy import (
    bindparam,
    case,
    event,
    exists,
    func,
    insert,
    lambda_stmt,
    literal,
    select,
    text,
    union,
    union_all,
    update,
)
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import (
    Bundle,
    Session,
    aliased,
    contains_eager,
    defaultload,
    immediateload,
    join,
    joinedload,
    lazyload,
    outerjoin,
    selectin_polymorphic,
    selectinload,
    subqueryload,
    with_polymorphic,
)

from pgultra import DeclarationError, PgultraError
from pgultra.features.soft_delete import alive, only_deleted, with_deleted
from pgultra.features.soft_delete import filter as filtering
from pgultra.features.soft_delete.queries import PROPAGATED
from tests.features.soft_delete.sample import BLOG
from tests.fixtures.database import Database, clone

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.fixtures.server import Server

Author, Blog, Post, Comment = BLOG.Author, BLOG.Blog, BLOG.Post, BLOG.Comment
Translation, Tag, Asset, Picture, Link = (
    BLOG.Translation,
    BLOG.Tag,
    BLOG.Asset,
    BLOG.Picture,
    BLOG.Link,
)

ROWS = """
INSERT INTO author (id, name) VALUES (1, 'ann');
INSERT INTO blog (id, name, "deletedAt", is_deleted)
    VALUES (1, 'blog', NULL, false), (2, 'dead blog', now(), true);
INSERT INTO post (id, slug, blog_id, author_id, deleted_at) VALUES
    (1, 'first', 1, 1, NULL), (2, 'dead', 1, 1, now()), (3, 'third', 1, 1, NULL),
    (4, 'below', 2, NULL, NULL);
INSERT INTO comment (id, text, post_id, parent_id, deleted_at) VALUES
    (1, 'live', 1, NULL, NULL), (2, 'dead', 1, NULL, now()), (3, 'gone', 3, NULL, now()),
    (4, 'orphan', 2, NULL, NULL), (5, 'reply', NULL, 1, NULL), (6, 'dead reply', NULL, 1, now());
INSERT INTO translation (post_id, language, text, deleted_at)
    VALUES (1, 'de', 'erster', NULL), (1, 'fr', 'premier', now());
INSERT INTO tag (id, name, deleted_at) VALUES (1, 'sql', NULL), (2, 'dead tag', now());
INSERT INTO post_tag (post_id, tag_id) VALUES (1, 1), (1, 2), (3, 2);
INSERT INTO asset (id, kind, title, address, deleted_at) VALUES
    (1, 'picture', 'sun', NULL, NULL), (2, 'picture', 'dead sun', NULL, now()),
    (3, 'link', 'home', '/', NULL), (4, 'link', 'dead home', '/', now()),
    (5, 'asset', 'thing', NULL, NULL);
INSERT INTO picture (id, width) VALUES (1, 10), (2, 20);
"""


@pytest.fixture(scope="module")
def filled(server: Server, blog_template: str) -> Iterator[Database]:
    """
    Rows in all states, even a live comment below a deleted post.
    """
    with clone(server, blog_template) as database:
        with database.engine().begin() as connection:
            connection.execute(text("SET LOCAL session_replication_role = replica"))
            connection.exec_driver_sql(ROWS)
        yield database


@pytest.fixture
def session(filled: Database) -> Iterator[Session]:
    """
    A session whose transaction is rolled back.
    """
    with Session(filled.engine(poolclass=sa.NullPool)) as session:
        yield session


def plain(value: Any) -> Any:
    """
    Name an object by what tells it apart.
    """
    for name in ("slug", "language", "title", "text", "name"):
        if hasattr(type(value), "__table__") and hasattr(value, name):
            return getattr(value, name)
    return value


def rows(result: Any) -> list[Any]:
    """
    Give the rows of a result in an order that can be compared.
    """
    found = [tuple(map(plain, row)) for row in result]
    return sorted((row[0] if len(row) == 1 else row for row in found), key=repr)


post, other, comment_alias = aliased(Post), aliased(Post), aliased(Comment)
posts_of_blog = select(Post.id).where(Post.blog_id == Blog.id)

SHAPES: dict[str, tuple[Any, list[Any]]] = {
    # entities, columns, aliases
    "entity": (select(Post), ["below", "first", "third"]),
    "entity with own column names": (select(Blog), ["blog"]),
    "composite key": (select(Translation), ["de"]),
    "columns": (select(Post.slug), ["below", "first", "third"]),
    "bundle": (select(Bundle("post", Post.slug)), [("below",), ("first",), ("third",)]),
    "alias": (select(post), ["below", "first", "third"]),
    "two aliases": (
        select(post.slug, other.slug).where(post.id == other.id),
        [("below", "below"), ("first", "first"), ("third", "third")],
    ),
    "alias of a subquery": (
        select(aliased(Post, select(Post).where(Post.id < 3).subquery())),
        ["first"],
    ),
    "primary key": (select(Post).where(Post.id == 2), []),
    "for update": (select(Post.slug).with_for_update(), ["below", "first", "third"]),
    "lambda statement": (lambda_stmt(lambda: select(Post)), ["below", "first", "third"]),
    # aggregates
    "count": (select(func.count()).select_from(Post), [3]),
    "count of a column": (select(func.count(Post.id)), [3]),
    "group and having": (
        select(Post.blog_id, func.count()).group_by(Post.blog_id).having(func.count(Post.id) > 1),
        [(1, 2)],
    ),
    "aggregate with a filter": (select(func.count(Post.id).filter(Post.blog_id == 1)), [2]),
    "aggregate with a filter in a subquery": (
        select(
            Author.name,
            select(func.count(Post.id).filter(Post.id > 0))
            .where(Post.author_id == Author.id)
            .scalar_subquery(),
        ),
        [("ann", 2)],
    ),
    "window": (select(func.row_number().over(order_by=Post.id)), [1, 2, 3]),
    "within group": (select(func.percentile_disc(1).within_group(Post.id)), [4]),
    "two classes in one expression": (
        select(Author.id * 10 + Post.id).where(Post.author_id == Author.id),
        [11, 13],
    ),
    "expression": (select(Post.id + 10), [11, 13, 14]),
    "grouped by": (select(func.count()).group_by(Post.blog_id), [1, 2]),
    # joins
    "join": (select(Post, Comment).join(Post.comments), [("first", "live")]),
    "join to a target": (
        select(Blog.name, Post.slug).join(Post, Post.blog_id == Blog.id),
        [("blog", "first"), ("blog", "third")],
    ),
    "join from a class that is not soft-deletable": (
        select(Author.name, Post.slug).join(Author.posts),
        [("ann", "first"), ("ann", "third")],
    ),
    "join to an alias": (
        select(Post.slug, comment_alias.text).join(Post.comments.of_type(comment_alias)),
        [("first", "live")],
    ),
    "join many to many": (select(Post.slug, Tag.name).join(Post.tags), [("first", "sql")]),
    "self join": (
        select(Comment.text, comment_alias.text).join(Comment.replies.of_type(comment_alias)),
        [("live", "reply")],
    ),
    "join by the where": (
        select(Author.name, Blog.name).where(Post.author_id == Author.id, Post.blog_id == Blog.id),
        [("ann", "blog"), ("ann", "blog")],
    ),
    "outer join keeps the parent": (
        select(Post, Comment).outerjoin(Post.comments).where(Post.blog_id == 1),
        [("first", "live"), ("third", None)],
    ),
    "outer join many to many": (
        select(Post.slug, Tag.name).outerjoin(Post.tags).where(Post.blog_id == 1),
        [("first", "sql"), ("third", None)],
    ),
    "outer join from a class that is not soft-deletable": (
        select(Author.name, Post.slug).outerjoin(
            Post, (Post.author_id == Author.id) & (Post.id == 2)
        ),
        [("ann", None)],
    ),
    "anti join": (
        select(Post.slug).outerjoin(Post.comments).where(Comment.id.is_(None)),
        ["below", "third"],
    ),
    "full join": (
        select(Post.slug, Comment.text).join(Post.comments, full=True),
        [("below", None), ("first", "live"), ("third", None), (None, "orphan"), (None, "reply")],
    ),
    # explicit constructs
    "explicit join": (select(Author.name).select_from(join(Author, Post)), ["ann", "ann"]),
    "explicit outer join": (
        select(Post, Comment).select_from(outerjoin(Post, Comment)),
        [("below", None), ("first", "live"), ("third", None)],
    ),
    "explicit outer join, parent only": (
        select(Post).select_from(outerjoin(Post, Comment)),
        ["below", "first", "third"],
    ),
    "explicit outer join of Core": (
        select(Post.slug, Comment.text).select_from(sa.outerjoin(Post, Comment)),
        [("below", None), ("first", "live"), ("third", None)],
    ),
    "explicit inner join of Core": (
        select(Comment.text).select_from(sa.join(Post, Comment)),
        ["live"],
    ),
    "explicit outer join from a class that is not soft-deletable": (
        select(Author).select_from(outerjoin(Author, Post)),
        ["ann", "ann"],
    ),
    "explicit chain": (
        select(Author.name, Post.slug, Comment.text).select_from(
            outerjoin(outerjoin(Author, Post), Comment, Comment.post_id == Post.id)
        ),
        [("ann", "first", "live"), ("ann", "third", None)],
    ),
    "explicit outer join with a join on its right": (
        select(Author.name, Post.slug, Comment.text).select_from(
            outerjoin(Author, join(Post, Comment), Post.author_id == Author.id)
        ),
        [("ann", "first", "live")],
    ),
    "explicit full join": (
        select(Post.slug, Comment.text).select_from(
            join(Post, Comment, Post.id == Comment.post_id, full=True)
        ),
        [("below", None), ("first", "live"), ("third", None), (None, "orphan"), (None, "reply")],
    ),
    "explicit outer join in a subquery": (
        select(
            select(Post.slug, Comment.text)
            .select_from(outerjoin(Post, Comment))
            .where(Post.blog_id == 1)
            .subquery()
        ),
        [("first", "live"), ("third", None)],
    ),
    "explicit outer join of aliases": (
        select(post.slug, comment_alias.text).select_from(
            outerjoin(post, comment_alias, comment_alias.post_id == post.id)
        ),
        [("below", None), ("first", "live"), ("third", None)],
    ),
    # subqueries
    "subquery": (select(select(Post.slug).subquery()), ["below", "first", "third"]),
    "CTE": (select(select(Post.slug).cte()), ["below", "first", "third"]),
    "recursive CTE": (
        select(
            (tree := select(Comment.id).where(Comment.id == 1).cte(recursive=True)).union_all(
                select(Comment.id).join(tree, Comment.parent_id == tree.c.id)
            )
        ),
        [1, 5],
    ),
    "lateral": (
        select(Blog.name, select(Post.slug).where(Post.blog_id == Blog.id).lateral("p").c.slug),
        [("blog", "first"), ("blog", "third")],
    ),
    "scalar subquery": (
        select(
            Blog.name,
            select(func.count(Post.id)).where(Post.blog_id == Blog.id).scalar_subquery(),
        ),
        [("blog", 2)],
    ),
    "scalar subquery alone": (select(select(func.count(Post.id)).scalar_subquery()), [3]),
    "in": (
        select(Author.name).where(Author.id.in_(select(Post.author_id).where(Post.id == 2))),
        [],
    ),
    "not in": (
        select(Post.slug).where(
            Post.id.not_in(select(Comment.post_id).where(Comment.post_id.is_not(None)))
        ),
        ["below", "third"],
    ),
    # exists
    "exists": (select(exists().where(Post.id == 2)), [False]),
    "exists of a select": (select(exists(select(Post.id).where(Post.id == 2))), [False]),
    "select of exists": (select(Post.id).where(Post.id == 2).exists().select(), [False]),
    "where exists": (
        select(Post.slug).where(exists().where(Comment.post_id == Post.id)),
        ["first"],
    ),
    "where exists of a select": (
        select(Author.name).where(select(Post.id).where(Post.id == 2).exists()),
        [],
    ),
    "where not exists": (
        select(Post.slug).where(~exists().where(Comment.post_id == Post.id)),
        ["below", "third"],
    ),
    "a literal where exists": (select(literal(1)).where(exists().where(Post.id == 2)), []),
    "exists in a case": (select(case((exists().where(Post.id == 2), "yes"), else_="no")), ["no"]),
    "exists in a subquery": (
        select(select(Author.name).where(exists().where(Post.id == 2)).subquery()),
        [],
    ),
    "any": (select(Post.slug).where(Post.comments.any()), ["first"]),
    "any with a criterion": (select(Post.slug).where(Post.comments.any(Comment.id == 2)), []),
    "any many to many": (select(Post.slug).where(Post.tags.any(Tag.id == 2)), []),
    "any of a self-reference": (
        select(Comment.text).where(Comment.replies.any(Comment.text == "dead reply")),
        [],
    ),
    "has": (select(Comment.text).where(Comment.post.has()), ["live"]),
    "not has": (
        select(Comment.text).where(~Comment.post.has(), Comment.post_id.is_not(None)),
        ["orphan"],
    ),
    "any in any": (
        select(Author.name).where(Author.posts.any(Post.comments.any(Comment.text == "orphan"))),
        [],
    ),
    "any from a class that is not soft-deletable": (
        select(Author.name).where(Author.posts.any(Post.id == 2)),
        [],
    ),
    # sets
    "union": (
        union(select(Post.slug), select(Comment.text)),
        ["below", "first", "live", "orphan", "reply", "third"],
    ),
    "union all": (union_all(select(Post.id), select(Post.id)), [1, 1, 3, 3, 4, 4]),
    "union in a subquery": (
        select(union_all(select(Post.id), select(Tag.id)).subquery()),
        [1, 1, 3, 4],
    ),
    "from a union": (
        select(Post).from_statement(union_all(select(Post).where(Post.id < 3), select(Post))),
        ["below", "first", "first", "third"],
    ),
    "except": (select(Post.id).except_(select(Comment.post_id)), [3, 4]),
    # hierarchies
    "joined inheritance": (select(Picture), ["sun"]),
    "columns of a joined class": (select(Picture.width), [10]),
    "single table inheritance": (select(Link), ["home"]),
    "the root of a hierarchy": (select(Asset), ["home", "sun", "thing"]),
    "with polymorphic": (
        select(with_polymorphic(Asset, [Picture, Link])),
        ["home", "sun", "thing"],
    ),
    "with polymorphic, flat": (
        select(with_polymorphic(Asset, "*", flat=True)),
        ["home", "sun", "thing"],
    ),
    "selectin polymorphic": (
        select(Asset).options(selectin_polymorphic(Asset, [Picture, Link])),
        ["home", "sun", "thing"],
    ),
    "alias of a joined class": (select(aliased(Picture)), ["sun"]),
    "outer join to a joined class": (
        select(Author.name, Picture.title).outerjoin(Picture, Picture.id == 2),
        [("ann", None)],
    ),
    # not filtered: what is written in Core, or as text
    "Core table": (select(Post.__table__.c.slug), ["below", "dead", "first", "third"]),
    "Core table, by hand": (
        select(Post.__table__.c.slug).where(alive(Post.__table__)),
        ["below", "first", "third"],
    ),
    "text": (text("SELECT slug FROM post WHERE id = 2"), ["dead"]),
    "from text": (select(Post).from_statement(text("SELECT * FROM post WHERE id = 2")), ["dead"]),
    "live view": (text("SELECT slug FROM post_live"), ["below", "first", "third"]),
    # opting out
    "with deleted": (with_deleted(select(Post)), ["below", "dead", "first", "third"]),
    "with deleted, joined": (
        with_deleted(select(Post.slug, Comment.text).join(Post.comments)),
        [("dead", "orphan"), ("first", "dead"), ("first", "live"), ("third", "gone")],
    ),
    "with deleted, any": (
        with_deleted(select(Post.slug).where(Post.comments.any(Comment.id == 2))),
        ["first"],
    ),
    "only deleted": (only_deleted(select(Post)), ["dead"]),
    "only deleted, counted": (only_deleted(select(func.count()).select_from(Comment)), [3]),
    "only deleted, joined": (
        only_deleted(select(Comment).join(Comment.post)),
        ["dead", "gone"],
    ),
    "only deleted, alias": (only_deleted(select(post)), ["dead"]),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes(session: Session, shape: str) -> None:
    """
    A statement gives what is live, and all of it.
    """
    statement, expected = SHAPES[shape]
    for _ in range(3):  # built, seen again, remembered
        assert rows(session.execute(statement)) == sorted(expected, key=repr)


@pytest.mark.parametrize("shape", SHAPES)
async def test_shapes_async(filled: Database, shape: str) -> None:
    """
    The same through an async session.
    """
    statement, expected = SHAPES[shape]
    async with AsyncSession(filled.async_engine()) as session:
        assert rows(await session.execute(statement)) == sorted(expected, key=repr)


COLLECTIONS: dict[str, tuple[Any, Any, dict[Any, list[Any]]]] = {
    "one to many": (Post, Post.comments, {"first": ["live"], "third": [], "below": []}),
    "many to one": (
        Comment,
        Comment.post,
        {"live": ["first"], "orphan": [], "reply": []},
    ),
    "many to many": (Post, Post.tags, {"first": ["sql"], "third": [], "below": []}),
    "composite key": (Post, Post.translations, {"first": ["de"], "third": [], "below": []}),
    "self-reference": (Comment, Comment.replies, {"live": ["reply"], "orphan": [], "reply": []}),
    "from a class that is not soft-deletable": (Author, Author.posts, {"ann": ["first", "third"]}),
    "own column names": (Post, Post.blog, {"first": ["blog"], "third": ["blog"], "below": []}),
}
LOADERS: dict[str, Callable[..., Any]] = {
    "lazy": lazyload,
    "joined": joinedload,
    "inner joined": lambda attribute: joinedload(attribute, innerjoin=True),
    "unnested inner joined": lambda attribute: joinedload(attribute, innerjoin="unnested"),
    "selectin": selectinload,
    "subquery": subqueryload,
    "immediate": immediateload,
}


def loaded(session: Session, which: str, loader: str) -> dict[Any, list[Any]]:
    """
    Load one relationship of all rows of a class with one loader.
    """
    cls, attribute, _ = COLLECTIONS[which]
    found = session.scalars(select(cls).options(LOADERS[loader](attribute))).unique()
    answer = {}
    for each in found:
        value = getattr(each, attribute.key)
        members = value if isinstance(value, list) else [value] if value is not None else []
        answer[plain(each)] = sorted(map(plain, members))
    return answer


@pytest.mark.parametrize("loader", LOADERS)
@pytest.mark.parametrize("which", COLLECTIONS)
def test_loaders(session: Session, which: str, loader: str) -> None:
    """
    Whatever loads a relationship, deleted members stay out and live owners stay in.
    """
    assert loaded(session, which, loader) == COLLECTIONS[which][2]


@pytest.mark.parametrize("loader", LOADERS)
@pytest.mark.parametrize("which", COLLECTIONS)
async def test_loaders_async(filled: Database, which: str, loader: str) -> None:
    """
    The same through an async session.
    """
    async with AsyncSession(filled.async_engine()) as session:
        found = await session.run_sync(loaded, which, loader)
    assert found == COLLECTIONS[which][2]


@pytest.mark.parametrize("loader", [joinedload, selectinload, subqueryload])
def test_loaders_of_a_chain(session: Session, loader: Any) -> None:
    """
    Each step of a chain of loaders is filtered.
    """
    chain = loader(Author.posts)
    chain = getattr(chain, loader.__name__)(Post.comments)
    chain = getattr(chain, loader.__name__)(Comment.replies)
    author = session.scalars(select(Author).options(chain)).unique().one()
    posts = {each.slug: each.comments for each in author.posts}
    assert {slug: [plain(each) for each in found] for slug, found in posts.items()} == {
        "first": ["live"],
        "third": [],
    }
    assert [each.text for each in posts["first"][0].replies] == ["reply"]


def test_an_inner_join_below_an_outer_one(session: Session) -> None:
    """
    innerjoin=True in the middle of a chain does not take the row at its start away.
    """
    options = joinedload(Post.comments).joinedload(Comment.parent, innerjoin=True)
    found = session.scalars(select(Post).options(options)).unique()
    assert {each.slug: len(each.comments) for each in found} == {"first": 1, "third": 0, "below": 0}


def test_contains_eager(session: Session) -> None:
    """
    A collection that a statement fills itself holds what the statement gives.
    """
    statement = (
        select(Post).outerjoin(Post.comments).options(contains_eager(Post.comments))
    ).where(Post.blog_id == 1)
    found = session.scalars(statement).unique()
    assert {each.slug: [plain(one) for one in each.comments] for each in found} == {
        "first": ["live"],
        "third": [],
    }


def test_loader_criteria_of_the_host(session: Session) -> None:
    """
    The host's own criteria apply besides.
    """
    options = selectinload(Author.posts.and_(Post.id > 1))
    author = session.scalars(select(Author).options(options)).one()
    assert [each.slug for each in author.posts] == ["third"]


def test_limits_count_live_rows(session: Session) -> None:
    """
    A limit on a statement with joined collections counts live rows.
    """
    statement = select(Post).options(joinedload(Post.comments)).order_by(Post.id).limit(2)
    assert [each.slug for each in session.scalars(statement).unique()] == ["first", "third"]


def test_get(session: Session) -> None:
    """
    A deleted row cannot be got, unless one says so.
    """
    assert session.get(Post, 1).slug == "first"
    assert session.get(Post, 2) is None
    found = session.get(Post, 2, execution_options={"pgultra.deleted": "include"})
    assert found.slug == "dead"
    assert session.get(Post, 2) is found  # the identity map wins


def test_refresh_is_not_filtered(session: Session) -> None:
    """
    An object that is held can be refreshed though its row is deleted meanwhile.
    """
    first = session.get(Post, 1)
    session.execute(text("UPDATE post SET deleted_at = now() WHERE id = 1"))
    session.refresh(first)
    assert first.is_deleted
    session.expire(first)
    assert first.slug == "first"


def test_deferred_columns_are_not_filtered(session: Session) -> None:
    """
    A deferred column of a deleted object can be loaded.
    """
    statement = with_deleted(select(Post).where(Post.id == 2).options(defaultload("*")))
    found = session.scalars(statement.options(sa.orm.defer(Post.slug))).one()
    assert found.slug == "dead"


def test_legacy_queries(session: Session) -> None:
    """
    The legacy Query is filtered like a select.
    """
    assert session.query(Post).count() == 3
    assert session.query(Post.id).filter(Post.id == 2).all() == []
    assert session.query(session.query(Post).filter(Post.id == 2).exists()).scalar() is False
    assert session.query(Comment).join(Comment.post).count() == 1
    assert with_deleted(session.query(Post)).count() == 4
    assert only_deleted(session.query(Post)).one().slug == "dead"


def test_streams(session: Session) -> None:
    """
    Results in parts are filtered too, also those of the loaders behind them.
    """
    statement = select(Post).options(selectinload(Post.comments)).order_by(Post.id)
    found = session.scalars(statement, execution_options={"yield_per": 1})
    assert [(each.slug, len(each.comments)) for each in found] == [
        ("first", 1),
        ("third", 0),
        ("below", 0),
    ]


def test_write_statements(session: Session) -> None:
    """
    Bulk UPDATE and INSERT FROM SELECT see live rows only.
    """

    def count(statement: Any) -> int:
        return session.execute(statement.execution_options(synchronize_session=False)).rowcount

    assert count(update(Post).values(slug=Post.slug)) == 3
    assert count(with_deleted(update(Post).values(slug=Post.slug))) == 4
    assert count(only_deleted(update(Post)).values(slug=Post.slug)) == 1
    dead_post = exists().where(Post.author_id == Author.id, Post.id == 2)
    assert count(update(Author).values(name="x").where(dead_post)) == 0
    assert count(update(Author).values(name="x").where(Author.posts.any(Post.id == 2))) == 0
    from_post = update(Author).values(name=Post.slug).where(Post.author_id == Author.id)
    assert count(from_post.where(Post.id == 2)) == 0
    some = select(Post.author_id).where(Post.id == 2)
    assert count(update(Author.__table__).values(name="x").where(Author.id.in_(some))) == 0
    assert count(sa.delete(BLOG.link).where(exists().where(Post.id == 2))) == 0
    session.execute(insert(Tag).from_select(["id", "name"], select(Post.id + 100, Post.slug)))
    assert session.scalar(select(func.count()).where(Tag.id > 100)) == 3
    some_with = select(Post.id + 200, Post.slug).where(Post.comments.any(Comment.id == 2))
    session.execute(insert(Tag).from_select(["id", "name"], some_with))
    assert session.scalar(select(func.count()).where(Tag.id > 200)) == 0


@pytest.mark.parametrize("synchronize", ["auto", "evaluate", "fetch", False])
def test_updates_synchronize(session: Session, synchronize: Any) -> None:
    """
    A bulk UPDATE updates live objects in the session, and leaves deleted ones alone.
    """
    live = session.get(Post, 1)
    dead = session.scalars(only_deleted(select(Post))).one()
    session.execute(
        update(Post).where(Post.id < 3).values(slug="new"),
        execution_options={"synchronize_session": synchronize},
    )
    assert live.slug == ("new" if synchronize else "first")
    assert dead.slug == "dead"


def test_updates_by_primary_key(session: Session) -> None:
    """
    Rows that are named by their keys are updated, as with any bulk UPDATE by key.
    """
    session.execute(update(Post), [{"id": 1, "slug": "a"}, {"id": 3, "slug": "b"}])
    assert sorted(session.scalars(select(Post.slug))) == ["a", "b", "below"]


def test_with_deleted_reaches_its_own_loaders(session: Session) -> None:
    """
    What a statement loads along is seen with the same eyes, later lazy loads are not.
    """
    statement = with_deleted(select(Post).where(Post.id == 1))
    found = session.scalars(statement.options(selectinload(Post.comments))).one()
    assert [each.text for each in found.comments] == ["live", "dead"]
    assert [each.name for each in found.tags] == ["sql"]


def test_with_deleted_propagates_when_asked(session: Session) -> None:
    """
    With propagate=True later lazy loads see deleted rows too, through several objects.
    """
    author = session.scalars(with_deleted(select(Author), propagate=True)).one()
    assert sorted(each.slug for each in author.posts) == ["dead", "first", "third"]
    first = next(each for each in author.posts if each.slug == "first")
    assert sorted(each.text for each in first.comments) == ["dead", "live"]
    assert pickle.loads(pickle.dumps(PROPAGATED)).payload == "include"


def test_session_modes(filled: Database) -> None:
    """
    A session may see deleted rows, or only these; a statement may say otherwise.
    """
    with Session(filled.engine(), info={"pgultra.deleted": "include"}) as session:
        assert session.scalar(select(func.count(Post.id))) == 4
        assert len(session.get(Post, 1).comments) == 2
        live = select(func.count(Post.id)).execution_options(**{"pgultra.deleted": "exclude"})
        assert session.scalar(live) == 3
    with Session(filled.engine()) as session:
        session.info["pgultra.deleted"] = "only"
        statement = select(Post.slug)
        for _ in range(3):
            assert session.scalars(statement).all() == ["dead"]
        session.info["pgultra.deleted"] = "sometimes"
        with pytest.raises(PgultraError, match="'sometimes'"):
            session.execute(statement)


def test_only_deleted_of_nothing() -> None:
    """
    only_deleted needs something that can be deleted.
    """
    with pytest.raises(DeclarationError, match="no class with SoftDelete"):
        only_deleted(select(Author))


def test_alive() -> None:
    """
    The live predicate can be written by hand, for anything that has a soft-deletable table.
    """
    assert str(alive(Post)) == "post.deleted_at IS NULL"
    assert str(alive(Blog)) == 'blog."deletedAt" IS NULL'
    assert str(alive(post)) == "post_1.deleted_at IS NULL"
    assert str(alive(Post.__table__.alias("p"))) == "p.deleted_at IS NULL"
    assert str(alive(Picture)) == "asset.deleted_at IS NULL"
    for wrong in (Author, Author.__table__, "post", select(Post.id).subquery()):
        with pytest.raises(DeclarationError, match="not soft-deletable"):
            alive(wrong)


def test_the_criterion_is_a_literal(filled: Database) -> None:
    """
    The partial index is used, even in a generic plan: the criterion is its very predicate.
    """
    sent: list[str] = []
    engine = filled.engine()
    event.listen(engine, "before_cursor_execute", lambda *given: sent.append(given[2]))
    with Session(engine) as session:
        session.execute(select(Post.id).where(Post.slug == bindparam("slug")), {"slug": "first"})
        query = sent[-1].replace("%(slug)s::VARCHAR", "$1")
        assert query.endswith("WHERE post.slug = $1 AND post.deleted_at IS NULL")
        session.execute(text("SET plan_cache_mode = force_generic_plan"))
        session.execute(text("SET enable_seqscan = off"))
        session.connection().exec_driver_sql(f"PREPARE query (text) AS {query}")
        plan = session.execute(text("EXPLAIN EXECUTE query ('first')")).scalars().all()
    assert "post_live_slug_key" in "\n".join(plan)


def test_a_subquery_out_of_reach(session: Session) -> None:
    """
    A subquery that SQLAlchemy does not take for one of the ORM is refused, with a way out.
    """
    hidden = select(func.count(Post.id).filter(Post.blog_id == 1))
    with pytest.raises(PgultraError, match=r"select_from\(Post\)"):
        session.execute(select(Author.name, hidden.scalar_subquery()))
    said = hidden.select_from(Post).scalar_subquery()
    assert session.execute(select(Author.name, said)).all() == [("ann", 2)]
    assert session.execute(with_deleted(select(Author.name, hidden.scalar_subquery()))).all() == [
        ("ann", 3)
    ]


def test_a_statement_is_not_changed(session: Session) -> None:
    """
    What a host passes is the host's: the filter works on a copy, and on each copy anew.
    """
    statement = select(Post.slug)
    before = str(statement)
    for _ in range(3):
        session.execute(statement)
    assert str(statement) == before
    derived = statement.where(Post.id == 1)
    assert session.scalars(derived).all() == ["first"]
    assert session.scalars(with_deleted(statement)).all() != session.scalars(statement).all()
    assert isinstance(pickle.loads(pickle.dumps(statement.__dict__[filtering.SEEN])), int)


def test_a_remembered_statement_is_let_go(session: Session) -> None:
    """
    Remembering a statement's filtered twin does not keep the statement alive.
    """
    statement = select(Post.slug)
    for _ in range(3):
        session.execute(statement)
    assert filtering.SEEN in statement.__dict__
    reference = weakref.ref(statement)
    del statement
    gc.collect()
    assert reference() is None


def test_nothing_is_compiled_twice(session: Session) -> None:
    """
    The filter does not spoil SQLAlchemy's cache of compiled statements.
    """
    compiled: list[Any] = []
    engine = session.get_bind()
    session.execute(select(Post.slug).where(Post.id == 1))
    listen = ("before_cursor_execute", lambda *given: compiled.append(given[4].cache_hit.name))
    event.listen(engine, *listen)
    for number in range(3):
        session.execute(select(Post.slug).where(Post.id == number))
    assert compiled == ["CACHE_HIT"] * 3
