"""
Texts that stand in a statement themselves, so that PostgreSQL sees them when it plans.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import ColumnElement, Text, TypeDecorator, bindparam, literal_column

from pgultra import sql

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.engine import Dialect

__all__ = ["bound", "constant", "quoted"]


def quoted(text: str, *, doubled: bool = False) -> str:
    r"""
    A text as a string constant for any setting, in which nothing looks like a parameter.

    SQLAlchemy 2.0 takes ``%(a)s`` for one wherever it stands, if the driver numbers them; so
    it is written in two pieces, which PostgreSQL puts together.

    Args:
        text: the text.
        doubled: whether somebody else doubles backslashes afterwards.

    >>> quoted("50 %(a)s")
    "'50 %'\n'(a)s'"
    """
    mark = "E'" if "\\" in text else "'"
    if not doubled:
        text = text.replace("\\", "\\\\")
    return mark + text.replace("'", "''").replace("%(", "%'\n'(") + "'"


def constant(text: str) -> ColumnElement[str]:
    """
    A text as a literal, which PostgreSQL can fold.
    """
    return literal_column(sql.literal(text), Text())


class Constant(TypeDecorator[str]):
    """
    A text that is written into the statement when it is sent, quoted for any setting.

    PostgreSQL estimates how many rows a constant matches. For a parameter it guesses, and a
    plan made for a rare word takes thirty times as long for a frequent one.

    A decorator, since drivers put a type of their own in the place of any other text, and that
    one quotes for ``standard_conforming_strings`` alone.
    """

    impl = Text
    cache_ok = True

    def literal_processor(self, dialect: Dialect) -> Callable[[str], str]:
        """
        Quote, and double what the driver would take for a placeholder.
        """
        percents = getattr(dialect.identifier_preparer, "_double_percents", False)

        def written(value: str) -> str:
            # Known once the dialect has a connection; its compiler doubles them then.
            doubled = getattr(dialect, "_backslash_escapes", False)
            text = quoted(value, doubled=doubled)
            return text.replace("%", "%%") if percents else text

        return written


CONSTANT = Constant()


def bound(text: str) -> ColumnElement[str]:
    """
    A text that a user typed, as a constant.
    """
    return bindparam(None, text, type_=CONSTANT, literal_execute=True)
