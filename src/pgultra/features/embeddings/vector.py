"""
The column type: pgvector's VECTOR with a quick wire format and checked values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pgvector.sqlalchemy import VECTOR
from sqlalchemy import BindParameter, TypeCoerce, func
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.visitors import InternalTraversal

from pgultra.errors import DeclarationError
from pgultra.features.embeddings import driver, wire
from pgultra.features.embeddings.index import HNSW, METRICS, IVFFlat
from pgultra.plan.options import named, names, one_of, refused, whole

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pgvector import Vector
    from sqlalchemy.engine.interfaces import Dialect
    from sqlalchemy.sql.compiler import SQLCompiler

    from pgultra.features.embeddings.version import NextVersion

__all__ = ["VectorType"]

PLACE = "Embedding"
"""What a host mostly wrote."""
SUCH = "('title', 'body')"
MOST = {"single": 2000, "half": 4000, "bit": 64000}
"""How many dimensions an index can hold."""


class VectorType(VECTOR):
    """
    A column of vectors: what ``Embedding`` puts into a ``mapped_column``.

    Use the type itself where ``Embedding`` cannot stand: ``mapped_column(VectorType(384),
    init=False)`` on a dataclass base, ``Column``, SQLModel's ``sa_column``. On a Core table,
    declare it besides: ``pgultra.declare(table, embeddings.Rules("embedding"))``.

    Values may be lists, numpy arrays or pgvector Vectors; results are pgvector Vectors over
    the bytes that came, with ``to_numpy()`` and ``to_list()``.

    Args:
        dimensions: how many numbers a vector has; the model decides.
        metric: ``cosine``, ``l2``, ``inner_product`` or ``l1``; the index may say it too.
        index: ``HNSW(…)``, ``IVFFlat(…)``, or None for exact search only.
        precision: what the index holds: ``single`` as stored, ``half`` for 16-bit floats (half
            the size at nearly the same recall), ``bit`` for signs alone. The column always
            stores single precision, and candidates are ranked again by it.
        source: columns whose text is embedded; with it, rows are marked stale when it changes.
        model: the name of the embedding model, kept beside each row.
        next_version: the model that the column is going to change to.

    Raises:
        DeclarationError: options that cannot stand together.

    Example:
        >>> VectorType(384, precision="half").get_col_spec()
        'VECTOR(384)'
    """

    cache_ok = True
    sent_packed = True

    def __init__(  # no keyword-only arguments: SQLAlchemy would not see them when it copies
        self,
        dimensions: int,
        metric: str | None = None,
        index: HNSW | IVFFlat | None = HNSW(),  # noqa: B008  # frozen: one value for all
        precision: str = "single",
        source: str | Sequence[str] = (),
        model: str | None = None,
        next_version: NextVersion | None = None,
    ) -> None:
        super().__init__(dimensions)
        self.dimensions = dimensions
        if index is not None and not isinstance(index, HNSW | IVFFlat):
            raise refused(PLACE, "index", index, "HNSW(...), IVFFlat(...) or None")
        self.metric = _metric(metric, index)
        self.index = index
        self.precision = precision
        self.source = names(PLACE, "source", [source] if isinstance(source, str) else source, SUCH)
        self.model = model
        self.next_version = next_version
        self._packer: wire.Packer | None = None
        self._insist()

    def __repr__(self) -> str:
        return f"VectorType({self.dimensions}, metric={self.metric!r})"

    def _insist(self) -> None:
        whole(PLACE, "dimensions", self.dimensions, 1, 16000)
        one_of(PLACE, "precision", self.precision, MOST)
        named(PLACE, model=self.model)
        if self.next_version is not None:
            from pgultra.features.embeddings.version import NextVersion  # it imports this file

            if not isinstance(self.next_version, NextVersion):
                raise refused(PLACE, "next_version", self.next_version, "NextVersion(...) or None")
        if self.index is None:
            return
        if self.dimensions > MOST[self.precision]:
            other = "half" if self.dimensions <= MOST["half"] else "bit"
            raise DeclarationError(
                f"an index holds at most {MOST[self.precision]} dimensions of {self.precision} "
                f"precision, and this vector has {self.dimensions}: say precision={other!r}, "
                "which stores the same and ranks by it, or index=None"
            )
        if isinstance(self.index, IVFFlat) and self.metric == "l1" and self.precision != "bit":
            raise DeclarationError("IVFFlat knows no l1 distance: use HNSW, or metric='l2'")

    def photograph(self) -> VECTOR:
        """
        The plain type for migrations.
        """
        return VECTOR(self.dimensions)

    def packer(self) -> wire.Packer:
        """
        What checks and packs values for this column.
        """
        found = self._packer
        if found is None:
            half = self.precision == "half" and self.index is not None
            found = wire.Packer(self.dimensions, direction=self.metric == "cosine", half=half)
            self._packer = found
        return found

    def bind_expression(self, bindvalue: BindParameter[Any]) -> ColumnElement[Any] | None:
        """
        Cast the parameter to what it is.
        """
        return Sent(bindvalue, self)

    def column_expression(self, column: ColumnElement[Any]) -> ColumnElement[Any] | None:
        """
        Ask for the bytes.
        """
        return func.vector_send(column, type_=self)

    def bind_processor(self, dialect: Dialect) -> Callable[[Any], Any]:
        """
        Check the value, and give the driver what it sends quickest.
        """
        packer = self.packer()
        name = driver.driver_of(dialect)
        if name in ("psycopg", "psycopg_async"):
            driver.listen(dialect)
            pack: Callable[[Any], Any] = packer
        elif name == "asyncpg":
            pack = packer.numbers
        else:
            plain = VECTOR.bind_processor(self, dialect)

            def pack(value: Any) -> Any:
                return plain(packer.numbers(value))

        def process(value: Any) -> Any:
            return None if value is None else pack(value)

        return process

    def literal_processor(self, dialect: Dialect) -> Callable[[Any], str]:
        """
        The text form, as a string constant.
        """
        packer = self.packer()
        plain = VECTOR.literal_processor(self, dialect)

        def process(value: Any) -> str:
            return str(plain(packer.numbers(value)))

        return process

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], Vector | None]:
        """
        A pgvector Vector.
        """
        if driver.driver_of(dialect) in ("psycopg", "psycopg_async"):
            driver.listen(dialect)
        return wire.unpacked


def _metric(metric: str | None, index: HNSW | IVFFlat | None) -> str:
    of_index = index.metric if index is not None else None
    if metric is not None:
        one_of(PLACE, "metric", metric, METRICS)
    if metric is not None and of_index is not None and metric != of_index:
        raise DeclarationError(
            f"the column says metric={metric!r} and its index metric={of_index!r}: an index "
            "serves one metric; say it once"
        )
    return metric or of_index or "cosine"


class Sent(ColumnElement[Any]):
    """
    A parameter with the cast that its driver needs.
    """

    inherit_cache = True
    _traverse_internals = [  # noqa: RUF012  # SQLAlchemy's own form
        ("value", InternalTraversal.dp_clauseelement),
        ("type", InternalTraversal.dp_type),
    ]

    def __init__(self, value: Any, type_: VectorType) -> None:
        self.value = value
        self.type = type_
        self.spec = f"VECTOR({type_.dimensions})"


@compiles(Sent)
def _compile_sent(
    element: Sent, compiler: SQLCompiler, *, checked: bool = False, **options: Any
) -> str:
    inner = compiler.process(element.value, **options)
    if driver.driver_of(compiler.dialect) == "asyncpg" and not options.get("literal_binds"):
        return f"{inner}::REAL[]::{element.spec}"
    return f"{inner}::VECTOR" if checked else f"{inner}::{element.spec}"


class Once(ColumnElement[Any]):
    """
    A value that PostgreSQL computes once and not for each row: as a subquery of its own.

    A cast that checks dimensions is a function call; for every row of a scan, it makes a
    prepared plan look dearer than one that is planned anew each time. Through psycopg a
    parameter of our type comes checked and as a vector: it needs neither cast nor subquery.
    """

    inherit_cache = True
    _traverse_internals = [  # noqa: RUF012  # SQLAlchemy's own form
        ("value", InternalTraversal.dp_clauseelement),
        ("type", InternalTraversal.dp_type),
    ]

    def __init__(self, value: ColumnElement[Any]) -> None:
        self.value = value
        self.type = value.type


@compiles(Once)
def _compile_once(element: Once, compiler: SQLCompiler, **options: Any) -> str:
    value = element.value
    if isinstance(value, TypeCoerce):  # a host's bindparam without a type
        value = value.typed_expression
    if (
        isinstance(value, BindParameter)
        and driver.driver_of(compiler.dialect) in ("psycopg", "psycopg_async")
        and not options.get("literal_binds")
    ):
        return compiler.process(value, checked=True, **options)
    return f"(SELECT {compiler.process(value, **options)})"
