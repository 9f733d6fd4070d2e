"""
``pgultra partitions convert``: a big table becomes a partitioned one, while it is used.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import Progress

from pgultra.errors import PgultraError
from pgultra.integrations.cli.database import URL_OPTION, connected
from pgultra.integrations.cli.named import tables_named
from pgultra.integrations.cli.output import screen
from pgultra.integrations.cli.target import PATH, load

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["convert"]


class _Bar:
    """
    What is done, as a line that moves; the steps before it stay.
    """

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.task = progress.add_task("", total=None)

    def announce(self, step: str) -> None:
        self.progress.console.print(step)
        self.progress.update(self.task, description=step, completed=0, total=None)

    def advance(self, done: int, total: int) -> None:
        self.progress.update(self.task, completed=done, total=total)


@contextmanager
def _bar() -> Iterator[_Bar]:
    with Progress(console=screen(), transient=True) as progress:
        yield _Bar(progress)


def convert(
    path: PATH,
    table: Annotated[
        str,
        typer.Argument(metavar="TABLE", help="The table, as in the models.", show_default=False),
    ],
    url: URL_OPTION = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Print every statement and its lock; do nothing.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with one that broke off; never begin.")
    ] = False,
    rollback: Annotated[
        bool, typer.Option("--rollback", help="Give the name back to the old table.")
    ] = False,
    finish: Annotated[
        bool, typer.Option("--finish", help="Drop the old table: there is no way back.")
    ] = False,
    way: Annotated[
        str,
        typer.Option(
            help="copy: into new partitions. attach: the table becomes the first partition."
        ),
    ] = "copy",
    give_up: Annotated[
        list[str] | None,
        typer.Option("--give-up", metavar="NAME", help="What may be lost; can be repeated."),
    ] = None,
    batch: Annotated[
        int | None, typer.Option(min=1, help="Rows copied in one transaction.", show_default=False)
    ] = None,
    lock_timeout: Annotated[
        float, typer.Option(min=0.01, help="Seconds for which one attempt waits for a lock.")
    ] = 0.2,
    patience: Annotated[
        float, typer.Option(min=0, help="Seconds for which it tries for a lock.")
    ] = 300.0,
) -> None:
    """
    Turn a table with rows into the partitioned one that its model declares, while it is used.

    Can be interrupted and started again. Until --finish, --rollback gives the old table back.
    """
    from pgultra.features import partitions

    if plan + resume + rollback + finish > 1:
        raise PgultraError("give one of --plan, --resume, --rollback and --finish")
    target, *_ = tables_named(path, table, load(path))
    waiting: dict[str, Any] = {"lock_timeout": lock_timeout, "patience": patience}
    with connected(url) as connection:
        if plan:
            found = partitions.plan_conversion(
                connection, target, way=way, give_up=tuple(give_up or ())
            )
            screen().print(str(found))
            return
        with _bar() as bar:
            if rollback:
                done = partitions.undo_conversion(
                    connection, target, announce=bar.announce, **waiting
                )
            elif finish:
                done = partitions.finish_conversion(connection, target, **waiting)
            else:
                done = partitions.convert(
                    connection,
                    target,
                    way=way,
                    give_up=tuple(give_up or ()),
                    batch=batch,
                    resume=resume,
                    progress=bar.advance,
                    announce=bar.announce,
                    **waiting,
                )
    screen().print(str(done))
