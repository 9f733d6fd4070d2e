"""
A second version of embeddings: vectors of another model, beside those that are in use.

They live in a side table with an index of its own. Both versions are kept fresh and both can
be searched, until ``switch`` puts the new vectors into the column.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Column, Table, func, select

from pgultra.bridge import on_connection
from pgultra.errors import DeclarationError
from pgultra.features.embeddings.index import HNSW, IVFFlat
from pgultra.features.embeddings.nearest import VERSION_OF
from pgultra.features.embeddings.queries import resolved
from pgultra.features.embeddings.queue import Queue
from pgultra.features.embeddings.side import VersionQueue
from pgultra.features.embeddings.state import (
    make_state,
    marking,
    side_constraints,
    side_name,
    sources,
    state_table,
)
from pgultra.features.embeddings.switching import (
    exchange,
    hand_over,
    insist_on_all_rows,
    insist_on_vectors,
    lock,
    place_of,
)
from pgultra.features.embeddings.vector import PLACE, VectorType
from pgultra.plan import declarations, declare
from pgultra.plan.followers import FOLLOWER
from pgultra.plan.options import flag, text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection

    from pgultra.objects import DatabaseObject

__all__ = ["NextVersion", "attach_version", "next_version", "queue_of", "switch"]


@dataclass(frozen=True, kw_only=True)
class NextVersion:
    """
    The model that an embedding changes to.

    Args:
        dimensions: how many numbers its vectors have.
        model: its name.
        index: as for ``Embedding``.
        precision: as for ``Embedding``.
        metric: ``cosine`` unless the index says otherwise.

    Raises:
        DeclarationError: an option takes something else, or options cannot stand together.

    Example:
        >>> NextVersion(dimensions=768, model="new").type().dimensions
        768
    """

    dimensions: int
    model: str
    index: HNSW | IVFFlat | None = HNSW()  # noqa: RUF009  # frozen: one value for all
    precision: str = "single"
    metric: str | None = None

    def __post_init__(self) -> None:
        text("NextVersion", "model", self.model, "the name of a model")
        try:
            self.type()
        except DeclarationError as error:
            raise DeclarationError(
                f"NextVersion: {str(error).removeprefix(f'{PLACE}: ')}"
            ) from None

    def type(self) -> VectorType:
        """
        The type of its vectors.
        """
        return VectorType(
            self.dimensions,
            metric=self.metric,
            index=self.index,
            precision=self.precision,
            model=self.model,
        )


@dataclass(frozen=True)
class Version:
    """
    That a side table holds the next version of a column.
    """

    column: str
    room = "embeddings"

    def objects(self, table: Table) -> Iterable[DatabaseObject]:
        """
        What marks rows of the host's table.
        """
        column = self.of(table)
        host: Any = column.table
        filled = next(each for each in table.columns if isinstance(each.type, VectorType))
        yield from marking(host, _state_name(column), sources(column), (table.name,), filled=filled)

    def of(self, table: Table) -> Column[Any]:
        """
        The column whose next version it is.
        """
        [key] = table.foreign_key_constraints
        found: Column[Any] = key.referred_table.c[self.column]
        return found


def attach_version(column: Column[Any]) -> Table | None:
    """
    Add the side table of a column that declares a next version, once.

    Raises:
        DeclarationError: the column has no source, so that nothing could be embedded.
    """
    host: Any = column.table
    type_: Any = column.type
    following: NextVersion | None = type_.next_version
    if following is None or not isinstance(host, Table):
        return None
    if not type_.source:
        raise DeclarationError(
            f"{column} declares a next version and no source: the worker embeds source=(…)"
        )
    schema = f"{host.schema}." if host.schema else ""
    if f"{schema}{_name(column)}" in host.metadata.tables:
        return None
    make_state(host, _state_name(column), f"rows of {column.key} in its next version")
    keys = list(host.primary_key)
    own = [f"key_{number}" for number, _ in enumerate(keys)]
    side = Table(
        _name(column),
        host.metadata,
        *(Column(mine, key.type, autoincrement=False) for mine, key in zip(own, keys, strict=True)),
        Column("embedding", following.type(), info={VERSION_OF: column.key}),
        *side_constraints(_name(column), own, keys),
        schema=host.schema,
        info=dict(FOLLOWER),
    )
    declare(side, Version(column.key))
    return side


def next_version(column: Any) -> Column[Any]:  # Article.embedding, or a column of a table
    """
    The vectors of the next version: for ``nearest``, ``recall``, ``backfill`` and the worker.

    Args:
        column: the vector column that declares ``next_version=``.

    Raises:
        DeclarationError: it does not.

    Example:
        >>> nearest(Article, next_version(Article.embedding), vector)  # doctest: +SKIP
    """
    own = _own(column)
    table: Any = own.table
    schema = f"{table.schema}." if table.schema else ""
    side = table.metadata.tables.get(f"{schema}{_name(own)}")
    if side is None:
        raise DeclarationError(
            f"{own} declares no next version: Embedding(…, next_version=NextVersion(…))"
        )
    found: Column[Any] = side.c.embedding
    return found


def queue_of(column: Any) -> Queue:  # Article.embedding, or a column of a table
    """
    The queue behind a vector column, or behind a next version.
    """
    own = _own(column)
    table: Any = own.table
    version = next((each for each in declarations(table) if isinstance(each, Version)), None)
    if version is None:
        return Queue(column)
    host = version.of(table)
    schema = f"{table.schema}." if table.schema else ""
    state = table.metadata.tables[f"{schema}{_state_name(host)}"]
    of: Any = host.table
    return VersionQueue(of, state, sources(host), own)


@on_connection
def switch(connection: Connection, column: Any, *, incomplete: bool = False) -> int:
    """
    Put the vectors of the next version into the column, and build its index of them.

    Afterwards the models declare what was the next version, without ``next_version=``; the
    migration then only drops the side table. The table is locked until the transaction ends:
    every row is written, and the index is built anew. Stop the old model's worker first.

    Args:
        connection: a Connection, or an AsyncConnection, and then it is to be awaited.
        column: the vector column that declares ``next_version=``.
        incomplete: go on where rows have no fresh vector. They get the one that there is, or
            NULL, and stand in the column's queue as in that of the next version.

    Returns:
        How many vectors there are.

    Raises:
        PgultraError: rows have a text and no fresh vector in the next version; or the column
            is NOT NULL and would get NULL; or row level security or a trigger keeps rows
            away. Nothing was changed.

    Example:
        >>> switch(connection, Article.embedding)  # doctest: +SKIP
        5210
    """
    flag("switch", incomplete=incomplete)
    own, side = _own(column), next_version(column)
    old, new = state_table(own), queue_of(side)
    with connection.begin_nested():  # who is refused keeps no lock
        places = [place_of(connection, each) for each in (own.table, old, new.state, side.table)]
        lock(connection, places)
        insist_on_all_rows(connection, own, places)
        strict = insist_on_vectors(connection, own, side, new, incomplete=incomplete)
        exchange(connection, own, side, strict=strict)
        hand_over(connection, old, new, side)
        return connection.scalar(select(func.count(own))) or 0


def _own(column: Any) -> Column[Any]:
    expression, _ = resolved(column)
    table: Any = expression.table
    found: Column[Any] = table.c[expression.key]
    return found


def _name(column: Column[Any]) -> str:
    return side_name(column.table.name, column.name, "next")


def _state_name(column: Column[Any]) -> str:
    return side_name(column.table.name, column.name, "next", "state")
