"""
The tables of Sparkle Universe: nineteen that are soft-deleted, four that are searched, seven
that are partitioned.
"""

from __future__ import annotations

from models.base import Base, Deletable, stamp_changes
from models.gathering import ChatMessage, Event, Group, WatchParty, WatchPartyChat
from models.logs import (
    ActivityStream,
    AnalyticsEvent,
    AuditLog,
    CurrencyTransaction,
    Notification,
    PaymentKey,
    XpLog,
)
from models.people import Achievement, LevelConfig, Trade, User, UserAchievement, YoutubeChannel
from models.talking import Conversation, Message, Report
from models.writing import Category, Comment, Poll, Post, PostSeries, Tag, post_tags

stamp_changes()

__all__ = [
    "Achievement",
    "ActivityStream",
    "AnalyticsEvent",
    "AuditLog",
    "Base",
    "Category",
    "ChatMessage",
    "Comment",
    "Conversation",
    "CurrencyTransaction",
    "Deletable",
    "Event",
    "Group",
    "LevelConfig",
    "Message",
    "Notification",
    "PaymentKey",
    "Poll",
    "Post",
    "PostSeries",
    "Report",
    "Tag",
    "Trade",
    "User",
    "UserAchievement",
    "WatchParty",
    "WatchPartyChat",
    "XpLog",
    "YoutubeChannel",
    "post_tags",
]
