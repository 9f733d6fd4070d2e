"""
What a user writes in a class: ``Embedding``, and on a Core table ``Rules``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Table, event
from sqlalchemy.orm import Mapper, mapped_column

from pgultra.errors import DeclarationError
from pgultra.features.embeddings import objects
from pgultra.features.embeddings.index import HNSW, IVFFlat
from pgultra.features.embeddings.ranker import VectorRanker
from pgultra.features.embeddings.state import attach_state, state_objects
from pgultra.features.embeddings.vector import VectorType
from pgultra.features.embeddings.version import NextVersion, attach_version
from pgultra.plan import Facts, declare
from pgultra.plan.options import named, names, text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import Column
    from sqlalchemy.orm import MappedColumn

    from pgultra.objects import DatabaseObject

__all__ = ["Embedding", "Rules"]


def Embedding(  # noqa: N802  # a column factory reads like the type it makes
    dimensions: int,
    *,
    metric: str | None = None,
    index: HNSW | IVFFlat | None = HNSW(),  # noqa: B008  # frozen: one value for all
    precision: str = "single",
    source: str | Sequence[str] = (),
    model: str | None = None,
    next_version: NextVersion | None = None,
    **column: Any,  # whatever mapped_column takes
) -> MappedColumn[Any]:
    """
    Declare a column of embeddings on a declarative class.

    On a dataclass base write ``mapped_column(VectorType(384), init=False)`` instead, since
    a function of ours becomes an argument of ``__init__`` there.

    Args:
        dimensions: how many numbers a vector has; the model decides.
        metric: ``cosine`` (unless the index says otherwise), ``l2``, ``inner_product``, ``l1``.
        index: ``HNSW(…)``, ``IVFFlat(…)``, or None for exact search only.
        precision: what the index holds: ``single``, ``half`` or ``bit``.
        source: columns whose text is embedded.
        model: the name of the embedding model; without it, a worker takes any embedder at
            first, and then none of another model than the rows have.
        next_version: the model that it is going to change to.
        column: further options of ``mapped_column``, such as ``deferred=True``.

    Raises:
        DeclarationError: options that cannot stand together.

    Example:
        >>> from sqlalchemy import Integer
        >>> from sqlalchemy.orm import DeclarativeBase
        >>> class Base(DeclarativeBase): ...
        >>> class Note(Base):
        ...     __tablename__ = "note"
        ...     id = mapped_column(Integer, primary_key=True)
        ...     embedding = Embedding(3, index=HNSW(metric="l2"))
        >>> [index.name for index in Note.__table__.indexes]
        ['note_embedding_hnsw']
    """
    type_ = VectorType(
        dimensions,
        metric=metric,
        index=index,
        precision=precision,
        source=source,
        model=model,
        next_version=next_version,
    )
    name = column.pop("name", None)
    named("Embedding", name=name)
    return mapped_column(type_, **column) if name is None else mapped_column(name, type_, **column)


@dataclass(frozen=True)
class Rules:
    """
    The declaration of one vector column; mapped classes get it by themselves.

    Args:
        column: the key of a column whose type is ``VectorType``.
        source: the keys of its source columns, where the type names them otherwise.

    Raises:
        DeclarationError: an option takes something else.

    Example:
        >>> from sqlalchemy import Column, Integer, MetaData, Table
        >>> import pgultra
        >>> note = Table("note", MetaData(), Column("id", Integer, primary_key=True),
        ...     Column("embedding", VectorType(3)))
        >>> pgultra.declare(note, Rules("embedding"))
        >>> [index.name for index in note.indexes]
        ['note_embedding_hnsw']
    """

    column: str
    source: tuple[str, ...] = ()
    room = "embeddings"

    def __post_init__(self) -> None:
        text("embeddings.Rules", "column", self.column, "the key of a column")
        given = [self.source] if isinstance(self.source, str) else self.source
        several = names("embeddings.Rules", "source", given, "('title', 'body')")
        object.__setattr__(self, "source", several)

    def attached(self, table: Table) -> None:
        """
        Put the index into the table.

        Raises:
            DeclarationError: the column is missing, or is no ``VectorType``.
        """
        found = table.c.get(self.column)
        if found is None or not isinstance(found.type, VectorType):
            raise DeclarationError(
                f"table {table.fullname} has no column {self.column!r} of type VectorType: "
                "Column('embedding', VectorType(384))"
            )
        objects.attach_index(found)
        attach_state(found)
        side = attach_version(found)
        if side is not None:
            declare(side, Rules("embedding"))

    def objects(self, table: Table) -> Iterable[DatabaseObject]:
        """
        The extension and the index, and with a source what marks stale rows.
        """
        column = self._column(table)
        yield from objects.database_objects(column)
        yield from state_objects(column)

    def facts(self, table: Table) -> Facts:
        """
        That the table can be ranked by this column.
        """
        ranker = VectorRanker(name=self.column, column=self.column, kind="vector", table=table)
        return Facts(rankers=(ranker,))

    def _column(self, table: Table) -> Column[Any]:
        return table.c[self.column]


@event.listens_for(Mapper, "after_mapper_constructed")
def _declare(mapper: Mapper[Any], class_: type[Any]) -> None:
    """
    Declare the vector columns of a mapped table.
    """
    table = mapper.local_table
    if isinstance(table, Table):
        for column in table.columns:
            if isinstance(column.type, VectorType):
                declare(table, Rules(column.key, _source(mapper, table, column.type)))


def _source(mapper: Mapper[Any], table: Table, type_: VectorType) -> tuple[str, ...]:
    """
    The keys of the source columns; a name is a column key first, then an attribute.
    """
    keys = []
    for name in type_.source:
        by_key, by_attribute = table.c.get(name), mapper.columns.get(name)
        if by_key is not None and by_attribute is not None and by_key is not by_attribute:
            raise DeclarationError(
                f"{mapper.class_.__name__}: the source {name!r} is the key of one column and the "
                "attribute of another: name the column by a key that is no attribute"
            )
        found = by_key if by_key is not None else by_attribute
        keys.append(name if found is None else found.key)
    return tuple(keys) if tuple(keys) != type_.source else ()
