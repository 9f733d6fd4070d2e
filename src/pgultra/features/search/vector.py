"""
A vector of one table: its parts resolved, its mode decided, its expression written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import ClauseElement

from pgultra import sql
from pgultra.errors import DeclarationError
from pgultra.features.search.chains import chain_of
from pgultra.features.search.parts import (
    WEIGHTS,
    Part,
    Resolved,
    has_one_text,
    resolve_part,
    shared_budgets,
)
from pgultra.features.search.related import Chain, Related
from pgultra.features.search.settings import Settings, settings_of
from pgultra.plan.options import refused, shown

if TYPE_CHECKING:
    from sqlalchemy import Column, Table

    from pgultra.features.search.configuration import Configuration

__all__ = ["Mode", "Vector", "judge_parts", "vector_of"]

Mode = Literal["auto", "generated", "trigger"]


@dataclass(frozen=True, eq=False)
class Vector:
    """
    All that the database side must know about one vector.

    Attributes:
        table: its table.
        column: the vector.
        parts: in the order of declaration.
        configuration: how words are cut.
        language: name of the language column.
        chains: the ways to related rows, in the order of their parts.
    """

    table: Table
    column: Column[Any]
    parts: tuple[Resolved, ...]
    configuration: Configuration
    language: str | None
    chains: tuple[Chain, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """
        Columns of the row that the vector depends on: by which related rows are found, too.
        """
        names = [name for part in self.parts for name in part.columns]
        keys = [name for chain in self.chains for name, _ in chain.up]
        return tuple(dict.fromkeys([*names, *([self.language] if self.language else []), *keys]))

    @property
    def settings(self) -> Settings:
        """
        What its texts depend on besides.
        """
        return tuple(dict.fromkeys(pair for part in self.parts for pair in part.settings))

    @property
    def immutable(self) -> bool:
        """
        Whether PostgreSQL would take it for a generated column.
        """
        names = {column.name: column.type for column in self.table.columns}
        language = self.language is None or has_one_text(names[self.language])
        return not self.chains and language and all(part.immutable for part in self.parts)

    def regconfig(self, row: str = "") -> str:
        """
        The configuration of a row.
        """
        if self.language is None:
            return self.configuration.literal()
        return self.configuration.expression(f"({row}{sql.identifier(self.language)})::text")

    def expression(self, row: str = "", configuration: str | None = None) -> str:
        """
        The vector as SQL text.

        Args:
            row: stands before each column.
            configuration: instead of the row's own, a variable that holds it.
        """
        words = configuration or self.regconfig(row)
        vectors = [part.vector(words, row) for part in self.parts]
        return " || ".join(vectors)

    def document(self, row: str = "") -> str:
        """
        The row's own texts in one, for headlines.
        """
        texts = [part.document(row) for part in self.parts if not part.related]
        return " || E'\\n' || ".join(texts) or "''"


def judge_parts(place: str, parts: Any) -> None:
    """
    Refuse what cannot be parts of a vector; whether a table has them is known later.

    Raises:
        DeclarationError: it is no mapping of columns to weights.
    """
    if not isinstance(parts, Mapping) or not parts:
        example = "a mapping of columns to their weights, such as {'title': 'A', 'body': 'B'}"
        raise refused(place, "parts", parts, example)
    for source, weight in parts.items():
        if not isinstance(source, str | Related | ClauseElement) and not hasattr(
            source, "__clause_element__"
        ):
            raise refused(
                place, "parts", {source: weight}, "about a column, its name or Related(...)"
            )
        if not isinstance(weight, Part) and weight not in WEIGHTS:
            takes = "a weight: 'A', 'B', 'C', 'D' or Part(...)"
            raise refused(place, f"parts[{shown(source)}]", weight, takes)


def vector_of(
    table: Table,
    column: Column[Any],
    parts: Mapping[Any, Any],
    configuration: Configuration,
    keys: dict[str, str],
) -> Vector:
    """
    Resolve a declaration on its table.

    Raises:
        DeclarationError: a part cannot be found.
    """
    resolved: list[Resolved] = []
    chains: list[Chain] = []
    for source, weight in parts.items():
        part = weight if isinstance(weight, Part) else Part(weight)
        if isinstance(source, Related):
            chains.append(chain_of(table, source))
            text = f"COALESCE(related_{len(chains)}, ''::text)"
            made = Resolved((), text, part.weight, part.budget, immutable=False)
            settings = settings_of(chains[-1].column.type)
            resolved.append(replace(made, related=len(chains), settings=settings))
        else:
            resolved.append(resolve_part(table, source, part, keys))
    language = configuration.column
    if language is not None:
        key = language if language in table.c else keys.get(language, language)
        if key not in table.c:
            raise DeclarationError(
                f"search on table {table.fullname}: language_column={language!r} is no column"
            )
        language = table.c[key].name
    if not resolved:
        raise DeclarationError(f"search on table {table.fullname}: give one part at least")
    own = {name for part in resolved for name in part.columns}
    if column.name in own:
        raise DeclarationError(
            f"search on table {table.fullname}: {column.name} cannot be a part of itself"
        )
    return Vector(
        table, column, shared_budgets(tuple(resolved)), configuration, language, tuple(chains)
    )
