"""
What the room does to relationships that lead to soft-deletable classes.

A deleted parent reads as None. A row below it must not vanish because of that, so joined
loads are outer joins; and whoever says None back, as ``session.merge`` does with an object
that was read like this, changes nothing, so that the row keeps its foreign key.
"""

from __future__ import annotations

import weakref
from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import event
from sqlalchemy.orm import (
    InstrumentedAttribute,
    LoaderCallableStatus,
    Mapper,
    PassiveFlag,
    RelationshipProperty,
)
from sqlalchemy.orm.interfaces import MANYTOONE
from sqlalchemy.util import concurrency

from pgultra.features.soft_delete import mapped
from pgultra.features.soft_delete.model import SoftDelete

if TYPE_CHECKING:
    from sqlalchemy.orm import InstanceState, QueryableAttribute

__all__ = ["prepare_late"]

_late: weakref.WeakSet[RelationshipProperty[Any]] = weakref.WeakSet()


@event.listens_for(Mapper, "mapper_configured")
def _configured(mapper: Mapper[Any], class_: type[Any]) -> None:
    if mapped.any_mapped():
        for relationship in mapper.relationships:
            if relationship.parent is mapper:
                _prepare(relationship)


@event.listens_for(object, "attribute_instrument")
def _instrumented(class_: type[Any], key: str, attribute: QueryableAttribute[Any]) -> None:
    """
    Remember a relationship that comes when its class is configured already.

    It is not complete yet, and nothing tells when it is.
    """
    if not isinstance(attribute, InstrumentedAttribute):
        return  # a synonym, say, which may not be asked yet
    relationship = getattr(attribute.comparator, "prop", None)
    if isinstance(relationship, RelationshipProperty) and relationship.parent.configured:
        _late.add(relationship)


def prepare_late() -> None:
    """
    Prepare the relationships that came late; called whenever a statement is compiled.
    """
    for relationship in list(_late):
        _late.discard(relationship)
        _prepare(relationship)


def _prepare(relationship: RelationshipProperty[Any]) -> None:
    if not issubclass(relationship.mapper.class_, SoftDelete):
        return
    relationship.innerjoin = False
    if relationship.direction is MANYTOONE and not relationship.viewonly:
        listener = partial(_set, relationship.key)
        event.listen(relationship.class_attribute, "set", listener, raw=True, propagate=True)


def _set(key: str, state: InstanceState[Any], value: Any, old: Any, _initiator: object) -> None:
    """
    Where None takes the place of what was never loaded, load it: it may be None already.

    Nothing is asked of the database outside of the greenlet of an async session.
    """
    session = state.session
    if value is not None or old is not LoaderCallableStatus.PASSIVE_NO_RESULT or session is None:
        return
    if session.get_bind(state.mapper).dialect.is_async and not concurrency.in_greenlet():
        return
    load = PassiveFlag.PASSIVE_ONLY_PERSISTENT | PassiveFlag.NO_AUTOFLUSH | PassiveFlag.NO_RAISE
    found = state.manager[key].impl.get(
        state, state.dict, passive=load | PassiveFlag.LOAD_AGAINST_COMMITTED
    )
    if found is None:
        state.committed_state[key] = None
