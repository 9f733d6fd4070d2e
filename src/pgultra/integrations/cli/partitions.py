"""
``pgultra partitions plan | maintain | status | drain | adopt | schedule``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from pgultra.errors import PgultraError
from pgultra.integrations.cli.database import URL_OPTION, connected
from pgultra.integrations.cli.named import tables_named
from pgultra.integrations.cli.output import print_json, screen
from pgultra.integrations.cli.target import PATH, load

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

__all__ = ["commands"]

commands = typer.Typer(
    help="Make partitions ahead, take old ones away, see how tables stand, convert tables.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
SCHEMA = Annotated[
    str | None,
    typer.Option("--archive-schema", help="Where on_expire='archive' moves partitions."),
]
FOLDER = Annotated[
    Path | None,
    typer.Option(
        "--archive-folder",
        help="Where on_expire='archive' writes partitions, as files on this machine.",
        file_okay=False,
    ),
]
JSON = Annotated[bool, typer.Option("--json", help="Print JSON.")]
TIMEOUT = Annotated[
    float, typer.Option(min=0.01, help="Seconds for which one attempt waits for a lock.")
]
ATTEMPTS = Annotated[int, typer.Option(min=1, help="How often each act is tried.")]
TABLES = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[TABLE]...", help="As in the database; all if none is named.", show_default=False
    ),
]
HEADINGS = ("table", "partitions", "runway", "default", "rows", "size", "to do", "last run")


def _room() -> Any:  # the module, loaded when a command needs it
    from pgultra.features import partitions

    return partitions


def _place(schema: str | None, folder: Path | None) -> str | Path | None:
    if schema is not None and folder is not None:
        raise PgultraError("give either --archive-schema or --archive-folder")
    return schema if schema is not None else folder


@commands.command("plan")
def plan(
    path: PATH,
    url: URL_OPTION = None,
    archive_schema: SCHEMA = None,
    archive_folder: FOLDER = None,
    sql: Annotated[bool, typer.Option("--sql", help="Print the statements.")] = False,
    json: JSON = False,
) -> None:
    """
    Print what maintain would do now. Exit code 0.
    """
    place = _place(archive_schema, archive_folder)
    with connected(url) as connection:
        found = _room().plan(connection, load(path), archive_to=place)
    if json:
        print_json(
            {
                "actions": [
                    {
                        "verb": each.verb,
                        "table": each.table,
                        "partition": each.child,
                        "bound": each.bound.render() if each.bound is not None else None,
                        "reason": each.reason,
                        "statements": list(each.statements),
                    }
                    for each in found.actions
                ],
                "findings": list(found.findings),
            }
        )
    else:
        screen().print(found.as_sql() if sql else str(found))


@commands.command("maintain")
def maintain(
    path: PATH,
    url: URL_OPTION = None,
    archive_schema: SCHEMA = None,
    archive_folder: FOLDER = None,
    lock_timeout: TIMEOUT = 2.0,
    attempts: ATTEMPTS = 10,
    batch: Annotated[int, typer.Option(min=1, help="Rows drained in one transaction.")] = 10_000,
) -> None:
    """
    Make what is missing, build indexes, take away what is too old. For cron.

    Can be interrupted and started again, and run on several hosts at once. Exit code 1 if
    something could not be done.
    """
    place = _place(archive_schema, archive_folder)
    with connected(url) as connection:
        done = _room().maintain(
            connection,
            load(path),
            archive_to=place,
            lock_timeout=lock_timeout,
            attempts=attempts,
            batch=batch,
            progress=lambda action: screen().print(f"{action.table}: {action}"),
        )
    console = screen()
    for each in done.archived:
        console.print(f"archived {each.rows:,} rows: {each.path} (sha256 {each.sha256})")
    for table in done.busy:
        console.print(f"busy: another run is at {table}")
    for problem in done.problems:
        console.print(f"problem: {problem}")
    for finding in done.findings:
        console.print(f"! {finding}")
    failed = f", {len(done.problems)} could not be done" if done.problems else ""
    console.print(f"{len(done.done)} done{failed}")
    if not done.complete:
        raise typer.Exit(1)


@commands.command("status")
def status(path: PATH, url: URL_OPTION = None, json: JSON = False) -> None:
    """
    Show runway, gaps, rows in default partitions, sizes, and the last run.

    Exit code 1 if something needs a person.
    """
    with connected(url) as connection:
        found = _room().status(connection, load(path))
    if json:
        print_json([_as_json(each) for each in found])
    else:
        _show(found)
    if not all(each.healthy for each in found):
        raise typer.Exit(1)


def _as_json(each: Any) -> dict[str, Any]:
    return {
        "table": each.table,
        "strategy": each.strategy,
        "partitions": len(each.partitions),
        "edge": None if each.edge is None else str(each.edge),
        "runway": None if each.runway is None else _plain(each.runway),
        "gaps": [str(gap) for gap in each.gaps],
        "default_rows": each.default_rows,
        "rows": each.rows,
        "bytes": each.bytes,
        "last_run": None if each.last_run is None else each.last_run.isoformat(),
        "problems": list(each.problems),
        "pending": each.pending,
        "findings": list(each.findings),
    }


def _plain(runway: Any) -> Any:
    """
    Seconds, or a number of keys.
    """
    return runway.total_seconds() if hasattr(runway, "total_seconds") else runway


def _show(found: Sequence[Any]) -> None:
    console = screen()
    table = Table(box=None, pad_edge=False)
    for heading in HEADINGS:
        table.add_column(heading, overflow="fold")
    for each in found:
        table.add_row(
            each.table,
            str(len(each.partitions)),
            _runway(each.runway),
            "-" if each.default_rows is None else f"{each.default_rows:,}",
            f"{each.rows:,}",
            _size(each.bytes),
            str(each.pending),
            "never" if each.last_run is None else each.last_run.isoformat(" ", "minutes"),
        )
    console.print(table)
    for each in found:
        for gap in each.gaps:
            console.print(f"! {each.table}: a gap {gap}")
        for line in (*each.problems, *each.findings):
            console.print(f"! {each.table}: {line}")


def _runway(runway: Any) -> str:
    if runway is None:
        return "-"
    return f"{runway.days} days" if hasattr(runway, "days") else f"{runway:,}"


def _size(number: int) -> str:
    size = float(number)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1024:
            return f"{size:.0f} {unit}"
        size /= 1024
    return f"{size:.1f} TB"


def _targets(path: str, names: Sequence[str] | None) -> list[Any]:
    """
    The tables that were named, else all there are.
    """
    several = load(path)
    if not names:
        return list(several)
    found: list[Any] = []
    for name in names:
        found += tables_named(path, name, several)
    return found


@commands.command("drain")
def drain(
    path: PATH,
    tables: TABLES = None,
    url: URL_OPTION = None,
    lock_timeout: TIMEOUT = 2.0,
    attempts: ATTEMPTS = 10,
    batch: Annotated[int, typer.Option(min=1, help="Rows in one transaction.")] = 10_000,
) -> None:
    """
    Move rows out of default partitions into their own, visible all the time.
    """
    count = 0
    with connected(url) as connection, screen().status("drain") as shown:
        for target in _targets(path, tables):
            done = _room().drain_default(
                connection,
                target,
                batch=batch,
                lock_timeout=lock_timeout,
                attempts=attempts,
                progress=lambda child, rows: shown.update(f"{child}: {rows:,} rows copied"),
            )
            count += len(done)
            for each in done:
                screen().print(
                    f"{each.table}: {each.rows:,} rows into {each.child}, "
                    f"others waited {each.held:.2f} s"
                )
    if not count:
        screen().print("nothing to move")


@commands.command("adopt")
def adopt(
    path: PATH,
    tables: TABLES = None,
    url: URL_OPTION = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what.")] = False,
) -> None:
    """
    Mark partitions that somebody else made, so that retention sees to them.
    """
    count = 0
    with connected(url) as connection:
        for target in _targets(path, tables):
            for name in _room().adopt(connection, target, dry_run=dry_run):
                screen().print(f"{'would mark' if dry_run else 'marked'} {name}")
                count += 1
        connection.commit()
    if not count:
        screen().print("nothing to mark")


@commands.command("schedule")
def schedule(
    path: PATH,
    url: URL_OPTION = None,
    at: Annotated[str, typer.Option(help="As cron writes it, in GMT.")] = "17 * * * *",
    remove: Annotated[bool, typer.Option("--remove", help="Take the jobs away.")] = False,
) -> None:
    """
    Let pg_cron make partitions ahead, where it is installed.
    """
    with connected(url) as connection:
        names = _scheduled(connection, load(path), at, remove=remove)
        connection.commit()
    for name in names:
        screen().print(f"{'removed' if remove else 'scheduled'}: {name}")


def _scheduled(connection: Connection, several: Any, at: str, *, remove: bool) -> Sequence[str]:
    if remove:
        removed: Sequence[str] = _room().unschedule_premake(connection, several)
        return removed
    made: Sequence[str] = _room().schedule_premake(connection, several, schedule=at)
    return made
