"""
What the scenes speak through: a terminal of 80 columns, or a pipe.
"""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from itertools import chain
from textwrap import dedent, wrap
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import FrameType

WIDTH = 80


class Stage:
    """
    Titles, sentences, code, tables and timings.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False)
        self.console.width = min(self.console.width, WIDTH)
        self.number = 0
        self.interrupted = False

    def interrupt(self, number: int, frame: FrameType | None) -> None:
        """
        Take Ctrl-C or a polite kill.

        Python drops an exception where a finalizer or a callback of a weak reference runs, so
        it is also written down, and raised where the stage is spoken to next.
        """
        self.interrupted = True
        raise KeyboardInterrupt

    def dropped(self, what: sys.UnraisableHookArgs) -> None:
        """
        Be silent about the interrupt that Python drops: it is not forgotten here.
        """
        if not (self.interrupted and what.exc_type is KeyboardInterrupt):
            sys.__unraisablehook__(what)

    def go_on(self) -> None:
        """
        Stop here if an interrupt was dropped.
        """
        if self.interrupted:
            raise KeyboardInterrupt

    def scene(self, title: str) -> None:
        """
        Begin a scene.
        """
        self.go_on()
        self.number += 1
        self.console.print()
        self.console.rule(f"[bold]{self.number}. {escape(title)}[/]", align="left", style="blue")

    def say(self, text: str) -> None:
        """
        Say something; `[bold]…[/]` and the like are understood.
        """
        self.go_on()
        self.console.print(text)

    def code(self, text: str, language: str = "python") -> None:
        """
        Show code that is run next.
        """
        syntax = Syntax("", language, theme="ansi_dark", background_color="default")
        lines = syntax.highlight(dedent(text).strip("\n"))
        for line in lines.split("\n"):
            self.console.print(Text("  │ ", style="blue") + line)

    def answer(self, text: str, style: str = "") -> None:
        """
        Show what came back.
        """
        wrapped = (wrap(line, WIDTH - 4) or [""] for line in text.splitlines())
        for line in chain.from_iterable(wrapped):
            self.console.print(Text(f"    {line}", style=style))

    def diff(self, lines: Iterable[str]) -> None:
        """
        Show a difference in colours.
        """
        styles = {"+": "green", "-": "red", "@": "dim"}
        for line in lines:
            self.console.print(Text(line, style=styles.get(line.strip()[:1], "")))

    def table(self, headings: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
        """
        Show rows; numbers stand to the right.
        """
        rows = [list(row) for row in rows]
        table = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 2, 0, 0))
        for place, heading in enumerate(headings):
            numbers = all(isinstance(row[place], int) for row in rows if row[place] != "")
            table.add_column(heading, justify="right" if numbers else "left", overflow="fold")
        for row in rows:
            table.add_row(*(f"{v:,}" if isinstance(v, int) else escape(str(v)) for v in row))
        self.console.print(Padding(table, (0, 0, 0, 4)))

    @contextmanager
    def timed(self, what: str) -> Iterator[None]:
        """
        Say how long the block took.
        """
        start = time.perf_counter()
        yield
        seconds = time.perf_counter() - start
        took = f"{seconds:.1f} s" if seconds >= 1 else f"{seconds * 1000:.0f} ms"
        self.console.print(Text(f"    {what}: {took}", style="dim"))

    @contextmanager
    def progress(self, what: str, total: int) -> Iterator[Callable[[int], None]]:
        """
        A bar; in a pipe its last state.
        """
        columns = (
            TextColumn("    {task.description}"),
            BarColumn(24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=self.console) as bar:
            task = bar.add_task(what, total=total)

            def advance(steps: int) -> None:
                self.go_on()
                bar.advance(task, steps)

            yield advance
