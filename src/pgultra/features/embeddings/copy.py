"""
``bulk_copy``: many rows at once, by COPY in binary.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any, NoReturn

from sqlalchemy import Table, inspect

from pgultra import sql
from pgultra.bridge import on_connection
from pgultra.errors import DeclarationError, PgultraError
from pgultra.features.embeddings import driver, sending, wire
from pgultra.features.embeddings.filled import Row, filled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from sqlalchemy import Column, Connection

__all__ = ["bulk_copy"]

BATCH = 125
"""Rows that are packed at once: few enough for the processor's cache."""
TELL = 1000
"""Rows after which progress is told."""


@on_connection
def bulk_copy(
    connection: Connection,
    target: Any,  # a mapped class or a Table
    rows: Iterable[Mapping[str, Any]],
    *,
    progress: Callable[[int], object] | None = None,
) -> int:
    """
    Load rows by binary COPY, several times as fast as adding objects to a session.

    Values pass through the column types, and vectors are checked, as with an insert. Python
    defaults that are plain values or functions are filled in, and of a mapped class what its
    mapper knows: the discriminator of a subclass, the first version of a row. ORM events do
    not happen; triggers and constraints of the database do. It runs in the connection's
    transaction.

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
        DeclarationError: a key is no column, a column that the rows leave out has an SQL
            expression or a sequence as its default, or what is stored in a column is computed
            by an SQL expression of its type.

    With a column of a type that psycopg has no binary form of (``hstore``, ``tsvector``,
    ``halfvec``) psycopg sends text, vectors too, and an insert is quicker; asyncpg refuses it.

    PostgreSQL refuses COPY to a role for which row level security holds: use an insert.

    On asyncpg codecs that the host registered for vectors and citext are gone after it.

    Example:
        >>> rows = ({"id": n, "embedding": vector} for n, vector in enumerate(vectors)
        ...     )  # doctest: +SKIP
        >>> bulk_copy(connection, Article, rows, progress=print)  # doctest: +SKIP
    """
    waiting = iter(rows)
    first = next(waiting, None)
    if first is None:
        return 0
    table, mapper, columns = _columns(target, first)
    load = Load(connection, table, columns, progress, filled(table, mapper, columns))
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
        rest: Mapping[Column[Any], Callable[[Any], Any]],
    ) -> None:
        self.connection = connection
        self.driver = driver.driver_of(connection.dialect)
        if self.driver not in ("psycopg", "psycopg_async", "asyncpg"):
            raise PgultraError(
                f"bulk_copy needs psycopg or asyncpg, not {self.driver}: connect with "
                "postgresql+psycopg://, or use insert()"
            )
        self.table = table
        self.progress = progress
        self.done = 0
        self.keys = list(columns)
        self._key = {name: column.key for name, column in columns.items()}
        self.columns = [*columns.values(), *rest]
        if not self.columns:
            raise DeclarationError(f"bulk_copy: the rows name no column of {table.fullname}")
        self.types = sending.types_of(connection, table, self.columns)
        self.in_text = False
        if self.driver != "asyncpg":
            raw: Any = connection.connection.driver_connection
            self.psycopg = driver.psycopg_of(connection.dialect)
            self.in_text = sending.texts(self.types, raw, self.psycopg)
        processors = [
            self._processor(column, type_)
            for column, type_ in zip(self.columns, self.types, strict=True)
        ]
        self.processors = processors[: len(self.keys)]
        self.defaults = list(zip(rest.values(), processors[len(self.keys) :], strict=True))
        self.schema = sql.schema_on(connection, table.schema)

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
            sending.teach(self.types, cursor, self.psycopg, self.in_text)
            with cursor, cursor.copy(self._statement()) as copy:
                if not self.in_text:
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
        if self.defaults:
            contexts = [Row(row, self._key) for row in batch]
            for make, process in self.defaults:
                columns.append(_sent([make(context) for context in contexts], process))
        return zip(*columns, strict=True)

    def _refuse(self, row: Mapping[str, Any]) -> NoReturn:
        raise DeclarationError(
            f"bulk_copy: a row has the keys {', '.join(map(str, row))}, and the first one had "
            f"{', '.join(self.keys)}: give all rows the same, None where there is no value"
        )

    def _processor(self, column: Column[Any], type_: Any) -> Callable[[Any], Any] | None:
        connection = self.connection
        process = sending.process_of(column, type_, connection.dialect)
        if self.in_text and isinstance(process, wire.Packer):  # one by one
            pack = process
            return lambda value: None if value is None else pack(value)
        if self.driver == "asyncpg":
            return process
        fit = sending.fitting(type_, connection.connection.driver_connection)
        if process is None or fit is None:
            return process or fit
        return lambda value: fit(process(value))

    def _statement(self) -> str:
        names = ", ".join(sql.identifier(column.name) for column in self.columns)
        table = sql.qualified(self.schema, self.table.name)
        return f"COPY {table} ({names}) FROM STDIN" + " (FORMAT BINARY)" * (not self.in_text)

    def _oids(self) -> list[int]:
        return [int(type_.oid) for type_ in self.types]

    async def _by_async_psycopg(self, raw: Any, rows: Iterator[Sequence[Any]]) -> None:
        async with raw.cursor() as cursor:
            sending.teach(self.types, cursor, self.psycopg, self.in_text)
            async with cursor.copy(self._statement()) as copy:
                if not self.in_text:
                    copy.set_types(self._oids())
                for row in rows:
                    await copy.write_row(row)

    async def _by_asyncpg(self, raw: Any, rows: Iterator[Sequence[Any]]) -> None:
        """
        asyncpg writes what it has a codec for: ours are there for the length of the COPY.

        They can be taken away in a transaction that goes on, so an error ends a savepoint only.
        """
        codecs = sending.codecs(self.types)
        try:
            async with raw.transaction():
                for name, (schema, encode, decode) in codecs.items():
                    await raw.set_type_codec(
                        name, schema=schema, encoder=encode, decoder=decode, format="binary"
                    )
                await raw.copy_records_to_table(
                    self.table.name,
                    schema_name=self.schema,
                    columns=[column.name for column in self.columns],
                    records=rows,
                )
        finally:
            if not raw.is_closed():
                for name, (schema, _, _) in codecs.items():
                    await raw.reset_type_codec(name, schema=schema)


def _sent(values: list[Any], process: Callable[[Any], Any] | None) -> Iterable[Any]:
    """
    Values of one column as its type sends them.
    """
    if isinstance(process, wire.Packer):
        return process.batch(values)
    return values if process is None else map(process, values)


def _columns(target: Any, first: Mapping[str, Any]) -> tuple[Table, Any, dict[str, Column[Any]]]:
    """
    The table, its mapper if there is one, and the columns that a row's keys mean.
    """
    mapper = None if isinstance(target, Table) else inspect(target)
    table: Any = target if mapper is None else mapper.local_table
    if not isinstance(first, Mapping):
        raise DeclarationError(
            f"bulk_copy takes mappings such as {{'id': 1}}, not {type(first).__name__}"
        )
    by_name = {each.name: each for each in table.columns}
    columns: dict[str, Any] = {}
    for key in first:
        if mapper is not None and key in mapper.columns:
            column = mapper.columns[key]
        else:
            column = table.c.get(key, by_name.get(key))
        if column is None or column.table is not table:
            raise DeclarationError(f"bulk_copy: table {table.fullname} has no column {key!r}")
        columns[key] = column
    return table, mapper, columns
