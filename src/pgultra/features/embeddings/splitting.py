"""
Chunk tables that keep up with their parents: declared once, split by the worker.

When the text of a parent changes, by whatever means, its chunks go in the same statement,
and the parent waits to be split anew. A chunk that is there is always one of the text that
is there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pgultra import sql
from pgultra.errors import DeclarationError, PgultraError
from pgultra.features.embeddings.chunks import split_text
from pgultra.features.embeddings.side import SplitQueue
from pgultra.features.embeddings.state import (
    body,
    has_source,
    make_state,
    marking,
    on_change,
    side_name,
)
from pgultra.objects import Function, Identity, Trigger
from pgultra.plan import declarations, facts_of, function_name
from pgultra.plan.options import named, refused, text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from sqlalchemy import Column, ForeignKeyConstraint, Table

    from pgultra.objects import DatabaseObject

__all__ = ["Chunks", "chunks_of"]

COLUMN = "a column: its key, the Column or an attribute"


@dataclass(frozen=True, kw_only=True)
class Chunks:
    """
    That a table holds the chunks of its parents' texts.

    The table refers to its parent's primary key by a foreign key. ``EmbeddingWorker`` on one
    of its vector columns splits what is new or changed before it embeds; rows that it makes
    have the foreign key, ``text`` and ``number``, so other columns need defaults.

    Args:
        source: columns of the parent whose text is split: keys, Columns or attributes.
        text: the column of a chunk's text.
        number: the column of a chunk's number in its parent, from 0; None for none.
        parent: the parent table's name, where the table refers to several.
        size: characters in a chunk at most, as in ``split_text``.
        overlap: about so many characters come again in the next chunk.
        split: something else than ``split_text``: from a text to its chunks.
        version: the name of that splitter. It is kept beside the rows: after a change of it,
            or of size and overlap, ``backfill`` finds what is split the old way.

    Raises:
        DeclarationError: an option takes something else, or ``split`` has no ``version``.

    Example:
        >>> from sqlalchemy import Column, ForeignKey, Integer, MetaData, Table, Text
        >>> import pgultra
        >>> metadata = MetaData()
        >>> book = Table("book", metadata, Column("id", Integer, primary_key=True),
        ...     Column("body", Text))
        >>> page = Table("page", metadata, Column("book_id", ForeignKey("book.id"),
        ...     primary_key=True), Column("number", Integer, primary_key=True),
        ...     Column("text", Text))
        >>> pgultra.declare(page, Chunks(source="body", text="text", number="number"))
        >>> sorted(metadata.tables)
        ['book', 'book_page_state', 'page']
    """

    source: Any  # a key, a Column or an attribute, or several
    text: Any
    number: Any = None
    parent: str | None = None
    size: int = 1000
    overlap: int = 100
    split: Callable[[str], Sequence[str]] | None = None
    version: str | None = None
    room = "embeddings"

    def __post_init__(self) -> None:
        named("Chunks", parent=self.parent, version=self.version)
        if self.split is not None and not callable(self.split):
            raise refused("Chunks", "split", self.split, "a function from a text to its chunks")
        if self.split is not None and self.version is None:
            raise DeclarationError(
                "Chunks(split=…) needs version='…', a name that changes with the splitter"
            )
        if self.split is None:
            split_text("", self.size, self.overlap)  # which insists on what it is given
        several = self.source if isinstance(self.source, list | tuple) else (self.source,)
        if not several:
            raise refused("Chunks", "source", self.source, COLUMN)
        object.__setattr__(self, "source", tuple(_name("source", each) for each in several))
        object.__setattr__(self, "text", _name("text", self.text))
        if self.number is not None:
            object.__setattr__(self, "number", _name("number", self.number))

    @property
    def name(self) -> str:
        """
        What is kept beside the rows that were split so.
        """
        return self.version or f"split-text-1-{self.size}-{self.overlap}"

    def pieces(self, written: str) -> list[str]:
        """
        The chunks of a text.

        Raises:
            PgultraError: the host's own splitter gave something else.
        """
        if self.split is None:
            return split_text(written, self.size, self.overlap)
        found = self.split(written)
        pieces = [] if isinstance(found, str) else list(found)
        if isinstance(found, str) or not all(isinstance(each, str) for each in pieces):
            raise PgultraError(
                f"Chunks: the splitter {self.version} gave something else than a list of texts"
            )
        return pieces

    def attached(self, table: Table) -> None:
        """
        Add the side table that tells which parents wait.

        Raises:
            DeclarationError: columns are missing, or the parent cannot be told.
        """
        for option, key in (("text", self.text), ("number", self.number)):
            if key is not None and _find(table, key) is None:
                raise DeclarationError(
                    f"table {table.fullname} has no column {key!r}, which Chunks names as {option}="
                )
        parent = self.reference(table).referred_table
        self.sources(parent)
        make_state(parent, _state_name(parent, table), f"parents of {table.name} to be split")

    def objects(self, table: Table) -> Iterable[DatabaseObject]:
        """
        The triggers on the parent's table, and their functions.
        """
        key = self.reference(table)
        parent, sources = key.referred_table, self.sources(key.referred_table)
        words = (parent.name, table.name)
        schema = table.schema if table.schema != parent.schema else None
        hard = ("hard",) if facts_of(table).live else ()
        references = {each.column.name: each.parent.name for each in key.elements}
        chunks = (table.name, schema or "", *(hard or ("",)))
        state = _state_name(parent, table)
        filled = next(filter(has_source, table.columns), None)
        yield from marking(parent, state, sources, words, chunks, references, filled)
        function = function_name(table.metadata, "embeddings", "drop_chunks")
        yield Function(
            name=function,
            schema=parent.schema,
            body=body("drop_chunks"),
            settings=(("search_path", "pg_catalog, pg_temp"),),
        )
        pairs = [n for each in references.items() for n in each]
        yield Trigger(
            name=sql.short_name("0", *words, "dropped"),  # before a new key is cascaded
            table=parent.name,
            schema=parent.schema,
            timing="AFTER",
            function=function,
            arguments=(table.name, schema or "", *pairs, *hard),
            requires=(Identity("table", table.schema, table.name),),
            **on_change(sources),
        )

    def reference(self, table: Table) -> ForeignKeyConstraint:
        """
        The foreign key to the parent.

        Raises:
            DeclarationError: there is not one, or it refers to something else than its key.
        """
        found = [
            each
            for each in table.foreign_key_constraints
            if self.parent in (None, each.referred_table.name, each.referred_table.fullname)
        ]
        if len(found) != 1:
            raise DeclarationError(
                f"Chunks on {table.fullname} needs one foreign key to the parent, and there are "
                f"{len(found)}: say parent='…'"
            )
        [key] = found
        if {each.column for each in key.elements} != set(key.referred_table.primary_key):
            raise DeclarationError(
                f"the foreign key of {table.fullname} must refer to the primary key of "
                f"{key.referred_table.fullname}: chunks belong to one row"
            )
        return key

    def sources(self, parent: Table) -> list[Column[Any]]:
        """
        The columns whose text is split.

        Raises:
            DeclarationError: one is missing, or is secret.
        """
        secret = facts_of(parent).secret_columns
        several = []
        for name in self.source:
            found = _find(parent, name)
            if found is None or found.name in secret or found.key in secret:
                why = "has no column" if found is None else "keeps secret the column"
                raise DeclarationError(
                    f"table {parent.fullname} {why} {name!r}, which Chunks names as a source"
                )
            several.append(found)
        return several

    def queue(self, table: Table) -> SplitQueue:
        """
        The parents that wait.
        """
        key = self.reference(table)
        text, number = (_find(table, name) for name in (self.text, self.number))
        assert text is not None
        parent = key.referred_table
        by_parent = {each.column: each.parent for each in key.elements}
        schema = f"{parent.schema}." if parent.schema else ""
        return SplitQueue(
            parent,
            table.metadata.tables[f"{schema}{_state_name(parent, table)}"],
            self.sources(parent),
            [by_parent[each] for each in parent.primary_key],
            text,
            number,
        )


def chunks_of(table: Any) -> Chunks | None:
    """
    What is declared of a chunk table, if it is one.
    """
    return next((each for each in declarations(table) if isinstance(each, Chunks)), None)


def _name(option: str, given: Any) -> str:
    clause = getattr(given, "__clause_element__", None)
    found = getattr(given if clause is None else clause(), "name", given)
    text("Chunks", option, found, COLUMN)
    return str(found)


def _find(table: Table, name: str | None) -> Column[Any] | None:
    """
    A column by its key, or by its name.
    """
    by_name = {each.name: each for each in table.columns}
    return table.c.get(name, by_name.get(name)) if name is not None else None


def _state_name(parent: Table, table: Table) -> str:
    return side_name(parent.name, table.name, "state")
