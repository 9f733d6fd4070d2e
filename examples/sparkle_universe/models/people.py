"""
Users, their channels, and what they reached.
"""

from __future__ import annotations

from datetime import datetime  # noqa: TC003  # Mapped[datetime] is evaluated
from typing import TYPE_CHECKING, Any

from sqlalchemy import ForeignKey, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from models.base import Base, Deletable
from pgultra import Function, SearchVector, TSVector, declare, soft_delete

if TYPE_CHECKING:
    from models.gathering import WatchParty
    from models.writing import Comment, Post, PostSeries


class User(Deletable, Base):
    """
    What a user wrote and owns goes along when the user is deleted.
    """

    __tablename__ = "users"

    id: Mapped[int] = mapped_column(primary_key=True)
    username: Mapped[str] = mapped_column()
    bio: Mapped[str | None]
    image: Mapped[str | None]
    role: Mapped[str] = mapped_column(server_default="USER")
    status: Mapped[str] = mapped_column(server_default="ACTIVE")
    verified: Mapped[bool] = mapped_column(server_default="false")
    level: Mapped[int] = mapped_column(server_default="1")
    experience: Mapped[int] = mapped_column(server_default="0")
    last_seen_at: Mapped[datetime] = mapped_column("lastSeenAt", server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column("updatedAt", server_default=func.now())
    search_vector: Mapped[TSVector] = SearchVector({"username": "A", "bio": "C"}, config="english")
    # The words of names as they stand: no stems, no stop words; for suggestions.
    name_words: Mapped[TSVector] = SearchVector({"username": "A"}, vocabulary=True)

    posts: Mapped[list[Post]] = relationship(cascade="all", back_populates="author")
    series: Mapped[list[PostSeries]] = relationship(cascade="all")
    comments: Mapped[list[Comment]] = relationship(cascade="all")
    channels: Mapped[list[YoutubeChannel]] = relationship(cascade="all")
    achievements: Mapped[list[UserAchievement]] = relationship(cascade="all")
    parties: Mapped[list[WatchParty]] = relationship(cascade="all")
    offers: Mapped[list[Trade]] = relationship(
        cascade="all", foreign_keys="Trade.initiator_id", back_populates="initiator"
    )

    __table_args__ = (
        # Ann and ann are one; a deleted user's name may be taken again.
        soft_delete.unique_live(func.lower(username), name="users_username_key"),
        Index(
            "users_active",
            last_seen_at.desc(),
            postgresql_where=text("\"deletedAt\" IS NULL AND status = 'ACTIVE'"),
        ),
    )


class YoutubeChannel(Deletable, Base):
    __tablename__ = "youtube_channels"
    __table_args__ = (soft_delete.unique_live("channelId"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column("userId", ForeignKey("users.id"), index=True)
    channel_id: Mapped[str] = mapped_column("channelId")


class Achievement(Deletable, Base):
    __tablename__ = "achievements"
    __table_args__ = (soft_delete.unique_live("code"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str]
    name: Mapped[str]
    holders: Mapped[list[UserAchievement]] = relationship(cascade="all")


class UserAchievement(Deletable, Base):
    """
    Once for each user and achievement; what was taken away can be reached again.
    """

    __tablename__ = "user_achievements"
    __table_args__ = (soft_delete.unique_live("userId", "achievementId"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column("userId", ForeignKey("users.id"))
    achievement_id: Mapped[int] = mapped_column(
        "achievementId", ForeignKey("achievements.id"), index=True
    )
    unlocked_at: Mapped[datetime] = mapped_column("unlockedAt", server_default=func.now())


class Trade(Deletable, Base):
    __tablename__ = "trades"

    id: Mapped[int] = mapped_column(primary_key=True)
    initiator_id: Mapped[int] = mapped_column("initiatorId", ForeignKey("users.id"), index=True)
    recipient_id: Mapped[int] = mapped_column("recipientId", ForeignKey("users.id"), index=True)
    items: Mapped[dict[str, Any]] = mapped_column("initiatorItems")
    created_at: Mapped[datetime] = mapped_column("createdAt", server_default=func.now())
    initiator: Mapped[User] = relationship(foreign_keys=initiator_id, back_populates="offers")


class LevelConfig(Base):
    __tablename__ = "level_configs"

    level: Mapped[int] = mapped_column(primary_key=True)
    required_xp: Mapped[int] = mapped_column("requiredXp", unique=True)


declare(
    Base,
    Function(
        name="calculate_user_level",
        arguments="experience_points integer",
        returns="integer",
        language="sql",
        volatility="stable",
        body="""SELECT coalesce(max(level), 1)
    FROM level_configs WHERE "requiredXp" <= experience_points""",
    ),
)
