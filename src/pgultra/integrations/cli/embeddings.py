"""
``pgultra embeddings sync | recall``.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress

from pgultra.errors import PgultraError
from pgultra.integrations.cli.database import URL_OPTION, connected
from pgultra.integrations.cli.embedders import embedder_for
from pgultra.integrations.cli.named import column_named, spelt
from pgultra.integrations.cli.output import print_json, screen
from pgultra.integrations.cli.target import PATH, load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Column, Connection

__all__ = ["commands"]

commands = typer.Typer(
    help="Embed what is stale, measure what the indexes find.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
COLUMNS = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[TABLE.COLUMN …]",
        help="Vector columns, as in the database; all that there are, unless said.",
        show_default=False,
    ),
]
JSON = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@dataclass
class Synced:
    """
    What ``sync`` did to one column.
    """

    column: str
    model: str
    queued: int = 0
    embedded: int = 0
    changed: int = 0
    failed: int = 0
    waiting: int = 0
    interrupted: bool = False

    @property
    def complete(self) -> bool:
        """
        Whether every row has a fresh vector.
        """
        return not (self.failed or self.waiting or self.interrupted)

    def __str__(self) -> str:
        return (
            f"{self.column}: {self.queued:,} queued, {self.embedded:,} embedded by {self.model}, "
            f"{self.waiting:,} waiting, {self.failed:,} failed"
            + ("; interrupted, run it again to go on" if self.interrupted else "")
        )


def _room() -> Any:  # the module, loaded when a command needs it
    from pgultra.features import embeddings

    return embeddings


def _columns(path: str, names: list[str] | None, *, sourced: bool) -> list[Any]:
    """
    The vector columns of the models: those that are named, or all that a command can take.
    """
    every: list[Any] = [
        column
        for metadata in load(path, declared=False)
        for table in metadata.tables.values()
        for column in table.columns
        if isinstance(column.type, _room().VectorType)
    ]
    if names:
        return [column_named(path, "vector column", name, every) for name in names]
    found = [c for c in every if (c.type.source if sourced else c.type.index is not None)]
    if not found:
        what = "with a source, Embedding(…, source=…)" if sourced else "with an index"
        raise PgultraError(f"{path} has no vector column {what}")
    return found


@contextmanager
def _bar(title: str) -> Iterator[Callable[[int, int], None]]:
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(title, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


@commands.command("sync")
def sync(
    path: PATH,
    columns: COLUMNS = None,
    url: URL_OPTION = None,
    embedder: Annotated[
        str | None,
        typer.Option(
            "--embedder",
            metavar="NAME",
            help="hashing, openai:MODEL, sentence-transformers:MODEL, or module:attribute of your "
            "own; by the column's model= unless said.",
            show_default=False,
        ),
    ] = None,
    base_url: Annotated[
        str | None,
        typer.Option("--base-url", metavar="URL", help="The endpoint of openai:, up to /v1."),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--everything", help="Also rows that are fresh.")
    ] = False,
    retry: Annotated[
        bool, typer.Option("--retry-failed", help="Also rows that were given up.")
    ] = False,
    batch: Annotated[int, typer.Option("--batch", min=1, help="Texts at once.")] = 64,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count only.")] = False,
    as_json: JSON = False,
) -> None:
    """
    Embed every row whose text is new or changed. Can be interrupted and started again.

    Exit code 0: every row has a fresh vector; 1: rows wait for another try, or failed.
    """
    done = []
    with connected(url) as connection:
        for column in _columns(path, columns, sourced=True):
            made = None if dry_run else embedder_for(embedder, column, base_url)
            found = Synced(spelt(column), made.model if made else str(column.type.model))
            done.append(found)
            with connection.begin():
                if retry and not dry_run:
                    _room().retry_failed(connection, column)
                found.queued = _room().backfill(
                    connection, column, everything=everything, dry_run=dry_run
                )
            if made is not None:
                _work(connection, made, column, batch, found)
            _count(connection, column, found)
            if found.interrupted:
                break
    if as_json:
        print_json([asdict(each) for each in done])
    else:
        for each in done:
            screen().print(str(each))
    if not (dry_run or all(each.complete for each in done)):
        raise typer.Exit(1)


def _work(
    connection: Connection, embedder: Any, column: Column[Any], batch: int, found: Synced
) -> None:
    worker = _room().EmbeddingWorker(connection.engine, embedder, column, batch=batch)
    _count(connection, column, found)
    total = found.waiting
    try:
        with _bar(f"sync {spelt(column)}") as bar:
            while step := worker.work_once():
                found.embedded += step.embedded
                found.changed += step.changed
                bar(min(found.embedded, total), total)
    except KeyboardInterrupt:
        found.interrupted = True


def _count(connection: Connection, column: Column[Any], found: Synced) -> None:
    with connection.begin():
        status = _room().queue_status(connection, column)
    found.waiting, found.failed = status.waiting + status.unsplit, status.failed


@commands.command("recall")
def recall(
    path: PATH,
    columns: COLUMNS = None,
    url: URL_OPTION = None,
    sample: Annotated[int, typer.Option("--sample", min=1, help="Rows that are looked for.")] = 100,
    k: Annotated[int, typer.Option("-k", min=1, help="Neighbours that are compared.")] = 10,
    effort: Annotated[
        int | None,
        typer.Option("--effort", min=1, help="hnsw.ef_search or ivfflat.probes."),
    ] = None,
    at_least: Annotated[
        float, typer.Option("--at-least", min=0, max=1, help="Exit code 1 below this.")
    ] = 0.0,
    as_json: JSON = False,
) -> None:
    """
    Measure how much of the exact answer each index finds. It scans tables; do not poll it.
    """
    found = {}
    with connected(url) as connection:
        for column in _columns(path, columns, sourced=False):
            with _bar(f"recall {spelt(column)}") as bar:
                found[spelt(column)] = _room().recall(
                    connection, column, sample, k=k, effort=effort, progress=bar
                )
    if as_json:
        print_json([{"column": name, "recall": share, "k": k} for name, share in found.items()])
    else:
        for name, share in found.items():
            screen().print(f"{name}: recall@{k} {share:.3f}")
    if any(share < at_least for share in found.values()):
        raise typer.Exit(1)
