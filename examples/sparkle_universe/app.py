"""
Run it: ``python app.py [--url URL]``.

Two years go by in some seconds: each month's rows are written, and the night's ``maintain``
makes partitions ahead and takes away what is too old.
"""

from __future__ import annotations

import argparse
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from database import opened
from load import month, pay, people
from models import AnalyticsEvent, AuditLog, Base, Conversation, Message, Notification, XpLog
from pgultra import partitions, plan, soft_delete

if TYPE_CHECKING:
    from sqlalchemy import Engine

MONTHS = 24
LOOK_ALIKES = ("analytics_events_2024_01", "xp_logs_backup_2019_01", "orders_2024_01")


def main(url: str | None, folder: Path) -> None:
    """
    Create, let time go by, look.
    """
    with opened(url) as engine:
        Base.metadata.create_all(engine)
        with engine.begin() as connection:
            for name in LOOK_ALIKES:  # somebody else's tables, with names like ours
                connection.execute(text(f"CREATE TABLE {name} (id int)"))
        two_years(engine, folder)
        standing(engine)
        queries(engine)
        with engine.connect() as connection:
            left = connection.execute(
                text("SELECT count(*) FROM pg_tables WHERE tablename = ANY (:names)"),
                {"names": list(LOOK_ALIKES)},
            ).scalar_one()
            print(f"{left} of {len(LOOK_ALIKES)} tables that only look like ours are still there")
            print(f"drift: {plan.check(connection, Base.metadata).steps or 'none'}")


def two_years(engine: Engine, folder: Path) -> None:
    """
    Month after month: rows, and then upkeep.
    """
    now = datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    done: dict[str, int] = {}
    rows = 0
    with Session(engine) as session, session.begin():
        people(session)
    for _ in range(MONTHS):
        with Session(engine) as session, session.begin():
            rows += month(session, now)
        now = now.replace(year=now.year + now.month // 12, month=now.month % 12 + 1)
        with engine.connect() as connection:
            night = partitions.maintain(connection, Base, now=now, archive_to=folder)
        assert night.complete, night
        for action in night.done:
            done[action.verb] = done.get(action.verb, 0) + 1
    print(f"{MONTHS} months, {rows:,} rows; maintain did:")
    for verb, number in sorted(done.items()):
        print(f"    {number:4} x {verb}")
    files = sorted(folder.glob("*.tsv.gz"))
    read = [partitions.read_archive(path) for path in files]
    print(f"    {sum(each.rows for each in read):,} rows in {len(files)} files, checksums hold")
    with engine.connect() as connection:
        again = partitions.plan(connection, Base, now=now, archive_to=folder)
    print(f"left to do: {again}")


def standing(engine: Engine) -> None:
    """
    One line for each table; an action that nobody thought of is seen.
    """
    with Session(engine) as session, session.begin():
        session.add(AuditLog(action="EXPORT"))
    with engine.connect() as connection:
        for each in partitions.status(connection, Base):
            print(
                f"{each.table:30} {each.strategy:6} {len(each.partitions):3} partitions, "
                f"gaps: {len(each.gaps)}, in default: {each.default_rows or 0}"
            )


def queries(engine: Engine) -> None:
    """
    What is asked with the key reads one partition, and all that a table can do still works.
    """
    with Session(engine) as session, session.begin():
        unread = select(Notification).where(Notification.user_id == 7)
        partitions.assert_pruned(session.connection(), unread, at_most=1)
        print(f"notifications of user 7: {len(session.scalars(unread).all())}, in one partition")
        latest = session.scalar(select(func.max(AnalyticsEvent.timestamp)))
        assert latest is not None
        print(f"a payment tried twice: {[pay(session, 'once', latest, 1) for _ in range(2)]}")
        moved = session.scalars(select(XpLog).order_by(XpLog.created_at).limit(1)).one()
        moved.created_at = latest  # its row moves into another partition
        session.flush()
        talk = session.get_one(Conversation, 3)
        session.delete(talk)
        session.flush()
        alive = select(func.count()).select_from(Message).where(Message.conversation_id == 3)
        print(f"messages of a deleted conversation: {session.scalar(alive)}", end=", ")
        soft_delete.restore(session, talk)
        print(f"of the restored one: {session.scalar(alive)}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", help="your server; without it, an embedded one is started")
    parser.add_argument("--archive", type=Path, help="a folder; without it, a temporary one")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        main(chosen.url, chosen.archive or Path(temporary))
