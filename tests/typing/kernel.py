"""
Uses of nouns, plans and the door of tests, checked by mypy and pyright and never run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_type

from sqlalchemy import Column, Connection, Integer, MetaData, Table, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

import pgultra
from pgultra import Check, Extension, Function, Schema, Trigger, View, declare, plan

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection


class Base(DeclarativeBase):
    """
    A plain declarative base.
    """


class Visit(Base):
    """
    What objects are declared on.
    """

    __tablename__ = "visit"

    id: Mapped[int] = mapped_column(primary_key=True)


TABLE = Table("visit", MetaData(), Column("id", Integer))


def nouns() -> None:
    """
    Objects are values: typed by field, and frozen.
    """
    touch = Function(
        name="touch", body="begin return new; end", settings=(("search_path", "pg_catalog"),)
    )
    assert_type(touch.volatility, str)
    trigger = Trigger(
        name="visit_touch", table="visit", timing="BEFORE", events=("UPDATE",), function="touch"
    )
    assert_type(trigger.events, tuple[str, ...])
    declare(TABLE, trigger, Check(name="visit_sane", table="visit", condition="id > 0"))
    declare(Visit, touch)
    declare(Base.metadata, View(name="visits", query="SELECT 1"))
    assert_type(View(name="visits", query=select(TABLE.c.id)).query, str)
    View(name="visits", query=1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    declare(Base, Schema(name="shop"), Extension(name="hstore"))
    touch.name = "other"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    Function(name="touch", body=7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Function(name="touch", body="x", volatile=True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Trigger(name="visit_touch", table="visit")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    declare(TABLE, "touch")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    declare(TABLE, pgultra.softdelete)  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]


def plans(connection: Connection) -> None:
    """
    A plan is asked, applied, and is empty or not.
    """
    found = plan.check(connection, Base.metadata)
    assert_type(found, plan.Plan)
    assert_type(found.steps, tuple[plan.Step, ...])
    assert_type(plan.collect(Base.metadata), plan.State)
    assert_type(plan.facts_of(TABLE), plan.Facts)
    plan.apply(found, connection, keep_used=True)
    plan.apply(connection, found)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    plan.check(connection, Base)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    plan.check(connection, Base.metadata, schema="x")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]


async def plans_asynchronously(connection: AsyncConnection) -> None:
    """
    The same by await.
    """
    assert_type(await plan.check(connection, Base.metadata), plan.Plan)
