"""
The code in pages: what stands between fences, where, and what it says of itself.
"""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"

_FENCE = re.compile(
    r"^(?P<indent> *)(?P<marks>`{3,})(?P<language>[^\n`]*)\n(?P<body>.*?)^(?P=indent)(?P=marks) *$",
    re.MULTILINE | re.DOTALL,
)
_HEADING = re.compile(r"(#+) (.+)")
_AGAIN = re.compile(r"<!-- again: (.+) -->")
_OPTION = re.compile(r":([\w-]+):[ ]?(.*)\n")
_DIRECTIVE = re.compile(r"\{code-block\} *(\w*)")


@dataclass(frozen=True)
class Block:
    """
    One fenced block.

    Attributes:
        page: the file, from the root of the project.
        line: where its fence stands.
        language: such as ``python``; of a directive other than ``code-block``, its name in braces.
        text: what is in it, without the indentation of the fence.
        options: those of a directive, such as ``caption``.
        headings: what it stands under, from the page's title down.
    """

    page: str
    line: int
    language: str
    text: str
    options: dict[str, str] = field(default_factory=dict)
    headings: tuple[str, ...] = ()

    @property
    def place(self) -> str:
        """
        Where to look for it.
        """
        return f"{self.page}:{self.line}"


def blocks(page: Path) -> Iterator[Block]:
    """
    Give the blocks of a page, in order.

    ``<!-- again: Before -->``, which a reader does not see, stands where the text has the release
    deployed whose files are under that heading: a block of the language ``again``.
    """
    source = page.read_text()
    name = str(page.relative_to(ROOT))
    headings: tuple[str, ...] = ()
    end = 0
    for found in [*_FENCE.finditer(source), None]:
        for line in source[end : found.start() if found else None].splitlines():
            if heading := _HEADING.fullmatch(line):
                headings = (*headings[: len(heading[1]) - 1], heading[2])
            elif again := _AGAIN.fullmatch(line):
                yield Block(name, 0, "again", again[1], {}, headings)
        if not found:
            break
        end = found.end()
        language, text = found["language"].strip(), textwrap.dedent(found["body"])
        options: dict[str, str] = {}
        if language.startswith("{"):
            directive = _DIRECTIVE.fullmatch(language)
            language = directive[1] if directive else language
            while option := _OPTION.match(text):
                options[option[1]] = option[2]
                text = text[option.end() :]
        number = source.count("\n", 0, found.start()) + 1
        yield Block(name, number, language, text.lstrip("\n"), options, headings)


def pages_of(index: Path) -> list[Path]:
    """
    Give the pages that the first ``toctree`` of an index names, in its order.
    """
    (toctree, *_) = (block for block in blocks(index) if block.language == "{toctree}")
    return [index.with_name(f"{name}.md") for name in toctree.text.split()]
