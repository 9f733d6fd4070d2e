"""
What all catalog reads share: parameters that every driver takes, and the mark's pattern.
"""

from __future__ import annotations

import re
from functools import cache
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from sqlalchemy import ARRAY, Text, bindparam, text
from sqlalchemy.types import TypeDecorator

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Connection, Dialect, Row, TextClause

QUOTED = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*\"""")
"""A text or a quoted name, as PostgreSQL prints them."""


class _Texts(TypeDecorator[Any]):
    r"""
    ``text[]`` in one piece: psycopg would look for the dumper of each element.

    >>> from sqlalchemy.dialects.postgresql import psycopg
    >>> _Texts().bind_processor(psycopg.dialect())(["a", 'say "b"', "c,d"])
    '{"a","say \\"b\\"","c,d"}'
    """

    impl = ARRAY(Text)
    cache_ok = True

    def bind_processor(self, dialect: Dialect) -> Callable[[Any], Any] | None:
        """
        For psycopg, sync and async; other drivers take lists, asyncpg nothing else.
        """
        if dialect.driver == "psycopg":
            return _literal
        found: Callable[[Any], Any] | None = super().bind_processor(dialect)
        return found


def _literal(texts: list[str]) -> str:
    quoted = (each.replace("\\", "\\\\").replace('"', '\\"') for each in texts)
    return '{"' + '","'.join(quoted) + '"}' if texts else "{}"


def rows(connection: Connection, query: str, **parameters: Any) -> Sequence[Row[Any]]:
    """
    Run a catalog query; lists are bound as ``text[]``.

    It runs outside the host's own event hooks: plain text, no entities.
    """
    arrays = tuple(name for name, value in parameters.items() if isinstance(value, list))
    return connection.execute(_statement(query, arrays), parameters).all()


def records(connection: Connection, query: str, **parameters: Any) -> list[SimpleNamespace]:
    """
    The same as plain namespaces: for many rows of many columns, where each look into a row costs.
    """
    found = rows(connection, query, **parameters)
    names = found[0]._fields if found else ()
    return [SimpleNamespace(**dict(zip(names, row))) for row in found]  # noqa: B905  # a row has its own fields; strict= costs a sixth


@cache
def _statement(query: str, arrays: tuple[str, ...]) -> TextClause:
    """
    One object for each query, so that SQLAlchemy compiles it once.
    """
    return text(query).bindparams(*(bindparam(name, type_=_Texts) for name in arrays))


MARKS = """
SELECT d.classoid::regclass::text || coalesce('.' || c.relkind::text, '') AS catalog,
    array_agg(d.objoid::text) AS oids,
    array_agg(d.objoid::text) FILTER (WHERE d.description LIKE :rules) AS rules
FROM pg_catalog.pg_description AS d
LEFT JOIN pg_catalog.pg_class AS c
    ON c.oid = CASE d.classoid WHEN 'pg_catalog.pg_class'::regclass THEN d.objoid END
WHERE d.objoid >= 16384 AND d.objsubid = 0 AND d.description LIKE :mark
GROUP BY d.classoid, c.relkind
"""
"""
What initdb made has a comment too, and lower numbers (``FirstNormalObjectId``). The CASE keeps
the join from looking for functions and triggers among the relations, one by one.
"""


def marked_oids(connection: Connection, application: str) -> dict[str, list[str]]:
    """
    What bears an application's mark, as oids by catalog: one look for all kinds.

    Relations are told apart by their letter: ``pg_class.v`` has the views. The functions
    that hold the rules of partitioned tables are in ``pg_proc.rules``, too.
    """
    escaped = application.replace("_", r"\_")
    mark = f"%pgultra:{escaped}:%"
    found = rows(connection, MARKS, mark=mark, rules=f"{mark}partitions%")
    marked = {row.catalog.removeprefix("pg_catalog."): list(row.oids) for row in found}
    rules = [oid for row in found if row.catalog.endswith("pg_proc") for oid in row.rules or ()]
    return {**marked, "pg_proc.rules": rules}
