"""
What a host writes: ``SearchVector``, and the type behind it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Column, Table, event, literal_column
from sqlalchemy.dialects.postgresql import TSVECTOR
from sqlalchemy.orm import MappedColumn, Mapper, mapped_column
from sqlalchemy.schema import Computed, FetchedValue
from sqlalchemy.sql.base import SchemaEventTarget

from pgultra.errors import DeclarationError
from pgultra.features.search.configuration import Configuration
from pgultra.features.search.rules import Rules, add_index, rules_of
from pgultra.features.search.vector import judge_parts
from pgultra.features.search.vocabulary import make_tables
from pgultra.features.search.words import RULES
from pgultra.plan import declare
from pgultra.plan.options import named

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy.engine import Dialect
    from sqlalchemy.sql.type_api import _ResultProcessorType

    from pgultra.features.search.vector import Mode

__all__ = ["SearchVector", "TSVector", "TSVectorType"]


class TSVector(str):
    """
    A tsvector as PostgreSQL prints it: words with places and weights.

    >>> TSVector("'fox':2A 'quick':1A").words
    ('fox', 'quick')
    """

    __slots__ = ()

    @property
    def words(self) -> tuple[str, ...]:
        """
        The words alone.
        """
        found, word, quoted = [], "", False
        pieces = iter(self)
        for character in pieces:
            if character == "'":
                following = next(pieces, " ") if quoted else ""
                if following == "'":
                    word += "'"
                elif quoted:
                    found.append(word)
                    word, quoted = "", False
                else:
                    quoted = True
            elif quoted:
                word += next(pieces, "") if character == "\\" else character
        return tuple(found)


UNSAID = {"": "D"}
"""For a type without parts, whose other options are judged all the same."""


class TSVectorType(SchemaEventTarget, TSVECTOR):
    """
    The type of a vector column: for dataclass bases, ``Column`` and SQLModel.

    Without parts it says only which configuration queries are read with; ``Rules`` or a
    trigger of the host's keep the column.

    Args:
        parts: as for ``SearchVector``.
        config, language_column, mode, filter_live, fastupdate, index, concurrently, vocabulary:
            the same.

    Raises:
        DeclarationError: an option takes something else.

    >>> from sqlalchemy import Column
    >>> Column("search", TSVectorType({"title": "A"}, config="english")).type
    TSVectorType()
    """

    cache_ok = True

    def __init__(
        self,
        parts: Mapping[Any, Any] | None = None,
        *,
        config: str | Mapping[str | None, str] = "simple",
        language_column: str | None = None,
        **options: Any,  # those of Rules, by name
    ) -> None:
        self.configuration = Configuration.of(config, language_column, "SearchVector")
        self._given = (parts, {"config": config, "language_column": language_column, **options})
        Rules("", UNSAID if parts is None else parts, **self._given[1])  # judges them all

    def photograph(self) -> TSVECTOR:
        """
        The plain type, for migrations.
        """
        return TSVECTOR()

    def copy(self, **kw: Any) -> TSVectorType:
        """
        The same type for a copied column.
        """
        parts, options = self._given
        return TSVectorType(parts, **options)

    def __repr__(self) -> str:
        return "TSVectorType()"

    def result_processor(
        self, dialect: Dialect, coltype: object
    ) -> _ResultProcessorType[TSVector] | None:
        """
        Rows give ``TSVector``.
        """
        return lambda value: None if value is None else TSVector(value)

    def bind(self, column: Column[Any], rules: Rules) -> bool:
        """
        Let a column follow rules; False if it follows some already.
        """
        if RULES in column.__dict__:
            return False
        bind(column, rules)
        return True

    def _set_parent(self, parent: SchemaEventTarget, **kw: Any) -> None:
        if isinstance(parent, Column) and self._given[0] is not None:
            bind(parent, None)


GIVEN = "_pgultra_search_computed"


def bind(column: Column[Any], rules: Rules | None) -> None:
    """
    Let a column answer for itself: whether it is generated is known when it is asked.
    """
    if not isinstance(column, KeptColumn):
        column.__class__ = KeptColumn
    if rules is not None:
        column.__dict__[RULES] = rules


class KeptColumn(Column[Any]):
    """
    A column whose value the database keeps, by an expression or by triggers.

    Which of them is decided from the facts of the finished table, so nothing is stored:
    rooms that are declared later count too.
    """

    inherit_cache = True

    @property
    def computed(self) -> Computed | None:
        """
        The expression, if the column is generated.
        """
        rules, table = self.__dict__.get(RULES), getattr(self, "table", None)
        if rules is None or not isinstance(table, Table):
            given: Computed | None = self.__dict__.get(GIVEN)
            return given
        try:
            if not rules.generated(table):
                return None
            text = rules.vector(table).expression()
        except DeclarationError:  # the table is not finished; `objects` reports what remains
            return None
        made = Computed(literal_column(text), persisted=True)
        made.column = self
        return made

    @computed.setter
    def computed(self, value: object) -> None:
        """
        A copy that Alembic makes keeps the text alone.
        """
        if isinstance(value, Computed):
            self.__dict__[GIVEN] = value

    server_default = computed

    @property
    def server_onupdate(self) -> FetchedValue | None:
        """
        That an UPDATE changes it, by triggers as well: objects ask for it anew.
        """
        kept = FetchedValue(for_update=True) if RULES in self.__dict__ else None
        return self.computed or kept

    @server_onupdate.setter
    def server_onupdate(self, value: object) -> None:
        self.computed = value

    @property
    def nullable(self) -> bool:
        """
        Always: rows that stood before wait for the backfill.
        """
        return True

    @nullable.setter
    def nullable(self, value: object) -> None:
        """
        ``Mapped[TSVector]`` would say NOT NULL.
        """

    def _copy(self, **kw: Any) -> Column[Any]:
        twin = super()._copy(**kw)
        if "schema" in kw and RULES in self.__dict__:  # for another MetaData: the rules go along
            bind(twin, self.__dict__[RULES])
        return twin

    def _set_parent(self, parent: SchemaEventTarget, **kw: Any) -> None:
        super()._set_parent(parent, **kw)
        if isinstance(parent, Table) and isinstance(self.type, TSVectorType):
            rules = self.__dict__.get(RULES)
            parts, options = self.type._given
            if rules is None and parts is not None:
                rules = Rules(self.key, parts, **options)
                bind(self, rules)
                if rules.vocabulary:
                    make_tables(parent, self.name)
            if rules is not None:
                add_index(self, rules)
                declare(parent, rules)


@event.listens_for(Mapper, "after_mapper_constructed")
def _learn_attributes(mapper: Mapper[Any], class_: type[Any]) -> None:
    """
    Parts may be named by mapped attributes.
    """
    for table in mapper.tables:
        if isinstance(table, Table):
            for rules in rules_of(table):
                rules.attributes.update(
                    (name, column.key)
                    for name, column in mapper.columns.items()
                    if isinstance(column, Column) and column.table is table
                )


def SearchVector(  # noqa: N802  # reads like the types it stands beside
    parts: Mapping[Any, Any],
    *,
    config: str | Mapping[str | None, str] = "simple",
    language_column: str | None = None,
    mode: Mode = "auto",
    filter_live: bool | None = None,
    fastupdate: bool = True,
    index: bool = True,
    concurrently: bool = False,
    vocabulary: bool | Sequence[str] = False,
    name: str | None = None,
) -> MappedColumn[Any]:
    """
    A full-text search column that the database keeps, with its GIN index.

    On a dataclass base write ``mapped_column(TSVectorType({...}), init=False)`` instead, since
    a function of ours becomes an argument of ``__init__`` there.

    Args:
        parts: what is searched, with its weight: a letter or ``Part(...)``. A part is a
            column's name or the column itself (text, JSON, arrays), a SQLAlchemy expression
            of columns, or ``Related(...)``.
        config: the text search configuration; or several by the values of
            ``language_column``, with None for all other rows.
        language_column: a text column with a row's language. With one ``config`` it holds
            names of configurations that PostgreSQL ships.
        mode: ``auto`` generates the column where PostgreSQL can and no BEFORE UPDATE trigger
            would make that slow, and keeps it by triggers otherwise.
        filter_live: None: queries leave out soft-deleted rows; True: the index too, so that
            it serves only queries of live rows; False: ``top`` finds deleted rows in Core, and in
            a session by ``with_deleted``; ``hybrid`` and ``federated`` never do.
        fastupdate: PostgreSQL's option of GIN; off makes inserts slower, and searches after
            many of them quicker.
        index: whether there is a GIN index.
        concurrently: migrations build the index without blocking writes.
        vocabulary: keep the words of some parts (their keys; True: those of the highest
            weight) in two more tables, for ``suggest`` and ``did_you_mean``.
        name: the column's name, if it is not the attribute's.

    Raises:
        DeclarationError: an option takes something else.

    Example:
        ``search: Mapped[TSVector] = SearchVector({"title": "A", "body": "B"}, config="english")``
    """
    named("SearchVector", name=name)
    if parts is None:  # which a type may leave out
        judge_parts("SearchVector", parts)
    type_ = TSVectorType(
        parts,
        config=config,
        language_column=language_column,
        mode=mode,
        filter_live=filter_live,
        fastupdate=fastupdate,
        index=index,
        concurrently=concurrently,
        vocabulary=vocabulary,
    )
    made: MappedColumn[Any] = mapped_column(type_, name=name, nullable=True, deferred=True)
    return made
