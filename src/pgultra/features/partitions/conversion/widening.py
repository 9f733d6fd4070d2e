"""
The tables that refer get the partition key: filled while they are used, and made the model's.
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from pgultra import sql
from pgultra.errors import PgultraError, sqlstate_of
from pgultra.features.partitions.conversion.acts import Act, Step
from pgultra.features.partitions.conversion.concurrent import INDEX_STATE, concurrently
from pgultra.features.partitions.conversion.design import Design, design
from pgultra.features.partitions.conversion.journal import Entry
from pgultra.features.partitions.conversion.lacking import foreseen
from pgultra.features.partitions.conversion.patience import Overdue
from pgultra.features.partitions.conversion.rows import limit_of, paced, smaller

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pgultra.features.partitions.conversion.patience import Patience
    from pgultra.features.partitions.conversion.run import Conversion
    from pgultra.features.partitions.conversion.widen import Widened

__all__ = [
    "CHECK_VIOLATION",
    "checking",
    "insist",
    "relent",
    "seal",
    "sealing",
    "widen",
    "widen_itself",
    "widening",
]

FIRST, MOST = 8, 20_000
"""Blocks of a page."""
ROUNDS = 20
CHECK_VIOLATION = "23514"
HEAPS = text(
    "SELECT n.nspname::text, c.relname::text, pg_catalog.pg_relation_size(c.oid) "
    "/ CAST(pg_catalog.current_setting('block_size') AS bigint) FROM pg_catalog.pg_class AS c "
    "JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace "
    "WHERE c.relkind = 'r' AND (c.oid = CAST(:place AS regclass) OR c.oid IN "
    "(SELECT relid FROM pg_catalog.pg_partition_tree(CAST(:place AS regclass)))) ORDER BY 1, 2"
)


def widen(patience: Patience, design: Design) -> None:
    """
    Add the columns, and fill them for the rows there are; all of it again does nothing.
    """
    for each in design.widened:
        if each.itself:
            continue  # it came first of all
        patience.until_it_works(partial(_begin, patience, design, each))
        _fill(patience, design, each)
        index = each.index()
        if index is not None:
            concurrently(patience, each.each["schema"], *index)


def widen_itself(work: Conversion) -> None:
    """
    The same for foreign keys of the table to itself, before anything is made like it.
    """
    with work.patience.transaction():
        old = work.look()
    found = design(old, work.table, work.rules, work.give_up, work.home)
    itself = [each for each in found.widened if each.itself]
    if not itself:
        return
    work.prepared()  # or what stands in the way is said
    known = work.entry.state.get("added", ())
    added = dict.fromkeys((*known, *(name for each in itself for name in each.missing)))
    before = foreseen(old, (), tuple(added))
    state = {"old": dict(before.document), "give_up": list(work.give_up), "added": list(added)}
    work.entry = Entry(work.way, state=state)

    def once() -> None:
        with work.patience.transaction(blocking=True) as connection:
            texts = [*work.journal.creation(), *(t for each in itself for t in each.begin(found))]
            for each in texts:
                connection.execute(sql.statement(each))
            work.done(connection, "")

    work.patience.until_it_works(once)
    for each in itself:
        _fill(work.patience, found, each)


def _fill(patience: Patience, design: Design, each: Widened) -> None:
    for _ in range(ROUNDS):
        if not _filled(patience, design, each):
            break


def insist(patience: Patience, design: Design) -> None:
    """
    See that the columns can become NOT NULL where the model says so; the way back is open still.

    Raises:
        PgultraError: a row refers to nothing.
    """
    for each in design.widened:
        try:
            for statement in each.checks():
                patience.until_it_works(partial(_one, patience, (statement,)))
        except DBAPIError as error:
            if sqlstate_of(error) != CHECK_VIOLATION:
                raise
            relent(patience, design)
            raise PgultraError(
                f"the model of {each.place} says that {', '.join(each.demanded)} is NOT NULL, and "
                f"there are rows in which it is NULL, for their {', '.join(each.own)} is. Nothing "
                "was changed: let these rows refer to something, or let the column be NULL, and "
                "finish again"
            ) from error


def relent(patience: Patience, design: Design) -> None:
    """
    Take back what `insist` demands: the conversion is not finished yet.
    """
    for each in design.widened:
        if each.demanded:
            patience.until_it_works(partial(_one, patience, each.checks()[:1]))


def seal(patience: Patience, design: Design) -> None:
    """
    The columns become what the model says of them, and nothing fills them any more.
    """
    for each in design.widened:

        def once(each: Widened = each) -> None:
            with patience.transaction() as connection:
                asked = {"schema": each.each["schema"], "name": each.called("key")}
                there = connection.execute(INDEX_STATE, asked).scalar() is not None
            _one(patience, tuple(each.finish(design, keyed=not there)))

        patience.until_it_works(once)


def widening(design: Design, *, itself: bool = False) -> Iterator[Step]:
    """
    What `widen` does, for the plan; or `widen_itself`.
    """
    for each in design.widened:
        if each.itself is not itself:
            continue
        index = each.index()
        built = [] if index is None else [index[1]]
        acts = tuple(map(Act, (*each.begin(design), each.page(design, 0, FIRST), *built)))
        yield Step(
            "widen",
            f"{each.place} gets the partition key, filled block by block",
            acts,
            "pages",
            notes=("triggers keep it filled until the conversion is finished",),
        )


def checking(design: Design) -> Iterator[Step]:
    """
    What `insist` does, for the plan.
    """
    for each in design.widened:
        if each.demanded:
            acts = tuple(map(Act, each.checks()))
            yield Step("check", f"no row of {each.place} lacks the partition key", acts, "each")


def sealing(design: Design) -> Iterator[Step]:
    """
    What `seal` does, for the plan.
    """
    for each in design.widened:
        acts = tuple(map(Act, each.finish(design)))
        yield Step("seal", f"{each.place} becomes what its model says", acts)


def _one(patience: Patience, statements: tuple[str, ...]) -> None:
    blocking = not any("VALIDATE" in each for each in statements)
    with patience.transaction(blocking=blocking) as connection:
        for each in statements:
            connection.execute(sql.statement(each))


def _begin(patience: Patience, design: Design, each: Widened) -> None:
    _one(patience, tuple(each.begin(design)))


def _heaps(patience: Patience, each: Widened) -> list[tuple[str, str, int]]:
    """
    The tables that hold the rows, with their blocks.
    """
    with patience.transaction() as connection:
        found = connection.execute(HEAPS, {"place": each.place})
        return [(schema, name, int(blocks)) for schema, name, blocks in found]


def _filled(patience: Patience, design: Design, each: Widened) -> int:
    """
    Fill all rows that lack something, block by block; how many there were.
    """
    count = 0
    for schema, name, blocks in patience.until_it_works(partial(_heaps, patience, each)):
        heap = sql.qualified(schema, name)
        low, size = 0, FIRST
        while low < blocks:
            start = time.perf_counter()
            page = each.page(design, low, low + size, heap)

            def once(page: str = page, limit: float | None = limit_of(size, 1)) -> int:
                with patience.transaction(blocking=True, by_index=True, limit=limit) as connection:
                    return int(connection.execute(sql.statement(page)).scalar_one())

            try:
                count += patience.until_it_works(once)
            except Overdue:
                size = smaller(size, 1)
                continue
            low += size
            size = paced(size, time.perf_counter() - start, 1, MOST)
    return count
