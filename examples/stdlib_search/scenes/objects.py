"""
What one `create_all` made, read back from the database by its marks.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from pgultra.plan.inventory import inventory

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from stage import Stage


def objects(stage: Stage, engine: Engine) -> None:
    """
    List the objects by room, table and kind.
    """
    stage.scene("What the models put into the database")
    with engine.connect() as connection:
        found = [
            each
            for each in inventory(connection)
            if each.schema is None and each.identity.schema is None
        ]
    counts = Counter(
        (each.mark.room, each.identity.table or "(shared)", each.kind)
        for each in found
        if each.mark
    )
    stage.table(
        ("room", "table", "kind", "how many"), [(*key, n) for key, n in sorted(counts.items())]
    )
    stage.say(
        f"All {len(found)} bear a mark in their comment; pgultra never touches what has none.\n"
        "Your own: [bold]pgultra list app.models:Base[/], [bold]pgultra sql app.models:Base[/]"
    )
