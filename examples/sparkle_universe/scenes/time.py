"""
Phase 7: two years of partitions in some seconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text
from sqlalchemy.orm import Session

from models import AuditLog, Base
from pgultra import partitions
from queries.objects import drift
from queries.upkeep import (
    MONTHS,
    delete_conversation,
    maintain_partitions,
    move_to_another_month,
    notifications_of,
    pay_twice,
)
from stage import scene

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Engine

LOOK_ALIKES = ("analytics_events_2024_01", "xp_logs_backup_2019_01", "orders_2024_01")


def two_years(engine: Engine, folder: Path) -> None:
    """
    Months go by, and then: what was done, how each table stands, which parts a query reads.
    """
    scene("Two years of seven partitioned tables")
    with engine.begin() as connection:
        for name in LOOK_ALIKES:  # somebody else's tables, with names like ours
            connection.execute(text(f"CREATE TABLE {name} (id int)"))
    rows, done, now = maintain_partitions(engine, folder)
    print(f"{MONTHS} months, {rows:,} rows; maintain did:")
    for verb, number in sorted(done.items()):
        print(f"    {number:4} x {verb}")
    files = [partitions.read_archive(path) for path in sorted(folder.glob("*.tsv.gz"))]
    print(f"    {sum(each.rows for each in files):,} rows in {len(files)} files, checksums hold")
    with engine.connect() as connection:
        again = partitions.plan(connection, Base, now=now, archive_to=folder)
    print(f"left to do: {again}")
    standing(engine)
    questions(engine)
    with engine.connect() as connection:
        left = connection.scalar(
            text("SELECT count(*) FROM pg_tables WHERE tablename = ANY (:names)"),
            {"names": list(LOOK_ALIKES)},
        )
        print(f"{left} of {len(LOOK_ALIKES)} tables that only look like ours are still there")
        print(f"drift: {', '.join(drift(connection)) or 'none'}")


def standing(engine: Engine) -> None:
    """
    One line for each table; an action that nobody thought of is seen.
    """
    with Session(engine) as session, session.begin():
        session.add(AuditLog(action="EXPORT"))
    with engine.connect() as connection:
        for each in partitions.status(connection, Base):
            print(
                f"    {each.table.rpartition('.')[2]:22} {each.strategy:6} {len(each.partitions):2}"
                f" partitions, gaps: {len(each.gaps)}, in default: {each.default_rows or 0}"
            )


def questions(engine: Engine) -> None:
    """
    What is asked with the key reads one partition, and all that a table can do still works.
    """
    with Session(engine) as session, session.begin():
        print(f"notifications of user 7: {len(notifications_of(session, 7))}, in one partition")
        print(f"a payment tried twice: {pay_twice(session)}")
        print(
            "a row whose time changed moved from {} to {}".format(*move_to_another_month(session))
        )
        deleted, restored = delete_conversation(session, 3)
        print(f"messages of a deleted conversation: {deleted}, of the restored one: {restored}")
