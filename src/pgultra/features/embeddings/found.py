"""
The clause behind ``nearest``: index branch, exact branch, and the choice between them.

It is one element of its own, compiled from text, and not some forty SQLAlchemy objects:
``nearest`` is called for every search, and building those takes longer than the search.

::

    (WITH few  AS (are there few matching rows? counted up to a limit),
          near AS (candidates by the index, unless few; carries its settings)
     SELECT the k best of near, if near has k
     UNION ALL
     SELECT the k best of all matching rows, if few, or if near was short)
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from sqlalchemy import Float
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.elements import ColumnClause
from sqlalchemy.sql.selectable import FromClause
from sqlalchemy.sql.visitors import InternalTraversal

from pgultra import sql

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Select
    from sqlalchemy.sql.compiler import SQLCompiler

__all__ = ["Found", "Way"]

Way = tuple[tuple[str, Any], ...]
"""How to search: hashable, for it is part of the statement's cache key."""


class Found(FromClause):
    """
    At most k keys and distances; to be joined with what was asked for.

    Attributes:
        inner: a select of the keys (``key_0`` …), the ``distance``, and the ``candidate``
            order of the index where it is another one; with FROM and WHERE of the host.
        way: k, and how to search.
    """

    __visit_name__ = "pgultra_nearest"
    _traverse_internals = [  # noqa: RUF012  # SQLAlchemy's own form
        ("inner", InternalTraversal.dp_clauseelement),
        ("way", InternalTraversal.dp_plain_obj),
    ]
    inherit_cache = True
    named_with_column = True
    name = "pgultra_found"

    def __init__(self, inner: Select[Any], keys: int, way: dict[str, Any]) -> None:
        self.inner = inner
        self.way: Way = (("keys", keys), *way.items())

    @property
    def distance(self) -> ColumnElement[float]:
        """
        The distance of each row.
        """
        return ColumnClause("distance", Float(), _selectable=self)

    @property
    def keys(self) -> list[ColumnElement[Any]]:
        """
        The primary key of each row.
        """
        types = [each.type for each in self.inner.selected_columns]
        return [
            ColumnClause(f"key_{number}", types[number], _selectable=self)
            for number in range(dict(self.way)["keys"])
        ]


@cache
def _text(name: str) -> str:
    """
    A file of this room's SQL, without its comment.
    """
    lines = (resources.files(__package__) / "sql" / f"{name}.sql").read_text().splitlines()
    return " ".join(line.strip() for line in lines if not line.startswith("--"))


@compiles(Found)
def _compile_found(element: Found, compiler: SQLCompiler, **options: Any) -> str:
    way = dict(element.way)
    for each in ("asfrom", "from_linter", "fromhints", "ashint", "iscrud", "enclosing_alias"):
        options.pop(each, None)
    rows = compiler.process(element.inner, asfrom=True, **options)
    return f"({_whole(rows, way)}) AS {element.name}"


def _whole(rows: str, way: dict[str, Any]) -> str:
    """
    The clause around the host's own rows.
    """
    keys = ", ".join(f"key_{number}" for number in range(way["keys"]))
    parts = {"rows": rows, "keys": keys, "k": way["k"]}
    of_chunks = "_parents" if way.get("parents") else ""
    exact = _text(f"exact{of_chunks}")
    if way["plan"] == "exact":
        return exact.format(condition="", **parts)
    calls = (f"set_config('{name}', '{value}', true)" for name, value in way["settings"])
    return _text(f"nearest{of_chunks}").format(
        few=_few(rows, way),
        exact=exact.format(condition=_text("short").format(**parts), **parts),
        settings=", ".join(calls),
        order=way["order"],
        candidates=way["candidates"],
        **parts,
    )


def _few(rows: str, way: dict[str, Any]) -> str:
    """
    Whether the exact way is the quicker one: by counting, or by the size of the table.
    """
    if way["plan"] == "index":
        return "SELECT false AS few"
    if way["size_of"] is None:
        return _text("few_by_count").format(rows=rows, limit=way["exact_below"])
    table = sql.literal(way["size_of"]).replace("%", "%%")
    return _text("few_by_size").format(table=table, most_bytes=way["most_bytes"])
