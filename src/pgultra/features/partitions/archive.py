"""
A partition as a file: COPY, compressed, with its checksum; read again before anything is dropped.

Beside ``NAME.tsv.gz`` stands ``NAME.json``: the table that it was part of, its bound, its
columns, its rows, and two checksums: of the file's text, and of the rows as PostgreSQL
prints them, which can be compared with a table into which the file was loaded.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from pgultra import sql
from pgultra.errors import PgultraError
from pgultra.objects._catalog import rows

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Connection

__all__ = ["Archived", "checksum_of", "read_archive", "write_archive"]

COLUMNS = """
SELECT a.attname AS name, pg_catalog.format_type(a.atttypid, a.atttypmod) AS type
FROM pg_catalog.pg_attribute AS a
WHERE a.attrelid = CAST(CAST(:table AS text) AS oid) AND a.attnum > 0 AND NOT a.attisdropped
    AND a.attgenerated = ''
ORDER BY a.attnum
"""
DATABASE = """
SELECT pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(pg_catalog.concat_ws(' ',
    EXTRACT(epoch FROM pg_catalog.pg_postmaster_start_time()), d.oid), 'UTF8')), 'hex') AS mark
FROM pg_catalog.pg_database AS d WHERE d.datname = pg_catalog.current_database()
"""
"""Tells the runs of two databases apart, which may be at one folder at the same time."""
PIECE = 1 << 20


@dataclass(frozen=True)
class Archived:
    """
    What a file holds.

    Attributes:
        path: the file.
        table: the partition, with its schema.
        parent: the table that it was a partition of.
        bound: its bound, as ``ATTACH PARTITION`` takes it.
        columns: their names and types, in the order of the file; generated ones are left out.
        rows: how many.
        sha256: of the text, not compressed.
        content: the sum of the rows' hashes, as `checksum_of` gives it.
    """

    path: str
    table: str
    parent: str
    bound: str
    columns: tuple[tuple[str, str], ...]
    rows: int
    sha256: str
    content: str


def checksum_of(connection: Connection, table: str, columns: Sequence[str]) -> tuple[int, str]:
    """
    Count a table's rows, and add up the hashes of their texts; the order does not matter.

    Args:
        connection: with settings that print values the same each time.
        table: quoted, with its schema.
        columns: their names.
    """
    listed = ", ".join(map(sql.identifier, columns))
    query = (
        "SELECT pg_catalog.count(*), coalesce(pg_catalog.sum(pg_catalog.hashtextextended("  # noqa: S608  # quoted
        f"ROW({listed})::text, 0)::numeric), 0)::text FROM {table}"
    )
    number, total = connection.execute(sql.statement(query)).one()
    return int(number), str(total)


def write_archive(
    connection: Connection, oid: int, table: str, folder: Path, *, parent: str, bound: str
) -> Archived:
    """
    Write a table to a file, read it back, and compare.

    The file has its name only when all is well; what an earlier attempt left is replaced, a
    file of another table's is never.

    Args:
        connection: in a transaction that has locked the table.
        oid: of the table.
        table: its name, quoted, with its schema.
        folder: made if it is not there.
        parent: the table that it was a partition of, as text for the record.
        bound: as text for the record.

    Raises:
        PgultraError: the file is not what was read, or holds something else already.
    """
    columns = tuple((row.name, row.type) for row in rows(connection, COLUMNS, table=str(oid)))
    names = [name for name, _ in columns]
    number, content = checksum_of(connection, table, names)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / (quote(table.replace('"', ""), safe=" ") + ".tsv.gz")
    record = path.with_name(path.name.removesuffix(".tsv.gz") + ".json")
    mine = (table, number, content)
    _insist_on_room(path, record, mine)
    mark = rows(connection, DATABASE)[0].mark[:12]
    part = path.with_name(f"{path.name}.{mark}.part")
    digest = _write(connection, part, table, names)
    _compare(part, digest, number, table)
    archived = Archived(str(path), table, parent, bound, columns, number, digest, content)
    sheet = record.with_name(f"{record.name}.{mark}.part")
    sheet.unlink(missing_ok=True)  # of a run that was killed, it may be the record itself
    with sheet.open("w", encoding="utf-8") as file:
        json.dump(asdict(archived), file, indent=2, ensure_ascii=False)
        file.flush()
        os.fsync(file.fileno())
    try:
        _claim(sheet, path, record, mine)
    except PgultraError:
        for leaf in (part, sheet):
            leaf.unlink(missing_ok=True)
        raise
    part.replace(path)
    _sync(folder)
    return archived


def read_archive(path: str | Path) -> Archived:
    """
    Read the record beside an archive, and check the file against it.

    Args:
        path: the file ``….tsv.gz``, or its record ``….json``.

    Raises:
        PgultraError: the file is not the one that was written.

    Example:
        ``read_archive("/archive/public.event_2024_01.tsv.gz").rows``
    """
    path = Path(path)
    record = path.with_name(path.name.removesuffix(".tsv.gz").removesuffix(".json") + ".json")
    found = json.loads(record.read_text(encoding="utf-8"))
    found["columns"] = tuple((name, type_) for name, type_ in found["columns"])
    archived = Archived(**{**found, "path": str(record.with_suffix(".tsv.gz"))})
    _compare(Path(archived.path), archived.sha256, archived.rows, archived.table)
    return archived


def _claim(sheet: Path, path: Path, record: Path, mine: tuple[str, int, str]) -> None:
    """
    Put the record into its place; only one run can, of those that found none there.
    """
    _insist_on_room(path, record, mine)
    try:
        os.link(sheet, record)
    except OSError:  # somebody was quicker, or it is ours already, or there are no hard links
        _insist_on_room(path, record, mine)
        sheet.replace(record)
    else:
        sheet.unlink()


def _insist_on_room(path: Path, record: Path, mine: tuple[str, int, str]) -> None:
    if not path.exists() and not record.exists():
        return
    try:
        found = json.loads(record.read_text(encoding="utf-8"))
        theirs = (found["table"], found["rows"], found["content"])
    except (OSError, ValueError, KeyError):
        theirs = None
    if theirs != mine:
        raise PgultraError(
            f"{path}, or its record beside it, exists and holds something else than {mine[0]}: "
            "move both away, or give each database a folder of its own"
        )


def _write(connection: Connection, path: Path, table: str, names: Sequence[str]) -> str:
    """
    The text's SHA-256; a SELECT, since a partition may be partitioned itself.
    """
    digest = hashlib.sha256()
    query = f"SELECT {', '.join(map(sql.identifier, names))} FROM {table}"  # noqa: S608  # quoted
    with path.open("wb") as file:
        with gzip.GzipFile(fileobj=file, mode="wb", compresslevel=6, mtime=0) as packed:

            def take(piece: bytes) -> None:
                digest.update(piece)
                packed.write(piece)

            copy_out(connection, query, take)
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest()


def _compare(path: Path, digest: str, number: int, table: str) -> None:
    found, lines = hashlib.sha256(), 0
    with gzip.open(path, "rb") as file:
        while piece := file.read(PIECE):
            found.update(piece)
            lines += piece.count(b"\n")
    if found.hexdigest() != digest or lines != number:
        raise PgultraError(
            f"{path} is not what was read from {table}: {lines} rows with the checksum "
            f"{found.hexdigest()}, for {number} with {digest}; nothing was dropped"
        )


def _sync(folder: Path) -> None:
    """
    Make the new names durable, where a folder can be opened.
    """
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:  # Windows
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def copy_out(connection: Connection, query: str, take: Callable[[bytes], object]) -> None:
    """
    ``COPY … TO STDOUT`` in text format, in the connection's transaction, by its driver.

    Raises:
        PgultraError: the driver has no COPY that we know.
    """
    raw: Any = connection.connection.driver_connection  # the driver's own: all of them differ
    driver = connection.dialect.driver + ("_async" if connection.dialect.is_async else "")
    statement = f"COPY ({query}) TO STDOUT (ENCODING 'UTF8')"
    if driver == "psycopg":
        with raw.cursor() as cursor, cursor.copy(statement) as copy:
            for piece in copy:
                take(bytes(piece))
    elif driver in ("psycopg_async", "asyncpg_async"):
        from sqlalchemy.util import await_only

        if driver == "psycopg_async":
            await_only(_copy_psycopg(raw, statement, take))
        else:
            await_only(_copy_asyncpg(raw, query, take))
    elif driver == "psycopg2":
        with raw.cursor() as cursor:
            cursor.copy_expert(statement, _Taker(take))
    else:
        raise PgultraError(
            f"partitions are archived to files by psycopg, asyncpg or psycopg2, not by {driver}: "
            "use one of them, or archive to a schema"
        )


async def _copy_psycopg(raw: Any, statement: str, take: Callable[[bytes], object]) -> None:
    async with raw.cursor() as cursor, cursor.copy(statement) as copy:
        async for piece in copy:
            take(bytes(piece))


async def _copy_asyncpg(raw: Any, query: str, take: Callable[[bytes], object]) -> None:
    async def output(piece: bytes) -> None:  # asyncpg wants to await something
        take(piece)

    await raw.copy_from_query(query, output=output, format="text", encoding="utf-8")


class _Taker:
    """
    A file, as far as psycopg2 looks at one.
    """

    def __init__(self, take: Callable[[bytes], object]) -> None:
        self.take = take

    def write(self, piece: bytes) -> int:
        """
        Take one piece.
        """
        self.take(piece)
        return len(piece)
