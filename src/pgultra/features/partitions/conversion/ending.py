"""
The two ends of a conversion: everything as it was, or the old table gone for good.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgultra import sql
from pgultra.errors import PgultraError
from pgultra.features.partitions.conversion import exchange
from pgultra.features.partitions.conversion.attach import taken_away
from pgultra.features.partitions.conversion.references import validate
from pgultra.features.partitions.conversion.survey import Survey

if TYPE_CHECKING:
    from pgultra.features.partitions.conversion.run import Conversion

__all__ = ["EXCHANGED", "backward", "end"]

EXCHANGED = ("exchange", "settle")
"""The steps after which the new table has the name."""


def backward(work: Conversion) -> None:
    """
    Everything as it was: the old table with every change that was made since.
    """
    found = work.design()
    names = found.names
    attaches = work.entry.way == "attach"
    if attaches and work.entry.step in EXCHANGED:
        raise PgultraError(
            f"{work.table.fullname} is the first partition of the new table already, and nothing "
            "keeps the old state: there is no way back; close the journal with finish_conversion"
        )
    if work.entry.step in EXCHANGED:
        if work.announce is not None:
            work.announce("compare")
        work.compare(found.route().reversed(names.table, names.old))

        def once() -> None:
            with work.patience.transaction(blocking=True) as connection:
                before = Survey(work.entry.state["before"])
                lock = exchange.give_back(found, before, before).acts[0]
                connection.execute(sql.statement(lock.text))
                step = exchange.give_back(found, work.look(), before)
                for act in step.acts[1:]:
                    connection.execute(sql.statement(act.text))
                work.done(connection, "give_back")

        if work.announce is not None:
            work.announce("give_back")
        work.patience.until_it_works(once)
    if work.announce is not None:
        work.announce("clean_up")
    if work.entry.step == "give_back":
        validate(work.patience, found)

    def clean_up() -> None:
        with work.patience.transaction(blocking=True) as connection:
            for act in exchange.clean_up(found, mirrored=work.entry.step != "give_back"):
                connection.execute(sql.statement(act.text))
            beside = work.entry.state.get("beside", ())
            for statement in (*beside, *(taken_away(found) if attaches else ())):
                connection.execute(sql.statement(statement))
            work.journal.close(connection)

    work.patience.until_it_works(clean_up)


def end(work: Conversion) -> None:
    """
    The old table goes.

    Raises:
        PgultraError: the names are not exchanged yet.
    """
    if work.entry.step != "settle":
        raise PgultraError(
            f"the conversion of {work.table.fullname} has not come to its end (its last step is "
            f"{work.entry.step!r}): start `convert` again first"
        )
    found = work.design()

    def once() -> None:
        with work.patience.transaction(blocking=True) as connection:
            for act in () if work.entry.way == "attach" else exchange.finish(found).acts:
                connection.execute(sql.statement(act.text))
            work.journal.close(connection)

    work.patience.until_it_works(once)
