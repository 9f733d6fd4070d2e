"""
Uses of nouns, plans, errors and the door of tests, checked by mypy and pyright and never run.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, assert_type

import sqlalchemy as sa
from sqlalchemy import Column, Connection, Engine, Integer, MetaData, Table, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

import pgultra
from pgultra import (
    Check,
    ConflictingObjects,
    DeclarationError,
    DecryptionError,
    DriftError,
    EncryptionError,
    Extension,
    Function,
    Index,
    MissingExtension,
    PgultraError,
    PgultraWarning,
    RestoreConflict,
    Schema,
    Trigger,
    UnsupportedServer,
    View,
    declare,
    objects,
    plan,
)
from pgultra.errors import sqlstate_of
from pgultra.integrations.pytest import assert_no_drift
from pgultra.objects import DatabaseObject

if TYPE_CHECKING:
    from sqlalchemy.exc import DBAPIError
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine


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
    unique = Index(name="visit_day", table="visit", definition="(day)", unique=True)
    declare(TABLE, unique, Index.of(sa.Index("visit_id", TABLE.c.id), concurrently=True))
    assert_type(unique.unique, bool)
    Index(name="visit_day", table="visit")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    declare(TABLE, pgultra.softdelete)  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]


def every_noun(noun: DatabaseObject) -> None:
    """
    What all have, and the nouns that rooms make.
    """
    assert_type(objects.KINDS, Sequence[type[DatabaseObject]])
    assert_type(noun.identity, objects.Identity)
    assert_type(noun.identity.schema, str | None)
    assert_type(noun.mark, objects.Mark | None)
    assert_type(objects.Mark.parse("text"), tuple[str | None, objects.Mark | None])
    assert_type(noun.phase, objects.Phase)
    advice = objects.Advice(noun.identity, "fill it")
    assert_type(advice.text, str)
    scope = objects.Scope(application="shop", default_schema="public")
    assert_type(noun.canonical(scope), DatabaseObject)
    day = objects.Generation(name="day", table="visit", type="date", expression="at::date")
    assert_type(day.indexes, tuple[Index, ...])
    parts = objects.Partitioning(name="visit", table="visit", strategy="hash", key=("id",))
    assert_type(parts.key, tuple[str, ...])


class Room:
    """
    What declares objects of a table needs a name and the objects, and no base class.
    """

    room = "visits"

    def objects(self, table: Any) -> Iterable[DatabaseObject]:
        """
        None.
        """
        return ()


def declarations() -> None:
    """
    What is declared can be asked for.
    """
    declared: plan.Declaration = Room()
    declare(TABLE, declared)
    found = plan.declarations(TABLE)
    assert_type(found, tuple[plan.Declaration | DatabaseObject, ...])
    assert_type(plan.facts_of(TABLE).live, plan.Live | None)
    assert_type(plan.application_of(Base.metadata), str)
    assert_type(plan.function_name(Base.metadata, "visits", "touch"), str)
    wrong: plan.Declaration = Base  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    declare(TABLE, wrong)


def plans(connection: Connection) -> None:
    """
    A plan is asked, applied, and is empty or not.
    """
    found = plan.check(connection, Base.metadata)
    assert_type(found, plan.Plan)
    assert_type(found.steps, tuple[plan.Step, ...])
    assert_type(plan.collect(Base.metadata), plan.State)
    assert_type(plan.facts_of(TABLE), plan.Facts)
    assert_type(plan.sorted_plan(found), plan.Plan)
    plan.apply(found, connection, keep_used=True)
    plan.apply(connection, found)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    plan.check(connection, Base)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    plan.check(connection, Base.metadata, schema="x")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]


def plans_by_hand(connection: Connection) -> None:
    """
    The steps that a check takes.
    """
    desired = plan.collect(Base.metadata)
    scope = plan.scope_of(connection, [Base.metadata], desired, application="shop")
    assert_type(scope, objects.Scope)
    actual = plan.read(connection, scope)
    assert_type(actual, plan.State)
    assert_type(plan.compare(desired, actual), plan.Plan)
    plan.compare(desired, scope)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def plans_asynchronously(connection: AsyncConnection) -> None:
    """
    The same by await.
    """
    assert_type(await plan.check(connection, Base.metadata), plan.Plan)


def drift(engine: Engine, connection: Connection) -> None:
    """
    The assertion takes what a test has.
    """
    assert_no_drift(engine, Base)
    assert_no_drift(connection, [Base.metadata])
    assert_no_drift("postgresql://", Base)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    assert_no_drift(engine)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]


async def drift_asynchronously(engine: AsyncEngine, connection: AsyncConnection) -> None:
    """
    The same by await.
    """
    await assert_no_drift(engine, Base)
    await assert_no_drift(connection, Base.metadata)


TREE: tuple[type[PgultraError], ...] = (
    ConflictingObjects,
    DeclarationError,
    DecryptionError,
    DriftError,
    EncryptionError,
    MissingExtension,
    RestoreConflict,
    UnsupportedServer,
)
WARNING: type[UserWarning] = PgultraWarning
NO_ERROR: type[PgultraError] = PgultraWarning  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
ALSO: tuple[type[ValueError], type[AssertionError]] = (DeclarationError, DriftError)


def errors(
    conflict: ConflictingObjects,
    sealed: DecryptionError,
    drifted: DriftError,
    missing: MissingExtension,
    restored: RestoreConflict,
    said: DBAPIError,
) -> None:
    """
    What an error carries.
    """
    assert_type(conflict.conflicts, tuple[str, ...])
    assert_type(sealed.key_id, int | None)
    assert_type(drifted.plan, plan.Plan)
    assert_type(missing.extension, str)
    assert_type(restored.conflicts, tuple[str, ...])
    assert_type(sqlstate_of(said), str | None)
    MissingExtension("vector")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    DecryptionError("person", "email", "1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
