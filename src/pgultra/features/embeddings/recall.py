"""
``recall``: how much of the exact answer the index gives, as a number to watch.
"""

from __future__ import annotations

import dataclasses
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import Table, func, select, text

from pgultra import sql
from pgultra.bridge import on_connection
from pgultra.errors import DeclarationError, PgultraWarning
from pgultra.features.embeddings.index import IVFFlat
from pgultra.features.embeddings.nearest import Search, judged
from pgultra.features.embeddings.objects import advice, index_name
from pgultra.features.embeddings.queries import resolved
from pgultra.objects import Index
from pgultra.plan import collect
from pgultra.plan.extensions import warn_of_versions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Column, ColumnElement, Connection

    from pgultra.features.embeddings.nearest import Plan

__all__ = ["build_index", "recall"]

INDEXED = """
SELECT EXISTS (
    SELECT FROM pg_catalog.pg_index AS i
    JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid
    JOIN pg_catalog.pg_am AS m ON m.oid = c.relam
    JOIN pg_catalog.pg_depend AS d
        ON d.classid = CAST('pg_catalog.pg_class' AS regclass)
        AND d.objid = i.indexrelid AND d.refobjid = i.indrelid
    JOIN pg_catalog.pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = d.refobjsubid
    WHERE i.indisvalid AND (i.indrelid = to_regclass(CAST(:place AS text))
        OR i.indrelid IN (SELECT t.relid FROM pg_catalog.pg_partition_tree(
            to_regclass(CAST(:place AS text))) AS t))
        AND m.amname = :method AND a.attname = :name
)
"""
"""
Expressions, as half precision has them, depend on their columns too. Of a partitioned table one
partition's index will do: the parent's is invalid while another lacks its own.
"""


@on_connection
def recall(
    connection: Connection,
    column: Any,  # Article.embedding, or a column of a table
    sample: int = 100,
    *,
    k: int = 10,
    effort: int | None = None,
    where: ColumnElement[bool] | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> float:
    """
    Measure the recall of a column's index: 1.0 finds all that an exact scan finds.

    Random rows are looked for by their own vectors, each once by the index (with ``where``: as
    ``nearest`` does it) and once exactly. It reads the whole table for every one of them: watch
    it, do not poll it.

    Args:
        connection: a Connection, or an AsyncConnection, and then it is to be awaited.
        column: the vector column.
        sample: how many rows are looked for.
        k: how many neighbours are compared.
        effort: as in ``nearest``.
        where: a filter that every search has, as ``Article.language == "en"``; the rows that
            are looked for need not match it, and what ``nearest`` gives is compared, its exact
            branch included.
        progress: called with how many rows were looked for, and of how many.

    Returns:
        The share of the true neighbours that were given; 1.0 for an empty table, where no index
        is declared, and where nothing matches, or so few rows that ``nearest`` sorts them all.

    Raises:
        DeclarationError: the column is no vector column, or an option takes something else.

    Warns:
        PgultraWarning: the declared index is not there, and rows were compared with themselves;
            or the extension is older than 0.8.0, or than 0.8.4 and the index is HNSW.

    Example:
        >>> recall(connection, Article.embedding, sample=50)  # doctest: +SKIP
        0.984
    """
    expression, type_ = resolved(column)
    if type_.index is not None:
        warn_of_versions(connection, advice(type_.index))
    table = expression.table
    itself = 1 if where is None else 0  # the row that is looked for is its own nearest
    plan: Plan = "index" if where is None else "auto"
    ways = judged(k + itself, plan, effort=effort), judged(k + itself, "exact")
    searched = select(table) if where is None else select(table).where(where)
    one = select(expression).where(expression.is_not(None)).order_by(func.random()).limit(sample)
    hits = total = 0
    vectors = connection.scalars(one).all()
    if vectors and type_.index is not None and not _is_indexed(connection, expression):
        warnings.warn(
            f"{getattr(table, 'element', table)}.{expression.name} has no {type_.index.method} "
            "index that could be measured, and recall compares exact answers with each other: "
            "build_index()",
            PgultraWarning,
            stacklevel=3,
        )
    with _apart(connection):
        for number, vector in enumerate(vectors, 1):
            search = Search.of(searched, expression, vector)
            by_index, exact = (search.found(way) for way in ways)
            near = connection.scalars(select(by_index.distance).order_by(by_index.distance)).all()
            true = connection.scalars(select(exact.distance).order_by(exact.distance)).all()
            if len(true) > itself:
                first, farthest = (each + abs(each) * 1e-6 + 1e-9 for each in (true[0], true[-1]))
                right = sum(distance <= farthest for distance in near)
                if itself and right and near[0] <= first:  # the index may have missed it, too
                    right -= 1
                hits += min(right, len(true) - itself)
                total += len(true) - itself
            if progress is not None:
                progress(number, len(vectors))
    return hits / total if total else 1.0


@on_connection
def build_index(
    connection: Connection,
    column: Any,  # Article.embedding, or a column of a table
) -> str | None:
    """
    Build a column's index from the rows that are there: IVFFlat's only way, HNSW's quick one.

    An index of the same name is replaced. IVFFlat gets as many lists as the rows want. Raise
    ``maintenance_work_mem`` before: an HNSW graph that does not fit is built three times
    slower. It locks the table against writes until the transaction ends.

    Args:
        connection: a Connection, or an AsyncConnection, and then it is to be awaited.
        column: the vector column.

    Returns:
        The name of the index, or None where nothing was built.

    Raises:
        DeclarationError: the column is no vector column, or its table declares no index of it.

    Warns:
        PgultraWarning: IVFFlat on an empty table; nothing is built.

    Example:
        >>> build_index(connection, Article.embedding)  # doctest: +SKIP
        'article_embedding_ivfflat'
    """
    expression, type_ = resolved(column)
    found: Column[Any] = expression.table.c[expression.key]
    table: Any = found.table
    if type_.index is None or not isinstance(table, Table):
        raise DeclarationError(f"{column} declares no index to build: index=HNSW() or IVFFlat()")
    schema = sql.schema_on(connection, table.schema)
    index = dataclasses.replace(_declared(found), schema=schema)
    if isinstance(type_.index, IVFFlat):
        rows = connection.scalar(select(func.count()).select_from(table).where(found.is_not(None)))
        if not rows:
            warnings.warn(
                f"table {table.fullname} has no vectors yet, and IVFFlat finds its lists in "
                "them: load first, then build_index()",
                PgultraWarning,
                stacklevel=3,
            )
            return None
        if type_.index.lists is None:
            lists = f" WITH (lists = {type_.index.lists_for(rows)})"
            index = dataclasses.replace(index, definition=index.definition + lists)
    drop = f"DROP INDEX IF EXISTS {sql.qualified(schema, index.name)}"
    for statement in (drop, *index.create()):
        connection.execute(sql.statement(statement))
    return index.name


@contextmanager
def _apart(connection: Connection) -> Iterator[None]:
    """
    A savepoint that is taken back: what one search sets would hold for the next ones.
    """
    if getattr(connection.connection.dbapi_connection, "autocommit", False):
        yield  # each statement is a transaction
        return
    with connection.begin_nested() as savepoint:
        yield
        savepoint.rollback()


def _is_indexed(connection: Connection, column: Any) -> bool:
    """
    Whether a column has a valid index of the declared kind, by whatever name.
    """
    table: Any = getattr(column.table, "element", column.table)
    if not isinstance(table, Table):
        return True  # a subquery, of which nothing is known
    place = sql.qualified(sql.schema_on(connection, table.schema), table.name)
    wanted = {"place": place, "method": column.type.index.method, "name": column.name}
    return bool(connection.scalar(text(INDEXED), wanted))


def _declared(column: Column[Any]) -> Index:
    """
    The index with its mark, so that the next check knows it; built in a transaction.
    """
    table: Any = column.table
    name = index_name(column)
    for identity, each in collect(table.metadata).items():
        if (identity.kind, identity.schema, identity.name) == ("index", table.schema, name):
            assert isinstance(each, Index)
            return dataclasses.replace(each, concurrently=False)
    raise DeclarationError(
        f"table {table.fullname} does not declare the index of {column.key}: "
        f"pgultra.declare(table, embeddings.Rules({column.key!r}))"
    )
