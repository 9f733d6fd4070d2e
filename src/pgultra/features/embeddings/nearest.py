"""
``nearest``: the k nearest rows, as one statement that carries its own settings.

An index over vectors gives candidates, and a filter thins them: PostgreSQL alone then
silently returns too few rows. The statement here has three parts.

- It looks whether few rows match, by a count that stops early. Few rows are sorted exactly,
  which is quicker than any index there.
- Else it walks the index, with iterative scan on and enough candidates, ranks them by the
  stored vectors and sorts them.
- If that is short of k rows, the exact branch makes up for it.

The settings are made by ``set_config(…, true)`` within the statement, so nothing depends on
a session or a pool; they hold until the transaction ends. What a host set higher stays.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, TypeVar, TypeVarTuple, overload

from sqlalchemy import Select, Table
from sqlalchemy import inspect as inspect_
from sqlalchemy.orm import QueryableAttribute

from pgultra.errors import DeclarationError
from pgultra.features.embeddings.found import Found, Way
from pgultra.features.embeddings.pattern import Patterns
from pgultra.features.embeddings.queries import given, is_expression, resolved
from pgultra.plan.options import one_of, selected, whole

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import ColumnElement, FromClause

    from pgultra.features.embeddings.vector import VectorType

__all__ = ["nearest", "rerank"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
Plan = Literal["auto", "index", "exact"]
PLANS = ("auto", "index", "exact")

MOST = 1_000_000
"""Of rows, candidates and effort: a typing error is more likely than the wish for more."""

VERSION_OF = "pgultra.version_of"
"""The key in ``Column.info`` of vectors in a side table: whose next version they are."""

DELETED_OPTION = "pgultra.deleted"
"""The execution option of a statement that wants deleted rows too, or them alone."""


@overload
def nearest(
    statement: Select[*Ts],  # as SQLAlchemy 2.1 types it; with 2.0 the row's types are Any
    column: Any,
    vector: Any,
    k: int = ...,
    *,
    plan: Plan = ...,
    effort: int | None = ...,
    oversample: int | None = ...,
    exact_below: int | None = ...,
) -> Select[*Ts, float]: ...


@overload
def nearest(
    statement: type[T],
    column: Any,
    vector: Any,
    k: int = ...,
    *,
    plan: Plan = ...,
    effort: int | None = ...,
    oversample: int | None = ...,
    exact_below: int | None = ...,
) -> Select[T, float]: ...


@overload
def nearest(
    statement: Table,
    column: Any,
    vector: Any,
    k: int = ...,
    *,
    plan: Plan = ...,
    effort: int | None = ...,
    oversample: int | None = ...,
    exact_below: int | None = ...,
) -> Select[Any]: ...


def nearest(
    statement: Any,  # a select, a mapped class or a table
    column: Any,  # Article.embedding, or a column of a table or alias
    vector: Any,  # list, numpy array, pgvector Vector, or an expression
    k: int = 10,
    *,
    plan: Plan = "auto",
    effort: int | None = None,
    oversample: int | None = None,
    exact_below: int | None = None,
) -> Select[Any]:
    """
    Select the k rows nearest to a vector, nearest first, with their distance.

    k rows come whenever k rows match. Rows without a vector never come; soft-deleted rows
    neither, unless the statement asks for them. k counts rows of the vector's table: where a
    join gives several rows for one of them, all of those come.

    Args:
        statement: a select with its filters, or a mapped class or table.
        column: the vector column; its declaration says metric and index.
        vector: what to look for. An expression may stand here, such as a scalar subquery
            for another row's vector, or a ``bindparam``, for a statement that is made once.
        k: how many rows.
        plan: ``auto`` counts a little and decides; ``index`` does not count, for filters that
            are known to keep many rows, and makes up for what the index lacks all the same;
            ``exact`` never takes the index.
        effort: ``hnsw.ef_search`` or ``ivfflat.probes``: more finds more, and takes longer.
            Unless said, it is what the role, the session or the transaction has set, but 40 or
            10 at least, and ``hnsw.ef_search`` as many as the candidates.
        oversample: candidates for each wanted row: 1 for single precision, 1.2 for half, 20
            for bit, 4 at least where the statement joins, unless said.
        exact_below: so many matching rows are sorted exactly; chosen from k unless said.

    Returns:
        The statement with a column ``distance``, in order, by the primary key among equals.

    Raises:
        DeclarationError: the statement has an order, a limit or groups of its own, or the
            column is no vector column.
        InvalidVector: the vector cannot be compared with the column.

    Example:
        >>> from sqlalchemy import Integer, String, select
        >>> from sqlalchemy.orm import DeclarativeBase, mapped_column
        >>> from pgultra.features.embeddings import Embedding
        >>> class Base(DeclarativeBase): ...
        >>> class Note(Base):
        ...     __tablename__ = "note"
        ...     id = mapped_column(Integer, primary_key=True)
        ...     language = mapped_column(String)
        ...     embedding = Embedding(3)
        >>> english = select(Note).where(Note.language == "en")
        >>> statement = nearest(english, Note.embedding, [0.1, 0.2, 0.3], k=5)
        >>> statement.selected_columns.keys()
        ['id', 'language', 'embedding', 'distance']
    """
    way = judged(k, plan, effort=effort, oversample=oversample, exact_below=exact_below)
    patterns = None if is_expression(vector) else Patterns.of(statement)
    pattern = patterns.find(column, way) if patterns is not None else None
    if pattern is not None:
        return pattern.search(vector)
    chosen = selected("nearest", "statement", statement)
    info = getattr(column, "info", None)
    if info and VERSION_OF in info:  # its table is beside the host's, row by row
        from pgultra.features.embeddings.chunks import nearest_parents

        return nearest_parents(
            chosen,
            column,
            vector,
            k,
            plan=plan,
            effort=effort,
            oversample=oversample or 1,  # each row has one vector there
            exact_below=exact_below,
        )
    search = Search.of(chosen, column, vector)
    if patterns is None:
        return search.found(way).joined(chosen, search.keys)
    return patterns.keep(column, way, chosen, search.found(way), search.keys)


def rerank(
    statement: Any,  # a select, a mapped class or a table
    column: Any,  # Article.embedding, or a column of a table or alias
    vector: Any,  # list, numpy array, pgvector Vector, or an expression
    k: int = 10,
) -> Select[Any]:
    """
    Sort the rows of a statement by exact distance and keep the first k.

    For candidates that came from elsewhere: a text search, a list of keys, another index.

    Args:
        statement: a select that names the candidates.
        column: the vector column.
        vector: what to compare with.
        k: how many rows.

    Raises:
        DeclarationError, InvalidVector: as for ``nearest``.

    Example:
        >>> from sqlalchemy import Column, Integer, MetaData, select
        >>> from pgultra.features.embeddings import VectorType
        >>> note = Table("note", MetaData(), Column("id", Integer, primary_key=True),
        ...     Column("embedding", VectorType(3)))
        >>> candidates = select(note).where(note.c.id.in_([3, 5, 7]))
        >>> rerank(candidates, note.c.embedding, [1, 2, 3]).selected_columns.keys()
        ['id', 'embedding', 'distance']
    """
    return nearest(statement, column, vector, k, plan="exact")


@dataclass(slots=True)
class Search:
    """
    What is looked for, and where.
    """

    statement: Select[Any]
    column: Any
    expression: ColumnElement[Any]
    type_: VectorType
    keys: Sequence[Any]
    source: FromClause
    vector: ColumnElement[Any]

    @classmethod
    def of(cls, statement: Select[Any], column: Any, vector: Any) -> Search:
        """
        Check what was given.
        """
        expression, type_ = resolved(column)
        _insist_on_plain(statement)
        source = expression.table
        return cls(
            statement=statement,
            column=column,
            expression=expression,
            type_=type_,
            keys=_keys(column, source),
            source=source,
            vector=given(vector, type_, column),
        )

    def found(self, way: Way) -> Found:
        """
        A clause of at most k keys and distances, unordered.
        """
        deleted = self.statement.get_execution_options().get(DELETED_OPTION)
        if deleted in ("include", "only"):
            way = way._replace(deleted=deleted)
        return Found(self.statement, self.expression, self.vector, self.keys, self.source, way)


def judged(
    k: int,
    plan: Plan = "auto",
    *,
    effort: int | None = None,
    oversample: int | None = None,
    exact_below: int | None = None,
    parents: bool = False,
) -> Way:
    """
    How to search, as the host said it.

    Raises:
        DeclarationError: an argument takes something else.
    """
    try:
        return _judged(k, plan, effort, oversample, exact_below, parents)
    except TypeError:  # what cannot be hashed is no number; the error shall say so
        return _judged.__wrapped__(k, plan, effort, oversample, exact_below, parents)


@lru_cache(maxsize=256, typed=True)  # 10.0 and True are no numbers of rows, though 10 and 1 are
def _judged(
    k: int,
    plan: Plan,
    effort: int | None,
    oversample: int | None,
    exact_below: int | None,
    parents: bool,
) -> Way:
    whole("nearest", "k", k, 1, MOST)
    one_of("nearest", "plan", plan, PLANS)
    if effort is not None:
        whole("nearest", "effort", effort, 1, MOST)
    if oversample is not None:
        whole("nearest", "oversample", oversample, 1, MOST)
    if exact_below is not None:
        whole("nearest", "exact_below", exact_below, 0, MOST)
    return Way(k, plan, effort, oversample, exact_below, parents)


def _insist_on_plain(statement: Select[Any]) -> None:
    for what, found in (
        ("an ORDER BY", statement._order_by_clauses),
        ("a LIMIT", statement._limit_clause is not None or statement._fetch_clause is not None),
        ("an OFFSET", statement._offset_clause is not None),
        ("a GROUP BY", statement._group_by_clauses),
        ("a HAVING", statement._having_criteria),
        ("DISTINCT", statement._distinct),
    ):
        if found:
            raise DeclarationError(
                f"nearest sorts and limits by itself, and the statement has {what}: take it "
                "away, or put it around: select(nearest(…).subquery())"
            )


def _keys(column: Any, source: Any) -> Sequence[Any]:
    """
    The primary key, as attributes of the entity where there is one.
    """
    if isinstance(column, QueryableAttribute):
        parent = inspect_(column.class_) if not hasattr(column, "parent") else column.parent
        mapper: Any = parent.mapper
        entity: Any = parent.entity
        return [
            getattr(entity, mapper.get_property_by_column(key).key).__clause_element__()
            for key in mapper.primary_key
        ]
    keys = list(source.primary_key)
    if not keys:
        raise DeclarationError(f"nearest needs a primary key on {source}: rows are joined by it")
    return keys
