"""
Keys of single subjects, to be destroyed one by one: crypto-shredding.
"""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from sqlalchemy import Column, Connection, LargeBinary, MetaData, String, Table, delete, select
from sqlalchemy import event as events
from sqlalchemy.dialects.postgresql import insert

from pgultra.errors import EncryptionError
from pgultra.features.encryption.judging import insist_on_ring
from pgultra.features.encryption.model import Encrypted
from pgultra.plan.options import named, refused, seconds, text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy.orm import Session

    from pgultra.features.encryption.keys import KeyRing

__all__ = ["SubjectKeys"]


class SubjectKeys:
    """
    One random key for each subject (a customer, say), in a table of their own.

    A column with ``subjects=`` seals with a key made of the ring's and the subject's. When
    the subject's key is destroyed, its values in every table are noise, in backups too,
    as far as these do not hold the keys' table: back that up apart, and not for long.

    The keys in memory are those of one schema of one database. An application that has a
    schema for each tenant keeps this table in one of its own, with ``schema=``, and subjects
    that no two tenants share.

    Args:
        metadata: gets the table.
        keys: the ring that seals the subjects' keys.
        table: its name.
        schema: its schema.
        lifetime: seconds for which keys are kept in memory: so long may another process
            still read what was shredded here.

    Raises:
        DeclarationError: an option takes something else.

    Example::

        CUSTOMERS = SubjectKeys(Base.metadata, keys=PII)

        class Order(Base):
            customer_id: Mapped[int]
            address: Mapped[str] = EncryptedColumn(
                String, keys=PII, context="customer_id", subjects=CUSTOMERS
            )

        CUSTOMERS.ensure(connection, 17)     # before writing or reading
        CUSTOMERS.destroy(connection, 17)    # for ever
    """

    def __init__(
        self,
        metadata: MetaData,
        keys: KeyRing,
        *,
        table: str = "subject_key",
        schema: str | None = None,
        lifetime: float = 300,
    ) -> None:
        if not isinstance(metadata, MetaData):
            raise refused("SubjectKeys", "metadata", metadata, "a MetaData, such as Base.metadata")
        insist_on_ring("SubjectKeys", keys)
        text("SubjectKeys", "table", table, "the name of a table")
        named("SubjectKeys", schema=schema)
        seconds("SubjectKeys", "lifetime", lifetime)
        self.table = Table(
            table,
            metadata,
            Column("subject", String, primary_key=True),
            Column("key", Encrypted(LargeBinary, keys, context="subject"), nullable=False),
            schema=schema,
        )
        self.lifetime = lifetime
        self._forget_all()

    def _forget_all(self) -> None:
        self._known: dict[str, tuple[float, bytes]] = {}
        self._schema: str | None = None
        self._made: WeakKeyDictionary[Connection, set[str]] = WeakKeyDictionary()

    def key(self, subject: str) -> bytes | None:
        """
        A subject's key, if it is at hand: nothing is asked of the database.
        """
        found = self._known.get(subject)
        if found is None or time.monotonic() > found[0]:
            return None
        return found[1]

    def key_of(self, parts: Sequence[bytes | None], described: str) -> bytes:
        """
        The key of the subject that a context names first.

        Raises:
            EncryptionError: it is not at hand.
        """
        name = parts[0]
        key = self.key(name.decode()) if name is not None else None
        if key is None:
            raise EncryptionError(
                f"{described}: the subject of this row has no key at hand; call "
                f"{self!r}.ensure(connection, subject) first"
            )
        return key

    def load(
        self, connection: Connection | Session, subjects: Iterable[object] | None = None
    ) -> int:
        """
        Fetch keys, before values are read or written.

        Args:
            connection: a Connection, or a Session; async ones by ``run_sync``.
            subjects: whose; all, if not given.

        Returns:
            how many there are.

        Raises:
            EncryptionError: the keys in memory are those of another schema.
        """
        self._insist_on_one_schema(connection)
        statement = select(self.table.c.subject, self.table.c.key)
        wanted = None if subjects is None else [str(each) for each in subjects]
        if wanted is not None:
            statement = statement.where(self.table.c.subject.in_(wanted))
        until = time.monotonic() + self.lifetime
        found = {row.subject: (until, row.key) for row in connection.execute(statement)}
        for each in list(self._known) if wanted is None else wanted:
            self._known.pop(each, None)
        self._known |= found
        return len(found)

    def ensure(self, connection: Connection | Session, *subjects: object) -> None:
        """
        Make keys for the subjects that have none, and fetch them all.

        A rollback, of a savepoint too, takes new keys back: ``ensure`` again after it.

        Raises:
            EncryptionError: the keys in memory are those of another schema.
        """
        self._insist_on_one_schema(connection)
        names = sorted({str(each) for each in subjects})
        rows: list[dict[str, Any]] = [
            {"subject": name, "key": secrets.token_bytes(32)} for name in names
        ]
        if rows:
            self._forget_with_transaction(_core(connection), names)
            connection.execute(insert(self.table).on_conflict_do_nothing(), rows)
            self.load(connection, names)

    def _forget_with_transaction(self, connection: Connection, names: Iterable[str]) -> None:
        """
        What may be taken back stays in memory only as long as it is in the table.
        """
        if connection not in self._made:
            self._made[connection] = set()
            events.listen(connection, "commit", self._committed)
            events.listen(connection, "rollback", self._rolled_back)
            events.listen(connection, "rollback_savepoint", self._rolled_back)
        self._made[connection].update(names)

    def _committed(self, connection: Connection) -> None:
        self._made[connection] = set()

    def _rolled_back(self, connection: Connection, *_savepoint: object) -> None:
        for name in self._made[connection]:
            self._known.pop(name, None)

    def _insist_on_one_schema(self, connection: Connection | Session) -> None:
        """
        Keys are asked for by subject alone: those of two schemas would be taken for each other.
        """
        translated = _core(connection).get_execution_options().get("schema_translate_map") or {}
        schema = translated.get(self.table.schema, self.table.schema)
        if self._known and schema != self._schema:
            raise EncryptionError(
                f"{self!r} holds the keys of schema {self._schema!r} in memory, and was asked for "
                f"those of {schema!r}: keep the table in one schema, with schema=, and give each "
                "tenant subjects of its own"
            )
        self._schema = schema

    def destroy(self, connection: Connection | Session, subject: object) -> bool:
        """
        Delete a subject's key; once committed, nothing brings it back.

        Returns:
            whether there was one.
        """
        statement = delete(self.table).where(self.table.c.subject == str(subject))
        gone = connection.execute(statement.returning(self.table.c.subject)).first() is not None
        self._known.pop(str(subject), None)
        return gone

    def __repr__(self) -> str:
        return f"SubjectKeys({self.table.fullname!r})"

    def __reduce__(self) -> Any:  # what pickle asks for
        return SubjectKeys._again, (self.table, self.lifetime)

    @classmethod
    def _again(cls, table: Table, lifetime: float) -> SubjectKeys:
        twin = cls.__new__(cls)
        twin.table, twin.lifetime = table, lifetime
        twin._forget_all()
        return twin


def _core(connection: Connection | Session) -> Connection:
    return connection if isinstance(connection, Connection) else connection.connection()
