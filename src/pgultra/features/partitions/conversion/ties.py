"""
Foreign keys to the table, of others and of itself: let go, taken hold of again, and checked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import DBAPIError

from pgultra import sql
from pgultra.errors import sqlstate_of
from pgultra.features.partitions.conversion import leafwise
from pgultra.features.partitions.conversion.build import comment

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pgultra.features.partitions.conversion.design import Design
    from pgultra.features.partitions.conversion.patience import Patience

__all__ = ["let_go", "taken_hold", "validate", "validations"]

VIOLATED = "23503"


def let_go(design: Design, *, back: bool = False, partition: bool = False) -> Iterator[str]:
    """
    The statements that take them from the table which has the name.

    Args:
        design: what was planned.
        back: as they are since the exchange, and not as they were before it.
        partition: the table becomes one, to which nothing may refer, not even what is given up.
    """
    for each in design.renewed if back else design.incoming:
        if back and leafwise.leafwise(design, each, back=False):
            yield from leafwise.let_go(design, each)
        else:
            yield _dropped(each)
    if not back:
        yield from map(_dropped, design.abandoned if partition else _own(design))


def taken_hold(design: Design, *, back: bool = False) -> Iterator[str]:
    """
    The statements that turn them to the table which has the name now, unchecked.

    Args:
        design: what was planned.
        back: as they were before the exchange.
    """
    for each in [*design.incoming, *_own(design)] if back else design.renewed:
        if leafwise.leafwise(design, each, back=back):
            yield from leafwise.hold(each)
            continue
        place, name = _place(each), sql.identifier(each["name"])
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
    for each in [*design.incoming, *_own(design)] if back else design.renewed:
        if leafwise.leafwise(design, each, back=back):
            own = [sql.qualified(*leaf) for leaf in each["leaves"]]
            itself = each["oid"] == design.old["oid"]
            yield from leafwise.checks(each, leaves if itself else own)
        elif each["validated"]:
            yield _checked(each)


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
            _check(patience, each)
    for each in _own(design) if back else ():
        try:
            if each["validated"]:
                _check(patience, each)
        except DBAPIError as error:
            if sqlstate_of(error) != VIOLATED:
                raise  # what was given up is broken since, and stays NOT VALID


def _check(patience: Patience, each: Mapping[str, Any]) -> None:
    def once() -> None:
        with patience.transaction() as connection:
            connection.execute(sql.statement(_checked(each)))

    patience.until_it_works(once)


def _own(design: Design) -> list[Mapping[str, Any]]:
    """
    Those of the table to itself that are given up: a mirror by rows would break the old one's.
    """
    return [each for each in design.abandoned if each["oid"] == design.old["oid"]]


def _dropped(each: Mapping[str, Any]) -> str:
    return f"ALTER TABLE {_place(each)} DROP CONSTRAINT {sql.identifier(each['name'])}"


def _checked(each: Mapping[str, Any]) -> str:
    return f"ALTER TABLE {_place(each)} VALIDATE CONSTRAINT {sql.identifier(each['name'])}"


def _place(each: Mapping[str, Any]) -> str:
    return sql.qualified(each["schema"], each["table"])
