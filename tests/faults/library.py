"""
A library in which all rooms live: shelves and books, readers, loans and visits.

``library()`` gives the classes, ``filled`` puts rows in, ``contents`` reads them all back in
plain text, so that what was lost or changed shows.
"""

from __future__ import annotations

from datetime import datetime, timedelta  # SQLAlchemy reads the annotations
from functools import cache
from types import SimpleNamespace
from typing import Any

import sqlalchemy as sa
from pgvector import Vector  # noqa: TC002  # Mapped[Vector] is evaluated
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

from pgultra.features.embeddings import HNSW, Embedding, HashingEmbedder
from pgultra.features.encryption import EncryptedColumn, Equality, KeyRing
from pgultra.features.partitions import ByRange, PartitionedTable
from pgultra.features.search import SearchVector, TSVector
from pgultra.features.soft_delete import SoftDelete, SoftDeleteOptions, unique_live

ROOTS = {1: bytes(range(32)), 2: bytes(range(50, 82))}
EMBEDDER = HashingEmbedder(16)
SHELVES, BOOKS, READERS, LOANS, VISITS = 12, 120, 150, 200, 240
WORDS = [
    "river",
    "mountain",
    "harbour",
    "lantern",
    "meadow",
    "winter",
    "thunder",
    "orchard",
    "copper",
    "violet",
]


@cache
def library(active: int = 1) -> SimpleNamespace:
    """
    The classes, with the key that seals.
    """
    ring = KeyRing(f"library {active}", ROOTS, active=active)
    moment = sa.DateTime(timezone=True)

    class Base(DeclarativeBase):
        pass

    class Shelf(SoftDelete, Base):
        __tablename__ = "shelf"
        __soft_delete__ = SoftDeleteOptions(purge_after=timedelta(days=30))

        id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
        name: Mapped[str]
        books: Mapped[list[Book]] = relationship(back_populates="shelf", cascade="all")

    class Book(SoftDelete, Base):
        __tablename__ = "book"
        __table_args__ = (unique_live("title"),)
        __soft_delete__ = SoftDeleteOptions(purge_after=timedelta(days=30))

        id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
        shelf_id: Mapped[int] = mapped_column(sa.ForeignKey(Shelf.id))
        title: Mapped[str]
        body: Mapped[str]
        search: Mapped[TSVector] = SearchVector(
            {"title": "A", "body": "B"}, config="english", mode="trigger", vocabulary=True
        )
        embedding: Mapped[Vector | None] = Embedding(
            16, index=HNSW(metric="cosine"), source=("title", "body"), model=EMBEDDER.model
        )
        shelf: Mapped[Shelf] = relationship(back_populates="books")

    class Reader(Base):
        __tablename__ = "reader"

        id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
        email: Mapped[str] = EncryptedColumn(
            sa.String, keys=ring, search=Equality(normalize="casefold", unique=True)
        )

    class Loan(PartitionedTable, Base):
        __tablename__ = "loan"
        __partition_by__ = ByRange("at", every="1 month", premake=1, retain="2 months")
        __table_args__ = (sa.Index("loan_note", "note"),)

        id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
        at: Mapped[datetime] = mapped_column(moment, primary_key=True)
        note: Mapped[str]

    class Visit(PartitionedTable, Base):
        __tablename__ = "visit"
        __partition_by__ = ByRange("at", every="1 month", premake=1, default=True)

        id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
        at: Mapped[datetime] = mapped_column(moment, primary_key=True)

    found = {key: value for key, value in locals().items() if isinstance(value, type)}
    Base.registry.configure()
    return SimpleNamespace(**found, metadata=Base.metadata)


def book(number: int) -> dict[str, Any]:
    """
    A book of our own making.
    """
    words = [WORDS[(number * step + step) % len(WORDS)] for step in (1, 3, 7)]
    return {
        "id": number,
        "shelf_id": number % SHELVES,
        "title": f"{words[0]} {number}",
        "body": " ".join(words),
    }


def email(number: int) -> str:
    """
    Where a reader gets mail.
    """
    return f"Reader{number}@Example.com"


def made(engine: sa.Engine) -> None:
    """
    The tables, empty.
    """
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE EXTENSION IF NOT EXISTS vector")
        library().metadata.create_all(connection)


def filled(engine: sa.Engine) -> None:
    """
    The tables with rows: visits in the default partition, books that wait for their vectors.
    """
    made(engine)
    lib = library()
    with Session(engine) as session:
        session.add_all(lib.Shelf(id=n, name=f"shelf {n}") for n in range(SHELVES))
        session.flush()
        session.add_all(lib.Book(**book(n)) for n in range(BOOKS))
        session.add_all(lib.Reader(id=n, email=email(n)) for n in range(READERS))
        session.commit()
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO loan (id, at, note) SELECT n, date_trunc('month', now()) + n * "
            f"interval '3 hours', 'loan ' || n FROM generate_series(0, {LOANS - 1}) AS n"
        )
        connection.exec_driver_sql(
            "INSERT INTO visit (id, at) SELECT n, date_trunc('month', now()) - n * "
            f"interval '12 hours' FROM generate_series(0, {VISITS - 1}) AS n"
        )


def contents(engine: sa.Engine, active: int = 1) -> dict[str, Any]:
    """
    All rows, read as their owner reads them, those of detached partitions too.
    """
    lib = library(active)
    found: dict[str, Any] = {}
    with engine.connect() as connection:
        if not sa.inspect(connection).has_table("shelf"):
            return {}
        for table, columns in (
            (lib.Shelf, ("id", "name", "deleted_at")),
            (lib.Book, ("id", "shelf_id", "title", "body", "deleted_at")),
            (lib.Reader, ("id", "email")),
        ):
            core = table.__table__
            rows = connection.execute(sa.select(*(core.c[name] for name in columns)))
            found[core.name] = sorted(map(tuple, rows))
        for name, where in (("loan", ""), ("visit", " AND relispartition")):
            # what was detached from loan is a home still; a copy that fills is none yet
            homes = connection.scalars(
                sa.text(
                    "SELECT oid::regclass::text FROM pg_class WHERE relkind = 'r' "
                    f"AND relname ~ '^{name}_2|^{name}_default' {where}"
                )
            ).all()
            found[name] = sorted(
                tuple(row)
                for each in homes
                for row in connection.exec_driver_sql(f"SELECT id, at FROM {each}")
            )
    return found
