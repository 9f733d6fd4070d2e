"""
What is searched: posts, groups and events, with those among them that must not be found.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from models import Event, Group, Post

BEGIN = datetime(2026, 3, 1, 18, tzinfo=UTC)

# title, excerpt, content, keywords, author
POSTS: list[tuple[str, str | None, dict[str, Any] | None, list[str] | None, int | None]] = [
    ("Sparkle basics", "How glitter catches light.", {"text": "Begin with a brush."}, None, 1),
    ("A brush for every day", "Which brush makes paint sparkle?", None, ["tools"], 1),
    ("Night walks", "Where to see meteors.", {"text": "They sparkle, then they go."}, None, 3),
    ("Lanterns", "Paper and patience.", {"text": "Fold, then light."}, ["sparkle"], 4),
    ("Spaceships at dawn", "Sketches of a fleet.", None, None, 3),
    ("Sparse drawings", "What to leave out.", None, None, 4),
    # The key of its JSON is no text: nobody who looks for a sparkle wants this one.
    ("Plain paint", "No effects.", {"sparkle": "never", "type": "doc"}, None, 4),
    ("1 < 2 <script>", "Sparkle & shine <b>safely</b>.", None, None, None),
]
# name, short description, description, tags, visibility
GROUPS = [
    ("Sparkle Makers", "We make things shine.", "Glue, glitter, patience.", ["craft"], "PUBLIC"),
    ("Night Sky", None, "Where stars sparkle over our roofs.", None, "PUBLIC"),  # no tags
    ("Secret Sparkles", "Nobody knows.", None, ["sparkle"], "HIDDEN"),
    ("To Be or Not To Be", "We read plays aloud.", None, ["theatre"], "PRIVATE"),
]
# title, short description, tags, status, group
EVENTS = [
    ("Sparkle Parade", "Through the old town.", ["outdoors"], "PUBLISHED", 1),
    ("Sparkle in the Rain", "Cancelled by the weather.", ["outdoors"], "CANCELLED", 1),
    ("Watching meteors", "Bring a blanket.", ["sparkle", "night"], "PUBLISHED", 2),
]
NIGHTS = 60


def posts() -> list[Post]:
    """
    The eight above, a draft, and a diary of many nights to page through.
    """
    found = [
        Post(
            author_id=author,
            author_name=None if author else "Guest Gil",
            title=title,
            slug=f"post-{number}",
            excerpt=excerpt,
            content=content,
            meta_keywords=keywords,
            published=True,
            published_at=BEGIN + timedelta(days=number),
        )
        for number, (title, excerpt, content, keywords, author) in enumerate(POSTS, start=1)
    ]
    found.append(Post(title="Draft of a sparkle", slug="draft", author_id=1, published=False))
    found += [
        Post(
            author_id=3,
            title=f"Star diary, night {night}",
            slug=f"night-{night}",
            content={"text": f"{night % 7} meteors over the lake."},
            published=True,
            published_at=BEGIN - timedelta(days=night),
        )
        for night in range(1, NIGHTS + 1)
    ]
    return found


def groups() -> list[Group]:
    """
    One of them hidden, one without tags, one named by stop words alone.
    """
    return [
        Group(
            name=name,
            slug=name.lower().replace(" ", "-"),
            short_description=short,
            description=long,
            tags=tags,
            visibility=visibility,
        )
        for name, short, long, tags, visibility in GROUPS
    ]


def events() -> list[Event]:
    """
    One of them cancelled.
    """
    return [
        Event(
            group_id=group,
            title=title,
            slug=title.lower().replace(" ", "-"),
            short_description=short,
            tags=tags,
            status=status,
            start_time=BEGIN + timedelta(weeks=number),
            end_time=BEGIN + timedelta(weeks=number, hours=3),
        )
        for number, (title, short, tags, status, group) in enumerate(EVENTS, start=1)
    ]
