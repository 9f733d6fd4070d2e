"""
Long texts: chunks in a table of their own, and the parents whose chunks are nearest.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import ForeignKeyConstraint, Select, Table, select

from pgultra.errors import DeclarationError
from pgultra.features.embeddings.nearest import DELETED_OPTION, Plan, Search, judged
from pgultra.features.embeddings.queries import resolved
from pgultra.plan import facts_of
from pgultra.plan.options import refused, whole
from pgultra.plan.rankers import source_of

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["nearest_parents", "split_text"]

CHUNKS_EACH = 8
"""Candidates for each wanted parent, unless said."""


def nearest_parents(
    statement: Any,  # a select of the parents, a mapped class or a table
    column: Any,  # Chunk.embedding, or a column of the chunk table
    vector: Any,  # list, numpy array, pgvector Vector, or an expression
    k: int = 10,
    *,
    plan: Plan = "auto",
    effort: int | None = None,
    oversample: int = CHUNKS_EACH,
    exact_below: int | None = None,
) -> Select[Any]:
    """
    Select the k parents that have the nearest chunks, each once, by its nearest chunk.

    The chunk table refers to the parent's by a foreign key. As with ``nearest``, k parents
    come whenever k match.

    Args:
        statement: a select of parents with its filters, or their class or table.
        column: the vector column of the chunk table.
        vector: what to look for.
        k: how many parents.
        plan: as for ``nearest``.
        effort: as for ``nearest``.
        oversample: chunks that are looked at for each wanted parent; more where parents
            have many chunks about one thing.
        exact_below: as for ``nearest``; it counts chunks.

    Returns:
        The statement with a column ``distance``, that of the nearest chunk, in order.

    Raises:
        DeclarationError: there is not one foreign key from the chunk table to the parents'.

    Example:
        >>> from sqlalchemy import Column, ForeignKey, Integer, MetaData
        >>> from pgultra.features.embeddings import VectorType
        >>> metadata = MetaData()
        >>> book = Table("book", metadata, Column("id", Integer, primary_key=True))
        >>> page = Table("page", metadata, Column("id", Integer, primary_key=True),
        ...     Column("book_id", ForeignKey("book.id")), Column("embedding", VectorType(3)))
        >>> nearest_parents(book, page.c.embedding, [1, 2, 3]).selected_columns.keys()
        ['id', 'distance']
    """
    chosen = statement if isinstance(statement, Select) else select(statement)
    chunk = resolved(column)[0].table
    table: Any = getattr(chunk, "element", chunk)
    key, parent = _reference(chosen, table)
    source = source_of(chosen, parent)
    own = [chunk.c[element.parent.key] for element in key.elements]
    theirs = [source.c[element.column.key] for element in key.elements]
    same = [mine == other for mine, other in zip(own, theirs, strict=True)]
    live = facts_of(table).live
    deleted = chosen.get_execution_options().get(DELETED_OPTION) in ("include", "only")
    if live is not None and not deleted:
        same.append(live.expression(chunk))
    way = judged(
        k, plan, effort=effort, oversample=oversample, exact_below=exact_below, parents=True
    )
    inner = Search.of(chosen.add_columns(*own).where(*same), column, vector)
    return replace(inner, keys=own, source=source).found(way).joined(chosen, theirs)


def _reference(statement: Select[Any], chunks: Table) -> tuple[ForeignKeyConstraint, Table]:
    found = []
    for constraint in chunks.foreign_key_constraints:
        parent = constraint.referred_table
        try:
            source_of(statement, parent)
        except ValueError:
            continue
        found.append((constraint, parent))
    if len(found) != 1:
        raise DeclarationError(
            f"nearest_parents needs one foreign key from {chunks.fullname} to the table that the "
            f"statement selects from, and there are {len(found)}"
        )
    return found[0]


_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n{2,}")


def split_text(text: str, size: int = 1000, overlap: int = 100) -> list[str]:
    """
    Cut a long text into chunks, at the ends of sentences and paragraphs where possible.

    Args:
        text: any text.
        size: characters in a chunk at most.
        overlap: about so many characters of a chunk's end come again in the next one.

    Returns:
        The chunks, without blanks at their ends; none for an empty text.

    Raises:
        DeclarationError: ``text`` is none, ``size`` is below 1, or ``overlap`` is not less than it.

    Example:
        >>> split_text("One is here. Two is there. Three is not.", size=26, overlap=0)
        ['One is here. Two is there.', 'Three is not.']
    """
    if not isinstance(text, str):
        raise refused("split_text", "text", text, "a text")
    whole("split_text", "size", size, 1, 2**31 - 1)
    whole("split_text", "overlap", overlap, 0, 2**31 - 1)
    if overlap >= size:
        raise DeclarationError(f"split_text: overlap={overlap} must be less than size={size}")
    chunks: list[str] = []
    current = ""
    for piece in _pieces(text, size):
        if current and len(current) + 1 + len(piece) > size:
            chunks.append(current)
            room = min(overlap, size - len(piece) - 1)
            tail = current[-room:].partition(" ")[2] if room > 0 else ""
            current = f"{tail} {piece}" if tail else piece
        else:
            current = f"{current} {piece}" if current else piece
    return [*chunks, current] if current else chunks


def _pieces(text: str, size: int) -> Iterator[str]:
    """
    Sentences; what is too long is cut at blanks, and else anywhere.
    """
    for sentence in _SENTENCE.split(text):
        rest = sentence.strip()
        while len(rest) > size:
            cut = rest.rfind(" ", 1, size + 1)
            cut = cut if cut > 0 else size
            yield rest[:cut].strip()
            rest = rest[cut:].strip()
        if rest:
            yield rest
