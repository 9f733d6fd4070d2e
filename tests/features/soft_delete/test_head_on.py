"""
Two sessions of the ORM that meet head-on, step by step: the one waits, and none has to give up.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from sqlalchemy import text
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

from pgultra.features.soft_delete import SoftDelete

if TYPE_CHECKING:
    from concurrent.futures import Future

    from tests.fixtures.database import Database


class Base(DeclarativeBase):
    """
    Tasks below tasks, and below projects.
    """


class Project(SoftDelete, Base):
    """
    Above tasks of all levels.
    """

    __tablename__ = "project"
    id: Mapped[int] = mapped_column(primary_key=True)
    tasks: Mapped[list[Task]] = relationship(cascade="all", passive_deletes=True)


class Task(SoftDelete, Base):
    """
    Below another task, a project, both or none.
    """

    __tablename__ = "task"
    id: Mapped[int] = mapped_column(primary_key=True)
    count: Mapped[int] = mapped_column(default=0)
    project_id: Mapped[int | None] = mapped_column(sa.ForeignKey("project.id"), index=True)
    up: Mapped[int | None] = mapped_column(sa.ForeignKey("task.id"), index=True)
    tasks: Mapped[list[Task]] = relationship(cascade="all", passive_deletes=True)
    notes: Mapped[list[Note]] = relationship(cascade="all", passive_deletes=True)


class Note(SoftDelete, Base):
    """
    Below a task.
    """

    __tablename__ = "note"
    id: Mapped[int] = mapped_column(primary_key=True)
    task_id: Mapped[int] = mapped_column(sa.ForeignKey("task.id"), index=True)


Base.registry.configure()


class Deleter:
    """
    A session in a thread of its own, which deletes one object.
    """

    def __init__(self, engine: sa.Engine, entity: type[Project | Task], key: int) -> None:
        self.session = Session(engine)
        self.pid = self.session.scalar(text("SELECT pg_backend_pid()"))
        self.doomed = self.session.get_one(entity, key)
        self.pool = ThreadPoolExecutor(1)

    def __enter__(self) -> Deleter:
        return self

    def __exit__(self, *details: object) -> None:
        self.pool.shutdown()
        self.session.close()

    def begins(self, watcher: sa.Connection) -> Future[None]:
        """
        Delete it, and come to where somebody else is waited for.
        """
        self.session.delete(self.doomed)
        future = self.pool.submit(self.session.commit)
        for _ in range(2000):
            blocked = "SELECT cardinality(pg_blocking_pids(:pid)) > 0"
            if watcher.scalar(text(blocked), {"pid": self.pid}):
                return future
            assert not future.done(), "did not wait"
            time.sleep(0.01)
        pytest.fail("neither waits nor ends")


def watching(engine: sa.Engine) -> sa.Connection:
    return engine.connect().execution_options(isolation_level="AUTOCOMMIT")


def dead(engine: sa.Engine, table: str) -> list[int]:
    with engine.connect() as connection:
        found = text(f"SELECT id FROM {table} WHERE deleted_at IS NOT NULL ORDER BY id")
        return list(connection.scalars(found))


def test_who_adds_a_child_updates_the_parent_next(database: Database) -> None:
    """
    A counter in the parent, as everybody has one: its row is waited for once, not by halves.
    """
    engine = database.engine()
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add(Task(id=1))
        session.commit()
    with (
        watching(engine) as watcher,
        Deleter(engine, Task, 1) as deleter,
        engine.connect() as writer,
    ):
        writer.execute(text("INSERT INTO note (id, task_id) VALUES (1, 1)"))
        future = deleter.begins(watcher)
        writer.execute(text("UPDATE task SET count = count + 1 WHERE id = 1"))
        writer.commit()
        future.result(timeout=20)
    assert (dead(engine, "task"), dead(engine, "note")) == ([1], [1])
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT count FROM task")) == 1


def test_one_goes_down_a_tree_and_another_comes_in_from_the_side(database: Database) -> None:
    """
    A project takes tasks of several levels at once, in the order of their keys.
    """
    engine = database.engine()
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add_all([Project(id=1), Task(id=5, project_id=1)])
        session.flush()
        session.add_all([Task(id=2, up=5), Task(id=3, up=5, project_id=1)])
        session.commit()
    with (
        watching(engine) as watcher,
        Deleter(engine, Task, 5) as down,
        Deleter(engine, Project, 1) as aside,
        engine.connect() as holder,
    ):
        holder.execute(text("SELECT FROM task WHERE id = 2 FOR UPDATE"))
        first = down.begins(watcher)  # has 5, and would have 2 and then 3
        second = aside.begins(watcher)  # would have 3 and then 5
        holder.rollback()
        first.result(timeout=20)
        second.result(timeout=20)
    assert (dead(engine, "project"), dead(engine, "task")) == ([1], [2, 3, 5])
