"""
``pgultra encryption rotate | rekey | usage | adopt | key``.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import Progress

from pgultra.integrations.cli.database import URL_OPTION, connected
from pgultra.integrations.cli.named import column_named
from pgultra.integrations.cli.output import screen
from pgultra.integrations.cli.target import PATH, load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Column

__all__ = ["commands"]

commands = typer.Typer(
    help="Rotate keys of encrypted columns, see which are in use, encrypt plain columns.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
COLUMN = Annotated[
    str,
    typer.Argument(
        metavar="TABLE.COLUMN", help="The encrypted column, as in the database.", show_default=False
    ),
]
DRY = Annotated[bool, typer.Option("--dry-run", help="Count only.")]
BATCH = Annotated[int, typer.Option("--batch", min=1, help="Rows in a transaction.")]


def _room() -> Any:  # the module, loaded when a command needs it
    from pgultra.features import encryption

    return encryption


def _column(path: str, name: str) -> Column[Any]:
    sealed = [
        column
        for metadata in load(path, declared=False)
        for table in metadata.tables.values()
        for column in table.columns
        if getattr(column.type, "seals", False)
    ]
    return column_named(path, "encrypted column", name, sealed)


@contextmanager
def _bar(title: str) -> Iterator[Callable[[int, int], None]]:
    with Progress(console=screen(), transient=True) as progress:
        task = progress.add_task(title, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


@commands.command("rotate")
def rotate(
    path: PATH,
    column: COLUMN,
    url: URL_OPTION = None,
    dry_run: DRY = False,
    batch: BATCH = 1000,
) -> None:
    """
    Seal every value with the active key. Can be interrupted and started again.
    """
    _reseal("rotate", path, column, url, dry_run=dry_run, batch=batch)


@commands.command("rekey")
def rekey(
    path: PATH,
    column: COLUMN,
    url: URL_OPTION = None,
    dry_run: DRY = False,
    batch: BATCH = 1000,
) -> None:
    """
    Give every value the blind-index tags that its column declares now.
    """
    _reseal("rekey", path, column, url, dry_run=dry_run, batch=batch)


def _reseal(
    verb: str, path: str, column: str, url: str | None, *, dry_run: bool, batch: int
) -> None:
    target = _column(path, column)
    with connected(url) as connection, _bar(f"{verb} {column}") as bar:
        work = getattr(_room(), verb)
        done = work(connection, target, batch=batch, dry_run=dry_run, progress=bar)
    screen().print(
        f"{done.column}: {done.found:,} to do, {done.done:,} done, {done.remaining:,} remaining"
        + (f", {done.failed:,} cannot be decrypted" if done.failed else "")
    )
    if not (dry_run or done.complete):
        raise typer.Exit(1)


@commands.command("usage")
def usage(path: PATH, url: URL_OPTION = None) -> None:
    """
    Count rows for each key of each encrypted column: may a key be retired?
    """
    with connected(url) as connection:
        for metadata in load(path, declared=False):
            for each in _room().key_usage(connection, metadata):
                screen().print(str(each))


@commands.command("adopt")
def adopt(
    path: PATH,
    column: COLUMN,
    url: URL_OPTION = None,
    from_: Annotated[
        str | None, typer.Option("--from", help="The plain column, if dual= does not say it.")
    ] = None,
    dry_run: DRY = False,
    batch: BATCH = 1000,
) -> None:
    """
    Seal the values of a plain column into the encrypted one, then compare all of them.

    Exit code 0: the plain column may go; 1: something remains or differs.
    """
    target = _column(path, column)
    room = _room()
    with connected(url) as connection, _bar(f"adopt {column}") as bar:
        done = room.adopt(
            connection, target, from_=from_, batch=batch, dry_run=dry_run, progress=bar
        )
        checked = done if dry_run else room.verify(connection, target, from_=from_, batch=batch)
    screen().print(
        f"{done.column}: {done.rows:,} rows, {done.done:,} sealed, {done.remaining:,} remaining"
    )
    for key in checked.different:
        screen().print(f"different: {', '.join(map(str, key))}")
    if checked.remedy:
        screen().print(checked.remedy)
    if not (dry_run or (done.complete and checked.complete)):
        raise typer.Exit(1)


@commands.command("key")
def key(
    number: Annotated[int, typer.Argument(min=1, help="Its number in the ring.")] = 1,
) -> None:
    """
    Print a new random key, for the ring's environment variable or file.
    """
    screen().print(_room().KeyRing.generate(number))
