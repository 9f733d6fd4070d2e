"""
The types of what encrypted columns are compared with: they take values and give tags.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy.types import UserDefinedType

from pgultra import sql
from pgultra.errors import PgultraError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pgultra.features.encryption.model import Encrypted

__all__ = ["TagOf", "TagsOf", "printer", "tag_type"]


def printer(process: Callable[[Any], bytes | None]) -> Callable[[Any], str]:
    """
    A literal processor that prints what a bind processor gives.

    It never raises: SQLAlchemy would put the plaintext into the message. What cannot be
    printed becomes a call that fails, and that says why.
    """

    def literal(value: Any) -> str:
        try:
            given = process(value)
        except PgultraError as error:
            return f"pgultra_cannot_print({sql.literal(str(error))})"
        return "NULL" if given is None else f"'\\x{given.hex()}'::bytea"

    return literal


class TagOf(UserDefinedType[Any]):
    """
    The type of what a tag is compared with: takes the value, gives the tag.

    Args:
        of: the encrypted column's type.
        key: number of the index key.
    """

    cache_ok = True

    def __init__(self, of: Encrypted, key: int) -> None:
        self.of = of
        self.key = key

    def get_col_spec(self, **_options: Any) -> str:
        """
        ``BYTEA``.
        """
        return "BYTEA"

    def bind_processor(self, dialect: object) -> Callable[[Any], bytes | None]:
        """
        The tag is made when the statement runs.
        """
        of, key = self.of, self.key

        def process(value: Any) -> bytes | None:
            return None if value is None else of.guarded(lambda v: of.tagger.tag(v, key), value)

        return process

    def literal_processor(self, dialect: object) -> Callable[[Any], str]:
        """
        Printed statements hold the tag, not the value.
        """
        return printer(self.bind_processor(dialect))

    def __repr__(self) -> str:
        return f"TagOf({self.of!r}, {self.key})"


class TagsOf(UserDefinedType[Any]):
    """
    The type of an array that tags are looked for in: all tags of one value or of several.

    Args:
        of: the encrypted column's type.
        keys: numbers of the index keys.
        several: whether it takes a list of values.
    """

    cache_ok = True

    def __init__(self, of: Encrypted, keys: tuple[int, ...], several: bool) -> None:
        self.of = of
        self.keys = keys
        self.several = several

    def get_col_spec(self, **_options: Any) -> str:
        """
        ``BYTEA[]``.
        """
        return "BYTEA[]"

    def bind_processor(self, dialect: object) -> Callable[[Any], list[bytes | None]]:
        """
        The tags are made when the statement runs.
        """
        ones = [TagOf(self.of, key).bind_processor(dialect) for key in self.keys]
        several = self.several

        def process(value: Any) -> list[bytes | None]:
            values = value if several else (value,)
            return [one(each) for one in ones for each in values]

        return process

    def literal_processor(self, dialect: object) -> Callable[[Any], str]:
        """
        Printed statements hold the tags, not the values.
        """
        ones = [TagOf(self.of, key).literal_processor(dialect) for key in self.keys]

        def literal(value: Any) -> str:
            values = value if self.several else (value,)
            return f"ARRAY[{', '.join(one(each) for one in ones for each in values)}]::bytea[]"

        return literal

    def __repr__(self) -> str:
        return f"TagsOf({self.of!r}, {self.keys})"


def tag_type(of: Encrypted, keys: tuple[int, ...], several: bool) -> TagOf | TagsOf:
    """
    The type of a parameter: one tag where that is enough, else an array.
    """
    return TagOf(of, *keys) if len(keys) == 1 and not several else TagsOf(of, keys, several)
