"""
Phases 1, 3 and 5 of the seed: what was made, and a function of its own.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from sqlalchemy import Select, func, select

from models import Base
from pgultra import plan
from pgultra.plan.inventory import inventory

if TYPE_CHECKING:
    from sqlalchemy import Connection


def calculate_user_level(experience: int) -> Select[int]:
    """
    The seed's function, called as the seed's own test calls it.
    """
    return select(func.calculate_user_level(experience))


def made(connection: Connection) -> Counter[str]:
    """
    How many objects of each kind the application has in the present schema, by their marks.

    The seed lists the triggers of the schema, whoever made them, and finds its indexes by
    names like ``%gin%``: ``pg_replication_origin_roiident_index`` is one, its own are not.
    """
    schema = connection.scalar(select(func.current_schema()))
    application = Base.metadata.info["pgultra.app"]
    return Counter(
        each.identity.kind
        for each in inventory(connection)
        if each.mark is not None
        and each.mark.application == application
        and getattr(each, "schema", None) in (None, schema)
    )


def drift(connection: Connection) -> list[str]:
    """
    What is not as the models say, in the schema that they live in: what `pgultra check` finds.
    """
    return [str(each) for each in plan.check(connection, Base.metadata).steps]
