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


def let_go(design: Design, *, back: bool = False) -> Iterator[str]:
    """
    The statements that take them from the table which has the name.

    Args:
        design: what was planned.
        back: as they are since the exchange, and not as they were before it.
    """
    for each in design.renewed if back else design.incoming:
        place = sql.qualified(each["schema"], each["table"])
        yield f"ALTER TABLE {place} DROP CONSTRAINT {sql.identifier(each['name'])}"


def taken_hold(design: Design, *, back: bool = False) -> Iterator[str]:
    """
    The statements that turn them to the table which has the name now, unchecked.

    Args:
        design: what was planned.
        back: as they were before the exchange.
    """
    for each in design.incoming if back else design.renewed:
        place = sql.qualified(each["schema"], each["table"])
        name = sql.identifier(each["name"])
        definition = each["definition"].removesuffix(" NOT VALID")
        yield f"ALTER TABLE {place} ADD CONSTRAINT {name} {definition} NOT VALID"
        yield from comment(f"CONSTRAINT {name} ON {place}", each["comment"])


def validations(design: Design, *, back: bool = False) -> Iterator[str]:
    """
    The statements that check the foreign keys of others, which hold already.
    """
    for each in design.incoming if back else design.renewed:
        if each["validated"]:
            place = sql.qualified(each["schema"], each["table"])
            yield f"ALTER TABLE {place} VALIDATE CONSTRAINT {sql.identifier(each['name'])}"


def validate(patience: Patience, design: Design, *, back: bool = False) -> None:
    """
    Check the foreign keys that were turned to another table.
    """
    for statement in validations(design, back=back):

        def once(statement: str = statement) -> None:
            with patience.transaction() as connection:
                connection.execute(sql.statement(statement))

        patience.until_it_works(once)
