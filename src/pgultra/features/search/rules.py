"""
The rules of one vector of a table: its Declaration, and the choice of its mode.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import Boolean, Index, Table
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.elements import ColumnElement

from pgultra import sql
from pgultra.errors import DeclarationError
from pgultra.features.search.configuration import Configuration
from pgultra.features.search.hybrid import TextRanker
from pgultra.features.search.objects import trigger_names, vector_objects
from pgultra.features.search.vector import Mode, Vector, judge_parts, vector_of
from pgultra.features.search.vocabulary import make_tables, tables_of, vocabulary_objects
from pgultra.objects import DatabaseObject, Trigger
from pgultra.plan import Facts, Live, declarations, facts_of
from pgultra.plan.declare import entries
from pgultra.plan.options import flag, names, one_of, refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from sqlalchemy import Column
    from sqlalchemy.sql.compiler import SQLCompiler

__all__ = ["Rules", "add_index", "rules_of"]

AMISS = re.compile(r"%|(?<!:):\w|\\:")


@dataclass(frozen=True, eq=False)
class Rules:
    """
    A vector of a table, for ``pgultra.declare`` on Core and imperative tables.

    Args:
        column: the key of the column, of type ``TSVectorType``.
        parts: as for ``SearchVector``.
        config, language_column, mode, filter_live, fastupdate, index, concurrently, vocabulary:
            the same.

    Raises:
        DeclarationError: an option takes something else.

    >>> from sqlalchemy import Column, Integer, MetaData, Table, Text
    >>> from pgultra import declare
    >>> from pgultra.features.search import TSVectorType
    >>> note = Table("note", MetaData(), Column("id", Integer, primary_key=True),
    ...              Column("text", Text), Column("search", TSVectorType()))
    >>> declare(note, Rules("search", {"text": "A"}, config="english"))
    """

    room = "search"

    column: str
    parts: Mapping[Any, Any]
    config: str | Mapping[str | None, str] = "simple"
    language_column: str | None = None
    mode: Mode = "auto"
    filter_live: bool | None = None
    fastupdate: bool = True
    index: bool = True
    concurrently: bool = False
    vocabulary: bool | Sequence[str] = False
    configuration: Configuration = field(init=False, repr=False)
    attributes: dict[str, str] = field(init=False, repr=False, default_factory=dict)
    """Mapped attributes, with the key of their column."""
    _derived: dict[Any, Any] = field(init=False, repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.column, str):
            raise refused("search.Rules", "column", self.column, "the key of a column")
        place = f"search.Rules({self.column!r})" if self.column else "SearchVector"
        judge_parts(place, self.parts)
        one_of(place, "mode", self.mode, ("auto", "generated", "trigger"))
        flag(place, fastupdate=self.fastupdate, index=self.index, concurrently=self.concurrently)
        if self.filter_live is not None:
            flag(place, filter_live=self.filter_live)
        if not isinstance(self.vocabulary, bool):
            names(place, "vocabulary", self.vocabulary, "['title'], nor True or False")
        made = Configuration.of(self.config, self.language_column, place)
        object.__setattr__(self, "configuration", made)

    def attached(self, table: Table) -> None:
        """
        Bind the table's column to these rules.

        Raises:
            DeclarationError: the table has no such column.
        """
        column = table.c.get(self.column)
        bind = getattr(getattr(column, "type", None), "bind", None)
        if column is None or bind is None:
            raise DeclarationError(
                f"search.Rules({self.column!r}): table {table.fullname} has no column of that key "
                "and of type search.TSVectorType"
            )
        if bind(column, self):
            add_index(column, self)
            if self.vocabulary:
                make_tables(table, column.name)

    def vector(self, table: Table) -> Vector:
        """
        The vector, resolved on its table.
        """
        made: Vector = self._kept(table, "vector", self._vector)
        return made

    def _vector(self, table: Table) -> Vector:
        return vector_of(
            table, table.c[self.column], self.parts, self.configuration, self.attributes
        )

    def live(self, table: Table) -> Live | None:
        """
        Which of the table's rows are live, if they can be soft-deleted.
        """
        made: Live | None = self._kept(table, "live", lambda table: facts_of(table).live)
        return made

    def _kept(self, table: Table, what: str, make: Callable[[Table], Any]) -> Any:
        """
        What was derived before, as long as the table and its declarations stay the same.
        """
        stamp = (
            tuple(map(id, table.c)),
            tuple(map(id, declarations(table))),
            len(self.attributes),
            len(table.metadata.tables),
        )
        kept = self._derived.get((table, what))
        if kept is None or kept[0] != stamp:
            kept = self._derived[table, what] = (stamp, make(table))
        return kept[1]

    def generated(self, table: Table) -> bool:
        """
        Whether PostgreSQL keeps the vector by itself, or triggers do: one for the whole table.

        Raises:
            DeclarationError: the table's vectors want both, or a part cannot be generated.
        """
        answer: bool = self._kept(table, "generated", self._generated)
        return answer

    def _generated(self, table: Table) -> bool:
        all_rules = rules_of(table)
        vectors = [(rules, rules.vector(table)) for rules in all_rules]
        modes = {rules.mode for rules in all_rules}
        if {"generated", "trigger"} <= modes:
            raise DeclarationError(
                f"search on table {table.fullname}: one vector is generated and one is kept by "
                "triggers; then each update would compute the generated one anew. Give both the "
                "same mode="
            )
        if "generated" in modes:
            for rules, vector in vectors:
                if not vector.immutable:
                    raise DeclarationError(
                        f"search on table {table.fullname}: {rules.column} cannot be generated: "
                        "one of its parts is not immutable (an array, an enum, related rows, a "
                        "function that pgultra does not know). Leave mode= to 'auto'"
                    )
                if not _plain(vector):
                    raise DeclarationError(
                        f"search on table {table.fullname}: {rules.column} cannot be generated: "
                        "SQLAlchemy would take the % or the colon in a name or text of its parts "
                        "for more than that. Leave mode= to 'auto'"
                    )
            return True
        return (
            "trigger" not in modes
            and all(vector.immutable and _plain(vector) for _, vector in vectors)
            and not _foreign_triggers(table)
        )

    def objects(self, table: Table) -> Iterable[DatabaseObject]:
        """
        What keeps the vector, and its index.

        Raises:
            DeclarationError: a part is a secret column.
        """
        name = _index_name(table, table.c[self.column])
        index = next((each for each in table.indexes if each.name == name), None)
        vector = self.vector(table)
        _insist_on_no_secrets(vector)
        yield from vector_objects(
            vector,
            generated=self.generated(table),
            index=index,
            concurrently=self.concurrently,
        )
        if self.vocabulary:
            yield from vocabulary_objects(vector, self.vocabulary, self.attributes)

    def companions(self, table: Table) -> Iterable[Table]:
        """
        The two tables of its vocabulary.
        """
        return tables_of(table, table.c[self.column].name) if self.vocabulary else ()

    def facts(self, table: Table) -> Facts:
        """
        How rows can be ranked, and the triggers that other rooms must know of.
        """
        ranker = TextRanker(name=self.column, column=self.column, kind="text", table=table)
        if self.generated(table):
            return Facts(rankers=(ranker,))
        names = trigger_names(self.vector(table))[1:]
        return Facts(rankers=(ranker,), before_update_triggers=names)


class LiveRows(ColumnElement[bool]):
    """
    The predicate of a partial index, known when the table is finished.
    """

    inherit_cache = False
    type = Boolean()

    def __init__(self, table: Table) -> None:
        self.table = table


@compiles(LiveRows)
def _live_rows(element: LiveRows, compiler: SQLCompiler, **kw: Any) -> str:
    live = facts_of(element.table).live
    if live is None:
        raise DeclarationError(
            f"search on table {element.table.fullname}: filter_live=True needs rows that can be "
            "soft-deleted"
        )
    return live.text()


def _index_name(table: Table, column: Column[Any]) -> str:
    return sql.short_name(table.name, column.name, "gin")


def add_index(column: Column[Any], rules: Rules) -> None:
    """
    Give the column's table the GIN index.
    """
    if not rules.index:
        return
    table = column.table
    options: dict[str, Any] = {"postgresql_using": "gin"}
    if not rules.fastupdate:
        options["postgresql_with"] = {"fastupdate": "off"}
    if rules.filter_live:
        options["postgresql_where"] = LiveRows(table)
    index = Index(_index_name(table, column), column, **options)
    index._column_flag = True  # to_metadata leaves it to the copied column to make its own


def rules_of(table: Table) -> list[Rules]:
    """
    The rules of all vectors of a table.
    """
    return [each for each in declarations(table) if isinstance(each, Rules)]


def _insist_on_no_secrets(vector: Vector) -> None:
    """
    Refuse parts that are kept secret: what is stored of them has no words.

    Raises:
        DeclarationError: one is.
    """
    read = [(vector.table, name) for part in vector.parts for name in part.columns]
    read += [(chain.target, chain.column.name) for chain in vector.chains]
    secret = {table: facts_of(table).secret_columns for table, _ in read}
    for table, name in read:
        [column] = (each for each in table.columns if each.name == name)
        if {column.name, column.key} & secret[table]:
            raise DeclarationError(
                f"search on table {vector.table.fullname}: {table.fullname} keeps secret the "
                f"column {column.key!r}, so that there are no words to find; leave it out of the "
                f"parts of {vector.column.key}"
            )


def _plain(vector: Vector) -> bool:
    """
    Whether Alembic can carry the expression: it would take ``:a`` and ``%`` for more than text.
    """
    return AMISS.search(vector.expression()) is None


def _foreign_triggers(table: Table) -> bool:
    """
    Whether other declarations bring BEFORE UPDATE row triggers, wherever they are written.
    """
    place = (table.schema, table.name)
    for target, each in entries(table.metadata):
        if isinstance(each, Trigger):
            fires = (each.timing, each.level) == ("BEFORE", "ROW") and "UPDATE" in each.events
            if fires and (each.schema, each.table) == place:
                return True
        elif target is table and not isinstance(each, Rules | DatabaseObject):
            answer = getattr(each, "facts", None)
            if answer is not None and answer(table).before_update_triggers:
                return True
    return False
