"""
Statements that would sort, compare or merge ciphertexts, and so answer at random.

Most are refused as they are built (``Person.email < "x"``). What SQLAlchemy builds without
asking the column's type is looked at once, before the statement runs for the first time; so
is what INSERT and UPDATE assign, wherever in the statement they stand.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.sql import elements, operators, visitors
from sqlalchemy.sql.dml import Insert, Update
from sqlalchemy.sql.elements import (
    BinaryExpression,
    BindParameter,
    Case,
    Grouping,
    Label,
    Over,
    Tuple,
    UnaryExpression,
    WithinGroup,
)
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.sql.selectable import CompoundSelect, Select

from pgultra.errors import EncryptionError
from pgultra.features.encryption.assigning import insist
from pgultra.features.encryption.comparator import is_encrypted
from pgultra.features.encryption.parameters import TagOf, TagsOf

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
    *others, top = _statements(compiled)
    for written in (*others, top):
        parameters_of: dict[str, Any] = {}
        for element in visitors.iterate(written):
            # Of what the ORM made something else, the attributes may not be the columns' keys.
            if isinstance(element, Insert | Update) and not any(element is each for each in others):
                insist(element, compiled.column_keys or () if element is top else ())
            if isinstance(element, BindParameter) and not element.unique:
                _insist_on_one_use(element, parameters_of)
            for word, columns, advice in _uses(element):
                for each in columns:
                    type_ = _type(each)
                    if is_encrypted(type_):
                        raise EncryptionError(f"{type_.described} cannot stand in {word}: {advice}")
    _seen.add(compiled)


def _insist_on_one_use(parameter: BindParameter[Any], known: dict[str, Any]) -> None:
    """
    A name is sent once: as the tag of one column, or as itself.

    Raises:
        EncryptionError: it is asked for in two ways.
    """
    first, second = known.setdefault(parameter.key, parameter.type), parameter.type
    tags = [each for each in (first, second) if isinstance(each, TagOf | TagsOf)]
    if first is not second and tags:
        raise EncryptionError(
            f"{tags[0].of.described}: parameter {parameter.key!r} is compared with another column "
            "too; give each comparison a parameter of its own"
        )


SORTED = "its ciphertexts are random; sort in Python"
EQUAL = "equal values have different ciphertexts; "
ASKED = "write the column on the left of ==, or compare in Python"
_PASSED_ON = ("lag", "lead", "first_value", "last_value", "nth_value", "any_value")
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
    elif isinstance(element, BinaryExpression):
        sides = [part for side in (element.left, element.right) for part in _parts(side)]
        yield "a comparison", sides, EQUAL + ASKED
    elif isinstance(element, Case) and element.value is not None:
        yield "CASE value", [element.value], EQUAL + "write case((column == value, ...))"
    elif isinstance(element, FunctionElement):
        yield from _in_function(element)


def _in_function(element: FunctionElement[Any]) -> Iterator[tuple[str, Iterable[Any], str]]:
    name = getattr(element, "name", "")
    if name in ("max", "min", "greatest", "least"):
        yield name, element.clauses, SORTED
    elif name == "nullif":
        yield name, element.clauses, EQUAL + "write case((column == value, None), else_=column)"
    elif name in _PASSED_ON and not is_encrypted(element.type):
        advice = f"its result would be a ciphertext; write func.{name}(column, type_=column.type)"
        yield name, element.clauses, advice


def _parts(side: Any) -> Iterable[Any]:
    """
    What is compared: in a tuple, each of its columns.
    """
    side = _inside(side)
    return side.clauses if isinstance(side, Tuple) else (side,)


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
