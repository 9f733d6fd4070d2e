"""
From a table's vector columns to database objects: pure functions, no connection.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import sqlalchemy
from pgvector.sqlalchemy import BIT, HALFVEC
from sqlalchemy import Column, Table, cast, func

from pgultra import sql
from pgultra.features.embeddings.index import HNSW, METRICS, IVFFlat
from pgultra.features.embeddings.vector import VectorType
from pgultra.objects import Extension, Index
from pgultra.objects.extension import Advised

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import ColumnElement

    from pgultra.objects import DatabaseObject

__all__ = ["advice", "database_objects", "index_name", "indexed", "schema_index"]

SOUND = Advised(
    extension="vector",
    version="0.8.4",
    reason="before it, a vacuum of an HNSW index could leave rows that no search reaches; install "
    "0.8.4 or newer, ALTER EXTENSION vector UPDATE, and REINDEX the HNSW indexes",
)
"""The first pgvector whose HNSW vacuum leaves no dangling neighbours."""

ITERATIVE = Advised(
    extension="vector",
    version="0.8.0",
    reason="nearest() and recall() need iterative scans, which it does not have; install 0.8.0 or "
    "newer, and ALTER EXTENSION vector UPDATE",
)
"""The first pgvector that goes on where a filter thins what the index gave."""

PGVECTORS = tuple((name, str(value)) for name, value in HNSW().options().items())
"""What an HNSW index has that was built without saying it: pgvector's defaults are ours."""


def vector_type(column: Column[Any]) -> VectorType:
    """
    The type of a vector column.
    """
    assert isinstance(column.type, VectorType)
    return column.type


def index_name(column: Column[Any]) -> str:
    """
    ``<table>_<column>_hnsw``, within 63 bytes.
    """
    index = vector_type(column).index
    assert index is not None
    return sql.short_name(column.table.name, column.name, index.method)


def indexed(operand: Any, type_: VectorType) -> ColumnElement[Any]:
    """
    What the index holds: the same expression for the index, the column and the query.

    Args:
        operand: the column, or the vector that is looked for.
        type_: the column's type.
    """
    if type_.precision == "half":
        return cast(operand, HALFVEC(type_.dimensions))
    if type_.precision == "bit":
        return cast(func.binary_quantize(operand), BIT(type_.dimensions))
    plain: ColumnElement[Any] = operand
    return plain


def operator(type_: VectorType) -> str:
    """
    The operator that the index answers.
    """
    return "<~>" if type_.precision == "bit" else METRICS[type_.metric].operator


def operator_class(type_: VectorType) -> str:
    """
    The operator class of the index.
    """
    if type_.precision == "bit":
        return "bit_hamming_ops"
    prefix = "halfvec" if type_.precision == "half" else "vector"
    return f"{prefix}_{METRICS[type_.metric].classes}"


def schema_index(column: Column[Any], **options: Any) -> sqlalchemy.Index:
    """
    The SQLAlchemy index of a vector column; it joins the table's indexes.

    Args:
        column: of a table.
        options: what stands in WITH, if not what the declaration says.
    """
    type_ = vector_type(column)
    index = type_.index
    assert index is not None
    if not options:
        options = index.options()
    expression = indexed(column, type_)
    if expression is not column:
        expression = expression.label("candidate")
    return sqlalchemy.Index(
        index_name(column),
        expression,
        postgresql_using=index.method,
        postgresql_with=options,
        postgresql_ops={column.key if expression is column else "candidate": operator_class(type_)},
    )


def advice(index: HNSW | IVFFlat) -> tuple[Advised, ...]:
    """
    The versions of pgvector that an index wants.
    """
    return (ITERATIVE, SOUND) if isinstance(index, HNSW) else (ITERATIVE,)


def attach_index(column: Column[Any]) -> None:
    """
    Put an HNSW index into the table, once; IVFFlat waits for ``build_index``.
    """
    table = column.table
    if isinstance(vector_type(column).index, HNSW) and index_name(column) not in {
        each.name for each in table.indexes
    }:
        schema_index(column)


def database_objects(column: Column[Any]) -> Iterator[DatabaseObject]:
    """
    The extension and the index.
    """
    yield Extension(name="vector")
    index = vector_type(column).index
    table = column.table
    if index is None or not isinstance(table, Table):
        return
    if isinstance(index, IVFFlat):
        made = schema_index(column)
        table.indexes.discard(made)  # create_all and Alembic shall not know of it
        yield dataclasses.replace(Index.of(made), later=True, advised=advice(index))
        return
    name = index_name(column)
    for each in table.indexes:
        if each.name == name:
            wrapped = Index.of(each, concurrently=index.concurrently)
            yield dataclasses.replace(wrapped, advised=advice(index), defaults=PGVECTORS)
