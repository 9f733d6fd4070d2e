"""
What stands beside the library only to be read: stories with pages, members, journeys, tides.

Another application's, so that the library's own check passes it over: a table of chunks, a view
of live rows, a column that is being sealed, a table that is yet to be divided, and one that
pg_partman divides.
"""

from __future__ import annotations

from datetime import datetime  # noqa: TC003  # SQLAlchemy reads the annotations
from typing import Any

import sqlalchemy as sa
from pgvector import Vector  # noqa: TC002  # Mapped[Vector] is evaluated
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from pgultra.features.embeddings import HNSW, Embedding
from pgultra.features.encryption import EncryptedColumn, KeyRing, Prefix
from pgultra.features.partitions import ByRange, PartitionedTable
from pgultra.features.soft_delete import SoftDelete, SoftDeleteOptions
from tests.faults.library import EMBEDDER, ROOTS, book
from tests.features.partitions.upkeep_stage import PARTMAN_TYPE

STORIES, PAGES, MEMBERS, JOURNEYS = 20, 3, 30, 40
RING = KeyRing("annex", ROOTS, active=1)


class Base(DeclarativeBase):
    metadata = sa.MetaData(info={"pgultra.app": "annex"})


class Story(SoftDelete, Base):
    __tablename__ = "story"
    __soft_delete__ = SoftDeleteOptions(view=True)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    title: Mapped[str]


class Page(Base):
    __tablename__ = "page"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    story_id: Mapped[int] = mapped_column(sa.ForeignKey(Story.id))
    embedding: Mapped[Vector] = Embedding(16, index=HNSW(metric="cosine"))


class Member(Base):
    __tablename__ = "member"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    plain: Mapped[str]
    name: Mapped[str | None] = EncryptedColumn(
        sa.String, keys=RING, name="sealed", dual="plain", search=Prefix(3)
    )


class Journey(PartitionedTable, Base):
    __tablename__ = "journey"
    __partition_by__ = ByRange("at", every="1 month", premake=1)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True), primary_key=True)


def member(number: int) -> str:
    """
    What a member is called.
    """
    return f"{'ann' if number % 2 else 'bob'} {number}"


def filled(engine: sa.Engine) -> None:
    """
    The tables with rows; two stories are deleted, and one member is not sealed.
    """
    tables: list[Any] = [Story.__table__, Page.__table__, Member.__table__]
    with engine.begin() as connection:
        Base.metadata.create_all(connection, tables=tables)
        connection.exec_driver_sql(
            "CREATE TABLE journey (id integer, at timestamptz, PRIMARY KEY (id, at))"
        )
        connection.exec_driver_sql(
            "INSERT INTO journey SELECT n, date_trunc('month', now()) - n * interval '2 days' "
            f"FROM generate_series(1, {JOURNEYS}) AS n"
        )
        connection.exec_driver_sql("INSERT INTO member (id, plain) VALUES (1000, 'not yet')")
    with Session(engine) as session:
        session.add_all(Story(id=n, title=f"story {n}") for n in range(STORIES))
        session.flush()
        vectors = EMBEDDER.embed([book(n)["body"] for n in range(STORIES * PAGES)])
        session.add_all(
            Page(id=n, story_id=n // PAGES, embedding=vector) for n, vector in enumerate(vectors)
        )
        session.add_all(Member(id=n, plain=member(n), name=member(n)) for n in range(MEMBERS))
        session.commit()
        for number in (3, 8):
            session.delete(session.get_one(Story, number))
        session.commit()


def divided_by_partman(engine: sa.Engine) -> None:
    """
    A table that pg_partman looks after, where the server has it.
    """
    there = "SELECT count(*) FROM pg_available_extensions WHERE name = 'pg_partman'"
    with engine.begin() as connection:
        if connection.exec_driver_sql(there).scalar_one():
            connection.exec_driver_sql(
                "CREATE SCHEMA partman; CREATE EXTENSION pg_partman SCHEMA partman;"
                "CREATE TABLE tide (at timestamptz NOT NULL) PARTITION BY RANGE (at);"
                "SELECT partman.create_parent('public.tide', 'at', p_interval := '1 month',"
                f" p_premake := 2, p_type := {PARTMAN_TYPE})"
            )
