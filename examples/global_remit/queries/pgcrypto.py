"""
Step 4.2 as the plan had it, on a server with pgcrypto: what it wrote is read, and taken over.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sqlalchemy import Column, ForeignKey, MetaData, String, Table, Uuid, select, text, update

from models import PII, Client
from pgultra import Encrypted, encryption

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.orm import Session

OLD = MetaData()
old_data = Table(
    "old_sensitive_data",
    OLD,
    Column("id", Uuid, primary_key=True, server_default=text("gen_random_uuid()")),
    Column("client_id", ForeignKey(Client.id), nullable=False),
    Column("ssn", encryption.PgcryptoColumn(lambda: os.environ["GLOBAL_REMIT_PASSPHRASE"])),
    Column("ssn_sealed", Encrypted(String(11), PII, context="client_id", id="old_data.ssn")),
)

# The plan's own INSERT; the key was in a setting of the session there.
PLANNED = text("""
    INSERT INTO old_sensitive_data (client_id, ssn) SELECT id, pgp_sym_encrypt(
        :ssn, :passphrase, 'compress-algo=1, cipher-algo=aes256') FROM clients WHERE email = :email
""")


def as_the_plan_wrote(session: Session) -> None:
    """
    Make the plan's table and a row in it, by ``pgp_sym_encrypt``.
    """
    connection = session.connection()
    connection.execute(text("CREATE EXTENSION IF NOT EXISTS pgcrypto"))
    OLD.create_all(connection)
    passphrase = os.environ["GLOBAL_REMIT_PASSPHRASE"]
    values = {"ssn": "123-45-6789", "passphrase": passphrase, "email": "john@example.com"}
    session.execute(PLANNED, values)


def take_over(connection: Connection) -> str | None:
    """
    Seal what pgcrypto wrote, compare every row, and read the number without pgcrypto.
    """
    done = encryption.adopt(connection, old_data.c.ssn_sealed, from_="ssn")
    assert done.complete, done
    assert encryption.verify(connection, old_data.c.ssn_sealed, from_="ssn").complete
    with connection.begin():
        connection.execute(update(old_data).values(ssn=None))
        return connection.scalar(select(old_data.c.ssn_sealed))
