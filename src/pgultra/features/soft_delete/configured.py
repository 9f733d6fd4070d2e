"""
What is checked when all mappers are configured: only then is every relationship there.

A backref comes with the class that names it, and a subclass after its root.
"""

from __future__ import annotations

import warnings
from typing import Any

from sqlalchemy import event
from sqlalchemy.orm import CascadeOptions, Mapper

from pgultra.errors import DeclarationError
from pgultra.features.soft_delete import mapped
from pgultra.features.soft_delete.edges import excluded, relationships_of
from pgultra.features.soft_delete.indexes import rules_of

__all__: list[str] = []


@event.listens_for(Mapper, "after_configured")
def _after_configured() -> None:
    """
    Check the cascades of the soft-deletable classes; apply what the option leaves out.
    """
    for table, mapper in mapped.tables():
        rules = rules_of(table)
        if rules is None or mapper._dispose_called:
            continue
        if not mapper.configured or mapper.registry._new_mappers:
            continue  # it has its turn later
        try:
            relationships_of(mapper, rules)
        except DeclarationError as error:
            _refuse(mapper, error)
            raise
        for relationship in excluded(mapper, rules):
            with warnings.catch_warnings():
                # "delete-orphan requires delete": the orphans' part stays as it is.
                warnings.simplefilter("ignore")
                relationship.cascade = CascadeOptions(relationship.cascade - {"delete"})


def _refuse(mapper: Mapper[Any], error: DeclarationError) -> None:
    """
    Let SQLAlchemy refuse to go on, now and later, as it does when it cannot configure a mapper.

    The attributes are private; a test pins them.
    """
    mapper.configured = False
    mapper._configure_failed = error
    mapper.registry._flag_new_mapper(mapper)
