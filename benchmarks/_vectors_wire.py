"""
Writing and reading vectors, against pgvector's own type.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from pgvector.sqlalchemy import VECTOR
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from benchmarks._vectors import DIMENSIONS, clustered
from benchmarks.measure import Bar, Figure, compare
from pgultra.features.embeddings import Vector, VectorType, bulk_copy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROWS, TURNS = 20_000, 9
UNLIKE = "not like for like: the other side goes through the ORM"


class Base(DeclarativeBase):
    pass


class Ours(Base):
    __tablename__ = "ours"

    id: Mapped[int] = mapped_column(primary_key=True)
    embedding: Mapped[Vector] = mapped_column(VectorType(DIMENSIONS, index=None))


class Theirs(Base):
    __tablename__ = "theirs"

    id: Mapped[int] = mapped_column(primary_key=True)
    embedding: Mapped[Any] = mapped_column(VECTOR(DIMENSIONS))


class OursTold(Base):
    __tablename__ = "ours_told"

    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    embedding: Mapped[Vector] = mapped_column(VectorType(DIMENSIONS, index=None))


class TheirsTold(Base):
    __tablename__ = "theirs_told"

    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    embedding: Mapped[Any] = mapped_column(VECTOR(DIMENSIONS))


def figures(engine: sa.Engine) -> Iterator[Figure]:
    """
    Both ways, through the ORM, Core and COPY.
    """
    Base.metadata.create_all(engine)
    rows = [{"id": n, "embedding": vector} for n, vector in enumerate(clustered(ROWS, 1))]

    ready: dict[Any, list[Any]] = {}

    def settle(*models: Any) -> None:
        """
        Empty tables, new objects; what one side left to be written is not the other's business.
        """
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(sa.text("TRUNCATE ours, theirs"))
            connection.execute(sa.text("CHECKPOINT"))
        ready.clear()
        ready.update({model: [model(**row) for row in rows] for model in models})

    def add_all(model: Any) -> Callable[[], None]:
        def run() -> None:
            with Session(engine) as session:
                session.add_all(ready.pop(model))
                session.commit()

        return run

    def core() -> None:
        with engine.begin() as connection:
            connection.execute(sa.insert(Ours.__table__), rows)

    def copy() -> None:
        with engine.begin() as connection:
            bulk_copy(connection, Ours, rows)

    sides: dict[str, tuple[Callable[[], None], float, str, tuple[Any, ...]]] = {
        "ORM add_all": (add_all(Ours), 5.5, "", (Ours, Theirs)),
        "Core executemany": (core, 15, UNLIKE, (Theirs,)),
        "bulk_copy": (copy, 35, UNLIKE, (Theirs,)),
    }
    for name, (call, limit, note, models) in sides.items():
        yield compare(
            f"{name} of {ROWS} x {DIMENSIONS}",
            ours=(f"pgultra, {name}", call),
            theirs=("pgvector's type, add_all", add_all(Theirs)),
            bar=Bar(">=", limit),
            note=note,
            rounds=TURNS,
            warm_up=1,
            inverse=True,
            before=partial(settle, *models),
        )
    settle()
    told = [{**row, "title": f"title {row['id']}"} for row in rows]
    with engine.begin() as connection:
        for model in (Ours, Theirs):
            bulk_copy(connection, model, rows)
        for model in (OursTold, TheirsTold):
            bulk_copy(connection, model, told)
    rows.clear()  # or the garbage collector goes through them while others are read
    told.clear()

    def read(model: Any) -> Callable[[], None]:
        def run() -> None:
            with Session(engine) as session:
                session.scalars(sa.select(model)).all()

        return run

    for ours, theirs, word, bar in (
        (Ours, Theirs, "", Bar(">=", 7)),
        (OursTold, TheirsTold, ", with a text column", None),
    ):
        yield compare(
            f"ORM read of {ROWS} x {DIMENSIONS}{word}",
            ours=("pgultra", read(ours)),
            theirs=("pgvector's type", read(theirs)),
            bar=bar,
            rounds=11,
            inverse=True,
        )
