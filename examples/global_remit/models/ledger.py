"""
Transactions by month, kept for ever, and the audit log by day, kept for a week.
"""

from __future__ import annotations

from datetime import datetime  # noqa: TC003  # Mapped[datetime] is evaluated
from decimal import Decimal  # noqa: TC003  # Mapped[Decimal] is evaluated
from typing import TYPE_CHECKING, Any
from uuid import UUID  # noqa: TC003  # Mapped[UUID] is evaluated

from sqlalchemy import BigInteger, ForeignKey, Identity, Index, Numeric, String, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column, relationship

from models.base import EMBEDDER, MOMENT, VECTORS, Base
from pgultra import ByRange, Embedding, PartitionedTable, SearchVector, TSVector, Vector

if TYPE_CHECKING:
    from models.clients import Client


class TransactionType(Base):
    """
    Such as a remittance or a fee.
    """

    __tablename__ = "transaction_types"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)


class Transaction(PartitionedTable, Base):
    """
    A transfer. It stays when its client is closed: a ledger forgets nothing.
    """

    __tablename__ = "transactions"
    __partition_by__ = ByRange("created_at", every="1 month", premake=3)
    __table_args__ = (
        Index("transactions_client_status", "client_id", "status"),
        Index("transactions_created_at", "created_at"),  # read backwards as well as forwards
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    created_at: Mapped[datetime] = mapped_column(MOMENT, primary_key=True)
    client_id: Mapped[UUID] = mapped_column(ForeignKey("clients.id"))
    transaction_type_id: Mapped[int] = mapped_column(ForeignKey("transaction_types.id"))
    transaction_reference: Mapped[str] = mapped_column(String(20))
    amount: Mapped[Decimal] = mapped_column(Numeric(18, 2))
    currency_code: Mapped[str] = mapped_column(String(3))
    status: Mapped[str]
    description: Mapped[str]
    description_vector: Mapped[TSVector] = SearchVector({"description": "A"}, config="english")
    if VECTORS:
        description_embedding: Mapped[Vector | None] = Embedding(
            EMBEDDER.dimensions, source="description", model=EMBEDDER.model, deferred=True
        )
    client: Mapped[Client] = relationship()
    type: Mapped[TransactionType] = relationship()


class AuditLog(PartitionedTable, Base):
    """
    What was done to a row. A day that is a week old is written to a file with a checksum.
    """

    __tablename__ = "audit_log"
    __partition_by__ = ByRange("timestamp", every="1 day", retain="7 days", on_expire="archive")

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    timestamp: Mapped[datetime] = mapped_column(MOMENT, primary_key=True, server_default=func.now())
    table_name: Mapped[str]
    operation: Mapped[str]
    old_data: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    new_data: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    user_id: Mapped[UUID | None]
