"""
What one `create_all` made, read back from the database by its marks.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from models import Base
from pgultra.plan import application_of
from pgultra.plan.inventory import inventory

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from stage import Stage

KINDS = ("trigger", "index", "view", "function")


def objects(stage: Stage, engine: Engine) -> None:
    """
    Count the objects by room and table.
    """
    stage.scene("What the models put into the database")
    application = application_of(Base.metadata)
    with engine.connect() as connection:
        found = [
            each
            for each in inventory(connection)
            if each.mark and each.mark.application == application and each.schema is None
        ]
    counts = Counter(
        (each.mark.room, each.identity.table or "all of them", each.kind)
        for each in found
        if each.mark
    )
    places = sorted({(room, table) for room, table, _ in counts})
    stage.table(
        ("room", "table", *KINDS),
        [(*place, *(counts[(*place, kind)] or "" for kind in KINDS)) for place in places],
    )
    stage.say(
        f"{len(found)} objects, each marked as pgultra's in its comment; what bears no mark is "
        "never touched. For your own models:"
    )
    stage.code("pgultra list app.models:Base\npgultra sql app.models:Base | psql", "console")
