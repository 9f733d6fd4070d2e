"""
What is only ever added to: six of the seven partitioned tables; the seventh is messages.

The primary key of each holds the partition key: PostgreSQL has no unique index across
partitions. What must be unique alone, such as the key of a payment, is in a table of its own.
"""

from __future__ import annotations

from datetime import datetime  # noqa: TC003  # Mapped[datetime] is evaluated
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import BigInteger, ForeignKey, Identity, Index, func
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base
from pgultra import ByHash, ByList, ByRange, PartitionedTable


class AnalyticsEvent(PartitionedTable, Base):
    """
    By month; nobody asks for last year's events, so they are dropped.
    """

    __tablename__ = "analytics_events"
    __partition_by__ = ByRange("timestamp", every="1 month", retain="12 months", on_expire="drop")

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    timestamp: Mapped[datetime] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(index=True)
    properties: Mapped[dict[str, Any]] = mapped_column(server_default="{}")


class ActivityStream(PartitionedTable, Base):
    """
    By month; what is old is detached (as nothing else is said) and stays a table of its own.
    """

    __tablename__ = "activity_streams"
    __partition_by__ = ByRange("created_at", every="1 month", retain="12 months")

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    created_at: Mapped[datetime] = mapped_column("createdAt", primary_key=True)
    actor_id: Mapped[int] = mapped_column("actorId", ForeignKey("users.id"), index=True)
    verb: Mapped[str]


class AuditLog(PartitionedTable, Base):
    """
    By kind of action; an action that nobody thought of goes to the default partition.
    """

    __tablename__ = "audit_logs"
    __partition_by__ = ByList(
        "action",
        {
            "auth": ("LOGIN", "LOGOUT", "PERMISSION_CHANGE"),
            "crud": ("CREATE", "UPDATE", "DELETE"),
            "system": ("MODERATION_ACTION", "SYSTEM_ACTION"),
        },
        default=True,
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    action: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[int | None] = mapped_column("userId", ForeignKey("users.id"))
    created_at: Mapped[datetime] = mapped_column("createdAt", server_default=func.now())


class Notification(PartitionedTable, Base):
    """
    By user, in eight parts; a notification is asked for by its user, so one part is read.
    """

    __tablename__ = "notifications"
    __partition_by__ = ByHash("user_id", modulus=8)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    user_id: Mapped[int] = mapped_column("userId", ForeignKey("users.id"), primary_key=True)
    text: Mapped[str]
    read_at: Mapped[datetime | None] = mapped_column("readAt")

    __table_args__ = (Index("notifications_unread", "userId", postgresql_where=read_at.is_(None)),)


class XpLog(PartitionedTable, Base):
    """
    By month; what is old is written to files with checksums, and then dropped.
    """

    __tablename__ = "xp_logs"
    __partition_by__ = ByRange(
        "created_at", every="1 month", retain="12 months", on_expire="archive"
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    created_at: Mapped[datetime] = mapped_column("createdAt", primary_key=True)
    user_id: Mapped[int] = mapped_column("userId", ForeignKey("users.id"), index=True)
    amount: Mapped[int]
    reason: Mapped[str]


class CurrencyTransaction(PartitionedTable, Base):
    """
    By month; a ledger is kept for ever, so nothing is retired.
    """

    __tablename__ = "currency_transactions"
    __partition_by__ = ByRange("created_at", every="1 month")

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    created_at: Mapped[datetime] = mapped_column("createdAt", primary_key=True)
    user_id: Mapped[int] = mapped_column("userId", ForeignKey("users.id"), index=True)
    amount: Mapped[int]
    idempotency_key: Mapped[str] = mapped_column("idempotencyKey")


class PaymentKey(Base):
    """
    What makes a payment happen once, in whichever month it is tried again.
    """

    __tablename__ = "payment_keys"

    idempotency_key: Mapped[str] = mapped_column("idempotencyKey", primary_key=True)
