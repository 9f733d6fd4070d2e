"""
Joined subclasses: their rows are deleted or live in the table of the root.

Where a SELECT has the class as a whole, it has the root's table too, and the criterion is
the one of all classes. Where it has only a table of the subclass, as an UPDATE of the class
does or a column that stands in the WHERE alone, the root's ``deleted_at`` would be a second
table beside it, joined by nothing; there the criterion goes by the key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import select, tuple_
from sqlalchemy.sql import operators, visitors
from sqlalchemy.sql.elements import BinaryExpression
from sqlalchemy.sql.selectable import Join

from pgultra.features.soft_delete.edges import root_of
from pgultra.features.soft_delete.model import deleted_column

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import ColumnElement, FromClause
    from sqlalchemy.orm import Mapper

__all__ = ["apart", "live_by_key", "lonely"]


def apart(mapper: Mapper[Any]) -> bool:
    """
    Whether a class has a table beside the one that says which rows are deleted.
    """
    return mapper.local_table is not root_of(mapper).local_table


def live_by_key(
    mapper: Mapper[Any], source: FromClause, *, dead: bool = False
) -> ColumnElement[bool] | None:
    """
    The criterion of a row in a subclass's table: its key is one of the root's live rows.

    Args:
        mapper: the subclass.
        source: its table, that of a class between it and the root, or an alias of one.
        dead: ask for deleted rows instead.

    Returns:
        The condition, or None if the source does not hold the key.
    """
    root = root_of(mapper)
    keys = [_column_in(source, mapper, column) for column in root.primary_key]
    if any(key is None for key in keys):
        return None
    deleted = deleted_column(mapper)
    chosen = (
        select(*root.primary_key)
        .where(deleted.is_not(None) if dead else deleted.is_(None))
        .correlate(None)
        # Aliases of the class are not to be put in place of the table in here.
        ._annotate({"no_replacement_traverse": True})
    )
    found: ColumnElement[bool] = (
        keys[0].in_(chosen) if len(keys) == 1 else tuple_(*keys).in_(chosen)
    )
    return found


def _column_in(source: FromClause, mapper: Mapper[Any], column: Any) -> Any:
    """
    What a table of the hierarchy has in place of a key column of the root.
    """
    same = [column]
    for each in reversed(list(mapper.iterate_to_root())):
        for part in visitors.iterate(each.inherit_condition) if each.inherits else ():
            if isinstance(part, BinaryExpression) and part.operator is operators.eq:
                pair = (part.left, part.right)
                for one, other in (pair, pair[::-1]):
                    if any(one is known for known in same):
                        same.append(other)
    corresponding = (source.corresponding_column(each) for each in same)
    return next((each for each in corresponding if each is not None), None)


def lonely(state: Any) -> set[Any]:
    """
    The joined subclasses that a SELECT in compilation names without having them in FROM.
    """
    candidates = {
        entity
        for entity in state.extra_criteria_entities
        if entity not in state._join_entities and apart(entity.mapper)
    }
    if candidates:
        for clause in state.from_clauses or state._fallback_from_clauses:
            for part in _parts(clause):
                candidates = {
                    entity
                    for entity in candidates
                    if entity is not part._annotations.get("parententity")
                    and entity.selectable is not part
                }
    return candidates


def _parts(clause: FromClause) -> Iterator[FromClause]:
    yield clause
    if isinstance(clause, Join):
        yield from _parts(clause.left)
        yield from _parts(clause.right)
