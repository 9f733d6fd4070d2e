"""
Groups, their events, and parties.
"""

from __future__ import annotations

from datetime import datetime  # noqa: TC003  # Mapped[datetime] is evaluated

from sqlalchemy import ForeignKey, func
from sqlalchemy.orm import Mapped, mapped_column, relationship

from models.base import Base, Deletable
from pgultra import SearchVector, TSVector, soft_delete


class Group(Deletable, Base):
    """
    Its events and its chat go with it.
    """

    __tablename__ = "groups"
    __table_args__ = (soft_delete.unique_live("slug"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    slug: Mapped[str]
    short_description: Mapped[str | None] = mapped_column("shortDescription")
    description: Mapped[str | None]
    tags: Mapped[list[str] | None]
    cover_image: Mapped[str | None] = mapped_column("coverImage")
    visibility: Mapped[str] = mapped_column(server_default="PUBLIC")
    member_count: Mapped[int] = mapped_column("memberCount", server_default="0")
    verified: Mapped[bool] = mapped_column("isVerified", server_default="false")
    updated_at: Mapped[datetime] = mapped_column("updatedAt", server_default=func.now())
    search_vector: Mapped[TSVector] = SearchVector(
        {"name": "A", "short_description": "B", "description": "C", "tags": "D"}, config="english"
    )
    name_words: Mapped[TSVector] = SearchVector({"name": "A"}, vocabulary=True)

    events: Mapped[list[Event]] = relationship(cascade="all")
    chat: Mapped[list[ChatMessage]] = relationship(cascade="all")


class Event(Deletable, Base):
    __tablename__ = "events"
    __table_args__ = (soft_delete.unique_live("slug"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    group_id: Mapped[int | None] = mapped_column("groupId", ForeignKey("groups.id"), index=True)
    title: Mapped[str]
    slug: Mapped[str]
    short_description: Mapped[str | None] = mapped_column("shortDescription")
    description: Mapped[str | None]
    tags: Mapped[list[str] | None]
    banner_image: Mapped[str | None] = mapped_column("bannerImage")
    type: Mapped[str] = mapped_column(server_default="MEETUP")
    status: Mapped[str] = mapped_column(server_default="PUBLISHED")
    is_virtual: Mapped[bool] = mapped_column("isVirtual", server_default="false")
    start_time: Mapped[datetime] = mapped_column("startTime")
    end_time: Mapped[datetime] = mapped_column("endTime")
    updated_at: Mapped[datetime] = mapped_column("updatedAt", server_default=func.now())
    search_vector: Mapped[TSVector] = SearchVector(
        {"title": "A", "short_description": "B", "description": "C", "tags": "D"}, config="english"
    )


class ChatMessage(Deletable, Base):
    __tablename__ = "chat_messages"

    id: Mapped[int] = mapped_column(primary_key=True)
    group_id: Mapped[int] = mapped_column("groupId", ForeignKey("groups.id"), index=True)
    sender_id: Mapped[int] = mapped_column("senderId", ForeignKey("users.id"))
    content: Mapped[str]
    created_at: Mapped[datetime] = mapped_column("createdAt", server_default=func.now())


class WatchParty(Deletable, Base):
    __tablename__ = "watch_parties"

    id: Mapped[int] = mapped_column(primary_key=True)
    host_id: Mapped[int] = mapped_column("hostId", ForeignKey("users.id"), index=True)
    title: Mapped[str]
    chat: Mapped[list[WatchPartyChat]] = relationship(cascade="all")


class WatchPartyChat(Deletable, Base):
    __tablename__ = "watch_party_chat"

    id: Mapped[int] = mapped_column(primary_key=True)
    party_id: Mapped[int] = mapped_column("partyId", ForeignKey("watch_parties.id"), index=True)
    user_id: Mapped[int] = mapped_column("userId", ForeignKey("users.id"))
    message: Mapped[str]
