"""
The clause behind ``nearest``: index branch, exact branch, and the choice between them.

It is one element of its own, compiled from text, and not some forty SQLAlchemy objects:
``nearest`` is called for every search, and building those takes longer than the search.
What need not be known for the cache key is only looked at when the clause is compiled.

::

    (WITH near AS (candidates by the index, unless few rows match; carries its settings)
     SELECT the k best of near, if near has k
     UNION ALL
     SELECT the k best of all matching rows
     UNION ALL
     SELECT nothing, so that what is hardly ever executed costs nothing in the planner's eyes
     LIMIT k: which the first part has reached, or gives nothing towards)
"""

from __future__ import annotations

import math
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import Boolean, Table, bindparam, not_
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.elements import ColumnClause, ColumnElement
from sqlalchemy.sql.selectable import FromClause
from sqlalchemy.sql.visitors import InternalTraversal

from pgultra import sql
from pgultra.features.embeddings.filters import joins, narrowed
from pgultra.features.embeddings.index import DISTANCE, HNSW, METRICS
from pgultra.features.embeddings.objects import indexed, operator
from pgultra.features.embeddings.vector import Once
from pgultra.plan import facts_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Select
    from sqlalchemy.sql.compiler import SQLCompiler

    from pgultra.features.embeddings.vector import VectorType

__all__ = ["Found", "Way"]

FEW = 2500
"""Below so many matching rows (k = 10, 384 dimensions) sorting them all beats the index."""

EMPTY = 65536
"""What the maps of a table's pages take, in bytes, before there is much in it."""

OVERSAMPLE = {"single": 1, "half": 1.2, "bit": 20}
"""Candidates for each wanted row: 16-bit floats change the order only among near equals."""

JOINED = 4
"""Candidates for each wanted row of a join: so often may one come with rows of other tables."""

EFFORT, PROBES = 40, 10
"""What hnsw.ef_search and ivfflat.probes are at least, where nobody says another effort."""

MOST_EFFORT, MOST_PROBES = 1000, 32768
"""pgvector's limits of the two."""


class Way(NamedTuple):
    """
    How to search: quickly hashed, for it is part of the statement's cache key.

    Attributes:
        k: how many rows.
        plan, effort, oversample, exact_below: as the host said.
        parents: whether keys come many times, and each counts once.
        deleted: ``include`` where deleted rows are wanted too, ``only`` for them alone.
    """

    k: int
    plan: str
    effort: int | None = None
    oversample: int | None = None
    exact_below: int | None = None
    parents: bool = False
    deleted: str | None = None


class Found(FromClause):
    """
    At most k keys and distances; to be joined with what was asked for.

    Attributes:
        statement: the host's select: its FROM and WHERE count.
        column, vector: what is compared.
        keys_of: the columns that name a row.
        source: the table, or the alias of it, that the keys belong to.
        way: k, and how to search.
    """

    __visit_name__ = "pgultra_nearest"
    _traverse_internals = [  # noqa: RUF012  # SQLAlchemy's own form
        ("statement", InternalTraversal.dp_clauseelement),
        ("column", InternalTraversal.dp_clauseelement),
        ("vector", InternalTraversal.dp_clauseelement),
        ("keys_of", InternalTraversal.dp_clauseelement_list),
        ("source", InternalTraversal.dp_clauseelement),
        ("way", InternalTraversal.dp_plain_obj),
    ]
    inherit_cache = True
    named_with_column = True
    name = "pgultra_found"

    def __init__(
        self,
        statement: Select[Any],
        column: ColumnElement[Any],
        vector: ColumnElement[Any],
        keys: Sequence[Any],
        source: FromClause,
        way: Way,
    ) -> None:
        self.statement = statement
        self.column = column
        self.vector = vector
        self.keys_of = list(keys)
        self.source = source
        self.way = way

    def over(self, vector: ColumnElement[Any], statement: Select[Any] | None = None) -> Found:
        """
        The same search, for another vector; or with the same statement, as another object.
        """
        where = self.statement if statement is None else statement
        return Found(where, self.column, vector, self.keys_of, self.source, self.way)

    @property
    def distance(self) -> ColumnElement[float]:
        """
        The distance of each row.
        """
        return ColumnClause("distance", DISTANCE, _selectable=self)

    @property
    def keys(self) -> list[ColumnElement[Any]]:
        """
        The primary key of each row.
        """
        return [
            ColumnClause(f"key_{number}", key.type, _selectable=self)
            for number, key in enumerate(self.keys_of)
        ]

    def joined(self, statement: Select[Any], keys: Sequence[Any]) -> Select[Any]:
        """
        The statement with the distance, for the rows that were found, nearest first.

        As ``add_columns``, ``where`` and ``order_by`` would make it, in one step: each of them
        copies the statement and looks anew at what it is given, and that took a tenth of a
        search.
        """
        distance = self.distance
        found = statement._generate()
        found._raw_columns = [*statement._raw_columns, distance]
        found._where_criteria = (*statement._where_criteria, Joined(self, keys))
        found._order_by_clauses = (distance, *keys)  # it had none: that was asked
        return found


class Joined(ColumnElement[Any]):
    """
    The host's keys beside those that were found: one element for the whole condition.
    """

    _traverse_internals = [  # noqa: RUF012  # SQLAlchemy's own form
        ("found", InternalTraversal.dp_clauseelement),
        ("columns", InternalTraversal.dp_clauseelement_list),
    ]
    inherit_cache = True
    type = Boolean()

    def __init__(self, found: Found, columns: Sequence[Any]) -> None:
        self.found = found
        self.columns = list(columns)

    @property
    def _from_objects(self) -> list[FromClause]:
        return [self.found, *(each for column in self.columns for each in column._from_objects)]


@compiles(Joined)
def _compile_joined(element: Joined, compiler: SQLCompiler, **options: Any) -> str:
    name = element.found.name
    columns = [compiler.process(column, **options) for column in element.columns]
    pairs = (f"{column} = {name}.key_{number}" for number, column in enumerate(columns))
    return " AND ".join(pairs)


@cache
def _text(name: str) -> str:
    """
    A file of this room's SQL, without its comment.
    """
    lines = (resources.files(__package__) / "sql" / f"{name}.sql").read_text().splitlines()
    return " ".join(line.strip() for line in lines if not line.startswith("--"))


@compiles(Found)
def _compile_found(element: Found, compiler: SQLCompiler, **options: Any) -> str:
    for each in ("asfrom", "from_linter", "fromhints", "ashint", "iscrud", "enclosing_alias"):
        options.pop(each, None)
    return f"({Clause(element, compiler, options).text()}) AS {element.name}"


class Clause:
    """
    The text of a Found; made once for each shape of statement, since SQLAlchemy caches it.
    """

    def __init__(self, found: Found, compiler: SQLCompiler, options: dict[str, Any]) -> None:
        self.found = found
        self.way = found.way
        self.compiler = compiler
        self.options = options
        type_: Any = found.column.type
        self.type_: VectorType = type_
        self.plan = "exact" if type_.index is None else self.way.plan
        self.grouped = self.way.parents or joins(found.statement)
        self.rows = compiler.process(self._rows(), asfrom=True, **options)

    def text(self) -> str:
        """
        The clause around the host's own rows.
        """
        keys = ", ".join(f"key_{number}" for number in range(len(self.found.keys_of)))
        parts = {"rows": self.rows, "keys": keys, "k": self.way.k}
        grouped = "_grouped" if self.grouped else ""
        all_count = not self.grouped and self._candidates == self.way.k
        exact = _text(f"exact{grouped}").format(**parts)
        if self.plan == "exact":
            return exact
        calls = (f"set_config('{name}', {value}, true)" for name, value in self._settings())
        return _text(f"nearest{grouped}").format(
            many=self._many(),
            planned=self._planned(),
            best="" if all_count else _text("best").format(**parts),
            enough=_text("enough").format(**parts),
            exact=exact,
            settings=", ".join(calls),
            cheap=_text("cheap").format(nulls=", ".join("NULL" for _ in self.found.keys_of)),
            order="distance" if self.type_.precision == "single" else "candidate",
            candidates=self._candidates,
            **parts,
        )

    def _rows(self) -> Select[Any]:
        """
        The keys and distances of the host's rows, as a select.

        The keys are ``key_0`` …; beside the ``distance`` stands the ``candidate`` order of the
        index, where that is another one.
        """
        found, type_ = self.found, self.type_
        columns = [key.label(f"key_{number}") for number, key in enumerate(found.keys_of)]
        away = found.column.op(METRICS[type_.metric].operator, return_type=DISTANCE)
        columns.append(away(Once(found.vector)).label("distance"))
        if type_.precision != "single" and self.plan != "exact":
            operand = indexed(found.column, type_).op(operator(type_))
            columns.append(operand(Once(indexed(found.vector, type_))).label("candidate"))
        inner = found.statement.with_only_columns(*columns, maintain_column_froms=True)
        if inner._with_options:
            inner._with_options = tuple(
                each for each in inner._with_options if getattr(each, "_is_criteria_option", False)
            )
        inner._for_update_arg = None
        table = _table_of(found.source)
        live = facts_of(table).live if table is not None else None
        if live is None or self.way.deleted == "include":
            return inner
        alive = live.expression(found.source)
        return inner.where(not_(alive) if self.way.deleted == "only" else alive)

    @property
    def _candidates(self) -> int:
        way = self.way
        candidates: float = way.k * (way.oversample or 1)
        if way.oversample is None or way.parents:
            candidates *= OVERSAMPLE[self.type_.precision]
        if way.oversample is None and self.grouped and not way.parents:
            candidates = max(candidates, way.k * JOINED)
        return math.ceil(candidates)

    def _settings(self) -> tuple[tuple[str, str], ...]:
        """
        Names of settings, and what gives their values: an effort is taken as it is said.
        """
        effort = self.way.effort
        if isinstance(self.type_.index, HNSW):
            least = min(MOST_EFFORT, max(self._candidates, effort or EFFORT))
            own = _at_least("hnsw.ef_search", "int", least) if effort is None else f"'{least}'"
            return (
                ("hnsw.ef_search", own),
                ("hnsw.iterative_scan", "'relaxed_order'"),
                ("hnsw.scan_mem_multiplier", _at_least("hnsw.scan_mem_multiplier", "float8", 4)),
            )
        probes = min(MOST_PROBES, effort or PROBES)
        own = _at_least("ivfflat.probes", "int", probes) if effort is None else f"'{probes}'"
        return (("ivfflat.probes", own), ("ivfflat.iterative_scan", "'relaxed_order'"))

    def _planned(self) -> str:
        """
        A condition that keeps PostgreSQL from one plan for all values where that expects many rows.

        Drivers prepare what is sent often. Of ``price < $1`` a third of the rows is expected, and
        as many of the rarest of three states; and since the exact branch costs nothing in the
        planner's eyes, it would take that plan, whose exact branch scans the table, also for a
        few rows.
        """
        if self.plan != "auto" or not self._filtered or self.options.get("literal_binds"):
            return ""
        constant = bindparam("pgultra_true", True, Boolean, unique=True)
        true = self.compiler.process(constant, **self.options)
        return _text("planned_anew").format(true=true, rows=self.rows, limit=self._limit)

    @property
    def _limit(self) -> int:
        """
        So many matching rows are few.
        """
        limit = self.way.exact_below
        return max(1000, round(FEW * math.sqrt(self.way.k / 10))) if limit is None else limit

    @property
    def _filtered(self) -> bool:
        statement = self.found.statement
        return (
            statement.whereclause is not None
            or narrowed(statement)
            or bool(statement._setup_joins)
            or _table_of(self.found.source) is None
        )

    def _many(self) -> str:
        """
        How to tell that many rows match: if it is few, the exact way is the quicker one.

        With filters they are counted, up to a limit. Without any, the size of the table on
        disk tells enough, and asking for it costs nothing. A ``schema_translate_map`` fills its
        schema into the statement's text: between dollar signs it may be any.
        """
        if self.plan == "index":
            return "true"
        table = _table_of(self.found.source)
        if table is None or self._filtered:
            return _text("many_by_count").format(rows=self.rows, limit=self._limit)
        preparer: Any = self.compiler.preparer
        name = sql.dollar(preparer.format_table(table), tag="pgultra_table")
        most = self._limit * (4 * self.type_.dimensions + 64) + EMPTY
        return _text("many_by_size").format(table=name, most_bytes=most)


def _at_least(name: str, type_: str, least: int) -> str:
    """
    What a setting is, or so much if it is less; it may be none before pgvector is loaded.
    """
    return f"greatest(nullif(current_setting('{name}', true), '')::{type_}, {least})::text"


def _table_of(source: Any) -> Table | None:
    found = getattr(source, "element", source)
    return found if isinstance(found, Table) else None
