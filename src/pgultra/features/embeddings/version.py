"""
A second version of embeddings: vectors of another model, beside those that are in use.

They live in a side table with an index of its own. Both versions are kept fresh and both can
be searched, until ``switch`` puts the new vectors into the column.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Column, MetaData, Table, select

from pgultra import sql
from pgultra.bridge import on_connection
from pgultra.errors import DeclarationError, PgultraError
from pgultra.features.embeddings.index import HNSW, IVFFlat
from pgultra.features.embeddings.nearest import VERSION_OF
from pgultra.features.embeddings.objects import database_objects, index_name, schema_index
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
from pgultra.features.embeddings.vector import PLACE, VectorType
from pgultra.objects import Index
from pgultra.plan import collect, declarations, declare
from pgultra.plan.options import text

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
        yield from marking(host, _state_name(column), sources(column), (table.name,))

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
def switch(connection: Connection, column: Any) -> int:
    """
    Put the vectors of the next version into the column, and build its index of them.

    Afterwards the models declare what was the next version, without ``next_version=``; the
    migration then only drops the side table. The table is locked until the transaction ends:
    every row is written, and the index is built anew.

    Args:
        connection: a Connection, or an AsyncConnection, and then it is to be awaited.
        column: the vector column that declares ``next_version=``.

    Returns:
        How many vectors there are.

    Raises:
        PgultraError: rows still wait for their vector.

    Example:
        >>> switch(connection, Article.embedding)  # doctest: +SKIP
        5210
    """
    own, side = _own(column), next_version(column)
    queue = queue_of(side)
    table: Any = own.table
    schema = sql.schema_on(connection, table.schema)
    place = sql.qualified(schema, table.name)
    connection.execute(sql.statement(f"LOCK TABLE {place} IN ACCESS EXCLUSIVE MODE"))
    if connection.scalar(select(queue.waits).where(queue.waits).limit(1)):
        raise PgultraError(
            f"rows of {own} wait for their vector of {side.type.model}: let the worker finish "  # type: ignore[attr-defined]  # our own type
            "before switch()"
        )
    _exchange(connection, own, side, schema)
    old, new = state_table(own), queue.state
    names = [each.name for each in new.columns if not each.primary_key]
    same = [old.c[each.name] == new.c[each.name] for each in new.primary_key]
    connection.execute(
        old.update().where(*same).values({old.c[name]: new.c[name] for name in names})
    )
    return connection.execute(
        select(own).with_only_columns(own.is_not(None)).where(own.is_not(None)),
        execution_options={"preserve_rowcount": True},
    ).rowcount


def _exchange(
    connection: Connection, own: Column[Any], side: Column[Any], schema: str | None
) -> None:
    """
    The column as it will be declared: its type, its values, its index.
    """
    table: Any = own.table
    later = Table(
        table.name,
        MetaData(),
        *(Column(key.name, key.type, primary_key=True) for key in table.primary_key),
        Column(own.name, side.type, key=own.key),
        schema=schema,
    )
    place, name = sql.qualified(schema, table.name), sql.identifier(own.name)
    type_: Any = side.type
    statements = [
        f"DROP INDEX IF EXISTS {sql.qualified(schema, each)}"
        for each in {index_name(c) for c in (own, later.c[own.key]) if c.type.index}  # type: ignore[attr-defined]  # our own type
    ]
    statements.append(
        f"ALTER TABLE {place} ALTER COLUMN {name} TYPE vector({type_.dimensions}) "
        f"USING NULL::vector({type_.dimensions})"
    )
    beside: Any = side.table
    keys = zip(table.primary_key, beside.primary_key, strict=True)
    same = " AND ".join(
        f"h.{sql.identifier(key.name)} = s.{sql.identifier(mine.name)}" for key, mine in keys
    )
    other = sql.qualified(sql.schema_on(connection, beside.schema), beside.name)
    statements.append(
        f"UPDATE {place} AS h SET {name} = s.embedding "  # noqa: S608  # quoted, all of them
        f"FROM {other} AS s WHERE {same}"
    )
    for each in statements:
        connection.execute(sql.statement(each))
    _build(connection, own, later.c[own.key])


def _build(connection: Connection, own: Column[Any], later: Column[Any]) -> None:
    """
    The index, with the mark that the room's indexes of this MetaData bear.
    """
    table: Any = own.table
    index = later.type.index  # type: ignore[attr-defined]  # our own type
    if not isinstance(index, HNSW):
        return  # IVFFlat waits for build_index, which knows the new declaration
    if index_name(later) not in {each.name for each in later.table.indexes}:
        schema_index(later)
    [made] = [each for each in database_objects(later) if isinstance(each, Index)]
    for each in collect(table.metadata).values():
        if isinstance(each, Index) and each.mark is not None and each.mark.room == "embeddings":
            made = made.owned(each.mark.application, "embeddings")
            break
    for statement in made.create():
        connection.execute(sql.statement(statement))


def _own(column: Any) -> Column[Any]:
    expression, _ = resolved(column)
    table: Any = expression.table
    found: Column[Any] = table.c[expression.key]
    return found


def _name(column: Column[Any]) -> str:
    return side_name(column.table.name, column.name, "next")


def _state_name(column: Column[Any]) -> str:
    return side_name(column.table.name, column.name, "next", "state")
