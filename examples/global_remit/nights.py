"""
Days and nights of the audit log.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from models import AuditLog
from pgultra import partitions
from queries import ledger

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from sqlalchemy import Engine


def nights(engine: Engine, begin: datetime, days: int, folder: Path) -> tuple[int, int, int]:
    """
    Each day writes 1,000 rows; each night makes room and takes away what is a week old.

    Args:
        engine: where the log is.
        begin: the first day.
        days: how many.
        folder: for the files of what was taken away.

    Returns:
        how many files there are, how many rows were kept, and how many are in the files.
    """
    for day in range(days):
        with Session(engine) as session, session.begin():
            ledger.write_audit(session, begin + timedelta(days=day))
        with engine.connect() as connection:
            ledger.nightly(connection, begin + timedelta(days=day + 1), folder)
    files = [partitions.read_archive(path) for path in sorted(folder.glob("*.tsv.gz"))]
    with Session(engine) as session:
        kept = session.scalar(select(func.count()).select_from(AuditLog)) or 0
    return len(files), kept, sum(each.rows for each in files)
