"""
The shop's models.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from decimal import Decimal  # noqa: TC003  # SQLAlchemy reads the annotations

from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import DateTime, ForeignKey, MetaData, Numeric, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from pgultra import (
    ByList,
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
    soft_delete,
)

EMBEDDER = embeddings.HashingEmbedder(32)
CUSTOMERS = KeyRing.from_env("shop-customers", variable="APP_PII_KEYS")


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


db = SQLAlchemy(model_class=Base)


class Category(SoftDelete, db.Model):
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(40))
    products: Mapped[list[Product]] = relationship(
        back_populates="category", cascade="all, delete-orphan", order_by="Product.id"
    )


class Product(SoftDelete, db.Model):
    __table_args__ = (soft_delete.unique_live("sku"),)
    __soft_delete__ = SoftDeleteOptions(view=True)

    id: Mapped[int] = mapped_column(primary_key=True)
    sku: Mapped[str] = mapped_column(String(20))
    name: Mapped[str]
    description: Mapped[str] = mapped_column(Text, default="")
    price: Mapped[Decimal] = mapped_column(Numeric(10, 2))
    category_id: Mapped[int] = mapped_column(ForeignKey("category.id"), index=True)
    category: Mapped[Category] = relationship(back_populates="products")
    search: Mapped[TSVector] = SearchVector({"name": "A", "description": "C"}, config="english")
    if os.environ.get("SEMANTIC_SEARCH") != "off":
        embedding: Mapped[Vector | None] = Embedding(
            32, source="description", model=EMBEDDER.model, index=None
        )


class Customer(db.Model):
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    email: Mapped[str | None] = EncryptedColumn(
        String, keys=CUSTOMERS, search=Equality(normalize="casefold")
    )


class Ledger(PartitionedTable, db.Model):
    __partition_by__ = ByList("kind", {"money": ("sale", "refund"), "stock": ("in", "out")})

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    kind: Mapped[str] = mapped_column(String(10), primary_key=True)
    product_id: Mapped[int] = mapped_column(ForeignKey("product.id"))
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True), default=lambda: datetime.now(UTC))
