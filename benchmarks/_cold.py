"""
A table that nobody has read for long: its files are on disk, and not in the system's memory.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["forget"]

PATHS = sa.text("""
SELECT current_setting('data_directory') || '/' || pg_relation_filepath(c.oid)
FROM pg_class AS c LEFT JOIN pg_index AS i ON i.indexrelid = c.oid
WHERE CAST(CAST(:name AS regclass) AS oid) IN (c.oid, i.indrelid)
""")


def forget(connection: sa.Connection, name: str) -> bool:
    """
    Write the files of a table and its indexes to disk, and have the system forget them.

    Returns:
        Whether it could be done: not on another machine, nor without the right to read them.
    """
    connection.exec_driver_sql("CHECKPOINT")
    os.sync()  # what is not yet written cannot be forgotten
    files = list(_files(connection, name))
    try:
        for file in files:
            with file.open("rb") as opened:
                os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    except (PermissionError, AttributeError):  # macOS has no such advice
        return False
    return bool(files)


def _files(connection: sa.Connection, name: str) -> Iterator[Path]:
    for path in map(Path, connection.scalars(PATHS, {"name": name})):
        yield from (each for each in path.parent.glob(f"{path.name}*") if _of(path, each))


def _of(path: Path, other: Path) -> bool:
    """
    Whether a file is a segment or fork of a relation: 16384, 16384.1, 16384_fsm.
    """
    return other.name[len(path.name) :][:1] in {"", ".", "_"}
