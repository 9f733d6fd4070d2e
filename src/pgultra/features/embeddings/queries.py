"""
From columns to expressions: distances, and predicates on them.
"""

from __future__ import annotations

from numbers import Real
from typing import Any

from sqlalchemy import BindParameter, bindparam, type_coerce
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.types import NullType

from pgultra.errors import DeclarationError
from pgultra.features.embeddings.index import DISTANCE, METRICS
from pgultra.features.embeddings.vector import VectorType
from pgultra.plan.options import refused

__all__ = ["distance", "similarity", "within"]


def distance(column: Any, vector: Any) -> ColumnElement[float]:
    """
    The distance by the column's own metric: small is near.

    For ``inner_product`` it is the negative product, as pgvector has it, so that the order
    is the same for all metrics. ``ORDER BY`` it bare, or the index cannot be used. Where the
    column's precision is ``half`` or ``bit`` it cannot be used at all, since the index holds
    another expression: only ``nearest`` sorts by that one.

    Args:
        column: a mapped attribute, a column, or one of an alias.
        vector: a list, a numpy array, a pgvector Vector, or an expression.

    Raises:
        DeclarationError: the column is no vector column.
        InvalidVector: the vector cannot be compared with it.

    Example:
        >>> from sqlalchemy import Column
        >>> print(distance(Column("embedding", VectorType(3)), [1, 2, 3]))
        embedding <=> :embedding_1::VECTOR(3)
    """
    expression, type_ = resolved(column)
    operator = expression.op(METRICS[type_.metric].operator, return_type=DISTANCE)
    found: ColumnElement[Any] = operator(given(vector, type_, column))
    return found


def similarity(column: Any, vector: Any) -> ColumnElement[float]:
    """
    How alike: great is near.

    ``cosine`` gives the cosine (1 the same direction, -1 the opposite), ``inner_product``
    the product, ``l2`` and ``l1`` give ``1 / (1 + distance)``. To sort, use ``distance`` or
    ``nearest``: no index answers an order by similarity.

    Args:
        column: a mapped attribute, a column, or one of an alias.
        vector: a list, a numpy array, a pgvector Vector, or an expression.

    Raises:
        DeclarationError: the column is no vector column.
        InvalidVector: the vector cannot be compared with it.

    Example:
        >>> from sqlalchemy import Column
        >>> print(similarity(Column("embedding", VectorType(3)), [1, 2, 3]))
        :param_1 - (embedding <=> :embedding_1::VECTOR(3))
    """
    away: ColumnElement[Any] = distance(column, vector)
    metric = resolved(column)[1].metric
    alike: ColumnElement[Any] = 1 / (1 + away)
    if metric == "cosine":
        alike = 1 - away
    elif metric == "inner_product":
        alike = -away
    return alike


def within(column: Any, vector: Any, threshold: float) -> ColumnElement[bool]:
    """
    Whether the distance is at most a threshold; together with ``nearest`` it is a filter.

    Args:
        column: a mapped attribute, a column, or one of an alias.
        vector: a list, a numpy array, a pgvector Vector, or an expression.
        threshold: in the unit of ``distance``: for cosine, 0.2 is a similarity of 0.8. An
            expression may stand here.

    Raises:
        DeclarationError: the threshold is no number, or the column no vector column.

    Example:
        >>> from sqlalchemy import Column
        >>> print(within(Column("embedding", VectorType(3)), [1, 2, 3], 0.2))
        (embedding <=> :embedding_1::VECTOR(3)) <= :param_1
    """
    number = isinstance(threshold, Real) and not isinstance(threshold, bool)
    if not number and not isinstance(threshold, ColumnElement):
        raise refused("within", "threshold", threshold, "a number, such as 0.2")
    return distance(column, vector) <= threshold


def resolved(column: Any) -> tuple[ColumnElement[Any], VectorType]:
    """
    The expression of a vector column, and its type.

    Raises:
        DeclarationError: it is no vector column.
    """
    expression = column
    if not isinstance(expression, ColumnElement):
        clause = getattr(column, "__clause_element__", None)
        expression = clause() if clause is not None else None
    type_ = getattr(expression, "type", None)
    if expression is None or not isinstance(type_, VectorType):
        raise DeclarationError(
            f"{column!r} is not a vector column: declare it with Embedding(…), or give it the "
            "type VectorType(…)"
        )
    return expression, type_


def is_expression(vector: Any) -> bool:
    """
    Whether it is computed by PostgreSQL, or comes when the statement is executed.
    """
    return isinstance(vector, ColumnElement) or hasattr(vector, "__clause_element__")


def given(vector: Any, type_: VectorType, column: Any) -> ColumnElement[Any]:
    """
    A vector as a parameter, checked at once; an expression as it is.

    A ``bindparam`` without a type gets the column's.

    Raises:
        InvalidVector: it cannot be compared with the column.
    """
    if isinstance(vector, ColumnElement):
        untyped = isinstance(vector, BindParameter) and isinstance(vector.type, NullType)
        return type_coerce(vector, type_) if untyped else vector
    clause = getattr(vector, "__clause_element__", None)
    if clause is not None:
        found: ColumnElement[Any] = clause()
        return found
    name = getattr(column, "key", None) or "vector"
    return bindparam(name, type_.packer()(vector), type_=type_, unique=True)
