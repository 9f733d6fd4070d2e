"""
Text of SQL: the one place that quotes, and the one door through which SQL leaves.

Names and values become SQL here and nowhere else, so that a table called
``"Weird ""Table"`` is as safe as one called ``article``.

>>> identifier('Weird "Table')
'"Weird ""Table"'
>>> qualified("shop", "order")
'shop."order"'
>>> literal("it's")
"'it''s'"
"""

from __future__ import annotations

import hashlib
import re
from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import DDL

if TYPE_CHECKING:
    from sqlalchemy import Connection, Index
    from sqlalchemy.engine.interfaces import Dialect
    from sqlalchemy.sql.compiler import IdentifierPreparer
    from sqlalchemy.sql.elements import ClauseElement

__all__ = [
    "dollar",
    "identifier",
    "literal",
    "qualified",
    "render",
    "schema_on",
    "short_name",
    "statement",
]

NAME_BYTES = 63
"""PostgreSQL cuts longer names silently (NAMEDATALEN - 1, in bytes)."""


_PLAIN = re.compile(r"[a-z_][a-z0-9_$]*")
_WORDS = """
between bigint bit boolean char character coalesce collation concurrently dec decimal exists
extract float greatest grouping inout int integer interval json json_array json_arrayagg
json_exists json_object json_objectagg json_query json_scalar json_serialize json_table
json_value lateral least merge_action national nchar none normalize nullif numeric out overlay
position precision real row setof smallint substring system_user tablesample time timestamp
treat trim values varchar xmlattributes xmlconcat xmlelement xmlexists xmlforest xmlnamespaces
xmlparse xmlpi xmlroot xmlserialize xmltable
"""
_KEYWORDS = frozenset(_WORDS.split())
"""What SQLAlchemy's list of reserved words leaves out: some cannot name a function or a table."""
_PLPGSQL = frozenset(
    ["begin", "by", "declare", "execute", "foreach", "if", "loop", "strict", "while"]
)
"""Words that PL/pgSQL reserves besides: ``NEW.if`` is no column to it, and ``NEW."if"`` is."""


@cache
def dialect() -> Dialect:
    """
    The PostgreSQL dialect that text is rendered with, whatever driver is used.
    """
    # imported late: it is half of the time of `import pgultra`, and engines load it anyway
    from sqlalchemy.dialects.postgresql import dialect as postgresql_dialect

    made: Dialect = postgresql_dialect(paramstyle="named")  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it untyped
    preparer = made.identifier_preparer
    preparer.reserved_words = {*preparer.reserved_words, *_PLPGSQL}
    return made


@cache
def _preparer() -> IdentifierPreparer:
    return dialect().identifier_preparer


def identifier(name: str) -> str:
    """
    Quote a name where PostgreSQL needs it.

    Args:
        name: the name as it is stored, without quotes.

    >>> identifier("article"), identifier("deletedAt")
    ('article', '"deletedAt"')
    """
    text = str(name)
    if not _PLAIN.fullmatch(text) or text in _KEYWORDS or text in _preparer().reserved_words:
        return '"' + text.replace('"', '""') + '"'
    return text


def qualified(schema: str | None, name: str) -> str:
    """
    Quote a name with its schema; None leaves it to the ``search_path``.

    >>> qualified(None, "article"), qualified("Blog", "article")
    ('article', '"Blog".article')
    """
    if schema is None:
        return identifier(name)
    return f"{identifier(schema)}.{identifier(name)}"


def schema_on(connection: Connection, schema: str | None) -> str | None:
    """
    The schema that stands for a declared one on this connection: its ``schema_translate_map``.

    SQLAlchemy translates what it compiles; what is sent as text asks here. A map to None means
    the dialect's default schema, as it does there.
    """
    schemas = connection.get_execution_options().get("schema_translate_map") or {}
    if schema not in schemas:
        return schema
    return schemas[schema] or connection.dialect.default_schema_name


def literal(value: str, *, escape: bool = False) -> str:
    """
    Quote a text as a string constant that reads the same whatever the settings.

    Raises:
        ValueError: the text holds a NUL character, which PostgreSQL cannot store.
    """
    if "\x00" in value:
        raise ValueError("PostgreSQL cannot store a NUL character in a text")
    if escape or "\\" in value or "\t" in value:
        quoted = value.replace("\\", "\\\\").replace("'", "''").replace("\t", "\\t")
        return f"E'{quoted}'"
    return "'" + value.replace("'", "''") + "'"


def dollar(body: str, tag: str = "") -> str:
    """
    Quote a function body between dollar signs, with a tag that does not occur in it.

    Args:
        body: the text.
        tag: the one to begin with, where the text is not whole yet.

    Raises:
        ValueError: the text holds a NUL character, which PostgreSQL cannot store.

    >>> dollar("select 1")
    '$$select 1$$'
    >>> dollar("select $$a$$")
    '$pgultra$select $$a$$$pgultra$'
    """
    if "\t" in body:  # Alembic's offline mode writes four spaces for a tab; an escape survives
        return literal(body, escape=True)
    attempt = 0
    while f"${tag}$" in body or body.endswith(f"${tag}"):
        tag = "pgultra" + (str(attempt) if attempt else "")
        attempt += 1
    return f"${tag}${body}${tag}$"


def render(expression: ClauseElement, **options: Any) -> str:
    """
    Print a SQLAlchemy expression as PostgreSQL text, values included.

    Args:
        expression: a select, a column expression, a text.
        options: more compile options, such as ``include_table=False`` for the
            predicate of an index.

    Raises:
        sqlalchemy.exc.CompileError: a value has no literal form.
    """
    compile_kwargs = {"literal_binds": True, **options}
    return str(expression.compile(dialect=dialect(), compile_kwargs=compile_kwargs))


def render_index_name(index: Index) -> str:
    """
    The name that SQLAlchemy gives an index, naming conventions and length included.
    """
    name = _preparer().format_index(index)
    return name[1:-1].replace('""', '"') if name.startswith('"') else name


def spelling(index: Index) -> tuple[str, str]:
    """
    How SQLAlchemy spells an index and its table in ``CREATE INDEX``; it quotes less than we do.
    """
    assert index.table is not None  # who asks has looked
    return _preparer().format_index(index), _preparer().format_table(index.table)


def short_name(*parts: str) -> str:
    """
    Join parts into a name of at most 63 bytes; what is cut leaves a hash behind.

    >>> short_name("article", "soft_delete", "stamp")
    'article_soft_delete_stamp'
    >>> len(short_name("t" * 63, "soft_delete", "stamp").encode())
    63
    """
    name = "_".join(parts)
    raw = name.encode()
    if len(raw) <= NAME_BYTES:
        return name
    tail = "_" + hashlib.sha256(raw).hexdigest()[:8]
    kept = "_".join(parts[1:]).encode()
    room = NAME_BYTES - len(tail) - len(kept) - 1
    if room >= 8 and len(parts) > 1:  # keep the words that say what it is, cut the table's name
        head = parts[0].encode()[:room].decode(errors="ignore")
        return f"{head}_{kept.decode()}{tail}"
    return raw[: NAME_BYTES - len(tail)].decode(errors="ignore") + tail


def statement(text: str) -> DDL:
    """
    Wrap a finished statement for execution, verbatim on every driver.

    ``text()`` would take ``:name`` for a parameter and drivers ``%`` for a placeholder;
    ``DDL`` with the percent signs doubled changes nothing.
    """
    return DDL(text.replace("%", "%%"))  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it untyped


def fingerprint(text: str) -> str:
    """
    Shorten a text to twelve hexadecimal digits, to see whether it is still the same.
    """
    return hashlib.sha256(text.encode()).hexdigest()[:12]
