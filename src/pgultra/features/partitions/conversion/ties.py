"""
Foreign keys to the table, of others and of itself: let go, taken hold of again, and checked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgultra import sql
from pgultra.features.partitions.conversion import leafwise
from pgultra.features.partitions.conversion.build import comment

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

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
        if back and leafwise.leafwise(design, each, back=False):
            yield from leafwise.let_go(design, each)
        else:
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
        if leafwise.leafwise(design, each, back=back):
            yield from leafwise.hold(each)
            continue
        place = sql.qualified(each["schema"], each["table"])
        name = sql.identifier(each["name"])
        definition = each["definition"].removesuffix(" NOT VALID")
        yield f"ALTER TABLE {place} ADD CONSTRAINT {name} {definition} NOT VALID"
        yield from comment(f"CONSTRAINT {name} ON {place}", each["comment"])


def validations(design: Design, leaves: Iterable[str] = (), *, back: bool = False) -> Iterator[str]:
    """
    The statements that check them; they hold already.

    Args:
        design: what was planned.
        leaves: the partitions of the new table, quoted.
        back: as they were before the exchange.
    """
    for each in design.incoming if back else design.renewed:
        if leafwise.leafwise(design, each, back=back):
            own = [sql.qualified(*leaf) for leaf in each["leaves"]]
            itself = each["oid"] == design.old["oid"]
            yield from leafwise.checks(each, leaves if itself else own)
        elif each["validated"]:
            place = sql.qualified(each["schema"], each["table"])
            yield f"ALTER TABLE {place} VALIDATE CONSTRAINT {sql.identifier(each['name'])}"


def validate(patience: Patience, design: Design, *, back: bool = False) -> None:
    """
    Check the foreign keys that were turned to another table.

    Args:
        patience: how to wait.
        design: what was planned.
        back: as they were before the exchange.
    """
    for each in design.incoming if back else design.renewed:
        if leafwise.leafwise(design, each, back=back):
            leafwise.check(patience, each)
        elif each["validated"]:
            place = sql.qualified(each["schema"], each["table"])
            statement = f"ALTER TABLE {place} VALIDATE CONSTRAINT {sql.identifier(each['name'])}"

            def once(statement: str = statement) -> None:
                with patience.transaction() as connection:
                    connection.execute(sql.statement(statement))

            patience.until_it_works(once)
