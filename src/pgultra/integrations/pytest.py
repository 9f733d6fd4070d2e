"""
The door for a host's tests: one assertion.

    from pgultra.integrations.pytest import assert_no_drift

    def test_the_migrations_make_what_the_models_declare(engine):
        assert_no_drift(engine, Base)

It works in any test runner; pytest itself is not needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, overload

from sqlalchemy import Connection, Engine, MetaData

from pgultra.errors import DeclarationError, DriftError
from pgultra.plan.check import check
from pgultra.plan.describe import as_text

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

__all__ = ["assert_no_drift"]


@overload
def assert_no_drift(bind: Connection | Engine, models: object) -> None: ...


@overload
def assert_no_drift(
    bind: AsyncConnection | AsyncEngine, models: object
) -> Coroutine[Any, Any, None]: ...


def assert_no_drift(
    bind: Connection | Engine | AsyncConnection | AsyncEngine, models: object
) -> Coroutine[Any, Any, None] | None:
    """
    Fail if the database differs from what the models declare.

    Only what was declared with pgultra is compared; tables are Alembic's to compare.
    Nothing is changed, and a connection's transaction goes on as it was.

    Args:
        bind: a connection or an engine; of an async one the result is awaited.
        models: a declarative base, a MetaData, or a list of them.

    Raises:
        DriftError: with a readable diff as its message and the plan in ``plan``. It is an
            AssertionError, too.

    Example:
        >>> def test_no_drift(engine):                             # doctest: +SKIP
        ...     command.upgrade(alembic_config, "head")
        ...     assert_no_drift(engine, Base)
    """
    __tracebackhide__ = True
    several = _several(models)
    if isinstance(bind, Engine):
        with bind.connect() as connection:
            _assert(connection, several)
    elif isinstance(bind, Connection):
        _assert(bind, several)
    else:  # SQLAlchemy's asyncio needs greenlet, which a sync application need not have
        return _assert_async(bind, several)
    return None


async def _assert_async(bind: AsyncConnection | AsyncEngine, several: list[MetaData]) -> None:
    from sqlalchemy.ext.asyncio import AsyncEngine

    __tracebackhide__ = True
    if isinstance(bind, AsyncEngine):
        async with bind.connect() as connection:
            await connection.run_sync(_assert, several)
    else:
        await bind.run_sync(_assert, several)


def _assert(connection: Connection, several: list[MetaData]) -> None:
    __tracebackhide__ = True
    plan = check(connection, several)
    if plan:
        raise DriftError(plan, f"the database differs from the models:\n\n{as_text(plan)}")


def _several(models: object) -> list[MetaData]:
    values = models if isinstance(models, list | tuple) else [models]
    several = [each if isinstance(each, MetaData) else _metadata(each) for each in values]
    return list(dict.fromkeys(several))


def _metadata(value: object) -> MetaData:
    found = getattr(value, "metadata", None)
    if isinstance(found, MetaData):
        return found
    raise DeclarationError(
        f"{value!r} is not a declarative base, a MetaData or a list of them: "
        "assert_no_drift(engine, Base)"
    )
