"""
Encryption by the number of rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from benchmarks import encryption
from benchmarks.growth import ROWS, execute
from benchmarks.measure import Curve, compare, grow
from pgultra.features.encryption import binary_results

if TYPE_CHECKING:
    from collections.abc import Iterator

AT_ONCE = 50_000


def curves(engine: sa.Engine) -> Iterator[Curve]:
    """
    One row by its blind index, and all rows through the ORM.
    """
    binary_results(engine)
    encryption.Base.metadata.create_all(engine)
    found, read = {}, {}
    before = 0
    for size in ROWS:
        for first in range(before, size, AT_ONCE):
            numbers = range(first, min(first + AT_ONCE, size))
            for model in (encryption.PlainIndexed, encryption.Searched):
                encryption.fill(engine, model, 32, numbers)
        before = size
        execute(engine, "VACUUM ANALYZE")
        with Session(engine) as session:
            found[size] = compare(
                "",
                ours=("blind index", encryption.finder(session, encryption.Searched, size)),
                theirs=("index on Text", encryption.finder(session, encryption.PlainIndexed, size)),
                inner=50,
            )
        read[size] = compare(
            "",
            ours=("Encrypted", lambda: _read(engine, encryption.Searched)),
            theirs=("Text", lambda: _read(engine, encryption.PlainIndexed)),
            rounds=5 if size < ROWS[-1] else 3,
            warm_up=1,
        )
    yield grow("equality lookup", "rows", found)
    yield grow("ORM SELECT of all rows of 32 bytes", "rows", read)


def _read(engine: sa.Engine, model: Any) -> None:
    with Session(engine) as session:
        session.scalars(sa.select(model)).all()
