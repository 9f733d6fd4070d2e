"""
The listener that filters every ORM statement of every session.

It runs for each statement, so it does little: one option is added, made once for all. A
statement that is executed again, such as a constant of a module, keeps its filtered
twin. Refreshing an object and loading its deferred columns is not filtered, but what is
loaded along with it is.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from sqlalchemy import event
from sqlalchemy.orm import Session
from sqlalchemy.sql.selectable import Select

from pgultra.errors import PgultraError
from pgultra.features.soft_delete import bulk, mapped, surface
from pgultra.features.soft_delete.criteria import DEAD, LIVE
from pgultra.features.soft_delete.queries import OPTION, PROPAGATED

if TYPE_CHECKING:
    from sqlalchemy.orm import ORMExecuteState

__all__: list[str] = []

SEEN = "_pgultra_soft_delete"
"""
Where a statement keeps a mark, then its twin. Copies of a statement inherit its
``__dict__``, so the mark says whose it is.
"""

MODES = {"include": None, "exclude": LIVE, "only": DEAD}


class _Twin:
    """
    The filtered form of one statement, and of no copy of it; forgotten when pickled.
    """

    __slots__ = ("filtered", "owner")

    def __init__(self, owner: Any, filtered: Any) -> None:
        self.owner = weakref.ref(owner)
        self.filtered = filtered

    def __reduce__(self) -> Any:
        return int, ()


@event.listens_for(Session, "do_orm_execute")
def _execute(state: ORMExecuteState) -> Any:
    """
    Add the criterion, unless the statement or the session says otherwise.
    """
    if not mapped.any_mapped():
        return None
    mode = state.execution_options.get(OPTION) or state.session.info.get(OPTION)
    criterion: Any = LIVE
    if mode is not None:
        try:
            criterion = MODES[mode]
        except KeyError:
            raise PgultraError(
                f"{OPTION} is {mode!r}; it can be {', '.join(map(repr, MODES))}"
            ) from None
    statement: Any = state.statement
    if not state.is_select:
        return bulk.execute(state, criterion) if statement.is_dml else None
    if criterion is None:
        return None
    options = statement._with_options
    if options and PROPAGATED in options:  # a lazy load from an object that asked for it
        return None
    if surface.BEFORE_2_1 and "yield_per" in state.execution_options and state.is_relationship_load:
        # Any listener lets it leak into the loads behind a stream (SQLAlchemy #13301).
        state.update_execution_options(yield_per=None)
    if state.is_column_load:
        # SQLAlchemy itself leaves the refreshed entity out; such statements are made anew.
        state.statement = _filtered(state, statement, criterion)
        return None
    memo = statement.__dict__
    seen = memo.get(SEEN)
    mark = id(statement)
    if seen is None or criterion is not LIVE:
        memo[SEEN] = mark
        state.statement = _filtered(state, statement, criterion)
    elif seen == mark:
        state.statement = _filtered(state, statement, criterion)
        memo[SEEN] = _Twin(statement, state.statement)
    elif seen.__class__ is _Twin and seen.owner() is statement:
        state.statement = seen.filtered
    else:
        memo[SEEN] = mark
        state.statement = _filtered(state, statement, criterion)
    return None


def _filtered(state: ORMExecuteState, statement: Any, criterion: Any) -> Any:
    if statement.__class__ is Select:
        # What statement.options(criterion) does, without looking at what the option is.
        copy = statement._generate()
        copy._with_options += (criterion,)
        if not state.is_orm_statement:
            copy = surface.completed_columns(copy)
        return copy
    return statement.options(criterion)
