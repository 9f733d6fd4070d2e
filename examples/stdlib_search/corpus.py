"""
Real text on every machine: the documentation inside Python's standard library.

The source files are read with `ast` and never imported (`import antigravity` opens a browser).
A file gives the docstrings of what is defined in it, and with each docstring the comments
that stand in that piece of code.
"""

from __future__ import annotations

import ast
import os
import re
import sysconfig
import tokenize
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

LIBRARY = Path(sysconfig.get_path("stdlib"))
LEFT_OUT = {
    "__pycache__",
    "idle_test",
    "idlelib",
    "site-packages",
    "dist-packages",
    "test",
    "tests",
}
COMMENT = re.compile(r"\s*#(?!!) ?(.*\w.*)")
KINDS = {ast.Module: "module", ast.ClassDef: "class"}

Definition = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


@dataclass
class Docstring:
    """
    What is written about one module, class or function.
    """

    name: str
    kind: str
    line: int
    text: str
    comments: list[tuple[int, str]] = field(default_factory=list)


def files() -> list[Path]:
    """
    The source files of the standard library, without its tests.
    """
    found = []
    for folder, inner, names in os.walk(LIBRARY):
        inner[:] = sorted(set(inner) - LEFT_OUT)
        found += [Path(folder, name) for name in sorted(names) if name.endswith(".py")]
    return found


def module_name(path: Path) -> str:
    """
    `json/decoder.py` is `json.decoder`, and `json/__init__.py` is `json`.
    """
    parts = path.relative_to(LIBRARY).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def docstrings(path: Path) -> list[Docstring]:
    """
    Read one file; a name that is defined twice (in two branches of an `if`) counts once.
    """
    try:
        with tokenize.open(path) as file:  # minds the coding line
            source = file.read()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # old modules have old escapes
            tree = ast.parse(source)
    except (SyntaxError, UnicodeDecodeError):  # lib2to3 has files of other languages
        return []
    found: dict[str, tuple[Docstring, int]] = {}
    for name, node in definitions(tree, module_name(path)):
        text = ast.get_docstring(node)
        if text:
            first = getattr(node, "lineno", 1)
            last = getattr(node, "end_lineno", None) or len(source)
            docstring = Docstring(name, KINDS.get(type(node), "function"), first, text)
            found.setdefault(name, (docstring, last))
    for line, comment in comments(source) if found else ():
        around = [each for each, last in found.values() if each.line <= line <= last]
        if around:
            around[-1].comments.append((line, comment))  # the innermost comes last
    return [each for each, _ in found.values()]


def definitions(node: ast.AST, name: str) -> Iterator[tuple[str, Definition]]:
    """
    A definition and all inside it, with dotted names, outer ones first.
    """
    if isinstance(node, Definition):
        yield name, node
    # Definitions stand where statements stand: expressions need no look.
    for block in ("body", "handlers", "orelse", "finalbody", "cases"):
        for child in getattr(node, block, ()):
            if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                yield from definitions(child, f"{name}.{child.name}")
            elif isinstance(child, ast.stmt | ast.ExceptHandler | ast.match_case):
                yield from definitions(child, name)


def comments(source: str) -> list[tuple[int, str]]:
    """
    The comments that have lines of their own; lines that follow each other are one comment.
    """
    found: list[tuple[int, str]] = []
    previous = -1
    for number, line in enumerate(source.splitlines(), 1):
        comment = COMMENT.fullmatch(line)
        if comment is None:
            continue
        if number == previous + 1:
            start, text = found[-1]
            found[-1] = (start, f"{text}\n{comment[1]}")
        else:
            found.append((number, comment[1]))
        previous = number
    return found
