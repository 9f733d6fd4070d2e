"""
An existing table becomes a partitioned one while it is in use; and back; and for good.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from pgultra.bridge import on_connection
from pgultra.errors import DeclarationError, PgultraError
from pgultra.features.partitions.conversion.attach import Attachment
from pgultra.features.partitions.conversion.ending import backward, end
from pgultra.features.partitions.conversion.exchange import UNTIED
from pgultra.features.partitions.conversion.plan import (
    ConversionPlan,
    planned,
    planned_attachment,
)
from pgultra.features.partitions.conversion.run import Conversion
from pgultra.features.partitions.rules import rules_on
from pgultra.plan.options import names, one_of, seconds, whole

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Connection

    from pgultra.features.partitions.rules import Rules

    Progress = Callable[[int, int], object]
    Announce = Callable[[str], object]

__all__ = ["Converted", "convert", "finish_conversion", "plan_conversion", "undo_conversion"]


@dataclass(frozen=True)
class Converted:
    """
    What a conversion did.

    Attributes:
        table: its name.
        outcome: ``converted`` (the old table is kept the same by triggers), ``undone`` or
            ``finished``.
        rows: rows that were compared, one by one, on both sides.
        checksum: the sum of their hashes, which was the same.
        copied: rows that were copied page by page; triggers brought the others.
        repaired: rows that were brought again, because somebody was writing them meanwhile.
        longest_wait: the longest time, in seconds, for which any transaction of the converter
            could have kept a writer waiting, its own waiting for locks included.
        given_way: how often it gave way to others.
        seconds: how long this call took.

    >>> str(Converted("event", "converted", rows=10, longest_wait=0.05))
    'event: converted, 10 rows compared, 0 repaired, nobody waited for more than 0.050 s'
    """

    table: str
    outcome: str
    rows: int = 0
    checksum: int = 0
    copied: int = 0
    repaired: int = 0
    longest_wait: float = 0.0
    given_way: int = 0
    seconds: float = 0.0

    def __str__(self) -> str:
        return (
            f"{self.table}: {self.outcome}, {self.rows:,} rows compared, {self.repaired:,} "
            f"repaired, nobody waited for more than {self.longest_wait:.3f} s"
        )


def declared(model: Any) -> tuple[sa.Table, Rules]:
    """
    The table of a model, and how it was declared to be partitioned.

    Raises:
        DeclarationError: it is no model, or was not declared so.
    """
    table = model if isinstance(model, sa.Table) else None
    if table is None:
        mapper = sa.inspect(model, raiseerr=False)
        table = getattr(mapper, "local_table", None)
    if not isinstance(table, sa.Table):
        raise DeclarationError(f"{model!r} is not a mapped class or a Table")
    rules = next(iter(rules_on(table)), None)
    if rules is None:
        raise DeclarationError(
            f"table {table.fullname} is not declared as partitioned: make its model a "
            "PartitionedTable with __partition_by__ first, then convert the table that exists"
        )
    return table, rules


@on_connection
def convert(
    connection: Connection,
    model: Any,  # a mapped class or Table
    *,
    way: str = "copy",
    give_up: Sequence[str] = (),
    batch: int | None = None,
    resume: bool = False,
    lock_timeout: float = 0.2,
    patience: float = 300.0,
    progress: Progress | None = None,
    announce: Announce | None = None,
) -> Converted:
    """
    Turn a table with rows into the partitioned one that its model declares, while it is used.

    A new table is filled beside the old one, kept the same by triggers, compared row by row,
    and takes the name in one short transaction. From then on triggers keep the old table the
    same, so that `undo_conversion` can give the name back; `finish_conversion` drops it.
    Started again after a crash, it goes on where it stopped.

    Args:
        connection: outside a transaction; an AsyncConnection too (then await).
        model: the class or Table, declared as partitioned.
        way: ``copy``; or ``attach``: nothing is copied, and the table becomes the first partition.
        give_up: constraints, indexes and dependents that may be lost, by name.
        batch: rows in a page; found out if not given, so that a page takes a tenth of a second.
        resume: insist on a conversion that broke off, and never begin one.
        lock_timeout: how long one attempt waits for a lock, in seconds; never longer than half
            of the server's deadlock_timeout.
        patience: for how many seconds it tries for a lock.
        progress: is called with the rows copied and the rows expected.
        announce: is called with the name of each step.

    Raises:
        PgultraError: something stands in the way, all of which is said before anything starts;
            or a lock was not to be had.

    Example::

        with engine.connect() as connection:
            done = partitions.convert(connection, Event)
        assert done.longest_wait < 1
    """
    work = _work(connection, model, give_up, batch, lock_timeout, patience, progress, announce, way)
    with work.alone():
        if not work.load() and resume:
            raise PgultraError(f"no conversion of {work.table.fullname} has broken off")
        if work.entry.step and work.entry.way != way:
            raise PgultraError(
                f"a conversion of {work.table.fullname} with way={work.entry.way!r} is under way: "
                "go on with that, or undo it first"
            )
        if work.entry.step == UNTIED:
            raise PgultraError(
                f"{work.table.fullname} is converted, and its old table was untied already: go "
                "on with finish_conversion"
            )
        if work.entry.step == "give_back":
            raise PgultraError(
                f"{work.table.fullname} is on its way back: finish that with undo_conversion first"
            )
        work.forward()
    return _result(work, "converted")


@on_connection
def plan_conversion(
    connection: Connection,
    model: Any,  # a mapped class or Table
    *,
    way: str = "copy",
    give_up: Sequence[str] = (),
) -> ConversionPlan:
    """
    Say what `convert` would do: every statement, with the lock that it takes.

    Args:
        connection: outside a transaction; an AsyncConnection too (then await).
        model: the class or Table, declared as partitioned.
        way: ``copy`` or ``attach``.
        give_up: constraints, indexes and dependents that may be lost, by name.

    Raises:
        PgultraError: something stands in the way; all of it is said.

    Example::

        with engine.connect() as connection:
            print(partitions.plan_conversion(connection, Event))
    """
    work = _work(connection, model, give_up, None, 1.0, 10.0, None, None, way)
    return planned_attachment(work) if isinstance(work, Attachment) else planned(work)


@on_connection
def undo_conversion(
    connection: Connection,
    model: Any,  # a mapped class or Table
    *,
    lock_timeout: float = 0.2,
    patience: float = 300.0,
    announce: Announce | None = None,
) -> Converted:
    """
    Give the name back to the old table, which has every change made since; drop the new one.

    It works from every step until `finish_conversion`, also for a conversion that broke off;
    of one without a copy (``way="attach"``) until the names are exchanged.

    Args:
        connection: outside a transaction; an AsyncConnection too (then await).
        model: the class or Table that was being converted.
        lock_timeout: how long one attempt waits for a lock, in seconds.
        patience: for how many seconds it tries for a lock.
        announce: is called with the name of each step.

    Raises:
        PgultraError: no conversion of this table is under way, or a lock was not to be had.

    Example::

        with engine.connect() as connection:
            partitions.undo_conversion(connection, Event)
    """
    work = _work(connection, model, (), None, lock_timeout, patience, None, announce)
    with work.alone():
        _insist(work)
        backward(work)
    return _result(work, "undone")


@on_connection
def finish_conversion(
    connection: Connection,
    model: Any,  # a mapped class or Table
    *,
    lock_timeout: float = 0.2,
    patience: float = 300.0,
) -> Converted:
    """
    Drop the old table and the triggers that kept it the same. There is no way back.

    Args:
        connection: outside a transaction; an AsyncConnection too (then await).
        model: the class or Table that was converted.
        lock_timeout: how long one attempt waits for a lock, in seconds.
        patience: for how many seconds it tries for a lock.

    Raises:
        PgultraError: the conversion has not come to its end, or something still stands on the
            old table.

    Example::

        with engine.connect() as connection:
            partitions.finish_conversion(connection, Event)
    """
    work = _work(connection, model, (), None, lock_timeout, patience, None, None)
    with work.alone():
        _insist(work)
        end(work)
    return _result(work, "finished")


def _work(
    connection: Connection,
    model: Any,
    give_up: Sequence[str],
    batch: int | None,
    lock_timeout: float,
    patience: float,
    progress: Progress | None,
    announce: Announce | None,
    way: str = "copy",
) -> Conversion:
    table, rules = declared(model)
    if batch is not None:
        whole("convert", "batch", batch, 1, 100_000_000)
    seconds("convert", "lock_timeout", lock_timeout)
    if patience != 0:
        seconds("convert", "patience", patience)
    names("convert", "give_up", give_up, "['event_total']")
    ways: dict[str, type[Conversion]] = {"copy": Conversion, "attach": Attachment}
    one_of("convert", "way", way, ways)
    return ways[way](
        connection,
        table,
        rules,
        tuple(give_up),
        batch,
        progress,
        announce,
        lock_timeout=lock_timeout,
        wait=patience,
    )


def _insist(work: Conversion) -> None:
    if not work.load():
        raise PgultraError(f"no conversion of {work.table.fullname} is under way")


def _result(work: Conversion, outcome: str) -> Converted:
    state = work.entry.state
    return Converted(
        table=work.table.fullname,
        outcome=outcome,
        rows=state.get("rows", 0),
        checksum=int(state.get("checksum", 0)),
        copied=state.get("copied", 0),
        repaired=state.get("repaired", 0),
        longest_wait=work.patience.longest,
        given_way=work.patience.given_way,
        seconds=time.perf_counter() - work.begun,
    )
