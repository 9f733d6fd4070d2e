"""
Uses of the partitions room, checked by mypy and pyright and never run.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta  # SQLAlchemy looks names up in the module
from pathlib import Path
from typing import TYPE_CHECKING, assert_never, assert_type

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


def bounds(bound: partitions.Bound) -> str:
    """
    A bound is one of four.
    """
    if isinstance(bound, partitions.RangeBound):
        return str(bound.upper)
    if isinstance(bound, partitions.ListBound):
        return str(bound.null)
    if isinstance(bound, partitions.HashBound):
        return str(bound.modulus)
    if isinstance(bound, partitions.DefaultBound):
        return bound.render()
    assert_never(bound)


def values() -> None:
    """
    What a class says, as values.
    """
    rules: partitions.Rules = ByHash("id", modulus=8)
    declare(message, rules)
    months = partitions.Grid.of("1 month", time_zone="Europe/Berlin")
    assert_type(months.cells("2026-01-01", "2026-07-01"), Iterator[partitions.RangeBound])
    partitions.Grid.of("1 month", timezone="UTC")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    wrong: partitions.Rules = months  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    declare(message, wrong)


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
    done = partitions.maintain(connection, Base, archive_to=Path("/srv"))
    assert_type(done.done, list[partitions.Action])
    assert_type(done.problems, list[partitions.Problem])
    assert_type(done.drained, list[partitions.Drained])
    assert_type(done.archived, list[partitions.Archived])
    assert_type(partitions.read_archive(done.archived[0].path), partitions.Archived)
    standing = partitions.status(connection, Base)[0]
    assert_type(standing.partitions, tuple[partitions.PartitionStatus, ...])
    assert_type(standing.partitions[0].bound, partitions.Bound)
    drained = partitions.drain_default(connection, Event, batch=500)
    assert_type(drained, tuple[partitions.Drained, ...])
    assert_type(partitions.adopt(connection, Event, dry_run=True), tuple[str, ...])
    assert_type(partitions.managed_by_partman(connection), frozenset[tuple[str, str]])
    scheduled = partitions.schedule_premake(connection, Base, schedule="@daily")
    assert_type(scheduled, tuple[str, ...])
    assert_type(partitions.unschedule_premake(connection, Base), tuple[str, ...])
    partitions.schedule_premake(connection, Base, every="1 day")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    partitions.assert_pruned(connection, statement, atmost=2)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]


def conversions(connection: Connection) -> None:
    """
    A plan, and what came of it.
    """
    plan = partitions.plan_conversion(connection, Event, way="attach")
    assert_type(plan, partitions.ConversionPlan)
    assert_type(plan.statements(), tuple[str, ...])
    assert_type(partitions.convert(connection, Event, batch=500), partitions.Converted)
    assert_type(partitions.finish_conversion(connection, Event), partitions.Converted)
    assert_type(partitions.undo_conversion(connection, Event).rows, int)
    partitions.convert(connection, Event, bach=500)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    partitions.convert(connection, plan, batch="500")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]


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
    assert_type(await partitions.convert(connection, Event), partitions.Converted)
    assert_type(await partitions.drain_default(connection, Event), tuple[partitions.Drained, ...])
