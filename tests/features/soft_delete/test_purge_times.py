"""
What purge makes of times: without a time zone, mixed, and infinitely long ago.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy import ForeignKey, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from pgultra.errors import DeclarationError
from pgultra.features.soft_delete import SoftDelete, purge

if TYPE_CHECKING:
    from tests.fixtures.database import Database

DEAD = (
    "INSERT INTO parent (id) VALUES (1), (2), (3);"
    "INSERT INTO child (id, parent_id) VALUES (1, 1), (2, 2);"
    "UPDATE parent SET deleted_at = now() - interval '2 days' WHERE id = 1;"
    "UPDATE parent SET deleted_at = now() - interval '2 hours' WHERE id = 2"
)


def models(*, parent: bool, child: bool) -> SimpleNamespace:
    """
    A parent and a child, whose deletion times have a time zone or have none.
    """

    class Base(DeclarativeBase):
        pass

    class Parent(SoftDelete, Base):
        __tablename__ = "parent"

        id: Mapped[int] = mapped_column(primary_key=True)
        deleted_at = mapped_column(sa.DateTime(timezone=parent))
        children: Mapped[list[Child]] = relationship(cascade="all")

    class Child(SoftDelete, Base):
        __tablename__ = "child"

        id: Mapped[int] = mapped_column(primary_key=True)
        parent_id: Mapped[int] = mapped_column(ForeignKey("parent.id"))
        deleted_at = mapped_column(sa.DateTime(timezone=child))

    return SimpleNamespace(Base=Base, Parent=Parent)


@pytest.mark.parametrize(("parent", "child"), [(False, False), (True, False), (False, True)])
@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata"])
def test_times_without_a_zone(engine: sa.Engine, parent: bool, child: bool, zone: str) -> None:
    """
    Columns with a time zone or without are compared by the database, in the session's zone.
    """
    classes = models(parent=parent, child=child)
    classes.Base.metadata.create_all(engine)
    with engine.connect() as connection:
        connection.execute(text(f"SET TimeZone = '{zone}'; {DEAD}"))
        connection.commit()
        done = purge(connection, classes.Parent, older_than=timedelta(days=1), batch_size=1)
        assert (done.removed, done.skipped) == (2, 0)
        limit = datetime.now(UTC) - timedelta(hours=1)
        done = purge(connection, classes.Parent, older_than=limit, batch_size=1)
        assert (done.removed, done.skipped) == (2, 0)
        assert connection.scalar(text("SELECT id FROM parent")) == 3


async def test_times_without_a_zone_async(database: Database) -> None:
    """
    So with asyncpg, which is strict about both.
    """
    classes = models(parent=False, child=False)
    async with database.async_engine().connect() as connection:
        await connection.run_sync(classes.Base.metadata.create_all)
        for statement in DEAD.split(";"):
            await connection.execute(text(statement))
        await connection.commit()
        done = await purge(connection, classes.Parent, older_than=timedelta(0), batch_size=1)
        assert done.removed == 4


def test_infinitely_long_ago(engine: sa.Engine) -> None:
    """
    Rows that an import marked as deleted for ever are purged.
    """
    classes = models(parent=True, child=True)
    classes.Base.metadata.create_all(engine)
    with engine.connect() as connection:
        connection.execute(
            text(
                "INSERT INTO parent (id, deleted_at) VALUES (1, '-infinity'), (2, '-infinity');"
                "INSERT INTO child (id, parent_id, deleted_at) VALUES (1, 1, '-infinity')"
            )
        )
        connection.commit()
        done = purge(connection, classes.Parent, older_than=timedelta(0), batch_size=1)
        assert (done.removed, done.skipped) == (3, 0)


def test_a_limit_without_a_zone(engine: sa.Engine) -> None:
    """
    A time that nobody can place is refused.
    """
    classes = models(parent=True, child=True)
    with engine.connect() as connection, pytest.raises(DeclarationError, match="no time zone"):
        purge(connection, classes.Parent, older_than=datetime(2026, 1, 1))  # noqa: DTZ001  # the point


def test_a_limit_that_is_no_time(engine: sa.Engine) -> None:
    """
    A number of days is said as one.
    """
    classes = models(parent=True, child=True)
    days: Any = 90
    with (
        engine.connect() as connection,
        pytest.raises(DeclarationError, match="=90 is not a timed"),
    ):
        purge(connection, classes.Parent, older_than=days)
