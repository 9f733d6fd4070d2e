"""
What the figures were taken on.
"""

from __future__ import annotations

import os
import platform
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

__all__ = ["description", "file_system", "versions"]

PACKAGES = (
    *("pgultra", "sqlalchemy", "alembic", "psycopg", "asyncpg", "pgvector", "cryptography"),
    *("alembic-utils", "sqlalchemy-declarative-extensions", "sqlalchemy-searchable"),
    "sqlalchemy-utils",
)


def description() -> str:
    """
    Processor, number of cores, memory, system: nothing that tells whose machine it is.
    """
    cores, memory = os.cpu_count(), os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return (
        f"{_processor()}, {cores} cores, {memory / 2**30:.0f} GB of memory,"
        f" {platform.system()} on {platform.machine()}"
    )


def file_system(folder: Path) -> str:
    """
    Of a folder; and whether the disk is told of freed blocks at once, which slows DROP TABLE down.
    """
    try:
        mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    except OSError:
        return "files on a file system that is not known"
    above = [each for each in mounts if folder.is_relative_to(each[1])]
    _, _, kind, options, *_ = max(above, key=lambda each: len(each[1]))
    return f"files on {kind}{' with discard' if 'discard' in options.split(',') else ''}"


def versions() -> dict[str, str]:
    """
    Of the packages that take part.
    """
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _processor() -> str:
    try:
        told = Path("/proc/cpuinfo").read_text()
    except OSError:
        told = ""
    named = re.search(r"^model name\s*: (.+)$", told, re.MULTILINE)
    return named[1].strip() if named else platform.processor() or "a processor"
