"""
The two ends of a conversion: everything as it was, or the old table gone for good.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy.exc import DBAPIError

from pgultra import sql
from pgultra.errors import PgultraError, sqlstate_of
from pgultra.features.partitions.conversion import exchange
from pgultra.features.partitions.conversion.attach import taken_away
from pgultra.features.partitions.conversion.latch import latch
from pgultra.features.partitions.conversion.meanwhile import (
    insist_kept,
    insist_mirrored,
    mirror_again,
)
from pgultra.features.partitions.conversion.snapshots import outlive
from pgultra.features.partitions.conversion.survey import Survey, table_oid
from pgultra.features.partitions.conversion.ties import validate
from pgultra.features.partitions.conversion.together import together
from pgultra.features.partitions.conversion.turning import note, reinstate, turn
from pgultra.features.partitions.conversion.widening import insist, relent, seal

if TYPE_CHECKING:
    from pgultra.features.partitions.conversion.design import Design
    from pgultra.features.partitions.conversion.run import Conversion

__all__ = ["EXCHANGED", "backward", "end"]

STANDS_ON_IT = "2BP01"
EXCHANGED = ("exchange", "settle")
"""The steps after which the new table has the name."""


def backward(work: Conversion) -> None:
    """
    Everything as it was: the old table with every change that was made since.

    Raises:
        PgultraError: there is no way back any more.
    """
    if work.entry.step == exchange.UNTIED:
        raise PgultraError(
            f"{work.table.fullname} is being finished, and nothing keeps the old table the same "
            "any more: there is no way back; go on with finish_conversion"
        )
    found = work.design()
    if work.entry.step in EXCHANGED:
        if work.entry.way == "attach":
            raise PgultraError(
                f"{work.table.fullname} is the first partition of the new table already, and "
                "nothing keeps the old state: there is no way back; close the journal with "
                "finish_conversion"
            )
        if work.entry.step == "exchange":  # they may be turned in part
            reinstate(work)
        _give_back(work, found)
    if work.announce is not None:
        work.announce("clean_up")
    if work.entry.step == "give_back":
        validate(work.patience, found, back=True)
        turn(work, found.names.new)
    _clean_up(work, found)


def _give_back(work: Conversion, found: Design) -> None:
    """
    The names.
    """
    names = found.names
    with work.patience.transaction() as connection:
        insist_kept(work, connection, found, work.look())
    if work.announce is not None:
        work.announce("compare")
    route = found.route().reversed(names.table, names.old)
    work.compare(route)
    mirror_again(work, work.table.name, names.back, route)
    whole = work.entry.state.get("whole")

    def once() -> None:
        if whole is not None:
            outlive(work.patience, whole)
        with work.patience.transaction(blocking=True) as connection:
            before = Survey(work.entry.state["before"])
            oid = table_oid(connection, work.schema, work.table.name)
            assert oid is not None  # it has the name since the exchange
            latch(connection, oid, exchange.give_back(found, before, before).acts[0])
            now = work.look()
            insist_kept(work, connection, found, now)
            insist_mirrored(work, now, names.back)
            note(work, connection, now.oid, ())
            step = exchange.give_back(found, now, before)
            together(connection, (act.text for act in step.acts[1:]))
            work.done(connection, "give_back")

    if work.announce is not None:
        work.announce("give_back")
    work.patience.until_it_works(once)


def _clean_up(work: Conversion, found: Design) -> None:
    """
    Untie the new table from what others use; then drop it, for which nobody waits.
    """
    mirrored = work.entry.step != "give_back"

    made = work.entry.step != ""  # before, the table itself was got ready at most

    def untie() -> None:
        with work.patience.transaction(blocking=True) as connection:
            untied = exchange.untie_new(found, mirrored=mirrored) if made else ()
            texts = [act.text for act in untied]
            if work.entry.way == "attach":
                texts += taken_away(found)
            for each in found.widened:
                texts += each.undone(found)
            together(connection, texts)
            if made:
                work.done(connection, "give_back")  # nothing keeps it the same any more

    def drop() -> None:
        with work.patience.transaction() as connection:
            texts = [act.text for act in exchange.clean_up(found)] if made else []
            for text in (*texts, *work.entry.state.get("beside", ())):
                connection.execute(sql.statement(text))
            work.journal.close(connection)

    work.patience.until_it_works(untie)
    work.patience.until_it_works(drop)


def end(work: Conversion) -> None:
    """
    The old table goes.

    Raises:
        PgultraError: the names are not exchanged yet, or something stands on the old table.
    """
    if work.entry.step not in ("settle", exchange.UNTIED):
        raise PgultraError(
            f"the conversion of {work.table.fullname} has not come to its end (its last step is "
            f"{work.entry.step!r}): start `convert` again first"
        )
    found = work.design()
    copied = work.entry.way == "copy"
    insist(work.patience, found)
    if copied and work.entry.step == "settle":
        try:
            work.run(exchange.untie_old(found))
        except DBAPIError as error:
            relent(work.patience, found)
            if sqlstate_of(error) != STANDS_ON_IT:
                raise
            raise PgultraError(
                f"the old table {found.names.old} cannot be dropped, and nothing was changed: "
                f"{error.orig}"
            ) from error
    seal(work.patience, found)

    def once() -> None:
        with work.patience.transaction() as connection:
            for act in exchange.finish(found).acts if copied else ():
                connection.execute(sql.statement(act.text))
            work.journal.close(connection)

    work.patience.until_it_works(once)
