"""
Removing for good, and finding rows that contradict each other.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

from pgultra import DeclarationError, PgultraError, declare
from pgultra.features.soft_delete import (
    Finding,
    Purged,
    Rules,
    SoftDelete,
    audit,
    hard_delete,
    purge,
    with_deleted,
)
from tests.features.soft_delete.sample import BLOG

if TYPE_CHECKING:
    from tests.fixtures.database import Database

Author, Blog, Post, Comment = BLOG.Author, BLOG.Blog, BLOG.Post, BLOG.Comment
Translation, Tag, Picture, Asset = BLOG.Translation, BLOG.Tag, BLOG.Picture, BLOG.Asset

NOW = timedelta(0)


def count(session: Session, *tables: str) -> list[int]:
    """
    Count the rows of tables, live and dead.
    """
    return [session.execute(text(f"SELECT count(*) FROM {table}")).scalar_one() for table in tables]


@pytest.fixture
def filled(session: Session) -> Session:
    """
    Posts with two comments, one of which has a reply, with translations and tags.
    """
    tag = Tag(id=1, name="sql")
    session.add_all(
        Post(
            id=number,
            slug=str(number),
            tags=[tag],
            comments=[
                Comment(id=number * 10, text="x", replies=[Comment(id=number * 10 + 2, text="y")]),
                Comment(id=number * 10 + 1, text="z"),
            ],
            translations=[Translation(language="de", text="t")],
        )
        for number in (1, 2, 3)
    )
    session.commit()
    return session


def kill(session: Session, *posts: int) -> None:
    """
    Delete posts, each by itself.
    """
    for number in posts:
        session.delete(session.get(Post, number))
        session.commit()


def test_hard_delete(filled: Session) -> None:
    """
    The row is gone with all below it, live and dead, and with its many-to-many rows.
    """
    first, reply = filled.get(Post, 1), filled.get(Comment, 12)
    filled.delete(filled.get(Comment, 11))
    filled.commit()
    assert hard_delete(filled, first) == 5
    assert first not in filled
    assert reply not in filled
    filled.commit()
    assert count(filled, "post", "comment", "translation", "post_tag", "tag") == [2, 6, 2, 2, 1]


def test_hard_delete_of_a_deleted_object(filled: Session) -> None:
    """
    A deleted object can be removed, in the same transaction or later.
    """
    first, second = filled.get(Post, 1), filled.get(Post, 2)
    filled.delete(first)
    assert hard_delete(filled, first) == 5
    kill(filled, 2)
    assert hard_delete(filled, second) == 5
    assert hard_delete(filled, second) == 0
    filled.commit()
    assert count(filled, "post", "comment") == [1, 3]


def test_hard_delete_can_be_rolled_back(filled: Session) -> None:
    """
    Until commit nothing is lost.
    """
    first = filled.get(Post, 1)
    hard_delete(filled, first)
    filled.rollback()
    assert first in filled
    assert count(filled, "post", "comment") == [3, 9]


def test_hard_delete_of_rows_that_are_needed(filled: Session) -> None:
    """
    A key without a cascade refuses, and the guard is up again afterwards.
    """
    filled.execute(text("CREATE TABLE note (post_id int REFERENCES post); "))
    filled.execute(text("INSERT INTO note VALUES (1)"))
    filled.commit()
    with pytest.raises(IntegrityError, match="note"):
        hard_delete(filled, filled.get(Post, 1))
    filled.rollback()
    hard_delete(filled, filled.get(Post, 2))
    with pytest.raises(IntegrityError, match="deleted softly"):
        filled.execute(text("DELETE FROM translation"))


def test_hard_delete_of_inherited_classes(session: Session) -> None:
    """
    The rows of a joined subclass go with those of its root.
    """
    session.add_all([Picture(id=1, title="sun", width=1), Asset(id=2, title="thing")])
    session.commit()
    assert hard_delete(session, session.get(Asset, 1)) == 1
    assert count(session, "asset", "picture") == [1, 0]


def test_purge(filled: Session, blog: Database) -> None:
    """
    Old deletions are removed with what went with them; live rows and new deletions stay.
    """
    kill(filled, 1, 2)
    filled.execute(text("UPDATE post SET deleted_at = now() - interval '2 days' WHERE id = 1"))
    filled.execute(
        text(
            "UPDATE comment SET deleted_at = now() - interval '2 days' WHERE post_id = 1 OR id = 12"
        )
    )
    filled.execute(
        text("UPDATE translation SET deleted_at = now() - interval '2 days' WHERE post_id = 1")
    )
    filled.commit()
    with blog.engine().connect() as connection:
        assert purge(connection, Post, older_than=timedelta(days=3)) == Purged(0, 0)
        assert purge(connection, Post, older_than=timedelta(days=1)) == Purged(5, 0)
        assert not connection.in_transaction()
    assert count(filled, "post", "comment", "translation", "post_tag") == [2, 6, 2, 2]


def test_purge_in_batches(filled: Session, blog: Database) -> None:
    """
    Each batch is committed, and told.
    """
    kill(filled, 1, 2, 3)
    told: list[Purged] = []
    with blog.engine().connect() as connection:
        done = purge(connection, Post, older_than=NOW, batch_size=2, progress=told.append)
    assert told == [Purged(10, 0), Purged(15, 0)]
    assert done == Purged(15, 0)
    assert count(filled, "post", "comment", "translation", "post_tag") == [0, 0, 0, 0]


def test_an_interrupted_purge_goes_on(filled: Session, blog: Database) -> None:
    """
    What was removed before an interruption is removed; calling again does the rest.
    """
    kill(filled, 1, 2, 3)

    def interrupt(_: Purged) -> None:
        raise KeyboardInterrupt

    with blog.engine().connect() as connection, pytest.raises(KeyboardInterrupt):
        purge(connection, Post, older_than=NOW, batch_size=1, progress=interrupt)
    assert count(filled, "post") == [2]
    filled.commit()
    with blog.engine().connect() as connection:
        assert purge(connection, Post, older_than=NOW, batch_size=1) == Purged(10, 0)


def test_purge_in_a_transaction(filled: Session, blog: Database) -> None:
    """
    In a transaction of the host, nothing is committed.
    """
    kill(filled, 1)
    with blog.engine().connect() as connection:
        connection.begin()
        assert purge(connection, Post, older_than=NOW) == Purged(5, 0)
        connection.rollback()
    assert count(filled, "post") == [3]


def test_purge_skips_what_is_needed(filled: Session, blog: Database) -> None:
    """
    Deletions that live rows or other tables refer to stay, and are counted.
    """
    kill(filled, 1, 2, 3)
    filled.execute(text("CREATE TABLE note (comment_id int REFERENCES comment)"))
    filled.execute(text("INSERT INTO note VALUES (20)"))
    filled.execute(
        text("CREATE TABLE late (post_id int REFERENCES post DEFERRABLE INITIALLY DEFERRED)")
    )
    filled.execute(text("INSERT INTO late VALUES (3)"))
    filled.commit()
    with blog.engine().connect() as connection:
        assert purge(connection, Post, older_than=NOW) == Purged(5, 2)
        assert purge(connection, Post, older_than=NOW, batch_size=1) == Purged(0, 2)
    assert filled.scalars(with_deleted(select(Post.id)).order_by(Post.id)).all() == [2, 3]


def test_purge_keeps_live_rows_below(filled: Session, blog: Database) -> None:
    """
    A live row below a deleted one keeps it from being removed.
    """
    kill(filled, 1)
    filled.execute(text("SET LOCAL session_replication_role = replica"))
    filled.execute(text("INSERT INTO comment (id, text, post_id) VALUES (99, 'live', 1)"))
    filled.commit()
    with blog.engine().connect() as connection:
        assert purge(connection, Post, older_than=NOW) == Purged(0, 1)


def test_purge_of_what_is_below(filled: Session, blog: Database) -> None:
    """
    A table in the middle can be purged by itself; a self-reference goes children first.
    """
    kill(filled, 1)
    with blog.engine().connect() as connection:
        assert purge(connection, Comment, older_than=NOW, batch_size=2) == Purged(3, 0)
    assert count(filled, "post", "comment") == [3, 6]


def test_purge_leaves_locked_rows(filled: Session, blog: Database) -> None:
    """
    A row that somebody is busy with is left for the next time, without waiting.
    """
    kill(filled, 1, 2)
    filled.execute(text("SELECT FROM post WHERE id = 1 FOR UPDATE"))
    with blog.engine().connect() as connection:
        assert purge(connection, Post, older_than=NOW) == Purged(5, 0)
        filled.rollback()
        assert purge(connection, Post, older_than=NOW) == Purged(5, 0)


def test_purge_by_the_option(session: Session, blog: Database) -> None:
    """
    The option purge_after says how old; a point in time may be given instead.
    """
    session.add_all([Blog(id=1, name="old"), Blog(id=2, name="new")])
    session.commit()
    session.execute(
        text("""UPDATE blog SET "deletedAt" = now() - interval '31 days' WHERE id = 1""")
    )
    session.execute(text("""UPDATE blog SET "deletedAt" = now() WHERE id = 2"""))
    session.commit()
    with blog.engine().connect() as connection:
        assert purge(connection, Blog) == Purged(1, 0)
        assert purge(connection, Blog, older_than=datetime(2020, 1, 1, tzinfo=UTC)) == Purged(0, 0)
        tomorrow = datetime.now(UTC) + timedelta(days=1)
        assert purge(connection, Blog, older_than=tomorrow) == Purged(1, 0)


@pytest.mark.parametrize(
    ("target", "options", "words"),
    [
        (Post, {}, "purge_after"),
        (Post, {"older_than": NOW, "batch_size": 0}, "batch_size=0"),
        (Author, {"older_than": NOW}, "not soft-deletable"),
        (Picture, {"older_than": NOW}, "name Asset"),
        ("post", {"older_than": NOW}, "neither a mapped class nor a Table"),
    ],
)
def test_purge_of_the_wrong_thing(blog: Database, target: Any, options: Any, words: str) -> None:
    """
    A target that cannot be purged is refused before anything is done.
    """
    with blog.engine().connect() as connection, pytest.raises(DeclarationError, match=words):
        purge(connection, target, **options)


def test_purge_of_core_tables(database: Database) -> None:
    """
    A Core table is purged with the tables that its rules name.
    """
    metadata = sa.MetaData()
    parent = sa.Table("parent", metadata, sa.Column("id", sa.Integer, primary_key=True))
    child = sa.Table(
        "child",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("parent_id", sa.ForeignKey("parent.id")),
    )
    declare(child, Rules())
    declare(parent, Rules(cascade=("child.parent_id",)))
    engine = database.engine()
    metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(parent.insert(), [{"id": 1}, {"id": 2}])
        connection.execute(child.insert(), [{"id": 1, "parent_id": 1}, {"id": 2, "parent_id": 2}])
        connection.execute(parent.update().where(parent.c.id == 1).values(deleted_at=sa.func.now()))
    with engine.connect() as connection:
        assert purge(connection, parent, older_than=NOW) == Purged(2, 0)


def test_purge_keeps_live_rows_that_a_foreign_key_would_take(database: Database) -> None:
    """
    ON DELETE CASCADE is no reason to lose a live row, where marking does not cascade.
    """
    metadata = sa.MetaData()
    parent = sa.Table("parent", metadata, sa.Column("id", sa.Integer, primary_key=True))
    child = sa.Table(
        "child",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("parent_id", sa.ForeignKey("parent.id", ondelete="CASCADE")),
    )
    declare(child, Rules())
    declare(parent, Rules(cascade=()))
    engine = database.engine()
    metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(parent.insert(), [{"id": 1}, {"id": 2}, {"id": 3}])
        connection.execute(child.insert(), [{"id": 1, "parent_id": 1}, {"id": 2, "parent_id": 2}])
        connection.execute(parent.update().values(deleted_at=sa.func.now()))
        connection.execute(child.update().where(child.c.id == 2).values(deleted_at=sa.func.now()))
    with engine.connect() as connection:
        assert purge(connection, parent, older_than=NOW) == Purged(3, 1)
        assert connection.execute(select(child.c.id)).scalars().all() == [1]
        assert connection.execute(select(parent.c.id)).scalars().all() == [1]


def test_rows_in_a_circle(database: Database) -> None:
    """
    Rows of two tables that point at each other go in one statement.
    """

    class Base(DeclarativeBase):
        pass

    class Left(SoftDelete, Base):
        __tablename__ = "left_side"
        id: Mapped[int] = mapped_column(primary_key=True)
        right_id: Mapped[int | None] = mapped_column(sa.ForeignKey("right_side.id"))
        rights: Mapped[list[Right]] = relationship(
            cascade="all", foreign_keys="Right.left_id", passive_deletes=True
        )

    class Right(SoftDelete, Base):
        __tablename__ = "right_side"
        id: Mapped[int] = mapped_column(primary_key=True)
        left_id: Mapped[int | None] = mapped_column(sa.ForeignKey("left_side.id", name="l"))
        lefts: Mapped[list[Left]] = relationship(
            cascade="all", foreign_keys="Left.right_id", passive_deletes=True
        )

    Base.registry.configure()
    engine = database.engine()
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.execute(text("INSERT INTO left_side (id) VALUES (1)"))
        session.execute(text("INSERT INTO right_side (id, left_id) VALUES (1, 1)"))
        session.execute(text("UPDATE left_side SET right_id = 1"))
        session.commit()
        left, right = session.get(Left, 1), session.get(Right, 1)
        session.delete(left)
        session.flush()
        assert right not in session
        assert hard_delete(session, left) == 2
        session.commit()


async def test_async(filled: Session, blog: Database) -> None:
    """
    Async sessions and connections are taken as well.
    """
    kill(filled, 1)
    engine = blog.async_engine()
    async with engine.connect() as connection:
        assert await purge(connection, Post, older_than=NOW) == Purged(5, 0)
        assert await audit(connection, Post) == []
    async with AsyncSession(engine) as session:
        second = await session.get(Post, 2)
        assert await hard_delete(session, second) == 5
        await session.commit()
    assert count(filled, "post") == [1]


def test_audit(filled: Session, blog: Database) -> None:
    """
    Rows that contradict themselves or each other are found, in all tables or in one.
    """
    filled.add(Blog(id=1, name="blog"))
    filled.commit()
    with blog.engine().connect() as connection:
        assert audit(connection, BLOG.Base) == []
        connection.execute(text("SET session_replication_role = replica"))
        for statement in (
            "ALTER TABLE blog DROP CONSTRAINT blog_soft_delete_flag",
            "UPDATE blog SET is_deleted = true",
            "UPDATE post SET deleted_at = now() WHERE id = 1",
            "UPDATE post SET deleted_by = 'ann' WHERE id = 2",
        ):
            connection.execute(text(statement))
        found = audit(connection, BLOG.Base)
        assert set(found) == {
            Finding("blog", (1,), "is_deleted and deletedAt disagree"),
            Finding("post", (1,), "deleted without a deletion_id"),
            Finding("post", (2,), "live, but has a deleted_by or deletion_id"),
            Finding("comment", (10,), "live below a deleted row of post"),
            Finding("comment", (11,), "live below a deleted row of post"),
            Finding("translation", (1, "de"), "live below a deleted row of post"),
        }
        assert audit(connection, BLOG.Base.metadata) == found
        assert len(audit(connection, Comment, limit=1)) == 1
        assert audit(connection, Tag.__table__) == audit(connection, Picture) == []
        connection.rollback()


def test_audit_of_the_wrong_thing(blog: Database) -> None:
    """
    What is not soft-deletable cannot be audited.
    """
    with blog.engine().connect() as connection, pytest.raises(PgultraError, match="soft-deletable"):
        audit(connection, Author)
