"""
What others did to a table while it was being converted, or since: noticed, and never thrown away.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pgultra import sql
from pgultra.errors import PgultraError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sqlalchemy import Connection

    from pgultra.features.partitions.conversion.design import Design
    from pgultra.features.partitions.conversion.route import Route
    from pgultra.features.partitions.conversion.run import Conversion
    from pgultra.features.partitions.conversion.survey import Survey

__all__ = ["insist_kept", "insist_mirrored", "insist_unaltered", "kept", "mirror_again"]

ALWAYS = "A"
"""How a trigger is enabled that fires whatever ``session_replication_role`` says."""


def insist_unaltered(work: Conversion, now: Survey) -> None:
    """
    See that the new table, made like the old one as it was, fits the old one as it is.

    Raises:
        PgultraError: it does not.
    """
    state = work.entry.state
    same = now.shape() == state["shape"]
    if not same or now.attributes() != state.get("attributes", now.attributes()):
        raise PgultraError(
            f"{work.table.fullname} was altered since the conversion began, and the new table "
            "does not fit any more: roll back, and convert again"
        )


def mirror_again(work: Conversion, name: str, mirrored: str, route: Route) -> None:
    """
    Where the mirror's triggers were disabled for a while, enable them and compare anew.

    Args:
        work: the conversion.
        name: of the table that has the triggers.
        mirrored: the name of the mirror's function.
        route: from that table to the other one.
    """
    with work.patience.transaction():
        now = work.look(name)
    asleep = [each for each in _mirrors(work, now, mirrored) if each["enabled"] != ALWAYS]
    if not asleep:
        return

    def once() -> None:
        with work.patience.transaction(blocking=True) as connection:
            for each in asleep:
                trigger = sql.identifier(each["name"])
                wake = f"ALTER TABLE {now.table} ENABLE ALWAYS TRIGGER {trigger}"
                connection.execute(sql.statement(wake))

    work.patience.until_it_works(once)
    work.compare(route)


def insist_mirrored(work: Conversion, now: Survey, mirrored: str) -> None:
    """
    See under the lock that the mirror's triggers are as they were made.

    Raises:
        PgultraError: one was disabled, or is gone; what was written meanwhile is not mirrored.
    """
    found = _mirrors(work, now, mirrored)
    if len(found) != 2 or any(each["enabled"] != ALWAYS for each in found):
        raise PgultraError(
            f"the triggers that keep the tables of {work.table.fullname} the same were disabled "
            "meanwhile, such as by ALTER TABLE … DISABLE TRIGGER ALL: start again, and the rows "
            "are compared anew; if one was dropped, roll back and convert again"
        )


def _mirrors(work: Conversion, now: Survey, mirrored: str) -> list[Mapping[str, Any]]:
    names = {mirrored, work.design().names.emptied(mirrored)}
    return [each for each in now["triggers"] if each["name"] in names]


def kept(now: Survey, leaves: list[tuple[str, str]]) -> dict[str, Any]:
    """
    What the new table has when it takes the name, and the old one too.

    Args:
        now: the new table.
        leaves: its partitions, by schema and name.
    """
    return {
        "columns": list(now.columns),
        "constraints": sorted(
            [each["name"], each["definition"].removesuffix(" NOT VALID")]
            for each in now["constraints"]
            if each["type"] != "f" or each["refers_to"] != now["oid"]
        ),
        "rights": now["grants"],
        "policies": [{**each, "comment": None} for each in now["policies"]],
        "row security": [now["row_security"], now["forced"]],
        "owner": now["owner"],
        "partitions": [list(each) for each in leaves],
    }


def insist_kept(work: Conversion, connection: Connection, found: Design, now: Survey) -> None:
    """
    See that nothing was done to the table since the exchange that the old one has not.

    Raises:
        PgultraError: something was, and going back would throw it away.
    """
    before = work.entry.state.get("kept")
    if before is None:  # an exchange of an earlier version of pgultra
        return
    leaves = work.leaves(connection, work.table.name)
    changed = list(_changed(before, kept(now, leaves)))
    known = {each["name"] for each in (*found.renewed, *found.abandoned)}
    changed += [
        f"foreign key {each['name']} of {each['schema']}.{each['table']}"
        for each in now["incoming"]
        if each["name"] not in known
    ]
    if changed:
        raise PgultraError(
            f"{work.table.fullname} was changed since the exchange, and the old table "
            f"{found.names.old} does not have that: {'; '.join(changed)}. Take it back before the "
            "old table gets its name again, or finish the conversion"
        )


def _changed(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    for word, was in before.items():
        if word == "partitions":
            gone = [each for each in was if each not in now[word]]
            if gone:
                names = ", ".join(sql.qualified(*each) for each in gone)
                yield (
                    f"{names} was detached or dropped, so that its rows would be deleted from the "
                    "old table (attach it again, or make an empty one of that name)"
                )
        elif now[word] != was:
            yield f"its {word}"
