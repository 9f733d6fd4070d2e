"""
The parts of a vector: what a host may write, and the SQL text that each becomes.

Text is written as PostgreSQL prints it, so that Alembic's crude comparison of generated
columns finds nothing to warn about.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import Column, ColumnElement, String, Table, literal_column
from sqlalchemy.sql import functions, operators
from sqlalchemy.sql.elements import (
    BinaryExpression,
    BindParameter,
    ClauseList,
    Grouping,
    TextClause,
)
from sqlalchemy.sql.visitors import iterate, replacement_traverse
from sqlalchemy.types import NullType

from pgultra import sql
from pgultra.errors import DeclarationError
from pgultra.features.search.settings import Settings, base_of, settings_of, settings_within
from pgultra.plan.options import one_of, whole

if TYPE_CHECKING:
    from sqlalchemy.types import TypeEngine

__all__ = [
    "BUDGET",
    "WEIGHTS",
    "Part",
    "Resolved",
    "has_one_text",
    "resolve_part",
    "shared_budgets",
]

BUDGET = 130_000
"""
Characters that all parts of a vector share unless they have a budget of their own.

A tsvector holds 1,048,575 bytes. The densest text (hyphenated words of characters of four
bytes) takes 7.7 bytes of vector for each of its characters.
"""

LARGEST = 2**31 - 1
"""What PostgreSQL's ``left`` takes."""

Weight = Literal["A", "B", "C", "D"]
WEIGHTS: tuple[Weight, ...] = ("A", "B", "C", "D")

TEXT_TYPES = {"TEXT": "text", "VARCHAR": "character varying", "CHAR": "bpchar"}
PLAIN_TYPES = {"INTEGER", "BIGINT", "SMALLINT", "UUID", "BOOLEAN", "NUMERIC"}
IMMUTABLE_FUNCTIONS = {
    "btrim", "coalesce", "initcap", "left", "lower", "lpad", "ltrim", "md5", "nullif",
    "regexp_replace", "repeat", "replace", "reverse", "right", "rpad", "rtrim", "split_part",
    "substr", "translate", "upper",
}  # fmt: skip
STRINGS = '$.**?(@.type() == "string")'
STRICTLY = f"{sql.literal('strict ' + STRINGS)}::jsonpath"
ESCAPES = "((chr(92) || chr(92)) || '.'::text)"
"""The pattern of a JSON escape, spelt without a backslash: Alembic would stumble over it."""


@dataclass(frozen=True)
class Part:
    """
    A part's weight and budget, where the letter alone does not say enough.

    Args:
        weight: ``A`` (most), ``B``, ``C`` or ``D``.
        budget: characters that are read of it; what is beyond cannot be found. None: its
            share of the room that a tsvector has, for any text whatever.

    Raises:
        DeclarationError: the weight is another letter, or the budget no whole number above 0.

    >>> Part("B", budget=50_000)
    Part(weight='B', budget=50000)
    """

    weight: Weight = "D"
    budget: int | None = None

    def __post_init__(self) -> None:
        one_of("Part", "weight", self.weight, WEIGHTS)
        if self.budget is not None:
            whole("Part", "budget", self.budget, 1, LARGEST)


@dataclass(frozen=True)
class Resolved:
    """
    A part of one table, ready to be written.

    Attributes:
        columns: names of the columns of this row that it reads.
        text: the text, never NULL, with ``{row}`` before each column's name.
        json: the text is a JSON value of this type, of which only strings count.
        weight: its letter.
        budget: characters that are read.
        longest: characters that it can have, if its type tells.
        immutable: whether it may stand in a generated column.
        related: how many of the related texts it is, from 1; 0 for a part of this row.
        bare: the text is a column's own, and may be written more than once.
        settings: what the text depends on besides.
    """

    columns: tuple[str, ...]
    text: str
    weight: str
    budget: int | None
    json: str | None = None
    longest: int | None = None
    immutable: bool = True
    related: int = 0
    bare: bool = False
    settings: Settings = ()

    def document(self, row: str = "") -> str:
        """
        The text that is read, cut to its budget; JSON as its strings.
        """
        text = self._text(row)
        if self.json:
            text = _strings(text, self.json)
        if self.budget is None or (self.longest is not None and self.longest <= self.budget):
            return text
        short = f'"left"({text}, {self.budget})'
        if not self.bare:
            return short
        # To count characters takes a thirtieth of what to read the words takes; bytes are known.
        return f"CASE WHEN octet_length({text}) <= {self.budget} THEN {text} ELSE {short} END"

    def readable(self, row: str, length: int) -> str:
        """
        The text as somebody reads it, cut short: JSON as its strings, each on a line.
        """
        if not self.json:
            length = length if self.budget is None else min(length, self.budget)
            return f'"left"({self._text(row)}, {length})'
        lines = (
            f"SELECT string_agg(line #>> '{{}}', chr(10) ORDER BY number) FROM "  # noqa: S608  # quoted
            f"jsonb_path_query(({self._text(row)})::jsonb, {STRICTLY}) "
            "WITH ORDINALITY AS lines (line, number)"
        )
        return f"\"left\"(COALESCE(({lines}), ''), {length})"

    def vector(self, configuration: str, row: str = "") -> str:
        """
        Its tsvector.
        """
        vector = f"to_tsvector({configuration}, {self.document(row)})"
        if self.json:
            text = self._text(row)
            whole = f"{self.json}_to_tsvector({configuration}, {text}, '[\"string\"]'::jsonb)"
            fits = f"octet_length(({text})::text) <= {self.budget}"
            vector = f"CASE WHEN ({fits}) THEN {whole} ELSE {vector} END"
        return vector if self.weight == "D" else f"setweight({vector}, '{self.weight}'::\"char\")"

    def _text(self, row: str) -> str:
        return self.text.replace(ROW, row)


ROW = "\0"
"""Stands before the name of each column, none of which has it; becomes nothing, or ``new.``."""


def _strings(text: str, type_: str) -> str:
    """
    The strings of a JSON value as one text, for values over their budget.
    """
    value = text if type_ == "jsonb" else f"({text})::jsonb"
    found = f"(jsonb_path_query_array({value}, {STRICTLY}))::text"
    return f"regexp_replace({found}, {ESCAPES}, ' '::text, 'g'::text)"


def shared_budgets(parts: tuple[Resolved, ...]) -> tuple[Resolved, ...]:
    """
    Give what no part claims to the parts without a budget, in equal shares.
    """
    claimed, open_ = 0, 0
    for part in parts:
        if part.budget is not None:
            claimed += part.budget
        elif part.longest is not None and part.longest <= BUDGET // len(parts):
            claimed += part.longest
        else:
            open_ += 1
    share = max((BUDGET - claimed) // open_, 1_000) if open_ else BUDGET
    return tuple(part if part.budget is not None else replace(part, budget=share) for part in parts)


def resolve_part(table: Table, source: Any, part: Part, keys: dict[str, str]) -> Resolved:
    """
    Find a part's columns on its table and write its text.

    Args:
        table: the vector's table.
        source: a name, a column, an attribute or an expression.
        part: weight and budget.
        keys: mapped attributes by name, with the key of their column.

    Raises:
        DeclarationError: there is no such column, or the expression reads none.
    """
    element = source if isinstance(source, str) else getattr(source, "__clause_element__", None)
    element = source if element is None else element() if callable(element) else element
    if isinstance(element, str):
        key = element if element in table.c else keys.get(element, element)
        if key not in table.c:
            raise DeclarationError(
                f"search on table {table.fullname}: there is no column {element!r}; its columns "
                f"are {', '.join(column.key for column in table.c)}"
            )
        return _of_column(_stored(table.c[key]), part)
    if isinstance(element, Column):
        return _of_column(_own(table, element), part)
    if isinstance(element, TextClause) or not isinstance(element, ColumnElement):
        raise DeclarationError(
            f"search on table {table.fullname}: a part is a column's name, a column or a "
            f"SQLAlchemy expression of columns, not {source!r}"
        )
    return _of_expression(table, element, part)


def _own(table: Table, column: Column[Any]) -> Column[Any]:
    """
    The table's own column: a mixin's or a copied table's stands for the one of that key.
    """
    other = getattr(column, "table", None)
    key = column.key or column.name
    found = table.c.get(key)
    if found is None or (
        isinstance(other, Table) and other.fullname != table.fullname and other.name != table.name
    ):
        raise DeclarationError(
            f"search on table {table.fullname}: the part {column} is a column of another table; "
            "use search.Related(...) for rows that hang on this one"
        )
    return _stored(found)


def _stored(column: Column[Any]) -> Column[Any]:
    """
    A column that PostgreSQL knows before it computes others.
    """
    if column.__dict__.get("computed") is not None:  # a vector's own looks at its parts
        raise DeclarationError(
            f"search on table {column.table.fullname}: {column.name} is computed, and neither "
            "another computed column nor a trigger before the row is written can read it; give "
            "its expression as the part"
        )
    return column


def _of_column(column: Column[Any], part: Part) -> Resolved:
    name = ROW + sql.identifier(column.name)
    made = _of_type(name, column.type, part, (column.name,), immutable=True)
    return replace(made, bare=made.immutable and not made.json)


def _of_type(
    name: str, type_: TypeEngine[Any], part: Part, columns: tuple[str, ...], *, immutable: bool
) -> Resolved:
    base = base_of(type_)
    length = getattr(type_, "length", None) if isinstance(type_, String) else None
    made = Resolved(columns, "", part.weight, part.budget, immutable=immutable)
    made = replace(made, settings=settings_of(type_))
    if is_array(type_):
        joined = f"COALESCE(array_to_string({name}, ' '::text), ''::text)"
        return replace(made, text=joined, immutable=False)
    if base in ("JSON", "JSONB"):
        word = base.lower()
        return replace(made, text=f"COALESCE({name}, '{{}}'::{word})", json=word)
    if base == "TEXT":
        return replace(made, text=f"COALESCE({name}, ''::text)")
    if base in TEXT_TYPES:
        whole = f"(COALESCE({name}, ''::{TEXT_TYPES[base]}))::text"
        return replace(made, text=whole, longest=length)
    cast = f"COALESCE(({name})::text, ''::text)"  # not ''::citext, which triggers cannot see
    immutable = immutable and has_one_text(type_)
    return replace(made, text=cast, immutable=immutable, longest=_digits(base))


def has_one_text(type_: TypeEngine[Any]) -> bool:
    """
    Whether a value's text is always the same, as PostgreSQL's own casts to text promise.

    That of an enum is not: its labels can be renamed.
    """
    return not is_array(type_) and base_of(type_) in {*TEXT_TYPES, *PLAIN_TYPES, "CITEXT"}


def is_array(type_: TypeEngine[Any]) -> bool:
    """
    Whether PostgreSQL takes it for an array.
    """
    return "[]" in type_.compile(dialect=sql.dialect())


def _digits(base: str) -> int | None:
    return 40 if base in PLAIN_TYPES - {"NUMERIC"} else None


def _of_expression(table: Table, expression: ColumnElement[Any], part: Part) -> Resolved:
    found: dict[str, None] = {}

    def spelt(element: Any, **_: Any) -> Any:
        if isinstance(element, Column):
            column = _own(table, element)
            found[column.name] = None
            name = ROW + sql.identifier(column.name)
            text = column.type.compile(dialect=sql.dialect()).upper()
            varying = text.startswith(("VARCHAR", "CITEXT", "CHAR"))
            return literal_column(f"({name})::text" if varying else name, column.type)
        if isinstance(element, BindParameter) and isinstance(element.value, str):
            return literal_column(f"{sql.literal(element.value)}::text", element.type)
        return None

    text = sql.render(replacement_traverse(expression, {}, spelt))
    if not found:
        raise DeclarationError(
            f"search on table {table.fullname}: the expression {text!r} reads no column; "
            "write it of SQLAlchemy columns, so that changes of them can be followed"
        )
    immutable = _immutable(expression)
    if isinstance(expression.type, String) or (immutable and isinstance(expression.type, NullType)):
        wrapped = text if isinstance(expression, functions.FunctionElement) else f"({text})"
        made = Resolved(tuple(found), f"COALESCE({wrapped}, ''::text)", part.weight, part.budget)
    elif isinstance(expression.type, NullType):  # nobody said what it gives; it has a text
        whole = f"COALESCE(({text})::text, ''::text)"
        made = Resolved(tuple(found), whole, part.weight, part.budget)
    else:
        made = _of_type(f"({text})", expression.type, part, tuple(found), immutable=True)
    return replace(
        made,
        immutable=made.immutable and immutable,
        settings=tuple(dict.fromkeys((*made.settings, *settings_within(expression)))),
    )


def _immutable(expression: ColumnElement[Any]) -> bool:
    """
    Whether all that an expression does is known to be immutable; a doubt is a no.
    """
    return all(map(_known, iterate(expression)))


def _known(element: Any) -> bool:
    if isinstance(element, functions.FunctionElement):
        name = getattr(element, "name", "")
        return name in IMMUTABLE_FUNCTIONS and not getattr(element, "packagenames", ())
    if isinstance(element, BinaryExpression):
        texts = (String, NullType)
        sides = isinstance(element.left.type, texts) and isinstance(element.right.type, texts)
        return element.operator in (operators.concat_op, operators.add) and sides
    return isinstance(element, Column | BindParameter | ClauseList | Grouping)
