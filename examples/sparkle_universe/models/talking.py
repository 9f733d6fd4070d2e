"""
Conversations, and reports of what should not have been said.
"""

from __future__ import annotations

from datetime import datetime  # noqa: TC003  # Mapped[datetime] is evaluated

from sqlalchemy import BigInteger, ForeignKey, Identity, Text, func
from sqlalchemy.orm import Mapped, mapped_column, relationship

from models.base import Base, Deletable
from pgultra import ByHash, PartitionedTable


class Conversation(Deletable, Base):
    __tablename__ = "conversations"

    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    messages: Mapped[list[Message]] = relationship(cascade="all")


class Message(Deletable, PartitionedTable, Base):
    """
    By conversation, in ten parts; deleted with its conversation, and brought back with it.
    """

    __tablename__ = "messages"
    __partition_by__ = ByHash("conversation_id", modulus=10)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    conversation_id: Mapped[int] = mapped_column(
        "conversationId", ForeignKey("conversations.id"), primary_key=True
    )
    sender_id: Mapped[int] = mapped_column("senderId", ForeignKey("users.id"), index=True)
    content: Mapped[str] = mapped_column(Text)


class Report(Deletable, Base):
    """
    It stays when the post that it is about goes: moderators look at it later.
    """

    __tablename__ = "reports"

    id: Mapped[int] = mapped_column(primary_key=True)
    reporter_id: Mapped[int] = mapped_column("reporterId", ForeignKey("users.id"))
    post_id: Mapped[int | None] = mapped_column("postId", ForeignKey("posts.id"))
    reason: Mapped[str]
    created_at: Mapped[datetime] = mapped_column("createdAt", server_default=func.now())
