"""
``bulk_copy``: many rows at once, by COPY in binary.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any, NoReturn

from sqlalchemy import Table, inspect, text

from pgultra import sql
from pgultra.bridge import on_connection
from pgultra.errors import DeclarationError, PgultraError
from pgultra.features.embeddings import wire
from pgultra.features.embeddings.vector import VectorType

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from sqlalchemy import Column, Connection

__all__ = ["bulk_copy"]

BATCH = 125
"""Rows that are packed at once: few enough for the processor's cache."""
TELL = 1000
"""Rows after which progress is told."""
TYPES = """
SELECT a.attname, coalesce(nullif(t.typbasetype, 0), t.oid)::int8 AS oid, t.typname,
    n.nspname, pg_catalog.format_type(t.oid, NULL) AS printed
FROM pg_catalog.pg_attribute AS a
JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid
JOIN pg_catalog.pg_namespace AS n ON n.oid = t.typnamespace
WHERE a.attrelid = pg_catalog.to_regclass(:table) AND a.attnum > 0 AND NOT a.attisdropped
"""


@on_connection
def bulk_copy(
    connection: Connection,
    target: Any,  # a mapped class or a Table
    rows: Iterable[Mapping[str, Any]],
    *,
    progress: Callable[[int], object] | None = None,
) -> int:
    """
    Load rows by binary COPY, some forty times as fast as adding objects to a session.

    Values pass through the column types, and vectors are checked, as with an insert. Python
    defaults that are plain values or functions are filled in. ORM events do not happen;
    triggers and constraints of the database do. It runs in the connection's transaction.

    Args:
        connection: a Connection, or an AsyncConnection, and then it is to be awaited; on
            psycopg or asyncpg.
        target: the mapped class or table.
        rows: mappings by attribute or column name, all with the same keys; may be a
            generator, which is read as it goes.
        progress: called with the number of rows so far, after every thousand and at the end.

    Returns:
        How many rows were copied.

    Raises:
        InvalidVector: a vector does not fit its column; nothing is copied.
        DeclarationError: a key is no column, or a column that the rows leave out has an SQL
            expression as its default.

    On asyncpg a codec for vectors that the host registered is gone after it.

    Example:
        >>> rows = ({"id": n, "embedding": vector} for n, vector in enumerate(vectors)
        ...     )  # doctest: +SKIP
        >>> bulk_copy(connection, Article, rows, progress=print)  # doctest: +SKIP
    """
    waiting = iter(rows)
    first = next(waiting, None)
    if first is None:
        return 0
    table, columns = _columns(target, first)
    load = Load(connection, table, columns, progress)
    return load.run(first, waiting)


class Load:
    """
    One COPY: what goes into which column, and how.
    """

    def __init__(
        self,
        connection: Connection,
        table: Table,
        columns: Mapping[str, Column[Any]],
        progress: Callable[[int], object] | None,
    ) -> None:
        self.connection = connection
        self.driver = wire.driver_of(connection.dialect)
        if self.driver not in ("psycopg", "psycopg_async", "asyncpg"):
            raise PgultraError(
                f"bulk_copy needs psycopg or asyncpg, not {self.driver}: connect with "
                "postgresql+psycopg://, or use insert()"
            )
        self.table = table
        self.progress = progress
        self.done = 0
        self.keys = list(columns)
        filled = _defaults(table, columns)
        self.columns = [*columns.values(), *filled]
        self.processors = [self._processor(column) for column in columns.values()]
        self.defaults = [(make, self._processor(column)) for column, make in filled.items()]
        self.schema = sql.schema_on(connection, table.schema)
        place = sql.qualified(self.schema, table.name)
        found = connection.execute(text(TYPES), {"table": place})
        self.types = {row.attname: row for row in found}

    def run(self, first: Mapping[str, Any], waiting: Iterator[Mapping[str, Any]]) -> int:
        """
        Copy all rows.
        """
        dbapi: Any = self.connection.connection.dbapi_connection
        rows = self._rows(first, waiting)
        if self.driver == "asyncpg":
            dbapi.run_async(lambda raw: self._by_asyncpg(raw, rows))
        elif hasattr(dbapi, "run_async"):
            dbapi.run_async(lambda raw: self._by_async_psycopg(raw, rows))
        else:
            cursor = dbapi.cursor()
            self._teach(cursor)
            with cursor, cursor.copy(self._statement()) as copy:
                copy.set_types(self._oids())
                for row in rows:
                    copy.write_row(row)
        if self.progress is not None:
            self.progress(self.done)
        return self.done

    def _rows(
        self, first: Mapping[str, Any], waiting: Iterator[Mapping[str, Any]]
    ) -> Iterator[Sequence[Any]]:
        batch = [first, *islice(waiting, BATCH - 1)]
        while batch:
            yield from self._packed(batch)
            self.done += len(batch)
            batch = list(islice(waiting, BATCH))
            if batch and self.done % TELL == 0 and self.progress is not None:
                self.progress(self.done)

    def _packed(self, batch: list[Mapping[str, Any]]) -> Iterator[Sequence[Any]]:
        """
        One batch, column by column.
        """
        count = len(self.keys)
        for row in batch:
            if len(row) != count:
                self._refuse(row)
        columns: list[Iterable[Any]] = []
        for key, process in zip(self.keys, self.processors, strict=True):
            try:
                given = [row[key] for row in batch]
            except KeyError:
                self._refuse(next(row for row in batch if key not in row))
            columns.append(_sent(given, process))
        for default, process in self.defaults:
            columns.append(_sent([default() for _ in batch], process))
        return zip(*columns, strict=True)

    def _refuse(self, row: Mapping[str, Any]) -> NoReturn:
        raise DeclarationError(
            f"bulk_copy: a row has the keys {', '.join(map(str, row))}, and the first one had "
            f"{', '.join(self.keys)}: give all rows the same, None where there is no value"
        )

    def _processor(self, column: Column[Any]) -> Callable[[Any], Any] | None:
        if isinstance(column.type, VectorType):
            return column.type.packer()
        dialect = self.connection.dialect
        return column.type.dialect_impl(dialect).bind_processor(dialect)

    def _statement(self) -> str:
        names = ", ".join(sql.identifier(column.name) for column in self.columns)
        table = sql.qualified(self.schema, self.table.name)
        return f"COPY {table} ({names}) FROM STDIN (FORMAT BINARY)"

    def _oids(self) -> list[int]:
        return [int(self.types[column.name].oid) for column in self.columns]

    def _teach(self, cursor: Any) -> None:
        """
        Let this cursor write vectors, and texts of types that psycopg does not know.
        """
        psycopg = wire.psycopg_of(self.connection.dialect)
        for column, oid in zip(self.columns, self._oids(), strict=True):
            if isinstance(column.type, VectorType):
                cursor.adapters.register_dumper(None, wire.dumper(psycopg, oid))
            else:
                try:
                    cursor.adapters.get_dumper_by_oid(oid, psycopg.pq.Format.BINARY)
                except psycopg.ProgrammingError:
                    cursor.adapters.register_dumper(None, wire.text_dumper(psycopg, oid))

    async def _by_async_psycopg(self, raw: Any, rows: Iterator[Sequence[Any]]) -> None:
        async with raw.cursor() as cursor:
            self._teach(cursor)
            async with cursor.copy(self._statement()) as copy:
                copy.set_types(self._oids())
                for row in rows:
                    await copy.write_row(row)

    async def _by_asyncpg(self, raw: Any, rows: Iterator[Sequence[Any]]) -> None:
        """
        asyncpg writes what it has a codec for: ours is there for the length of the COPY.
        """
        vector = next(
            (self.types[c.name] for c in self.columns if isinstance(c.type, VectorType)), None
        )
        if vector is not None:
            await raw.set_type_codec(
                vector.typname,
                schema=vector.nspname,
                encoder=bytes,
                decoder=bytes,
                format="binary",
            )
        try:
            await raw.copy_records_to_table(
                self.table.name,
                schema_name=self.schema,
                columns=[column.name for column in self.columns],
                records=rows,
            )
        finally:
            if vector is not None:
                await raw.reset_type_codec(vector.typname, schema=vector.nspname)


def _sent(values: list[Any], process: Callable[[Any], Any] | None) -> Iterable[Any]:
    """
    Values of one column as its type sends them.
    """
    if isinstance(process, wire.Packer):
        return process.batch(values)
    return values if process is None else map(process, values)


def _columns(target: Any, first: Mapping[str, Any]) -> tuple[Table, dict[str, Column[Any]]]:
    """
    The columns that a row's keys mean.
    """
    mapper = None if isinstance(target, Table) else inspect(target)
    table: Any = target if mapper is None else mapper.local_table
    if not isinstance(first, Mapping):
        raise DeclarationError(
            f"bulk_copy takes mappings such as {{'id': 1}}, not {type(first).__name__}"
        )
    columns: dict[str, Any] = {}
    for key in first:
        if mapper is not None and key in mapper.columns:
            column = mapper.columns[key]
        else:
            column = table.c.get(key)
        if column is None or column.table is not table:
            raise DeclarationError(f"bulk_copy: table {table.fullname} has no column {key!r}")
        columns[key] = column
    return table, columns


def _defaults(
    table: Table, columns: Mapping[str, Column[Any]]
) -> dict[Column[Any], Callable[[], Any]]:
    """
    Python defaults of the columns that the rows leave out.

    Raises:
        DeclarationError: one is an SQL expression, which COPY cannot send.
    """
    given = set(columns.values())
    found: dict[Any, Any] = {}
    for column in table.columns:
        default: Any = column.default
        if column in given or default is None:
            continue
        if default.is_scalar:
            found[column] = lambda value=default.arg: value
        elif default.is_callable:
            found[column] = lambda make=default.arg: make(None)
        elif default.is_clause_element:
            raise DeclarationError(
                f"bulk_copy: the default of {table.fullname}.{column.name} is the expression "
                f"{default.arg}, which COPY cannot send: give the rows a value for it, or declare "
                "it with server_default="
            )
    return found
