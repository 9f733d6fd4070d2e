"""
The bytes of a sealed value, and the SQL that reads its open part.

::

    offset  size     what
    0       1        version, 1
    1       1        algorithm (low four bits) and flags (high four bits)
    2       4        id of the data key, big endian
    6       1        blind-index tags: 0x00 none, 0x40 + n one of n bytes, 0x80 + n two of n bytes
    7       t(4+n)   for each tag: id of the index key, big endian, then the tag
    …       12       nonce
    …       rest     ciphertext, the last 16 bytes of which authenticate everything before,
                     the column's id and the declared context

Written down with test vectors in ``docs/reference/encryption.md``.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    LargeBinary,
    case,
    func,
    literal_column,
    null,
    type_coerce,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.elements import Grouping
from sqlalchemy.sql.visitors import InternalTraversal

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["ALGORITHMS", "Header", "associated", "key_expression", "tag_expression"]

VERSION = 1
ALGORITHMS = {"AES-256-GCM": 1, "AES-256-GCM-SIV": 2}
PADDED = 0x10
"""Flag: the plaintext ends with 0x80 and zeros."""
SUBJECT = 0x20
"""Flag: the data key is mixed with a subject's key, which may have been destroyed."""
FLAGS = PADDED | SUBJECT
FIXED = 7
"""Bytes before the tags."""
NONCE = 12
SEAL = 16
TAG = 16
"""Bytes of a whole tag: HMAC-SHA-256, cut to 128 bits."""

_HEAD = struct.Struct(">BBIB")
_KEY = struct.Struct(">I")
_SHORT = struct.Struct(">H")
_LENGTH = struct.Struct(">i")
_COUNTS = {0x00: 0, 0x40: 1, 0x80: 2}


@dataclass(frozen=True, slots=True)
class Header:
    """
    The open part of a sealed value.

    Attributes:
        algorithm: a number of ``ALGORITHMS``.
        flags: ``PADDED`` and ``SUBJECT``.
        key: id of the data key.
        tags: pairs of the index key's id and the tag, none to two.

    >>> Header(1, 0, 7, ((1, b"0123456789abcdef"),)).pack().hex()
    '010100000007500000000130313233343536373839616263646566'
    >>> Header.parse(Header(1, 0, 7).pack() + bytes(28))
    Header(algorithm=1, flags=0, key=7, tags=())
    """

    algorithm: int
    flags: int
    key: int
    tags: tuple[tuple[int, bytes], ...] = ()

    def pack(self) -> bytes:
        """
        The header as bytes.
        """
        size = len(self.tags[0][1]) if self.tags else 0
        shape = (len(self.tags) << 6) | size
        head = _HEAD.pack(VERSION, self.algorithm | self.flags, self.key, shape)
        return head + b"".join(_KEY.pack(key) + tag for key, tag in self.tags)

    @property
    def size(self) -> int:
        """
        How many bytes it takes.
        """
        return FIXED + sum(4 + len(tag) for _, tag in self.tags)

    @classmethod
    def parse(cls, sealed: bytes) -> Header:
        """
        Read the header of a sealed value.

        Raises:
            ValueError: these bytes are not a sealed value of a known version.
        """
        if len(sealed) < FIXED + NONCE + SEAL:
            raise ValueError("too short")
        version, algorithm, key, shape = _HEAD.unpack_from(sealed)
        count, size = _COUNTS.get(shape & 0xC0), shape & 0x3F
        kind, flags = algorithm & 0x0F, algorithm & 0xF0
        if version != VERSION or kind not in ALGORITHMS.values() or flags & ~FLAGS:
            raise ValueError("unknown version or algorithm")
        if count is None or (count == 0) != (size == 0):
            raise ValueError("unknown shape of tags")
        if len(sealed) < FIXED + count * (4 + size) + NONCE + SEAL:
            raise ValueError("too short")
        tags = []
        for start in range(FIXED, FIXED + count * (4 + size), 4 + size):
            (tag_key,) = _KEY.unpack_from(sealed, start)
            tags.append((tag_key, bytes(sealed[start + 4 : start + 4 + size])))
        return cls(kind, flags, key, tuple(tags))


def associated(column: str, context: Sequence[bytes | None] = ()) -> bytes:
    """
    What is authenticated besides the header: the column's id and the context.

    The id with its length in two bytes, the number of context parts in one, then each part
    as ``part`` writes it.

    >>> associated("a.b", [b"7", None]).hex()
    '0003612e62020000000137ffffffff'
    """
    raw = column.encode()
    return b"".join([_SHORT.pack(len(raw)), raw, bytes([len(context)]), *map(part, context)])


def part(value: bytes | None) -> bytes:
    """
    One part of a context: its length in four bytes and itself; -1 for NULL.
    """
    return _LENGTH.pack(-1) if value is None else _LENGTH.pack(len(value)) + value


def split_parts(packed: bytes, count: int) -> int:
    """
    Find where ``count`` parts of a context end.

    Raises:
        ValueError: they do not fit.
    """
    end = 1
    for _ in range(count):
        if end + 4 > len(packed):
            raise ValueError("context cut short")
        (length,) = _LENGTH.unpack_from(packed, end)
        end += 4 + max(length, 0)
    if end > len(packed):
        raise ValueError("context cut short")
    return end


def _piece(column: Any, start: int, length: int) -> ColumnElement[bytes]:  # any expression
    return func.substr(
        column, literal_column(str(start)), literal_column(str(length)), type_=LargeBinary
    )


def _constants(values: Iterable[bytes]) -> list[ColumnElement[bytes]]:
    return [literal_column(f"'\\x{value.hex()}'::bytea", LargeBinary) for value in values]


def key_expression(column: Any) -> ColumnElement[bytes]:  # any expression of bytea
    """
    The id of the data key, as four bytes of the stored value.

    >>> from sqlalchemy import column
    >>> print(key_expression(column("email")))
    substr(email, 3, 4)
    """
    return _piece(type_coerce(column, LargeBinary), 3, 4)


def shape_expression(column: Any) -> ColumnElement[bytes]:  # any expression of bytea
    """
    The byte of the header that says how many tags there are, and how long.
    """
    return _piece(type_coerce(column, LargeBinary), FIXED, 1)


def key_bytes(key: int) -> bytes:
    """
    A key's id as it stands in the header.
    """
    return _KEY.pack(key)


def tag_expression(column: Any, key: int, size: int = TAG) -> ColumnElement[bytes]:
    """
    The tag that an index key made, wherever it stands in the stored value; else NULL.
    """
    return _Tag(column, f"{key}:{size}")


class _Tag(ColumnElement[bytes]):
    """
    One small element for a long expression, so that statements are built and cached quickly.
    """

    __visit_name__ = "pgultra_tag"
    inherit_cache = True
    type = LargeBinary()
    _traverse_internals = [  # noqa: RUF012  # as SQLAlchemy's own elements have it
        ("column", InternalTraversal.dp_clauseelement),
        ("which", InternalTraversal.dp_string),
    ]

    def __init__(self, column: Any, which: str) -> None:  # any expression of bytea
        self.column = column
        self.which = which
        self._propagate_attrs = column._propagate_attrs

    @property
    def _from_objects(self) -> Any:  # what a query must select from
        return self.column._from_objects

    def self_group(self, against: Any = None) -> Any:
        """
        In parentheses where it stands alone: CREATE INDEX takes an expression so.
        """
        return self if against is not None else Grouping(self)


@compiles(_Tag)
def _compile_tag(element: _Tag, compiler: Any, **options: Any) -> str:
    key, _, size = element.which.partition(":")
    if isinstance(element.column, BindParameter):
        return str(compiler.process(_tag_of_value(element.column, int(key)), **options))
    within = {"include_table": options["include_table"]} if "include_table" in options else {}
    text = str(compiler.process(_long_form(element.column, int(key), int(size)), **within))
    # In the target of ON CONFLICT, where alone schemas are left out, an expression needs them.
    return f"({text})" if options.get("use_schema") is False else text


def _tag_of_value(value: BindParameter[Any], key: int) -> BindParameter[Any]:
    """
    A lazy load puts the parent's value in the place of its column: its tag is made here.
    """
    of: Any = value.type
    twin: BindParameter[Any] = value._clone(maintain_key=True)
    twin.type = of.tag_type((key,))
    return twin


def _long_form(column: Any, key: int, size: int) -> ColumnElement[bytes]:
    """
    Write out constants, since an index serves only the very expression it was made of.
    """
    stored = type_coerce(column, LargeBinary)
    one, two = 0x40 | size, 0x80 | size
    first = [bytes([shape]) + _KEY.pack(key) for shape in (one, two)]
    second = FIXED + 4 + size
    return case(
        (_piece(stored, FIXED, 5).in_(_constants(first)), _piece(stored, FIXED + 5, size)),
        (
            (_piece(stored, FIXED, 1) == _constants([bytes([two])])[0])
            & (_piece(stored, second + 1, 4) == _constants([_KEY.pack(key)])[0]),
            _piece(stored, second + 5, size),
        ),
        else_=null(),
    ).self_group()
