"""
Statements that would sort, compare or merge ciphertexts, and so answer at random.

Most are refused as they are built (``Person.email < "x"``). What SQLAlchemy builds without
asking the column's type is looked at once, before the statement runs for the first time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.sql import elements, operators, visitors
from sqlalchemy.sql.elements import Grouping, Label, Over, UnaryExpression, WithinGroup
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
    for written in _statements(compiled):
        for element in visitors.iterate(written):
            for word, columns, advice in _uses(element):
                for each in columns:
                    type_ = _type(each)
                    if is_encrypted(type_):
                        raise EncryptionError(f"{type_.described} cannot stand in {word}: {advice}")
    _seen.add(compiled)


SORTED = "its ciphertexts are random; sort in Python"
EQUAL = "equal values have different ciphertexts; "
_ORDERED = (
    aggregate_order_by,
    Over,
    WithinGroup,
    getattr(elements, "AggregateOrderBy", WithinGroup),  # since SQLAlchemy 2.1
)


def _statements(compiled: Any) -> Iterator[Any]:
    """
    What was written, and what the ORM made of it: eager loading brings an order of its own.
    """
    yield compiled.statement
    made = getattr(compiled.compile_state, "statement", None)
    if made is not None and made is not compiled.statement:
        yield made


def _uses(element: Any) -> Iterator[tuple[str, Iterable[Any], str]]:
    """
    Where an element compares or sorts, what stands there, and what to do instead.
    """
    if isinstance(element, Select):
        yield "ORDER BY", _named(element, element._order_by_clauses), SORTED
        yield (
            "GROUP BY",
            _named(element, element._group_by_clauses),
            EQUAL + "group by blind_index(column)",
        )
        if element._distinct:
            advice = EQUAL + "make them distinct in Python, or DISTINCT ON (blind_index(column))"
            yield "DISTINCT", _distinct(element), advice
    elif isinstance(element, CompoundSelect):
        if "ALL" not in element.keyword.name:
            columns = [column for each in element.selects for column in each.selected_columns]
            yield element.keyword.value, columns, EQUAL + "use union_all()"
        yield "ORDER BY", _named(element.selects[0], element._order_by_clauses), SORTED
    elif isinstance(element, _ORDERED):
        yield "ORDER BY", _listed(element.order_by), SORTED
        if isinstance(element, Over):
            yield "PARTITION BY", _listed(element.partition_by), EQUAL + "say blind_index(column)"
    elif isinstance(element, UnaryExpression) and element.operator is operators.distinct_op:
        yield "DISTINCT", [element.element], EQUAL + "count distinct blind_index(column)"
    elif isinstance(element, FunctionElement) and element.name in ("max", "min"):
        yield element.name, element.clauses, SORTED


def _listed(clause: Any) -> Iterable[Any]:
    """
    The parts of a clause; none, where there is no clause.
    """
    return () if clause is None else getattr(clause, "clauses", (clause,))


def _named(select: Any, clauses: Iterable[Any]) -> Iterator[Any]:
    """
    The clauses, with the columns of the SELECT in place of names such as ``order_by("email")``.
    """
    for each in clauses:
        name = _inside(each)
        if isinstance(name, elements._textual_label_reference):
            columns = [*select.selected_columns, *(c for f in _froms(select) for c in f.c)]
            yield from (column for column in columns if name.element in _names(column))
        yield each


def _names(column: Any) -> tuple[Any, ...]:
    """
    What a column is called; an expression without a label may have no name at all.
    """
    return getattr(column, "key", None), getattr(column, "name", None)


def _froms(select: Any) -> Iterable[Any]:
    return select.get_final_froms() if isinstance(select, Select) else ()


def _distinct(select: Any) -> list[Any]:
    """
    What DISTINCT compares: the columns of DISTINCT ON, else all that are selected.
    """
    before = getattr(select, "_pre_columns_clause", None)  # DISTINCT ON, since SQLAlchemy 2.1
    inside = visitors.iterate(before) if before is not None else ()
    on = [column for each in (select, *inside) for column in getattr(each, "_distinct_on", ())]
    return on or [part for each in select._raw_columns for part in _columns(each)]


def _columns(selected: Any) -> Iterable[Any]:
    """
    What a table, or a column, puts into the list of a SELECT.
    """
    return getattr(selected, "c", None) or (selected,)


def _inside(element: Any) -> Any:
    while isinstance(element, UnaryExpression | Label | Grouping | elements._label_reference):
        element = element.element
    return element


def _type(element: Any) -> Any:
    return getattr(_inside(element), "type", None)
