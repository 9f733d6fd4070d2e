"""
Step 4.2: numbers that only the application can read, found, rotated and forgotten.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import select

import load
from models import CLIENTS, PII, Base, Client, SensitiveData
from pgultra import KeyRing, encryption

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from sqlalchemy import Connection
    from sqlalchemy.orm import Session


class Numbers(NamedTuple):
    """
    What ``core.get_sensitive_data`` returned; a value that does not open is a Quarantined.
    """

    ssn: Any
    credit_card: Any
    passport_number: Any


def encrypt_sensitive_data(data: str) -> bytes:
    """
    ``crypto.encrypt_sensitive_data(data)``, where the database does not see the data.

    The plan took the passphrase from a setting, which logs and catalogues show, and spent a
    millisecond on stretching it for each value. A ring that has no key says so by name.
    """
    return PII.encrypt(data.encode(), id="message")


def decrypt_sensitive_data(sealed: bytes) -> str:
    """
    ``crypto.decrypt_sensitive_data(encrypted_data)``: what was changed does not open.
    """
    return PII.decrypt(sealed, id="message").decode()


def store_sensitive_data(
    session: Session, client: Client, ssn: str, credit_card: str, passport: str
) -> UUID:
    """
    ``core.store_sensitive_data(client_id, ssn, credit_card, passport)``; gives the row's id.
    """
    return load.store(session, client, ssn, credit_card, passport).id


def get_sensitive_data(session: Session, client_id: UUID) -> Numbers | None:
    """
    ``core.get_sensitive_data(client_id)``: the three numbers, if there are any.
    """
    CLIENTS.load(session.connection(), [client_id])
    columns = (SensitiveData.ssn, SensitiveData.credit_card, SensitiveData.passport_number)
    row = session.execute(select(*columns).where(SensitiveData.client_id == client_id)).first()
    return None if row is None else Numbers(*row)


def find_by_ssn(session: Session, ssn: str) -> Client | None:
    """
    Who has this number. The plan's ciphertexts were random: nothing could be found by them.
    """
    joined = select(Client).join(Client.sensitive_data).where(SensitiveData.ssn == ssn)
    return session.scalar(joined)


def find_by_passport(session: Session, number: str) -> Client | None:
    """
    The same for a passport, however it was typed.
    """
    joined = select(Client).join(Client.sensitive_data)
    return session.scalar(joined.where(SensitiveData.passport_number == number))


def rotate(connection: Connection) -> Sequence[encryption.KeyUsage]:
    """
    "Key management and rotation", which the plan named and did not have.

    A new key is put last, all that is stored is sealed anew while others write, and what
    comes back says of each key whether it may be retired.
    """
    number = max(PII.current().keys) + 1
    os.environ["GLOBAL_REMIT_KEYS"] += " " + KeyRing.generate(number)
    PII.prefetch()
    CLIENTS.load(connection)
    connection.rollback()  # each batch is a transaction of its own
    sealed = (SensitiveData.ssn, SensitiveData.credit_card, SensitiveData.passport_number)
    for column in (CLIENTS.table.c.key, *sealed):
        assert encryption.rotate(connection, column).complete
    return encryption.key_usage(connection, Base.metadata)


def forget(session: Session, client_id: UUID) -> bool:
    """
    Make a client's numbers unreadable in every table and backup, by destroying one key.
    """
    return CLIENTS.destroy(session.connection(), client_id)
