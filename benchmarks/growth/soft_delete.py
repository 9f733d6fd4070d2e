"""
Soft delete by the number of rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.orm import Session

from benchmarks.growth import ROWS, execute
from benchmarks.measure import Curve, compare, grow
from benchmarks.soft_delete import models

if TYPE_CHECKING:
    from collections.abc import Iterator


def curves(engine: sa.Engine) -> Iterator[Curve]:
    """
    The live ones of a few rows, half of which are deleted.
    """
    ours, plain = models(1)
    ours.metadata.create_all(engine)
    execute(engine, f"CREATE INDEX ON {ours.__tablename__} (title)")
    taken, before = {}, 0
    for size in ROWS:
        fill = f"""INSERT INTO {ours.__tablename__} (id, title, deleted_at)
            SELECT g, 'title ' || g / 10, CASE WHEN g % 2 = 0 THEN now() END
            FROM generate_series({before + 1}, {size}) AS g"""
        execute(engine, fill, "VACUUM ANALYZE")
        before = size
        wanted = f"title {size // 20}"
        with Session(engine) as session:
            filtered = sa.select(ours.id).where(ours.title == wanted)
            by_hand = sa.select(plain.id).where(plain.title == wanted, plain.deleted_at.is_(None))
            taken[size] = compare(
                "",
                ours=("automatic filter", lambda: session.execute(filtered).all()),  # noqa: B023  # called within the turn
                theirs=("WHERE by hand", lambda: session.execute(by_hand).all()),  # noqa: B023  # called within the turn
                inner=20,
            )
    yield grow("live rows by an indexed column", "rows", taken)
