"""
Rows brought from one table to the other, page by page, and compared.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import DBAPIError

from pgultra import sql
from pgultra.errors import PgultraError, sqlstate_of
from pgultra.features.partitions.conversion.patience import Overdue

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

    from pgultra.features.partitions.conversion.patience import Patience
    from pgultra.features.partitions.conversion.route import Route

    Key = list[str]

__all__ = ["Compared", "copy", "limit_of", "paced", "settled", "smaller"]

GOAL = 0.1
"""How long a page shall take, in seconds: a writer of one of its rows waits so long at most."""
LIMIT = 0.5
"""How long a page may take, in seconds: after that it is taken back, and tried again in pieces."""
FIRST, LEAST, MOST = 500, 10, 50_000
ROUNDS = 50
UNIQUE = "23505"


@dataclass
class Compared:
    """
    What a comparison found.

    Attributes:
        rows: rows of the source.
        checksum: the sum of all rows' hashes, the same on both sides.
        repaired: rows that had to be brought again: they were being written when their page
            was copied.
    """

    rows: int = 0
    checksum: int = 0
    repaired: int = 0


def _ask(connection: Connection, statement: str) -> Any:
    return connection.execute(sql.statement(statement))


def limit_of(size: int, least: int = LEAST) -> float | None:
    """
    How long a page of that size may take; the smallest takes what it needs.
    """
    return LIMIT if size > least else None


def smaller(size: int, least: int = LEAST) -> int:
    """
    The size of the next try, after one that took too long.
    """
    return max(least, size // 4)


def paced(size: int, seconds: float, least: int = LEAST, most: int = MOST) -> int:
    """
    The size of the next page, so that it takes about as long as it shall.
    """
    factor = min(2.0, max(0.25, GOAL / max(seconds, 0.001)))
    return max(least, min(most, int(size * factor)))


def copy(
    patience: Patience,
    route: Route,
    position: Key | None,
    batch: int | None,
    done: Callable[[Connection, Key | None, int], None],
) -> None:
    """
    Copy what is not there yet, in the order of the key.

    Rows that somebody is writing are left: the trigger or the comparison brings them.

    Args:
        patience: how to wait.
        route: from where to where.
        position: the last key that is copied.
        batch: rows in a page; None finds out.
        done: is called within the transaction of each page with the key reached and the rows.
    """
    size = batch or FIRST
    finished = False

    def page(low: Key | None, size: int, optimistic: bool = True) -> tuple[Key | None, float]:
        limit = None if batch else limit_of(size)
        with patience.transaction(by_index=True, limit=limit) as connection:  # keeps nobody
            start = time.perf_counter()
            found = _ask(connection, route.boundary(low, size - 1)).scalar()
            high = None if found is None else json.loads(found)
            new = optimistic and route.ordered  # or nothing tells without reading it all
            new = new and not _ask(connection, route.begun(low, high)).scalar()
        with patience.transaction(blocking=True, by_index=True, limit=limit) as connection:
            row = _ask(connection, route.copy(low, high, empty=new)).one()
            done(connection, high, row.seen)
        return high, time.perf_counter() - start

    def either(low: Key | None, size: int) -> tuple[Key | None, float]:
        try:
            return page(low, size)
        except DBAPIError as error:
            if sqlstate_of(error) != UNIQUE:
                raise
            return page(low, size, optimistic=False)  # a writer was here meanwhile

    while not finished:
        try:
            position, seconds = patience.until_it_works(partial(either, position, size))
        except Overdue:
            size = smaller(size)
            continue
        finished = position is None
        if batch is None:
            size = paced(size, seconds)


def settled(
    patience: Patience, route: Route, progress: Callable[[int], None] | None = None
) -> Compared:
    """
    Compare both sides range by range, each in one snapshot, and mend until they are the same.

    Raises:
        PgultraError: they cannot be made the same.
    """
    result = Compared()
    low: Key | None = None
    size = 20_000
    while True:
        start = time.perf_counter()
        high = patience.until_it_works(partial(_end, patience, route, low, size))
        rows, checksum = _same(patience, route, low, high, result)
        result.rows += rows
        result.checksum += checksum
        if progress is not None:
            progress(result.rows)
        if high is None:
            return result
        low = high
        seconds = time.perf_counter() - start
        size = max(1000, min(500_000, int(size * min(2.0, max(0.5, 0.5 / max(seconds, 0.001))))))


def _same(
    patience: Patience, route: Route, low: Key | None, high: Key | None, result: Compared
) -> tuple[int, int]:
    for _ in range(ROUNDS):
        look = partial(_differences, patience, route, low, high)
        rows, checksum, keys = patience.until_it_works(look)
        if keys is None:
            return rows, checksum
        for at in range(0, len(keys), 50):
            some = keys[at : at + 50]
            result.repaired += patience.until_it_works(partial(_repair, patience, route, some))
    raise PgultraError(
        f"{route.target} does not become the same as {route.source} between the keys {low} and "
        f"{high}: a trigger, rule or default on it changes what is written"
    )


def _end(patience: Patience, route: Route, low: Key | None, size: int) -> Key | None:
    """
    The last key of a range of so many rows; None is the end of the table.
    """
    if not route.ordered:
        return None
    with patience.transaction() as connection:
        found = _ask(connection, route.boundary(low, size - 1)).scalar()
    return None if found is None else json.loads(found)


def _differences(
    patience: Patience, route: Route, low: Key | None, high: Key | None
) -> tuple[int, int, list[Key] | None]:
    """
    Rows and checksum of a range, and the keys of rows that differ; None if none do.
    """
    with patience.transaction() as connection:
        row = _ask(connection, route.compare(low, high)).one()
        if (row.rows, row.checksum) == (row.copied_rows, row.copied_checksum):
            return row.rows, int(row.checksum), None
        found = _ask(connection, route.differences(low, high)).scalars()
        return row.rows, int(row.checksum), [json.loads(each) for each in found]


def _repair(patience: Patience, route: Route, keys: list[Key]) -> int:
    changed, missing = route.repair(keys)
    with patience.transaction(blocking=True) as connection:
        count = _ask(connection, changed).scalar_one()
        return int(count) + int(_ask(connection, missing).one().copied)
