"""
``python -m benchmarks [ROOM …] [--strict] [--json FILE]``: measure all rooms or some.

A room's file here has one function ``figures(server) -> Iterator[Figure]``.
"""

from __future__ import annotations

import argparse
import importlib
import json
import pkgutil
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

import benchmarks
from tests.fixtures.discovery import choose
from tests.fixtures.server import Server, opened

if TYPE_CHECKING:
    from benchmarks.measure import Figure

NOT_ROOMS = {"measure", "__main__"}
PACKAGES = ("pgultra", "sqlalchemy", "alembic", "psycopg", "asyncpg", "pgvector", "cryptography")


def main() -> int:
    """
    Run, print, write.
    """
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("rooms", nargs="*", help="kernel, soft_delete, …; all if none is named")
    parser.add_argument("--strict", action="store_true", help="fail if a bar is missed")
    parser.add_argument("--json", type=Path, default=Path("benchmarks/results.json"))
    chosen = parser.parse_args()
    rooms = chosen.rooms or [
        module.name
        for module in pkgutil.iter_modules(benchmarks.__path__)
        if module.name not in NOT_ROOMS and not module.name.startswith("_")
    ]
    choice = choose(docker=False)
    if isinstance(choice, str):
        print(choice, file=sys.stderr)
        return 2
    found: dict[str, list[Figure]] = {}
    console = Console()
    with opened(choice, "bench") as server:
        console.print(f"server: {server.description}")
        for room in rooms:
            figures = importlib.import_module(f"benchmarks.{room}").figures
            found[room] = []
            for figure in figures(server):
                found[room].append(figure)
                colour = "green" if figure.holds else "bold red"
                console.print(f"[{colour}]{room}: {figure.name}: {figure.ratio:.3g}[/]")
        _write(chosen.json, found, server)
    _print(console, found)
    missed = [figure for figures in found.values() for figure in figures if not figure.holds]
    return 1 if missed and chosen.strict else 0


def _print(console: Console, found: dict[str, list[Figure]]) -> None:
    for room, figures in found.items():
        table = Table(title=room, title_justify="left")
        for heading in ("what", "ours", "against", "ratio", "bar"):
            table.add_column(heading, overflow="fold")
        for figure in figures:
            table.add_row(
                figure.name,
                f"{figure.ours}: {figure.seconds[figure.ours] * 1000:.3f} ms",
                f"{figure.theirs}: {figure.seconds[figure.theirs] * 1000:.3f} ms",
                f"{figure.ratio:.3g}",
                f"[{'green' if figure.holds else 'bold red'}]{figure.bar or '-'}[/]",
            )
        console.print(table)


def _write(path: Path, found: dict[str, list[Figure]], server: Server) -> None:
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    path.write_text(
        json.dumps(
            {
                "python": platform.python_version(),
                "postgresql": server.version,
                "processors": __import__("os").cpu_count(),
                "versions": versions,
                "rooms": {
                    room: [figure.as_dict() for figure in figures]
                    for room, figures in found.items()
                },
            },
            indent=2,
        )
        + "\n"
    )


if __name__ == "__main__":
    sys.exit(main())
