"""
``pgultra list``: objects by room and table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from pgultra.integrations.cli.database import URL_OPTION, connected
from pgultra.integrations.cli.output import print_json
from pgultra.integrations.cli.target import load
from pgultra.plan import collect
from pgultra.plan.inventory import inventory

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pgultra.objects import DatabaseObject

__all__ = ["listing"]


def listing(
    path: Annotated[
        str | None,
        typer.Argument(
            metavar="[PATH]",
            help="The models, as module:Base or file.py:Base; without it, the database is asked.",
            show_default=False,
        ),
    ] = None,
    url: URL_OPTION = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """
    List objects by room and table.

    With PATH: what the models declare. Without: what bears a mark of pgultra in the database.
    """
    if path is not None:
        found = [each for one in load(path) for each in collect(one).values()]
    else:
        with connected(url) as connection:
            found = list(inventory(connection))
    found.sort(key=_place)
    if as_json:
        print_json([_entry(each) for each in found])
    else:
        console = Console(highlight=False)
        if not console.is_terminal:
            console.width = 240  # names stay whole in a pipe
        console.print(_table(found))


def _place(each: DatabaseObject) -> tuple[str, str, str, str, str, str]:
    identity = each.identity
    return (
        *_owner(each),
        identity.schema or "",
        identity.table or "",
        identity.kind,
        identity.name,
    )


def _owner(each: DatabaseObject) -> tuple[str, str]:
    return (each.mark.application, each.mark.room) if each.mark else ("", "")


def _entry(each: DatabaseObject) -> dict[str, str | None]:
    application, room = _owner(each)
    identity = each.identity
    return {
        "application": application,
        "room": room,
        "kind": identity.kind,
        "schema": identity.schema,
        "table": identity.table,
        "name": identity.name,
    }


def _table(found: Iterable[DatabaseObject]) -> Table:
    objects = list(found)
    several = len({_owner(each)[0] for each in objects}) > 1
    table = Table(
        box=None,
        pad_edge=False,
        header_style="bold",
        caption=_caption(len(objects)),
        caption_justify="left",
    )
    for heading in ("room", "table", "kind", "name"):
        table.add_column(heading, overflow="fold")
    previous = ("", "")
    for each in objects:
        application, room = _owner(each)
        identity = each.identity
        place = ".".join(filter(None, (identity.schema, identity.table)))
        first = (f"{application}: {room}" if several else room, place)
        shown = ("" if first[0] == previous[0] else first[0], "" if first == previous else first[1])
        table.add_row(*shown, identity.kind, identity.name)
        previous = first
    return table


def _caption(count: int) -> str:
    return "1 object" if count == 1 else f"{count} objects"
