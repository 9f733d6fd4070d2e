"""
The room's sample: tables divided in every way, with foreign keys to and from them.
"""

from __future__ import annotations

from datetime import datetime  # noqa: TC003  # SQLAlchemy looks names up in the module
from types import SimpleNamespace
from typing import TYPE_CHECKING
from uuid import UUID  # noqa: TC003  # Mapped[UUID] is evaluated

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from pgultra.features.partitions import ByHash, ByList, ByRange, PartitionedTable
from pgultra.plan import declare

if TYPE_CHECKING:
    from collections.abc import Callable


def build(schema: str | None = None, name: Callable[[str], str] = str) -> sa.MetaData:
    """
    The sample's tables in a MetaData of its own.
    """
    metadata: sa.MetaData = models(schema, name).Base.metadata
    return metadata


def models(schema: str | None = None, name: Callable[[str], str] = str) -> SimpleNamespace:
    """
    The sample's classes.

    Events are divided by month, an audit by action, messages by hash, visits on two levels;
    events point at an author, and notes point at events.
    """
    spelt, place = name, {"schema": schema}
    moment = sa.DateTime(timezone=True)

    class Base(DeclarativeBase):
        pass

    class Author(Base):
        __tablename__ = spelt("author")
        __table_args__ = place

        id: Mapped[int] = mapped_column(spelt("id"), primary_key=True, autoincrement=False)

    class Event(PartitionedTable, Base):
        __tablename__ = spelt("event")
        __partition_by__ = ByRange("occurred_at", every="1 month", premake=2, retain="12 months")
        __table_args__ = (
            sa.Index(spelt("event_author"), spelt("author_id")),
            sa.CheckConstraint("7 > 5", name=spelt("event_sane")),
            place,
        )

        id: Mapped[int] = mapped_column(
            spelt("id"), sa.BigInteger, primary_key=True, autoincrement=False
        )
        occurred_at: Mapped[datetime] = mapped_column(spelt("at"), moment, primary_key=True)
        author_id: Mapped[int] = mapped_column(spelt("author_id"), sa.ForeignKey(Author.id))
        length: Mapped[int] = mapped_column(
            spelt("length") if "%" not in spelt("length") else "length",
            sa.Computed("7 * 6", persisted=True),
        )

    class Note(Base):
        __tablename__ = spelt("note")
        __table_args__ = (
            sa.ForeignKeyConstraint(
                [spelt("event_id"), spelt("event_at")],
                [Event.__table__.c[spelt("id")], Event.__table__.c[spelt("at")]],
                name=spelt("note_event"),
            ),
            place,
        )

        id: Mapped[int] = mapped_column(spelt("id"), primary_key=True, autoincrement=False)
        event_id: Mapped[int] = mapped_column(spelt("event_id"), sa.BigInteger)
        event_at: Mapped[datetime] = mapped_column(spelt("event_at"), moment)

    class Audit(PartitionedTable, Base):
        __tablename__ = spelt("audit")
        __partition_by__ = ByList(
            "action",
            {spelt("auth"): ("LOGIN", "LOGOUT"), "rest": ("it's", None)},
            default=True,
            storage={"fillfactor": 70},
        )
        __table_args__ = place
        __mapper_args__ = {"primary_key": ["id"]}  # noqa: RUF012  # as SQLAlchemy has it

        id: Mapped[int] = mapped_column(spelt("id"), sa.BigInteger)
        action: Mapped[str | None] = mapped_column(spelt("action"), sa.Text)

    message = sa.Table(
        spelt("message"),
        Base.metadata,
        sa.Column(spelt("talk_id"), sa.Uuid, primary_key=True),
        sa.Column(spelt("id"), sa.BigInteger, primary_key=True, autoincrement=False),
        **place,
    )
    declare(message, ByHash(spelt("talk_id"), modulus=3))

    class Visit(PartitionedTable, Base):
        __tablename__ = spelt("visit")
        __partition_by__ = ByRange(
            "id", every="week", premake=1, time_zone="America/New_York", then=ByHash("site", 2)
        )
        __table_args__ = place

        id: Mapped[UUID] = mapped_column(spelt("id"), primary_key=True)
        site: Mapped[int] = mapped_column(spelt("site"), primary_key=True, autoincrement=False)

    found = {key: value for key, value in locals().items() if isinstance(value, type)}
    return SimpleNamespace(**found, message=message)


DIVIDED = models()
