"""
What a bulk statement reaches: its target, its options, its database and its subqueries.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy import delete, func, insert, literal, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session, aliased, with_loader_criteria

from pgultra import PgultraError
from pgultra.features.soft_delete import with_deleted
from tests.features.soft_delete.sample import BLOG

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fixtures.database import Database

Author, Post, Comment, Tag = BLOG.Author, BLOG.Post, BLOG.Comment, BLOG.Tag

ROWS = """
INSERT INTO author VALUES (1, 'ann'), (2, 'bob');
INSERT INTO post (id, slug, author_id, deleted_at)
    VALUES (1, 'first', 1, NULL), (2, 'dead', 1, now()), (3, 'third', 2, NULL);
INSERT INTO comment (id, text, post_id) VALUES (1, 'one', 1), (3, 'three', 3);
"""


@pytest.fixture
def filled(session: Session) -> Session:
    """
    Two authors, two live posts and a deleted one, a comment for each live one.
    """
    session.execute(text(ROWS))
    session.commit()
    return session


def live(session: Session, cls: Any = Post) -> list[int]:
    """
    The keys of live rows, as the database has them.
    """
    found = f"SELECT id FROM {cls.__tablename__} WHERE deleted_at IS NULL ORDER BY id"
    return list(session.scalars(text(found)))


def test_a_delete_of_an_alias(filled: Session) -> None:
    """
    It marks the rows that the condition on the alias chooses, and no others.
    """
    post, other = aliased(Post), aliased(Post)
    later = select(other.id).where(other.id > post.id, other.author_id == 2).exists()
    filled.execute(delete(post).where(post.slug == "first", later))
    assert live(filled) == [3]
    assert live(filled, Comment) == [3]
    with pytest.raises(PgultraError, match=r"write delete\(Post\)"):
        filled.execute(delete(post).returning(post.id))


def test_an_update_of_an_alias_is_refused(filled: Session) -> None:
    """
    SQLAlchemy would put the criterion on a second table; with_deleted says that it is not wanted.
    """
    post = aliased(Post)
    statement = update(post).where(post.slug == "dead").values(slug="x")
    with pytest.raises(PgultraError, match=r"write update\(Post\)"):
        filled.execute(statement)
    filled.execute(with_deleted(statement).execution_options(synchronize_session=False))
    assert filled.scalar(text("SELECT slug FROM post WHERE id = 2")) == "x"


def test_a_deletes_own_criteria(filled: Session) -> None:
    """
    Somebody else's with_loader_criteria, such as a tenant's, holds for the rows to mark.
    """
    mine = with_loader_criteria(Post, lambda cls: cls.author_id == 2, include_aliases=True)
    filled.execute(delete(Post).options(mine))
    assert live(filled) == [1]
    filled.execute(delete(Post).options(with_loader_criteria(Post, Post.slug == "none")))
    assert live(filled) == [1]


def test_a_delete_in_another_database(
    filled: Session, new_database: Callable[[], Database]
) -> None:
    """
    bind_arguments say where; the objects that leave the session are asked for there too.
    """
    other = new_database().engine()
    BLOG.Base.metadata.create_all(other)
    bind = {"bind": other}
    with Session(other) as elsewhere:
        elsewhere.execute(text(ROWS))
        elsewhere.commit()
        held = filled.scalars(
            select(Comment).where(Comment.id == 3), bind_arguments=dict(bind)
        ).one()
        filled.execute(delete(Post).where(Post.id == 3), bind_arguments=dict(bind))
        assert held not in filled
        filled.commit()
        assert live(elsewhere) == [1]
        assert live(elsewhere, Comment) == [1]
    assert live(filled) == [1, 3]
    assert live(filled, Comment) == [1, 3]


def posts() -> Any:
    """
    How many posts there are.
    """
    return select(sa.cast(func.count(Post.id), sa.Text)).scalar_subquery()


def hidden() -> Any:
    """
    The same, in a form that SQLAlchemy does not find the entity in before 2.1.
    """
    return select(sa.cast(func.count(), sa.Text)).where(Post.id > 0).scalar_subquery()


STATEMENTS: dict[str, Callable[[Any], Any]] = {
    "values": lambda n: update(Author).where(Author.id == 1).values(name=n),
    "values, all rows": lambda n: update(Author).values(name=n),
    "values in order": lambda n: update(Author).ordered_values((Author.name, n)),
    "a table": lambda n: update(Author.__table__).values(name=n),
    "returning": lambda n: update(Author).values(name="x").returning(n),
    "insert": lambda n: insert(Author).values(id=9, name=n),
    "insert, several": lambda n: insert(Author).values(
        [{"id": 8, "name": n}, {"id": 9, "name": "y"}]
    ),
    "insert into a table": lambda n: insert(Author.__table__).values(id=9, name=n),
    "insert, returning": lambda n: insert(Author).values(id=9, name="x").returning(n),
    "insert or update": lambda n: (
        upsert(Author)
        .values(id=1, name="x")
        .on_conflict_do_update(index_elements=["id"], set_={"name": n}, where=n == "2")
    ),
    "insert from": lambda n: insert(Author).from_select(["id", "name"], select(literal(9), n)),
    "delete": lambda n: delete(Tag).where(Tag.name == n).returning(n),
}


@pytest.mark.parametrize("count", [posts, hidden])
@pytest.mark.parametrize("name", STATEMENTS)
def test_subqueries(filled: Session, name: str, count: Callable[[], Any]) -> None:
    """
    A subquery counts live rows, wherever in the statement it stands, also from the cache.
    """
    filled.execute(text("INSERT INTO tag VALUES (2, '2'), (3, '3')"))
    filled.commit()
    for _ in range(2):
        result: Any = filled.execute(
            STATEMENTS[name](count()), execution_options={"synchronize_session": False}
        )
        seen = set(result.scalars()) if "returning" in name or name == "delete" else set()
        seen.update(filled.scalars(text("SELECT name FROM author")))
        assert "2" in seen
        assert "3" not in seen
        filled.rollback()


def test_plain_inserts_are_left_as_they_are(filled: Session) -> None:
    """
    Nothing is added to an INSERT without a subquery, nor to an UPDATE by primary keys.
    """
    filled.execute(insert(Tag), [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}])
    filled.execute(insert(Tag).values(id=3, name="c"))
    filled.execute(update(Tag), [{"id": 1, "name": "x"}])
    assert list(filled.scalars(select(Tag.name).order_by(Tag.id))) == ["x", "b", "c"]


async def test_async(blog: Database) -> None:
    """
    An async session does the same.
    """
    async with AsyncSession(blog.async_engine()) as session:
        for statement in ROWS.split(";")[:-1]:
            await session.execute(text(statement))
        await session.execute(update(Author).values(name=posts()))
        assert set(await session.scalars(select(Author.name))) == {"2"}
        post = aliased(Post)
        await session.execute(delete(post).where(post.slug == "first"))
        assert list(await session.scalars(select(Post.id))) == [3]
        await session.rollback()


def test_changes_in_a_cte(filled: Session) -> None:
    """
    A SELECT may stand on an UPDATE or INSERT, of live rows, and of classes without SoftDelete.
    """
    changed = update(Post).values(slug=Post.slug + "!").returning(Post.id).cte()
    assert sorted(filled.scalars(select(changed.c.id))) == [1, 3]
    named = update(Author).values(name="x").returning(Author.id).cte()
    joined = select(Post.id).join(named, named.c.id == Post.author_id)
    assert sorted(filled.scalars(joined)) == [1, 3]
    made = insert(Tag).values(id=1, name="new").returning(Tag.id).cte()
    assert list(filled.scalars(select(made.c.id))) == [1]
    gone = delete(Author).where(Author.id.not_in(select(Post.author_id))).returning(Author.id)
    assert list(filled.scalars(select(gone.cte().c.id))) == []
    counted = update(Author).values(name=posts()).returning(Author.name).cte()
    assert set(filled.scalars(select(counted.c.name))) == {"2"}


def test_changes_in_a_cte_that_are_refused(filled: Session) -> None:
    """
    A DELETE there would be a real one, and some UPDATEs cannot be filtered.
    """
    gone = delete(Comment).where(Comment.id == 1).returning(Comment.id).cte()
    for statement in (
        select(gone.c.id),
        insert(Tag).from_select(["id", "name"], select(gone.c.id, literal("x"))),
    ):
        with pytest.raises(PgultraError, match=r"delete\(Comment\) in a CTE"):
            filled.execute(statement)
    post, picture = aliased(Post), BLOG.Picture
    for change in (
        update(post).values(slug="x").returning(post.id),
        update(picture).values(width=1).returning(picture.width),
        update(Author).where(Author.id == Post.author_id).values(name="x").returning(Author.id),
    ):
        with pytest.raises(PgultraError, match="in a CTE"):
            filled.execute(select(change.cte()))
    assert live(filled, Comment) == [1, 3]


def test_objects_from_a_statement(filled: Session) -> None:
    """
    from_statement() takes an INSERT or UPDATE; a DELETE of soft-deletable rows it cannot mark.
    """
    made = insert(Author).values(id=9, name=posts()).returning(Author)
    assert [each.name for each in filled.scalars(select(Author).from_statement(made))] == ["2"]
    changed = update(Post).values(slug=Post.slug + "!").returning(Post)
    found = filled.scalars(select(Post).from_statement(changed))
    assert sorted(each.slug for each in found) == ["first!", "third!"]
    gone = delete(Post).where(Post.id == 1).returning(Post)
    with pytest.raises(PgultraError, match=r"execute delete\(Post\)"):
        filled.scalars(select(Post).from_statement(gone))
    assert live(filled) == [1, 3]
