"""
From a plaintext column to an encrypted one, while the application runs.

Three deployments: the plain column alone; both, with ``dual=``; the encrypted one alone.
In between, ``adopt`` fills and ``verify`` compares.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    LargeBinary,
    Text,
    and_,
    bindparam,
    cast,
    func,
    select,
    tuple_,
    type_coerce,
    update,
)

from pgultra.bridge import on_connection
from pgultra.errors import DecryptionError, EncryptionError
from pgultra.features.encryption.context import columns_of, plain_column
from pgultra.features.encryption.naming import column_named, given_names
from pgultra.features.encryption.sending import SentRows, bare
from pgultra.features.encryption.tables import type_of
from pgultra.features.encryption.usage import (
    PAUSE,
    ROUNDS,
    encrypted_column,
    insist_on_all_rows,
    insist_on_batches,
    transaction_of_its_own,
)
from pgultra.plan.options import whole

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Column, Connection

    from pgultra.features.encryption.naming import Named

    Progress = Callable[[int, int], object]

__all__ = ["Adopted", "adopt", "verify"]


@dataclass(frozen=True)
class Adopted:
    """
    How far a column has come.

    Attributes:
        column: ``table.column``.
        rows: rows that have a plaintext.
        done: rows that were sealed now.
        remaining: rows whose plaintext is not sealed yet.
        different: keys of rows whose sealed value is not the plaintext (at most 100).

    >>> Adopted("person.email", rows=10, done=10, remaining=0).complete
    True
    """

    column: str
    rows: int
    done: int
    remaining: int
    different: tuple[tuple[Any, ...], ...] = ()

    @property
    def complete(self) -> bool:
        """
        Whether the plain column may go.
        """
        return not self.remaining and not self.different

    @property
    def remedy(self) -> str:
        """
        What to do about the rows that are different; nothing if there are none.
        """
        if not self.different:
            return ""
        return (
            f"where the plaintext is right, set {self.column} to NULL in these rows and adopt "
            "again; where the sealed value is right, assign it anew, which writes both"
        )


@on_connection
def adopt(
    connection: Connection,
    column: Any,  # a column or mapped attribute
    *,
    from_: Named | None = None,
    batch: int = 1000,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> Adopted:
    """
    Seal the values of a plain column into the encrypted one, in batches, resumable.

    The plain column is read through its own SQLAlchemy type: one that decrypts, such as
    ``StringEncryptedType`` or ``PgcryptoColumn``, is adopted the same way.

    Args:
        connection: outside a transaction; an AsyncConnection too (then await).
        column: the encrypted column.
        from_: the plain column's key; the column's ``dual``, if not given.
        batch: rows in a transaction.
        dry_run: only count.
        progress: is called after each batch with the rows done and the rows found.

    Raises:
        EncryptionError: the connection is in a transaction or commits each statement, a value
            does not fit, row level security hides rows from this role, there is no plain
            column to read, or the table has no primary key.
        DeclarationError: ``batch`` is no whole number above 0.

    Example::

        with engine.connect() as connection:
            adopt(connection, Person.email)
            assert verify(connection, Person.email).complete
    """
    work = _Work(column, from_, batch)
    insist_on_batches(connection)
    with connection.begin():
        insist_on_all_rows(connection, work.table, "adopt")
        rows, found = work.count(connection)
    done, remaining = 0, found
    for _ in range(0 if dry_run else ROUNDS):
        moved, last = work.fill(connection, None)
        while last is not None:
            done += moved
            if progress is not None:
                progress(done, max(done, found))
            moved, last = work.fill(connection, last)
        with connection.begin():
            rows, remaining = work.count(connection)
        if not remaining:
            break
        time.sleep(PAUSE)  # somebody else holds them
    return Adopted(work.name, rows, done, remaining)


@on_connection
def verify(
    connection: Connection,
    column: Any,  # a column or mapped attribute
    *,
    from_: Named | None = None,
    batch: int = 1000,
) -> Adopted:
    """
    Open every sealed value and compare it with the plaintext, before that goes.

    What to do about rows that are different, ``remedy`` of the result tells.

    Args:
        connection: a Connection, or an AsyncConnection (then await).
        column: the encrypted column.
        from_: the plain column's key; the column's ``dual``, if not given.
        batch: rows that are read at once.

    Raises:
        EncryptionError: there is no plain column to compare with, the table has no primary key, or
            row level security hides rows from this role.
        DeclarationError: ``batch`` is no whole number above 0.

    Example::

        assert verify(connection, Person.email).complete
    """
    work = _Work(column, from_, batch)
    with transaction_of_its_own(connection):
        insist_on_all_rows(connection, work.table, "verify")
        return work.compared(connection)


class _Work:
    def __init__(self, column: Any, from_: Named | None, batch: int) -> None:
        whole("adopt", "batch", batch, 1, 1_000_000)
        self.column = encrypted_column(column)
        self.of = type_of(self.column)
        self.table: Any = self.column.table
        self.name = f"{self.table}.{self.column.name}"
        self.plain = self._plain(from_)
        self.key: list[Column[Any]] = list(self.table.primary_key.columns)
        if not self.key:
            raise EncryptionError(f"{self.table} has no primary key: its rows cannot be told apart")
        self.batch = batch
        self.context = [cast(each, Text) for each in columns_of(self.of, self.table)]
        self.stored = type_coerce(self.column, LargeBinary)
        self.todo = and_(self.plain.is_not(None), self.stored.is_(None))

    def _plain(self, from_: Named | None) -> Column[Any]:
        if from_ is None and self.of.dual is None:
            raise EncryptionError(f"{self.of.described}: say from_= or declare dual=")
        if from_ is None:
            return plain_column(self.of, self.table)
        found = column_named(self.table, given_names(from_)[0], self.column)
        if found is None:
            raise EncryptionError(f"{self.table} has no column {from_!r}")
        return found

    def count(self, connection: Connection) -> tuple[int, int]:
        """
        Rows with a plaintext, and those of them that are not sealed.
        """
        counted = func.count().filter(self.todo)
        statement = select(func.count(), counted).where(self.plain.is_not(None))
        rows, remaining = connection.execute(statement.select_from(self.table)).one()
        return rows, remaining

    def _page(self, last: Sequence[Any] | None) -> Any:  # a select
        statement = (
            select(self.plain, self.stored, *self.context, *self.key, self.plain.is_not(None))
            .order_by(*self.key)
            .limit(self.batch)
        )
        if last is None:
            return statement
        bounds = [bindparam(None, v, each.type) for v, each in zip(last, self.key, strict=True)]
        return statement.where(tuple_(*self.key) > tuple_(*bounds))

    def key_of(self, row: Any) -> tuple[Any, ...]:
        """
        A row's primary key.
        """
        return tuple(row[2 + len(self.context) : -1])

    def _parts(self, row: Any) -> tuple[bytes | None, ...]:
        texts = row[2 : 2 + len(self.context)]
        return tuple(None if each is None else each.encode() for each in texts)

    def fill(
        self, connection: Connection, last: Sequence[Any] | None
    ) -> tuple[int, Sequence[Any] | None]:
        """
        One batch: how many rows, and the key of its last one.

        Rows are locked as they are read, so that no plaintext changes meanwhile; those that
        others hold are passed over, since waiting for one with a thousand in hand is a deadlock.
        """
        with connection.begin():
            return self._fill(connection, last)

    def _fill(
        self, connection: Connection, last: Sequence[Any] | None
    ) -> tuple[int, Sequence[Any] | None]:
        page = self._page(last).where(self.todo)
        page = page.with_for_update(key_share=True, skip_locked=True, of=self.table)
        rows = connection.execute(page).all()
        if not rows:
            return 0, None
        self._load_subjects(connection, rows)
        table, name = bare(self.table, connection), self.column.name
        sent = SentRows([table.c[each.name] for each in self.key], "new")
        statement = (
            update(table).values({name: sent["new"]}).where(*sent.same, table.c[name].is_(None))
        )
        given = sent.given([*map(self.key_of, rows)], new=map(self._sealed, rows))
        return connection.execute(statement, given).rowcount, self.key_of(rows[-1])

    def _load_subjects(self, connection: Connection, rows: Sequence[Any]) -> None:
        if self.of.subjects is not None:
            self.of.subjects.load(connection, {row[2] for row in rows if row[2] is not None})

    def _sealed(self, row: Any) -> bytes:
        parts = self._parts(row)
        sealed: bytes = self.of.guarded(lambda value: self.of.seal(value, parts), row[0])
        return sealed

    def compared(self, connection: Connection) -> Adopted:
        """
        All rows, page by page.
        """
        different: list[tuple[Any, ...]] = []
        last: Sequence[Any] | None = None
        while len(different) < 100:
            rows = self.both(connection, last)
            if not rows:
                break
            different += [key for key in map(self.differs, rows) if key is not None]
            last = self.key_of(rows[-1])
        total, remaining = self.count(connection)
        return Adopted(self.name, total, 0, remaining, tuple(different[:100]))

    def both(self, connection: Connection, last: Sequence[Any] | None) -> Sequence[Any]:
        """
        A page of rows that have both values.
        """
        either = self.plain.is_not(None) | self.stored.is_not(None)
        rows: Sequence[Any] = connection.execute(self._page(last).where(either)).all()
        self._load_subjects(connection, rows)
        return rows

    def differs(self, row: Any) -> tuple[Any, ...] | None:
        """
        The key of a row whose sealed value is another than its plaintext.
        """
        plain, sealed = row[0], row[1]
        if sealed is None:
            return None  # counted as remaining
        parts = self._parts(row)
        try:
            raw = self.of.box.open(
                sealed, context=parts, subject=lambda: self.of.subject_key(parts)
            )
            value = self.of.decoded(self.of.codec.decode, raw)
            # NaN equals no NaN; a JSON null is None in Python, and no NULL
            same = row[-1] and (
                value == plain or raw == self.of.guarded(self.of.codec.encode, plain)
            )
        except (DecryptionError, EncryptionError):
            return self.key_of(row)
        return None if same else self.key_of(row)
