"""
SoftDelete: what the automatic filter costs beside the same WHERE written by hand.

A pair of bases for each registry size: one whose models are soft-deletable, one with the
same columns and no mixin, on the same tables, so that both sides read the same rows.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from benchmarks.kernel import database
from benchmarks.measure import Bar, Figure, compare
from pgultra import SoftDelete

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fixtures.server import Server

ROWS = 20
CALLS = 200


def figures(server: Server) -> Iterator[Figure]:
    """
    All figures of the room.
    """
    with database(server, "soft_delete") as engine:
        for count in (1, 200):
            ours, plain = models(count)
            ours.metadata.create_all(engine)
            with Session(engine) as session:
                session.execute(sa.insert(ours), [{"title": f"title {n}"} for n in range(ROWS)])
                session.commit()
            with Session(engine) as session:
                yield from _reads(session, ours, plain, count)
            with engine.begin() as connection:
                connection.exec_driver_sql("SET LOCAL pgultra.hard_delete = 'on'")
                ours.metadata.drop_all(connection)


def models(count: int) -> tuple[Any, Any]:
    """
    A soft-deletable model of so many, and its twin without the mixin.
    """

    class Base(DeclarativeBase):
        pass

    class Plain(DeclarativeBase):
        pass

    def columns(number: int) -> dict[str, Any]:
        return {
            "__tablename__": f"note_{number}",
            "__annotations__": {"id": Mapped[int], "title": Mapped[str]},
            "id": mapped_column(primary_key=True),
            "title": mapped_column(),
        }

    ours = [type(f"Note{n}", (SoftDelete, Base), columns(n)) for n in range(count)]
    by_hand = columns(0)
    by_hand["__annotations__"]["deleted_at"] = Mapped[datetime | None]
    by_hand["deleted_at"] = mapped_column(sa.DateTime(timezone=True))
    plain = type("PlainNote", (Plain,), by_hand)
    sa.orm.configure_mappers()
    return ours[0], plain


def _reads(session: Session, ours: Any, plain: Any, models: int) -> Iterator[Figure]:
    def filtered() -> None:
        session.execute(sa.select(ours.id, ours.title).where(ours.id == 3)).all()

    def by_hand() -> None:
        session.execute(
            sa.select(plain.id, plain.title).where(plain.id == 3, plain.deleted_at.is_(None))
        ).all()

    yield compare(
        f"SELECT built per call, {models} soft-deletable models",
        ours=("SoftDelete", filtered),
        theirs=("WHERE by hand", by_hand),
        bar=Bar("<=", 1.05),
        rounds=21,
        inner=CALLS,
    )
    constant = sa.select(ours.id, ours.title).where(ours.id == 3)
    plain_constant = sa.select(plain.id, plain.title).where(
        plain.id == 3, plain.deleted_at.is_(None)
    )
    yield compare(
        f"SELECT as a module-level constant, {models} soft-deletable models",
        ours=("SoftDelete", lambda: session.execute(constant).all()),
        theirs=("WHERE by hand", lambda: session.execute(plain_constant).all()),
        bar=Bar("<=", 1.15),
        rounds=21,
        inner=CALLS,
    )
