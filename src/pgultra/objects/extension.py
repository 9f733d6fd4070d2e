"""
The noun Extension: created where allowed, never dropped.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from sqlalchemy.util import memoized_property

from pgultra import sql
from pgultra.objects._base import DatabaseObject, Identity, Phase, Scope
from pgultra.objects._catalog import rows

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection

__all__ = ["Advised", "Extension"]

READ = """
SELECT extname FROM pg_catalog.pg_extension WHERE extname = ANY (:names) ORDER BY extname
"""


@dataclass(frozen=True, kw_only=True)
class Advised:
    """
    The version of an extension from which on an object is sound.

    Attributes:
        extension: its name.
        version: the first good one, such as ``0.8.4``.
        reason: what is wrong with older ones, and what to do about it.
    """

    extension: str
    version: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Extension(DatabaseObject):
    """
    An extension that the models need.

    It is shared by everybody in the database, so it bears no mark, an existing one is
    taken as it is (whatever its schema), and it is never dropped: ``DROP EXTENSION``
    would take columns and indexes of others with it.

    >>> Extension(name="pg_trgm").create()
    ('CREATE EXTENSION IF NOT EXISTS pg_trgm',)
    """

    kind: ClassVar[str] = "extension"
    phase: ClassVar[Phase] = Phase.BEFORE_TABLES
    dropped: ClassVar[bool] = False

    name: str

    @memoized_property
    def identity(self) -> Identity:
        """
        An extension's name is unique in its database.
        """
        return Identity("extension", None, self.name)

    def create(self) -> tuple[str, ...]:
        """
        ``CREATE EXTENSION IF NOT EXISTS``, in its schema if one is declared.
        """
        place = f" SCHEMA {sql.identifier(self.schema)}" if self.schema else ""
        return (f"CREATE EXTENSION IF NOT EXISTS {sql.identifier(self.name)}{place}",)

    def drop(self) -> tuple[str, ...]:
        """
        Nothing: extensions are never dropped.
        """
        return ()

    def remark(self) -> tuple[str, ...]:
        """
        Nothing: an extension's comment is its own.
        """
        return ()

    def same_as(self, other: DatabaseObject) -> bool:
        """
        It exists: that is all that is asked.
        """
        return isinstance(other, Extension) and other.name == self.name

    @classmethod
    def read(cls, connection: Connection, scope: Scope) -> Iterable[Extension]:
        """
        The wanted extensions that are installed.
        """
        names = [identity.name for identity in scope.of_kind("extension")]
        if names:
            for row in rows(connection, READ, names=names):
                yield cls(name=row.extname)
