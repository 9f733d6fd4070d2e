"""
Foreign keys of others that refer to the table: let go, taken hold of again, and checked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgultra import sql
from pgultra.features.partitions.conversion.build import comment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pgultra.features.partitions.conversion.design import Design
    from pgultra.features.partitions.conversion.patience import Patience

__all__ = ["let_go", "taken_hold", "validate", "validations"]


def let_go(design: Design) -> Iterator[str]:
    """
    The statements that take them from the table which has the name.
    """
    for each in design.incoming:
        place = sql.qualified(each["schema"], each["table"])
        yield f"ALTER TABLE {place} DROP CONSTRAINT {sql.identifier(each['name'])}"


def taken_hold(design: Design) -> Iterator[str]:
    """
    The statements that turn them to the table which has the name now, unchecked.
    """
    for each in design.incoming:
        place = sql.qualified(each["schema"], each["table"])
        name = sql.identifier(each["name"])
        definition = each["definition"].removesuffix(" NOT VALID")
        yield f"ALTER TABLE {place} ADD CONSTRAINT {name} {definition} NOT VALID"
        yield from comment(f"CONSTRAINT {name} ON {place}", each["comment"])


def validations(design: Design) -> Iterator[str]:
    """
    The statements that check the foreign keys of others, which hold already.
    """
    for each in design.incoming:
        if each["validated"]:
            place = sql.qualified(each["schema"], each["table"])
            yield f"ALTER TABLE {place} VALIDATE CONSTRAINT {sql.identifier(each['name'])}"


def validate(patience: Patience, design: Design) -> None:
    """
    Check the foreign keys that were turned to another table.
    """
    for statement in validations(design):

        def once(statement: str = statement) -> None:
            with patience.transaction() as connection:
                connection.execute(sql.statement(statement))

        patience.until_it_works(once)
