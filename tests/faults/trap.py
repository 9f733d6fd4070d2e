"""
A trap springs when an engine is about to send its n-th statement or COMMIT.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

__all__ = ["Trap"]


class Trap:
    """
    Counts what an engine sends, and acts once.

    Args:
        engine: a sync engine; of an AsyncEngine, its ``sync_engine``.
        at: before which statement or COMMIT, from 1 on; 0 is never.
        spring: what happens then.

    Attributes:
        sent: the statements so far; "COMMIT" for a commit.
        sprung: whether it did.
    """

    def __init__(
        self, engine: sa.Engine, at: int = 0, spring: Callable[[], object] | None = None
    ) -> None:
        self.engine, self.at, self.spring = engine, at, spring
        self.sent: list[str] = []
        self.sprung = False

    def __enter__(self) -> Trap:
        sa.event.listen(self.engine, "before_cursor_execute", self._statement)
        sa.event.listen(self.engine, "commit", self._commit)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        sa.event.remove(self.engine, "before_cursor_execute", self._statement)
        sa.event.remove(self.engine, "commit", self._commit)

    def places(self, words: str) -> list[int]:
        """
        The numbers of the statements with these words.
        """
        return [number for number, text in enumerate(self.sent, 1) if words in text]

    def _statement(self, connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        self._step(statement)

    def _commit(self, connection: Any) -> None:
        self._step("COMMIT")

    def _step(self, text: str) -> None:
        self.sent.append(text)
        if len(self.sent) == self.at and self.spring is not None:
            self.sprung = True
            self.spring()
