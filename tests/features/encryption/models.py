"""
Models of the room's tests, in plain text too, so that migrations can be written for them.
"""

from __future__ import annotations

import uuid
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from pgultra.features.encryption import EncryptedColumn, Equality, KeyRing, Prefix, SubjectKeys

ROOTS = {1: bytes(range(32)), 2: bytes(range(50, 82))}
RING = KeyRing("models", ROOTS)
EMAIL = Equality(normalize="casefold", domain="email", unique=True)


class Base(DeclarativeBase):
    pass


class Person(Base):
    __tablename__ = "person"

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = EncryptedColumn(sa.String, keys=RING, search=EMAIL)
    note: Mapped[str | None] = EncryptedColumn(sa.Text, keys=RING, name="theNote")
    papers: Mapped[dict[str, Any] | None] = EncryptedColumn(JSONB, keys=RING)
    city: Mapped[str | None] = EncryptedColumn(sa.String, keys=RING, search=Equality(bits=4))
    surname: Mapped[str | None] = EncryptedColumn(
        sa.String, keys=RING, search=Prefix(3, normalize="casefold")
    )


class Invitation(Base):
    __tablename__ = "invitation"

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str | None] = EncryptedColumn(
        sa.String, keys=RING, search=Equality(normalize="casefold", domain="email")
    )
    other: Mapped[str | None] = EncryptedColumn(sa.String, keys=RING, search=Equality())


class Account(Base):
    __tablename__ = "account"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    tenant: Mapped[int]
    iban: Mapped[str | None] = EncryptedColumn(sa.String, keys=RING, context=("tenant", "id"))


CUSTOMERS = SubjectKeys(Base.metadata, RING, table="customer_key")


class Parcel(Base):
    __tablename__ = "parcel"

    id: Mapped[int] = mapped_column(primary_key=True)
    customer: Mapped[int]
    address: Mapped[str | None] = EncryptedColumn(
        sa.String, keys=RING, context="customer", subjects=CUSTOMERS
    )
