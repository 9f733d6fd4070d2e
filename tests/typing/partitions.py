"""
Uses of the partitions room, checked by mypy and pyright and never run.
"""

from __future__ import annotations

from datetime import datetime, timedelta  # SQLAlchemy looks names up in the module
from typing import TYPE_CHECKING, assert_type

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, MappedAsDataclass, mapped_column

from pgultra import ByHash, ByList, ByRange, PartitionedTable, declare, partitions

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import AsyncConnection


class Base(DeclarativeBase):
    """
    A plain declarative base.
    """


class DataBase(MappedAsDataclass, DeclarativeBase):
    """
    Dataclasses.
    """


class Event(PartitionedTable, Base):
    """
    Every option of a range, and a level below.
    """

    __tablename__ = "event"
    __partition_by__ = ByRange(
        "occurred_at",
        every="1 month",
        premake=3,
        retain=timedelta(days=365),
        on_expire="archive",
        archive="attic",
        time_zone="Europe/Berlin",
        default=True,
        storage={"fillfactor": 70},
        then=ByHash("id", modulus=4),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    occurred_at: Mapped[datetime] = mapped_column(primary_key=True)


class Audit(PartitionedTable, DataBase):
    """
    A dataclass.
    """

    __tablename__ = "audit"
    __partition_by__ = ByList("action", {"auth": ("LOGIN", "LOGOUT"), "rest": (None,)})

    id: Mapped[int] = mapped_column(primary_key=True)
    action: Mapped[str] = mapped_column(primary_key=True, default="LOGIN")


assert_type(Audit(id=1).action, str)

message = sa.Table("message", sa.MetaData(), sa.Column("id", sa.BigInteger, primary_key=True))
declare(message, ByHash(message.c.id, modulus=8))
ByRange("id", every=1_000, start=0, retain=10_000)
ByRange("name", bounds=(None, "m", None))

ByRange("at", evry="1 month")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
ByHash("id", modulos=8)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
ByList("action")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
ByHash("id", modulus="8")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def with_connection(connection: Connection) -> None:
    """
    What does I/O gives its result.
    """
    assert_type(partitions.plan(connection, Base), partitions.MaintenancePlan)
    assert_type(partitions.maintain(connection, Base), partitions.Maintained)
    assert_type(partitions.status(connection, Base), tuple[partitions.TableStatus, ...])
    statement = sa.select(Event)
    assert_type(partitions.partitions_touched(connection, statement), dict[str, tuple[str, ...]])
    partitions.assert_pruned(connection, statement, at_most=2)
    partitions.assert_pruned(connection, statement, atmost=2)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]


async def with_async_connection(connection: AsyncConnection) -> None:
    """
    The same by await.
    """
    assert_type(await partitions.maintain(connection, Base), partitions.Maintained)
    assert_type(
        await partitions.partitions_touched(connection, sa.select(Event)),
        dict[str, tuple[str, ...]],
    )
    await partitions.assert_pruned(connection, sa.select(Event))
