"""
Statements that would sort, compare or merge ciphertexts, and so answer at random.

Most are refused as they are built (``Person.email < "x"``). What SQLAlchemy builds without
asking the column's type is looked at once, before the statement runs for the first time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.sql import operators, visitors
from sqlalchemy.sql.elements import Grouping, Label, Over, UnaryExpression
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.sql.selectable import CompoundSelect, Select

from pgultra.errors import EncryptionError
from pgultra.features.encryption.comparator import is_encrypted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["refuse"]

_seen: WeakSet[Any] = WeakSet()


def refuse(
    connection: object, cursor: object, statement: str, parameters: Any, context: Any, many: bool
) -> None:
    """
    Look at a statement that was not seen yet.

    Raises:
        EncryptionError: with the reason.
    """
    compiled = getattr(context, "compiled", None)
    if compiled is None or compiled in _seen:
        return
    for element in visitors.iterate(compiled.statement):
        for word, columns, advice in _uses(element):
            for each in columns:
                type_ = _type(each)
                if is_encrypted(type_):
                    raise EncryptionError(f"{type_.described} cannot stand in {word}: {advice}")
    _seen.add(compiled)


SORTED = "its ciphertexts are random; sort in Python"
EQUAL = "equal values have different ciphertexts; "


def _uses(element: Any) -> Iterator[tuple[str, Iterable[Any], str]]:
    if isinstance(element, Select):
        yield "ORDER BY", element._order_by_clauses, SORTED
        yield "GROUP BY", element._group_by_clauses, EQUAL + "group by blind_index(column)"
        if element._distinct:
            columns = element._distinct_on or element._raw_columns
            advice = EQUAL + "make them distinct in Python, or DISTINCT ON (blind_index(column))"
            yield "DISTINCT", [part for each in columns for part in _columns(each)], advice
    elif isinstance(element, CompoundSelect):
        if "ALL" not in element.keyword.name:
            columns = [column for each in element.selects for column in each.selected_columns]
            yield element.keyword.value, columns, EQUAL + "use union_all()"
        yield "ORDER BY", element._order_by_clauses, SORTED
    elif isinstance(element, Over):
        yield "ORDER BY", _listed(element.order_by), SORTED
        yield "PARTITION BY", _listed(element.partition_by), EQUAL + "say blind_index(column)"
    elif isinstance(element, aggregate_order_by):
        yield "ORDER BY", _listed(element.order_by), SORTED
    elif isinstance(element, UnaryExpression) and element.operator is operators.distinct_op:
        yield "DISTINCT", [element.element], EQUAL + "count distinct blind_index(column)"
    elif isinstance(element, FunctionElement) and element.name in ("max", "min"):
        yield element.name, element.clauses, SORTED


def _listed(clause: Any) -> Iterable[Any]:
    """
    The parts of a clause; none, where there is no clause.
    """
    return () if clause is None else getattr(clause, "clauses", (clause,))


def _columns(selected: Any) -> Iterable[Any]:
    """
    What a table, or a column, puts into the list of a SELECT.
    """
    return getattr(selected, "c", None) or (selected,)


def _type(element: Any) -> Any:
    while isinstance(element, UnaryExpression | Label | Grouping):
        element = element.element
    return getattr(element, "type", None)
