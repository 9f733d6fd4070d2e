"""
A reader who does what a page says, in an empty folder, and compares what is printed.

Files are the blocks with a caption; ``upgrade(), first`` as a caption puts the block into the newest
migration, there. Commands are the ``console`` and ``sh`` blocks, and a ``text`` block
that follows says what they print, ``…`` being anything; without one they print nothing, or with
``silent=False`` whatever they print.
A block of commands may have a class: ``background`` (it runs until the end), ``copied`` (the line
that the one in the background printed is run instead) or ``fails`` (its exit code is 1).
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
import time
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tests.docs.pages import Block

COMMANDS = ("console", "sh")
"""The languages of blocks that are commands."""

_INSTALLS = re.compile(r"(python3? -m venv|pip install) ")
_ROOT = Path(__file__).parents[2]
_IN_SCRIPT = re.compile(r"(upgrade|downgrade)\(\), first")
_EXPORT = re.compile(r"export (\w+)=")
_HOST = ("PG", "DATABASE_URL", "APP_", "COLUMNS", "PY_COLORS", "FORCE_COLOR", "PYTEST_", "COV_")


class Follower:
    """
    Somebody with a folder and a terminal; leaving the block ends what runs in the background.

    Args:
        folder: an empty one.
        installs: whether to make the environment that a page says and install what it says, this
            project for what is not released; else that of the test run stands for it.
    """

    def __init__(self, folder: Path, *, installs: bool = False) -> None:
        self.folder = folder
        self.installs = installs
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        kept = {name: value for name, value in os.environ.items() if not name.startswith(_HOST)}
        self.environment = {**kept, "PATH": path, "LC_ALL": "C.UTF-8"}
        # Debian's pgvector is older than what the reader is told to install.
        self.environment["PYTHONWARNINGS"] = "ignore:extension vector"
        self.seconds = 0.0
        """What the commands took so far, without those that install."""
        self._behind: list[subprocess.Popen[str]] = []
        self._copied = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for process in self._behind:
            process.communicate("\n", timeout=60)

    def follow(self, blocks: Iterable[Block], *, silent: bool = True) -> str:
        """
        Write the files and run the commands, in order, until something is not as it should be.

        Args:
            blocks: of a page.
            silent: whether commands without a ``text`` block must print nothing.

        Returns:
            What the commands printed.
        """
        printed = ""
        for block, following in pairwise([*blocks, None]):
            assert block is not None
            if "caption" in block.options:
                self.write(block.options["caption"], block.text)
            elif block.language in COMMANDS:
                shown = following if following and following.language == "text" else None
                expected = shown.text if shown else "" if silent else "…"
                printed += self._commands(block, expected)
        return printed

    def run(self, command: str) -> str:
        """
        Run a command that is in no page, and must succeed; give what it prints.
        """
        done = self._shell(command)
        assert done.returncode == 0, f"{command}\n{done.stdout}"
        return done.stdout

    def write(self, caption: str, text: str) -> None:
        """
        Write a file, or into the newest migration.
        """
        place = _IN_SCRIPT.fullmatch(caption)
        path = self.folder / caption
        if place:
            scripts = (self.folder / "migrations" / "versions").glob("*.py")
            path = max(scripts, key=lambda script: script.stat().st_mtime_ns)
            beginning = re.compile(rf'(def {place[1]}\(\).*?:\n(?: +""".*?"""\n)?)')
            before, head, after = beginning.split(path.read_text(), maxsplit=1)
            text = f"{before}{head}{textwrap.indent(text, '    ')}{after}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def _commands(self, block: Block, expected: str) -> str:
        manner = block.options.get("class", "")
        if manner == "background":
            with self._clock():
                output = self._start(block.text)
        else:
            output = self._run(self._copied if manner == "copied" else block.text, manner, block)
        assert alike(expected, output), (
            f"{block.place}\n{block.text}\nshould print\n{expected}\nand printed\n{output}"
        )
        return output

    @contextmanager
    def _clock(self) -> Iterator[None]:
        begin = time.monotonic()
        yield
        self.seconds += time.monotonic() - begin

    def _run(self, commands: str, manner: str, block: Block) -> str:
        printed = ""
        for command in filter(str.strip, commands.splitlines()):
            export = _EXPORT.match(command)
            if _INSTALLS.match(command):
                if not self.installs:
                    continue
                shown = self._shell(command.replace("'pgultra[", f"'{_ROOT}["))
                activated = self.folder / ".venv" / "bin"
                if not self.environment["PATH"].startswith(str(activated)):
                    self.environment["PATH"] = f"{activated}{os.pathsep}{os.environ['PATH']}"
            elif export:
                with self._clock():
                    shown = self._shell(f'{command}; printf %s "${export[1]}"')
                self.environment[export[1]] = shown.stdout
            else:
                with self._clock():
                    shown = self._shell(command)
                printed += shown.stdout
            wanted = 1 if manner == "fails" else 0
            assert shown.returncode == wanted, f"{block.place}: {command}\n{shown.stdout}"
        return printed

    def _shell(self, command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-c", command],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    def _start(self, command: str) -> str:
        process = subprocess.Popen(
            ["bash", "-c", f"exec {command}"],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._behind.append(process)
        assert process.stdout is not None
        self._copied = process.stdout.readline()
        return self._copied


def alike(expected: str, printed: str) -> bool:
    """
    Tell whether a text is as a page says; ``…`` is anything, also of several lines.
    """
    lines = [line.rstrip() for line in expected.strip().splitlines()]
    pattern = re.escape("\n".join(lines)).replace(re.escape("…"), ".*")
    pattern = re.sub(r"(\\ )+", r"\\s+", pattern)  # the width of a terminal is no promise
    text = "\n".join(line.rstrip() for line in printed.strip().splitlines())
    return re.fullmatch(pattern, text, re.DOTALL) is not None
