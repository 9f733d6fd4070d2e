"""
Objects that a restore brought back, when the savepoint in which it did so is rolled back.

SQLAlchemy undoes in a session what flushes did there; a restore works beside them.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import event, inspect
from sqlalchemy.orm import Session

from pgultra.features.soft_delete.departure import COLUMNS, departed, stamp

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sqlalchemy.orm import SessionTransaction

__all__ = ["Return", "remember", "returns"]

RETURNS = "pgultra.soft_delete.returns"


@dataclass
class Return:
    """
    One object that left its session and is to come back, in another savepoint.

    Attributes:
        instance: the object, which may go meanwhile.
        said: what its columns said while it was gone.
        left: the transaction or savepoint in which it left.
        back: the one in which it comes back.
    """

    instance: weakref.ref[Any]
    said: tuple[Any, ...]
    left: SessionTransaction
    back: SessionTransaction


def returns(session: Session, instances: Iterable[Any]) -> Iterator[Return]:
    """
    Which of some objects that left come back in a savepoint that began after they left.

    Ask before they come back. Where SQLAlchemy notes who left is private; a test pins it.
    """
    back = _current(session)
    for instance in instances:
        state = inspect(instance)
        left: SessionTransaction | None = back
        while left is not None and state not in left._deleted:
            left = left.parent
        if left is not None and left is not back and back is not None:
            said = tuple(getattr(instance, name) for name in COLUMNS)
            yield Return(weakref.ref(instance), said, left, back)


def remember(session: Session, known: list[Return]) -> None:
    """
    Keep in mind what came back, for as long as the transaction lasts.
    """
    root = session.get_transaction()
    before: list[Return] = session.info.get(RETURNS, [])
    session.info[RETURNS] = [*(each for each in before if _inside(each.left, root)), *known]


@event.listens_for(Session, "after_soft_rollback")
def _rolled_back(session: Session, transaction: SessionTransaction) -> None:
    """
    Take out again what came back in a savepoint that is no more.
    """
    known: list[Return] = session.info.get(RETURNS, [])
    if not known or not (transaction.nested or transaction.parent is None):
        return
    session.info[RETURNS] = [each for each in known if not _inside(each.back, transaction)]
    for each in known:
        instance = each.instance()
        if instance is None or not _inside(each.back, transaction):
            continue
        state = inspect(instance)
        if _inside(each.left, transaction) or session.identity_map.get(state.key) is not instance:
            continue
        session._remove_newly_deleted([state])
        current = _current(session)
        if current is not None and current is not each.left:
            current._deleted.pop(state, None)  # its rollback does not bring the object back
        departed(session)[state.key] = instance
        stamp(state, each.said)


def _current(session: Session) -> SessionTransaction | None:
    return session.get_nested_transaction() or session.get_transaction()


def _inside(transaction: SessionTransaction, outer: SessionTransaction | None) -> bool:
    inner: SessionTransaction | None = transaction
    while inner is not None and inner is not outer:
        inner = inner.parent
    return inner is not None
