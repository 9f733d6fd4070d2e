"""
``python -m benchmarks [ROOM …]``: measure all rooms or some.

A room's file here has one function ``figures(server) -> Iterator[Figure]``; how its headline
figures grow is in the package growth.
"""

from __future__ import annotations

import argparse
import importlib
import json
import pkgutil
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from rich.console import Console
from rich.table import Table

import benchmarks
from benchmarks import growth, machine, report, samples
from benchmarks.awake import awake
from tests.fixtures.discovery import choose
from tests.fixtures.server import Server, opened

if TYPE_CHECKING:
    from benchmarks.measure import Curve, Figure

NOT_ROOMS = {"awake", "growth", "machine", "measure", "plots", "report", "samples", "__main__"}


def main() -> int:
    """
    Run, print, write.
    """
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("rooms", nargs="*", help="kernel, soft_delete, …; all if none is named")
    parser.add_argument("--strict", action="store_true", help="fail if a bar is missed")
    parser.add_argument("--growth", action="store_true", help="also at 10k, 100k and 1M rows")
    parser.add_argument("--docs", action="store_true", help="make the pages of docs/benchmarks")
    parser.add_argument("--json", type=Path, help="a folder for the results, a file for each room")
    parser.add_argument("--pyperf", type=Path, help="a file of all samples, for `pyperf stats`")
    parser.add_argument("--halting", action="store_true", help="let processors halt, awake.py")
    chosen = parser.parse_args()
    rooms = chosen.rooms or [
        module.name
        for module in pkgutil.iter_modules(benchmarks.__path__)
        if module.name not in NOT_ROOMS and not module.name.startswith("_")
    ]
    choice = choose(memory=False)
    if isinstance(choice, str):
        print(choice, file=sys.stderr)
        return 2
    found: dict[str, list[Figure]] = {}
    expected = {room: _barred(room) for room in rooms}
    folder = chosen.json or (report.PAGES / report.RESULTS if chosen.docs else None)
    console = Console()
    with awake(not chosen.halting) as state, opened(choice, "bench") as server:
        files = machine.file_system(Path(_setting(server, "data_directory")))
        state = f"{state}; {files}"
        console.print(f"server: {server.description}; {state}")
        for room in rooms:
            figures = importlib.import_module(f"benchmarks.{room}").figures
            found[room] = []
            for figure in figures(server):
                found[room].append(figure)
                colour = "green" if figure.holds else "bold red"
                console.print(f"[{colour}]{room}: {figure.name}: {figure.ratio:.3g}[/]")
            drawn = list(growth.curves(room, server)) if chosen.growth else []
            if folder is not None:
                _write(folder / f"{room}.json", found[room], drawn, server, state)
    _print(console, found)
    if chosen.pyperf:
        samples.write(chosen.pyperf, found)
    if chosen.docs:
        report.write()
    missed = [figure for figures in found.values() for figure in figures if not figure.holds]
    lacking = {
        f"{room}: {name}"
        for room, figures in found.items()
        for name in expected[room] - {figure.name for figure in figures}
    }
    for each in sorted(lacking):  # a peer that is not installed, an extension that is not there
        console.print(f"[bold red]{each}: not measured, and it has a bar[/]")
    return 1 if (missed or lacking) and chosen.strict else 0


def _barred(room: str) -> set[str]:
    """
    The figures with a bar that the room's page shows.
    """
    figures = report.read().get(room, {"figures": []})["figures"]
    return {figure["name"] for figure in figures if figure["bar"]}


def _setting(server: Server, name: str) -> str:
    engine = sa.create_engine(server.url())
    with engine.connect() as connection:
        value = str(connection.exec_driver_sql(f"SHOW {name}").scalar_one())
    engine.dispose()
    return value


def _versions(server: Server) -> dict[str, str]:
    """
    Of the server and of the extension that figures depend on; pgvector's package is another thing.
    """
    found = {"PostgreSQL": _setting(server, "server_version").split()[0]}
    if "vector" in server.extensions:
        found["extension vector"] = server.extensions["vector"]
    return found


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


def _write(
    path: Path, figures: list[Figure], drawn: list[Curve], server: Server, state: str
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    result = {
        "taken": datetime.now(UTC).date().isoformat(),
        "python": platform.python_version(),
        "postgresql": server.version,
        "server": _versions(server),
        "machine": f"{machine.description()}; {state}",
        "versions": machine.versions(),
        "figures": [figure.as_dict() for figure in figures],
        "curves": [curve.as_dict() for curve in drawn] or _drawn_before(path),
    }
    path.write_text(json.dumps(result, indent=2, default=float) + "\n")


def _drawn_before(path: Path) -> list[Any]:
    return json.loads(path.read_text())["curves"] if path.exists() else []


if __name__ == "__main__":
    sys.exit(main())
