"""
Sealing stored values anew, batch by batch, while the application goes on writing.

Each batch is a transaction of its own: rows are locked as they are read, rows that somebody
else is writing are left for the next round, and a value is replaced only if it is still
the one that was read. What is done is told by the values themselves, so that a run that
was killed is simply started again.
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
    literal_column,
    or_,
    select,
    tuple_,
    type_coerce,
    update,
)

from pgultra.bridge import on_connection
from pgultra.errors import DecryptionError, EncryptionError
from pgultra.features.encryption.context import columns_of
from pgultra.features.encryption.format import (
    key_bytes,
    key_expression,
    shape_expression,
    tag_expression,
)
from pgultra.features.encryption.sending import SentRows, bare
from pgultra.features.encryption.usage import (
    PAUSE,
    ROUNDS,
    encrypted_column,
    insist_on_all_rows,
    insist_on_batches,
)
from pgultra.plan.options import whole

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Column, ColumnElement, Connection, Table

    Progress = Callable[[int, int], object]
    Reseal = Callable[[bytes, tuple[bytes | None, ...]], bytes]

__all__ = ["Rotated", "rekey", "rotate"]


@dataclass(frozen=True)
class Rotated:
    """
    What a run did.

    Attributes:
        column: ``table.column``.
        found: rows that were to be done when it began.
        done: rows that were sealed anew.
        failed: rows that do not open; they stay as they are.
        remaining: rows still to be done, the failed ones included.

    >>> Rotated("person.email", found=10, done=10, failed=0, remaining=0).complete
    True
    """

    column: str
    found: int
    done: int
    failed: int
    remaining: int

    @property
    def complete(self) -> bool:
        """
        Whether nothing remains.
        """
        return self.remaining == 0


@on_connection
def rotate(
    connection: Connection,
    column: Any,  # a column or mapped attribute
    *,
    batch: int = 1000,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> Rotated:
    """
    Seal every value of a column with the ring's active key.

    Tags of the blind index stay as they are; see ``rekey``.

    Args:
        connection: outside a transaction; an AsyncConnection too (then await).
        column: the encrypted column.
        batch: rows in a transaction.
        dry_run: only count.
        progress: is called after each batch with the rows done and the rows found.

    Raises:
        EncryptionError: the connection is in a transaction, row level security hides rows, or
            the table has no primary key.
        DeclarationError: ``batch`` is no whole number above 0.

    Example::

        with engine.connect() as connection:
            rotate(connection, Person.email, progress=print)
    """
    target = encrypted_column(column)
    of: Any = target.type
    active = key_bytes(of.keys.current().active)
    number = literal_column(f"'\\x{active.hex()}'::bytea", LargeBinary)
    key = key_expression(target)

    def again(sealed: bytes, parts: tuple[bytes | None, ...]) -> bytes:
        renewed: bytes = of.box.renew(sealed, parts, lambda: of.subject_key(parts))
        return renewed

    todo = or_(key < number, key > number)
    return _Run(target, todo, again, batch).go(connection, progress, dry_run=dry_run)


@on_connection
def rekey(
    connection: Connection,
    column: Any,  # a column or mapped attribute
    *,
    batch: int = 1000,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> Rotated:
    """
    Give every value the tags that its column declares now.

    With ``Equality(keys=(1, 2))`` rows get the tag of key 2 beside that of key 1; with
    ``keys=(2,)`` afterwards they lose that of key 1.

    Args:
        connection: outside a transaction; an AsyncConnection too (then await).
        column: the encrypted column.
        batch: rows in a transaction.
        dry_run: only count.
        progress: is called after each batch with the rows done and the rows found.

    Raises:
        EncryptionError: the connection is in a transaction, the column has no search, row level
            security hides rows, or the table has no primary key.
        DeclarationError: ``batch`` is no whole number above 0.

    Example::

        with engine.connect() as connection:
            rekey(connection, Person.email)
    """
    target = encrypted_column(column)
    of: Any = target.type
    if of.search is None:
        raise EncryptionError(f"{of.described} has no blind index")

    def again(sealed: bytes, parts: tuple[bytes | None, ...]) -> bytes:
        raw = of.box.open(sealed, context=parts, subject=lambda: of.subject_key(parts))
        renewed: bytes = of.seal(of.decoded(of.codec.decode, raw), parts)
        return renewed

    size, keys = of.search.size, of.search.keys
    expected = literal_column(f"'\\x{len(keys) << 6 | size:02x}'::bytea", LargeBinary)
    missing = [tag_expression(target, key, size).is_(None) for key in keys]
    todo = or_(shape_expression(target) != expected, *missing)
    return _Run(target, todo, again, batch).go(connection, progress, dry_run=dry_run)


class _Run:
    def __init__(
        self, column: Column[Any], todo: ColumnElement[bool], again: Reseal, batch: int
    ) -> None:
        whole("rotate", "batch", batch, 1, 1_000_000)
        self.column = column
        self.table: Table = column.table
        self.again = again
        self.batch = batch
        self.key = list(self.table.primary_key.columns)
        if not self.key:
            raise EncryptionError(f"{self.table} has no primary key: its rows cannot be told apart")
        stored = type_coerce(column, LargeBinary)
        self.todo = and_(stored.is_not(None), todo)
        of: Any = column.type
        context = [cast(each, Text) for each in columns_of(of, self.table)]
        self.read = (
            select(stored, *context, *self.key)
            .where(self.todo)
            .order_by(*self.key)
            .limit(batch)
            .with_for_update(key_share=True, skip_locked=True, of=self.table)
        )
        self.context = len(context)

    def _prepare(self, connection: Connection) -> None:
        """
        ``UPDATE … FROM unnest(keys, old values, new values) WHERE key and old value match``.
        """
        table, name = bare(self.table, connection), self.column.name
        self.rows = SentRows([table.c[each.name] for each in self.key], "old", "new")
        self.write = (
            update(table)
            .values({name: self.rows["new"]})
            .where(*self.rows.same, table.c[name] == self.rows["old"])
        )

    def go(self, connection: Connection, progress: Progress | None, *, dry_run: bool) -> Rotated:
        insist_on_batches(connection)
        self._prepare(connection)
        with connection.begin():
            insist_on_all_rows(connection, self.table, "sealing anew")
        found = self._count(connection)
        done, failed = 0, set[Any]()
        if not dry_run:
            for _ in range(ROUNDS):
                moved = self._round(connection, failed, progress, done, found)
                done += moved
                remaining = self._count(connection)
                if remaining <= len(failed):
                    break
                if not moved:
                    time.sleep(PAUSE)
        name = f"{self.table}.{self.column.name}"
        return Rotated(name, found, done, len(failed), self._count(connection))

    def _count(self, connection: Connection) -> int:
        with connection.begin():
            statement = select(func.count()).select_from(self.table).where(self.todo)
            return connection.execute(statement).scalar_one()

    def _round(
        self,
        connection: Connection,
        failed: set[Any],
        progress: Progress | None,
        done: int,
        found: int,
    ) -> int:
        """
        Once through the table, in the order of the key.
        """
        moved, last = 0, None
        while True:
            with connection.begin():
                last, changed = self._batch(connection, failed, last)
            moved += changed
            if last is None:
                return moved
            if progress is not None:
                progress(done + moved, max(found, done + moved))

    def _batch(
        self, connection: Connection, failed: set[Any], last: Sequence[Any] | None
    ) -> tuple[Sequence[Any] | None, int]:
        read = self.read
        if last is not None:
            read = read.where(
                tuple_(*self.key)
                > tuple_(
                    *(bindparam(None, v, each.type) for v, each in zip(last, self.key, strict=True))
                )
            )
        rows: Sequence[Any] = connection.execute(read).all()
        if not rows:
            return None, 0
        subjects = self.column.type.subjects  # type: ignore[attr-defined]  # our own type
        if subjects is not None:
            subjects.load(connection, {row[1] for row in rows if row[1] is not None})
        keys: list[Sequence[Any]] = []
        old: list[bytes] = []
        new: list[bytes] = []
        for row in rows:
            sealed, context, key = row[0], row[1 : 1 + self.context], tuple(row[1 + self.context :])
            parts = tuple(None if each is None else each.encode() for each in context)
            try:
                new.append(self.again(sealed, parts))
            except (DecryptionError, EncryptionError):
                failed.add(key)
                continue
            old.append(sealed)
            keys.append(key)
        changed = 0
        if keys:
            given = self.rows.given(keys, old=old, new=new)
            changed = connection.execute(self.write, given).rowcount
        return tuple(rows[-1][1 + self.context :]), changed
