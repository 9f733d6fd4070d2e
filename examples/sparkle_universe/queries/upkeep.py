"""
Phase 7 of the seed: seven partitioned tables, their upkeep, and what a query reads of them.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sqlalchemy import Text, cast, func, literal_column, select
from sqlalchemy.dialects.postgresql import REGCLASS
from sqlalchemy.orm import Session

from models import AnalyticsEvent, Base, Conversation, Message, Notification, XpLog
from pgultra import partitions, soft_delete
from rows import month, pay

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Engine

MONTHS = 24


def next_month(moment: datetime) -> datetime:
    """
    The first of the month that follows.
    """
    year, number = moment.year + moment.month // 12, moment.month % 12 + 1
    return moment.replace(year=year, month=number, day=1)


def maintain_partitions(
    engine: Engine, folder: Path, months: int = MONTHS
) -> tuple[int, Counter[str], datetime]:
    """
    Let months go by, each with its rows and a night's upkeep, the seed's ``maintain_partitions``.

    The seed's begins a month's partition at the day it runs, looks for partitions by names
    in all schemas, drops other people's tables with names like its own, stops at the first
    table that is not divided, and has nowhere to put an action that nobody thought of.

    Returns:
        how many rows were written, what was done how often, and the day after.
    """
    now = datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    done: Counter[str] = Counter()
    rows = 0
    for _ in range(months):
        with Session(engine) as session, session.begin():
            rows += month(session, now)
        now = next_month(now)
        with engine.connect() as connection:
            night = partitions.maintain(connection, Base, now=now, archive_to=folder)
        assert night.complete, night
        done.update(action.verb for action in night.done)
    return rows, done, now


def notifications_of(session: Session, user: int) -> list[Notification]:
    """
    A user's notifications, from the one partition of eight that can have them.

    Raises:
        AssertionError: the statement would read more than that.
    """
    statement = select(Notification).where(Notification.user_id == user)
    partitions.assert_pruned(session.connection(), statement, at_most=1)
    return list(session.scalars(statement))


def pay_twice(session: Session) -> list[bool]:
    """
    Whether each of two payments with one key happened; the seed's key is unique per month.
    """
    latest = session.scalar(select(func.max(AnalyticsEvent.timestamp)))
    assert latest is not None
    return [pay(session, "once", latest, 1) for _ in range(2)]


def move_to_another_month(session: Session) -> tuple[str, str]:
    """
    Change the time of the oldest row: the partitions in which it stood before and after.
    """
    oldest = session.scalars(select(XpLog).order_by(XpLog.created_at, XpLog.id).limit(1)).one()
    place = select(cast(cast(literal_column("xp_logs.tableoid"), REGCLASS), Text))
    here = place.select_from(XpLog).where(XpLog.id == oldest.id)
    before = session.scalars(here).one()
    oldest.created_at = next_month(next_month(oldest.created_at))
    session.flush()
    return before, session.scalars(here).one()


def delete_conversation(session: Session, key: int) -> tuple[int, int]:
    """
    How many messages of a conversation are live after it was deleted, and after it came back.

    The seed copies ``messages`` by LIKE, which leaves its soft-delete trigger behind.
    """
    live = select(func.count()).select_from(Message).where(Message.conversation_id == key)
    conversation = session.get_one(Conversation, key)
    session.delete(conversation)
    session.flush()
    deleted = session.scalars(live).one()
    soft_delete.restore(session, conversation)
    return deleted, session.scalars(live).one()
