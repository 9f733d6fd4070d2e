"""
A search that comes again with another vector: everything but the vector is kept.

An application has a few searches and asks them for ever new vectors. What ``nearest`` looks up
and checks for the first of them holds for the next, and so does SQLAlchemy's cache key, which
it takes as long to make as the statement itself. Both are kept beside what is searched: a
mapped class, a table, or a select that the application made once.

The first search leaves a mark, the second one a pattern. So a select that is made for one search
alone keeps nothing, and goes when it is no longer used.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import BindParameter, ColumnElement, Select, Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.sql.cache_key import CacheKey

    from pgultra.features.embeddings.found import Found, Way

__all__ = ["Pattern", "Patterns"]

KEPT = "_pgultra_patterns"
"""Where a mapper, table or select keeps them."""
MOST = 64
"""Patterns of one class or select; an application that has more varies k or the effort."""


class Patterns:
    """
    What is kept beside one class, table or select, and no copy of it; forgotten when pickled.
    """

    __slots__ = ("by_way", "owner")

    def __init__(self, owner: Any) -> None:
        self.owner = weakref.ref(owner)
        self.by_way: dict[tuple[int, Way], tuple[Any, Pattern | None]] = {}

    def __reduce__(self) -> Any:
        return int, ()

    @classmethod
    def of(cls, statement: Any) -> Patterns | None:
        """
        Those of a class, table or select; None for anything else.

        SQLAlchemy forgets them when the class gets another attribute. A select with options may
        hold criteria that change between two uses: nothing is kept there.
        """
        if isinstance(statement, Select):
            owner: Any = None if statement._with_options else statement
        elif isinstance(statement, type):
            owner = statement.__dict__.get("__mapper__")
        else:
            owner = statement if isinstance(statement, Table) else None
        if owner is None:
            return None
        found: Patterns = owner.__dict__.get(KEPT)
        if found.__class__ is not cls or found.owner() is not owner:
            found = cls(owner)
            owner._set_memoized_attribute(KEPT, found)
        return found

    def find(self, column: Any, way: Way) -> Pattern | None:
        """
        The pattern of such a search, if there is one.
        """
        known, pattern = self.by_way.get((id(column), way), (None, None))
        return pattern if known is column and pattern is not None and pattern.holds() else None

    def keep(
        self, column: Any, way: Way, statement: Select[Any], found: Found, keys: Sequence[Any]
    ) -> Select[Any]:
        """
        The statement of a search, of which the next may have use.
        """
        made = found.joined(statement, keys)
        if len(self.by_way) >= MOST:
            self.by_way.pop(list(self.by_way)[0], None)  # noqa: RUF015  # threads may add to it
        seen, _ = self.by_way.get((id(column), way), (None, None))
        pattern = Pattern.of(made, statement, found, keys) if seen is column else None
        self.by_way[id(column), way] = (column, pattern)
        return made


class Key(tuple[Any, ...]):  # noqa: SLOT001  # a tuple can have none
    """
    A cache key that knows its hash: it is some hundred tuples deep, and asked at each execution.
    """

    known: int

    def __hash__(self) -> int:
        return self.known


@dataclass(slots=True)
class Pattern:
    """
    A search but for its vector.

    Attributes:
        made: the statement of the first search, which nobody else holds.
        found: the clause in it.
        joined: the condition in it.
        selected: the columns of the statement, one by one, if they are those of the table, or
            named; None for a class, which the ORM reads by its own map.
        cached: SQLAlchemy's cache key.
        place: of the vector among its parameters.
        width: of the primary key and of the table; None where a mapper says what the key is.
    """

    made: Select[Any]
    found: Found
    joined: ColumnElement[bool]
    selected: Sequence[Any] | None
    cached: CacheKey
    place: int
    width: tuple[int, int] | None

    @classmethod
    def of(
        cls, made: Select[Any], statement: Select[Any], found: Found, keys: Sequence[Any]
    ) -> Pattern | None:
        """
        That of a search; None if SQLAlchemy cannot cache its statement.
        """
        cached = made._generate_cache_key()
        if cached is None:
            return None
        [place] = (n for n, each in enumerate(cached.bindparams) if each is found.vector)
        key = Key(cached.key)
        key.known = hash(cached.key)
        by_table = bool(keys) and keys[0] in set(found.source.primary_key)
        own = found.over(found.vector, statement._generate())
        return cls(
            made=(again := own.joined(own.statement, keys)),
            found=own,
            joined=again._where_criteria[-1],
            selected=_selected(statement, found.source) if by_table else None,
            cached=cached._replace(key=key),
            place=place,
            width=_width(found.source) if by_table else None,
        )

    def holds(self) -> bool:
        """
        Whether the table is still what it was: a MetaData that is being made may change it.
        """
        found = self.found
        same_table = self.width is None or self.width == _width(found.source)
        return same_table and found.column.type is found.vector.type

    def search(self, vector: Any) -> Select[Any]:
        """
        The statement for a vector.

        Raises:
            InvalidVector: it cannot be compared with the column.
        """
        like: Any = self.found.vector
        packed = like.type.packer()(vector)
        bound = BindParameter(like._orig_key, packed, type_=like.type, unique=True)
        found = _like(self.found, vector=bound)
        [*columns, distance] = self.made._raw_columns
        distance = _like(distance, table=found)
        made: Select[Any] = _like(
            self.made,
            _raw_columns=[*columns, distance],
            _where_criteria=(*self.made._where_criteria[:-1], _like(self.joined, found=found)),
            _order_by_clauses=(distance, *self.made._order_by_clauses[1:]),
        )
        bindparams = list(self.cached.bindparams)
        bindparams[self.place] = bound
        cached = self.cached.__class__(self.cached.key, bindparams, *self.cached[2:])
        made._set_memoized_attribute("_generate_cache_key", lambda: cached)
        if self.selected is not None:  # a result without a class looks for them each time
            selected = [*self.selected, distance]
            made._set_memoized_attribute("_all_selected_columns", selected)
        return made


def _like(element: Any, **changes: Any) -> Any:
    """
    A copy with some other attributes, past the constructor, which takes most of a search's time.

    For an element that nothing has looked at yet: it remembers nothing of its own.
    """
    copy = element.__class__.__new__(element.__class__)
    copy.__dict__.update(element.__dict__, **changes)
    return copy


def _width(source: Any) -> tuple[int, int]:
    return len(source.primary_key), len(source.columns)


def _selected(statement: Select[Any], source: Any) -> list[Any] | None:
    """
    The columns of a statement, if none of them may become more without our notice.
    """
    chosen = statement._raw_columns
    if not all(each is source or isinstance(each, ColumnElement) for each in chosen):
        return None
    return [column for each in chosen for column in each._select_iterable]
