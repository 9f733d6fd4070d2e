"""
The ERP's models: Python's names differ from those that its database has had for long.
"""

from __future__ import annotations

import os
from datetime import date  # noqa: TC003  # SQLAlchemy reads the annotations
from typing import ClassVar

from sqlalchemy import BigInteger, Date, ForeignKey, MetaData, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from pgultra import (
    ByRange,
    Embedding,
    EncryptedColumn,
    Equality,
    KeyRing,
    PartitionedTable,
    SearchVector,
    SoftDelete,
    SoftDeleteOptions,
    TSVector,
    Vector,
    embeddings,
    search,
    soft_delete,
)

EMBEDDER = embeddings.HashingEmbedder(32)
PERSONAL = KeyRing.from_env("erp-personal", variable="APP_PII_KEYS")
NAMES = {"deleted_at": "deletedAt", "deleted_by": "deletedBy", "deletion_id": "deletionId"}


class Base(DeclarativeBase):
    metadata = MetaData()


class Contact(SoftDelete, Base):
    __tablename__ = "Customer Contact"
    __soft_delete__ = SoftDeleteOptions(**NAMES)
    __table_args__ = (soft_delete.unique_live("customer_number"), {"schema": "CRM"})

    id: Mapped[int] = mapped_column("contactId", primary_key=True)
    customer_number: Mapped[str] = mapped_column("customerNumber", String(20))
    full_name: Mapped[str] = mapped_column("fullName")
    email: Mapped[str | None] = EncryptedColumn(
        String, keys=PERSONAL, name="eMail", search=Equality(normalize="casefold")
    )
    tax_number: Mapped[str | None] = EncryptedColumn(
        String, keys=PERSONAL, name="taxNumber", context=("customer_number", "id")
    )
    orders: Mapped[list[Order]] = relationship(back_populates="contact", cascade="all")


class Order(SoftDelete, Base):
    __tablename__ = "Order"
    __soft_delete__ = SoftDeleteOptions(**NAMES)
    __table_args__: ClassVar = {"schema": "Sales"}

    id: Mapped[int] = mapped_column("orderId", primary_key=True)
    contact_id: Mapped[int] = mapped_column(
        "contactId", ForeignKey("CRM.Customer Contact.contactId")
    )
    contact: Mapped[Contact] = relationship(back_populates="orders")
    lines: Mapped[list[Line]] = relationship(back_populates="order", cascade="all, delete-orphan")
    words: Mapped[TSVector] = SearchVector(
        {search.Related("Sales.Order Line.itemText"): "A"}, config="english", name="searchWords"
    )


class Line(SoftDelete, Base):
    __tablename__ = "Order Line"
    __soft_delete__ = SoftDeleteOptions(**NAMES)
    __table_args__: ClassVar = {"schema": "Sales"}

    id: Mapped[int] = mapped_column("lineId", primary_key=True)
    order_id: Mapped[int] = mapped_column("orderId", ForeignKey("Sales.Order.orderId"))
    text: Mapped[str] = mapped_column("itemText", Text)
    order: Mapped[Order] = relationship(back_populates="lines")
    if os.environ.get("SEMANTIC_SEARCH") != "off":
        meaning: Mapped[Vector | None] = Embedding(
            32, source="text", model=EMBEDDER.model, name="textEmbedding"
        )


class Booking(PartitionedTable, Base):
    __tablename__ = "Ledger Booking"
    __partition_by__ = ByRange("booked_on", every="1 quarter", premake=1)
    __table_args__: ClassVar = {"schema": "Sales"}

    id: Mapped[int] = mapped_column("bookingId", BigInteger, primary_key=True, autoincrement=False)
    booked_on: Mapped[date] = mapped_column("bookedOn", Date, primary_key=True)
    order_id: Mapped[int] = mapped_column("orderId", ForeignKey("Sales.Order.orderId"))
