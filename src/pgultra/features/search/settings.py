"""
What the text of a value depends on besides the value: settings of who writes.

A date is 2024-01-31 in one session and 31.01.2024 in another; so the function that keeps a
vector says which it is.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sqlalchemy import Cast, Column
from sqlalchemy.sql.visitors import iterate
from sqlalchemy.types import NullType

from pgultra import sql

if TYPE_CHECKING:
    from sqlalchemy import ClauseElement
    from sqlalchemy.types import TypeEngine

__all__ = ["Settings", "base_of", "is_equal_as_text", "settings_of", "settings_within"]

Settings = tuple[tuple[str, str], ...]

DATES = ("DateStyle", "'ISO, YMD'")
ZONE = ("TimeZone", "'UTC'")
DIGITS = ("extra_float_digits", "'1'")
DEPENDS: dict[str, Settings] = {
    "DATE": (DATES,),
    "DATERANGE": (DATES,),
    "DATEMULTIRANGE": (DATES,),
    "TIMESTAMP": (DATES, ZONE),
    "TSRANGE": (DATES,),
    "TSMULTIRANGE": (DATES,),
    "TSTZRANGE": (DATES, ZONE),
    "TSTZMULTIRANGE": (DATES, ZONE),
    "INTERVAL": (("IntervalStyle", "'postgres'"),),
    "FLOAT": (DIGITS,),
    "REAL": (DIGITS,),
    "DOUBLE": (DIGITS,),
    "BYTEA": (("bytea_output", "'hex'"),),
}
UNLIKE = {"CITEXT", "INTERVAL", "JSON", "NUMERIC", "XML"}
"""Types of which equal values have several texts, or that have no equality."""


def base_of(type_: TypeEngine[object]) -> str:
    """
    The name of a type without length, zone and the brackets of an array.

    >>> from sqlalchemy import ARRAY, String
    >>> base_of(ARRAY(String(20)))
    'VARCHAR'
    """
    return re.split(r"[(\[\s]", type_.compile(dialect=sql.dialect()), maxsplit=1)[0].upper()


def is_equal_as_text(type_: TypeEngine[object]) -> bool:
    """
    Whether equal values have the same text; 1.0 and 1.00 have not, and json has no equality.
    """
    return base_of(type_) not in UNLIKE


def settings_of(type_: TypeEngine[object]) -> Settings:
    """
    The settings that texts of a type depend on, with the values that vectors are made with.
    """
    return DEPENDS.get(base_of(type_), ())


def settings_within(expression: ClauseElement) -> Settings:
    """
    Those of all columns and casts that an expression is made of.
    """
    pieces = (each.type for each in iterate(expression) if isinstance(each, Column | Cast))
    types = (each for each in pieces if not isinstance(each, NullType))
    return tuple(dict.fromkeys(pair for each in types for pair in settings_of(each)))
