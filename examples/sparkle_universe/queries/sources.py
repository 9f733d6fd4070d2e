"""
The four kinds of ``search_all``: what is shown of each, what is left out, and what it weighs.
"""

from __future__ import annotations

from sqlalchemy import func, select

from models import Event, Group, Post, User
from pgultra import search
from queries.listings import ACTIVE

AUTHOR = func.coalesce(
    select(User.username).where(User.id == Post.author_id).scalar_subquery(), Post.author_name
)
SOURCES = {
    "posts": search.Source(
        Post,
        column=Post.search_vector,
        name="post",
        filters=[Post.published],
        extra={
            "description": Post.excerpt,
            "url": "/posts/" + Post.slug,
            "image": Post.cover_image,
            "authorName": AUTHOR,
            "publishedAt": Post.published_at,
            "categoryId": Post.category_id,
        },
    ),
    "users": search.Source(
        User,
        column=User.search_vector,
        name="user",
        weight=0.8,
        filters=[ACTIVE],
        extra={
            "description": User.bio,
            "url": "/users/" + User.username,
            "image": User.image,
            "role": User.role,
            "verified": User.verified,
            "level": User.level,
        },
    ),
    "groups": search.Source(
        Group,
        column=Group.search_vector,
        name="group",
        weight=0.9,
        filters=[Group.visibility != "HIDDEN"],
        extra={
            "description": Group.description,
            "url": "/groups/" + Group.slug,
            "image": Group.cover_image,
            "memberCount": Group.member_count,
            "visibility": Group.visibility,
            "verified": Group.verified,
        },
    ),
    "events": search.Source(
        Event,
        column=Event.search_vector,
        name="event",
        weight=0.85,
        filters=[Event.status != "CANCELLED"],
        extra={
            "description": Event.description,
            "url": "/events/" + Event.slug,
            "image": Event.banner_image,
            "startTime": Event.start_time,
            "endTime": Event.end_time,
            "eventType": Event.type,
            "isVirtual": Event.is_virtual,
        },
    ),
}
