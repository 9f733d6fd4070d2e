"""
What nobody may read who has the database alone.
"""

from __future__ import annotations

from uuid import UUID, uuid4

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, Timed, touched
from pgultra import EncryptedColumn, Equality, KeyRing, SoftDelete, encryption, soft_delete

PII = KeyRing.from_env("global-remit", variable="GLOBAL_REMIT_KEYS")
"""Read when a value is sealed or opened first; the database never sees a key."""

CLIENTS = encryption.SubjectKeys(Base.metadata, keys=PII, table="client_keys")
"""One key for each client; who destroys it makes what it sealed unreadable, in backups too."""


class SensitiveData(SoftDelete, Timed, Base):
    """
    Sealed in Python, each value bound to its client: it does not open in another's row.
    """

    __tablename__ = "sensitive_data"
    __table_args__ = (soft_delete.unique_live("client_id"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    client_id: Mapped[UUID] = mapped_column(ForeignKey("clients.id"))
    # No two clients have the same number, and a client is found by it.
    ssn: Mapped[str | None] = EncryptedColumn(
        String(11),
        keys=PII,
        id="sensitive_data.ssn",
        search=Equality(unique=True),
        context="client_id",
        subjects=CLIENTS,
        errors="quarantine",
    )
    credit_card: Mapped[str | None] = EncryptedColumn(
        String(19),
        keys=PII,
        id="sensitive_data.credit_card",
        padding=32,  # all of one length: a stored card does not tell its kind
        context="client_id",
        subjects=CLIENTS,
        errors="quarantine",
    )
    passport_number: Mapped[str | None] = EncryptedColumn(
        String(20),
        keys=PII,
        id="sensitive_data.passport_number",
        search=Equality(normalize=("strip", "casefold")),
        context="client_id",
        subjects=CLIENTS,
        errors="quarantine",
    )


touched(SensitiveData, "ssn", "credit_card", "passport_number")
