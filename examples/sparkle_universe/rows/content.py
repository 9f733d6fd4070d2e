"""
Twenty users, and rows in each of the nineteen tables.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from models import (
    Achievement,
    Category,
    ChatMessage,
    Comment,
    Conversation,
    LevelConfig,
    Message,
    Poll,
    PostSeries,
    Report,
    Tag,
    Trade,
    User,
    UserAchievement,
    WatchParty,
    WatchPartyChat,
    YoutubeChannel,
)
from rows.found import events, groups, posts

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

USERS = 20
# username, bio, and what else is not as usual
NAMED: list[tuple[str, str, dict[str, Any]]] = [
    ("sparkle_queen", "Paints with light.", {"role": "CREATOR", "verified": True}),
    ("Spade", "Digs for gems that sparkle.", {}),
    ("nova", "Keeps a diary of the sky.", {}),
    ("mireille", "Runs the quiet reading rooms.", {}),
    ("sparkle_troll", "sparkle sparkle sparkle", {"status": "SUSPENDED"}),
]
LEVELS = (0, 100, 250, 500, 1000, 2000)


def content(session: Session) -> None:
    """
    Write all of it; keys are 1, 2, 3 … in the order of the rows.
    """
    for rows in (users(), [Category(name="Light", slug="light")], posts(), groups(), events()):
        session.add_all(rows)
        session.flush()
    beside_posts(session)
    beside_people(session)
    session.add_all(
        LevelConfig(level=level, required_xp=experience)
        for level, experience in enumerate(LEVELS, start=1)
    )
    session.add_all(Conversation(title=f"talk {number}") for number in range(1, USERS + 1))
    session.flush()
    session.add(Message(conversation_id=1, sender_id=2, content="Have you seen the parade?"))
    session.flush()


def users() -> list[User]:
    """
    Five with names, one of them suspended, and readers.
    """
    readers = range(len(NAMED) + 1, USERS + 1)
    return [
        *(User(username=name, bio=bio, **more) for name, bio, more in NAMED),
        *(User(username=f"reader_{number}", bio="Here for the stories.") for number in readers),
    ]


def beside_posts(session: Session) -> None:
    """
    On the first post a thread of three comments, a poll, a tag and a report.
    """
    session.add(PostSeries(author_id=1, title="Light on paper"))
    first = Comment(post_id=1, author_id=2, content="Which glue?")
    answer = Comment(post_id=1, author_id=1, content="Any that dries clear.")
    answer.replies = [Comment(post_id=1, author_id=2, content="Thank you!")]
    first.replies = [answer]
    session.add_all([first, Comment(post_id=2, author_id=1, content="And a sponge.")])
    session.add(Poll(post_id=1, question="Glue or glitter?"))
    session.add(Report(reporter_id=4, post_id=1, reason="too bright"))
    session.add(Tag(name="glitter"))
    session.flush()


def beside_people(session: Session) -> None:
    """
    A channel, an achievement, a trade, a watch party and chats.
    """
    session.add(YoutubeChannel(user_id=1, channel_id="UC-sparkle"))
    session.add(Achievement(code="FIRST_POST", name="First post"))
    session.add(WatchParty(host_id=1, title="Lights of the north"))
    session.flush()
    session.add(UserAchievement(user_id=1, achievement_id=1))
    session.add(Trade(initiator_id=1, recipient_id=2, items={"glitter": 3}))
    session.add(WatchPartyChat(party_id=1, user_id=2, message="Popcorn is ready."))
    session.add(ChatMessage(group_id=1, sender_id=2, content="When do we meet?"))
    session.flush()
