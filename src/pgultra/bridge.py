"""
One function for both worlds: written for a Session or Connection, called with an async one too.

What wants a Connection takes a Session as well, and works on the connection of its transaction.

Nothing asynchronous is imported: SQLAlchemy's async objects carry what is needed, their
``run_sync``.
"""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Protocol, TypeVar, overload

from pgultra.errors import PgultraError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, async_scoped_session
    from sqlalchemy.orm import Session, scoped_session

__all__ = ["OnConnection", "OnSession", "on_connection", "on_session"]

Given = ParamSpec("Given")
Answer = TypeVar("Answer")
Covariant = TypeVar("Covariant", covariant=True)


class OnSession(Protocol[Given, Covariant]):
    """
    A function of a Session; with an AsyncSession it returns what is to be awaited.
    """

    __name__: str

    @overload
    def __call__(
        self,
        session: Session | scoped_session[Any],
        *args: Given.args,
        **kwargs: Given.kwargs,
    ) -> Covariant: ...

    @overload
    def __call__(
        self,
        session: AsyncSession | async_scoped_session[Any],
        *args: Given.args,
        **kwargs: Given.kwargs,
    ) -> Coroutine[Any, Any, Covariant]: ...


class OnConnection(Protocol[Given, Covariant]):
    """
    A function of a Connection; with an AsyncConnection it returns what is to be awaited.

    A Session stands for the connection of its transaction. It is no type for the checker, since
    many of these functions want transactions of their own, and say so.
    """

    __name__: str

    @overload
    def __call__(
        self,
        connection: Connection,
        *args: Given.args,
        **kwargs: Given.kwargs,
    ) -> Covariant: ...

    @overload
    def __call__(
        self,
        connection: AsyncConnection,
        *args: Given.args,
        **kwargs: Given.kwargs,
    ) -> Coroutine[Any, Any, Covariant]: ...


def on_session(
    work: Callable[Concatenate[Session, Given], Answer],
) -> OnSession[Given, Answer]:
    """
    Let a function of a Session take an AsyncSession as well, or the scoped kind of either.

    >>> @on_session
    ... def count(session, statement):
    ...     return len(session.execute(statement).all())
    >>> count.__name__
    'count'
    """
    return _bridged(work, "Session")  # type: ignore[no-any-return]  # the answer of the call


def on_connection(
    work: Callable[Concatenate[Connection, Given], Answer],
) -> OnConnection[Given, Answer]:
    """
    Let a function of a Connection take an AsyncConnection as well, or a Session of either kind.
    """

    @functools.wraps(work)
    def on_its_connection(target: Any, *args: Any, **kwargs: Any) -> Any:
        if hasattr(target, "get_bind"):  # a Session
            target = target.connection()
        return work(target, *args, **kwargs)

    return _bridged(on_its_connection, "Connection")  # type: ignore[no-any-return]  # the answer of the call


def _bridged(work: Callable[..., Any], wanted: str) -> Any:
    named: str = inspect.unwrap(work).__code__.co_varnames[0]

    @functools.wraps(work)
    def either(*args: Any, **kwargs: Any) -> Any:
        if not args and named in kwargs:
            args = (kwargs.pop(named),)
        if not args:
            raise TypeError(f"{work.__name__}() missing 1 required positional argument: {named!r}")
        target, *rest = args
        if hasattr(target, "registry") and callable(target) and not isinstance(target, type):
            target = target()  # a scoped session stands for many
        run_sync = getattr(target, "run_sync", None)
        if run_sync is not None:
            return run_sync(work, *rest, **kwargs)
        if not hasattr(target, "execute"):  # an engine, a sessionmaker, the arguments exchanged
            raise PgultraError(
                f"{work.__name__}: the first argument is a {wanted}, sync or async, and was given "
                f"{_given(target)}"
            )
        return work(target, *rest, **kwargs)

    return either


def _given(target: Any) -> str:
    if isinstance(target, type):
        return f"the class {target.__name__}"
    kind = type(target).__name__
    if hasattr(target, "dispose"):
        return f"an {kind}: write `with engine.connect() as connection`, or Session(engine)"
    if callable(target):
        return f"the {kind} that makes one: call it"
    return f"an object of type {kind}"
