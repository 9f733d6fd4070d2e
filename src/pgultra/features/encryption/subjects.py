"""
Keys of single subjects, to be destroyed one by one: crypto-shredding.
"""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING, Any

from sqlalchemy import Column, LargeBinary, MetaData, String, Table, delete, select
from sqlalchemy.dialects.postgresql import insert

from pgultra.features.encryption.judging import insist_on_ring
from pgultra.features.encryption.model import Encrypted
from pgultra.plan.options import named, refused, seconds, text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection

    from pgultra.features.encryption.keys import KeyRing

__all__ = ["SubjectKeys"]


class SubjectKeys:
    """
    One random key for each subject (a customer, say), in a table of their own.

    A column with ``subjects=`` seals with a key made of the ring's and the subject's. When
    the subject's key is destroyed, its values in every table are noise, in backups too,
    as far as these do not hold the keys' table: back that up apart, and not for long.

    Args:
        metadata: gets the table.
        keys: the ring that seals the subjects' keys.
        table: its name.
        schema: its schema.
        lifetime: seconds for which keys are kept in memory: so long may another process
            still read what was shredded here.

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
        self._known: dict[str, tuple[float, bytes]] = {}

    def key(self, subject: str) -> bytes | None:
        """
        A subject's key, if it is at hand: nothing is asked of the database.
        """
        found = self._known.get(subject)
        if found is None or time.monotonic() > found[0]:
            return None
        return found[1]

    def load(self, connection: Connection, subjects: Iterable[object] | None = None) -> int:
        """
        Fetch keys, before values are read or written.

        Args:
            connection: a Connection, or a Session; async ones by ``run_sync``.
            subjects: whose; all, if not given.

        Returns:
            how many there are.
        """
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

    def ensure(self, connection: Connection, *subjects: object) -> None:
        """
        Make keys for the subjects that have none, and fetch them all.
        """
        names = sorted({str(each) for each in subjects})
        rows: list[dict[str, Any]] = [
            {"subject": name, "key": secrets.token_bytes(32)} for name in names
        ]
        if rows:
            connection.execute(insert(self.table).on_conflict_do_nothing(), rows)
            self.load(connection, names)

    def destroy(self, connection: Connection, subject: object) -> bool:
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
        twin.table, twin.lifetime, twin._known = table, lifetime, {}
        return twin
