r"""
Texts of SQL as they leave the house: they end where they end, and keep their tabs.

>>> bare("SELECT 1 AS one; -- the first")
'SELECT 1 AS one'
>>> bare("SELECT '-- no comment'")
"SELECT '-- no comment'"
>>> untabbed("SELECT 'a\tb' AS \\t two")
"SELECT E'a\\tb' AS \\t two"
"""

from __future__ import annotations

import re

from pgultra import sql

__all__ = ["bare", "untabbed"]

PIECES = re.compile(
    r"""
    (?P<comment>--[^\n]*|/\*.*?\*/)
    | (?P<escaped>[eE]'(?:[^'\\]|\\.|'')*')
    | (?P<plain>(?<![\w&])'(?:[^']|'')*')
    | '(?:[^']|'')*'
    | "(?:[^"]|"")*"
    | (?P<tag>\$(?:[^\W\d]\w*)?\$)(?P<inner>.*?)(?P=tag)
    | [^\W\d][\w$]*
    """,
    re.VERBOSE | re.DOTALL,
)
"""Comments, strings and names; what is between them means nothing here."""


def bare(query: str) -> str:
    """
    A query without what ends a statement: blanks, semicolons and comments at its end.

    A script puts a semicolon behind it, which a comment would swallow.
    """
    query = query.strip().rstrip(";").rstrip()
    while comment := _comment_at_end(query):
        query = query[: comment.start()].rstrip().rstrip(";").rstrip()
    return query


def _comment_at_end(query: str) -> re.Match[str] | None:
    if "--" not in query and "*/" not in query:
        return None
    found = (piece for piece in PIECES.finditer(query) if piece["comment"] is not None)
    return next((piece for piece in found if piece.end() == len(query)), None)


def untabbed(text: str) -> str:
    """
    The same SQL with the tabs of its strings as escapes: Alembic's script mode writes spaces.
    """
    return PIECES.sub(_escaped, text) if "\t" in text else text


def _escaped(piece: re.Match[str]) -> str:
    if "\t" not in piece[0]:
        return piece[0]
    if piece["escaped"] is not None:
        return piece[0].replace("\t", "\\t")
    if piece["plain"] is not None:
        return sql.literal(piece[0][1:-1].replace("''", "'"))
    if piece["tag"] is not None:
        return sql.literal(piece["inner"])
    return piece[0]
