"""
The exceptions and warnings of pgultra.

::

    PgultraError
    ├── DeclarationError       (also ValueError) a model says something that cannot be
    ├── ConflictingObjects     the database holds something that is not ours to change
    ├── MissingExtension       the role may not create an extension, or the server lacks it
    ├── UnsupportedServer      the server is too old
    ├── RestoreConflict        live rows took the place of what was to be restored
    ├── EncryptionError        a value cannot be sealed, or an encrypted column not be asked so
    ├── DecryptionError        a sealed value does not open (says nothing about why)
    └── DriftError             the database differs from the models (carries the plan)

    PgultraWarning             (UserWarning) works, but not as one may expect

Each message says what happened, on which class, table or option, and what to do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import DontWrapMixin

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.exc import DBAPIError

    from pgultra.plan.compare import Plan

__all__ = [
    "ConflictingObjects",
    "DeclarationError",
    "DecryptionError",
    "DriftError",
    "EncryptionError",
    "MissingExtension",
    "PgultraError",
    "PgultraWarning",
    "RestoreConflict",
    "UnsupportedServer",
    "sqlstate_of",
]


class PgultraError(Exception):
    """
    The root of the tree: catch it to catch everything that pgultra raises.
    """


class DeclarationError(PgultraError, ValueError):
    """
    A declaration that cannot be honoured; raised at mapping time where possible.
    """


class ConflictingObjects(PgultraError):
    """
    Objects in the database bear a desired name but are not ours to replace.

    Attributes:
        conflicts: one sentence for each object.
    """

    def __init__(self, conflicts: Sequence[str]) -> None:
        self.conflicts = tuple(conflicts)
        lines = "\n".join(f"  - {conflict}" for conflict in self.conflicts)
        if self.conflicts and all(getattr(each, "refused", False) for each in self.conflicts):
            super().__init__(
                f"what the models declare cannot be made of what the database holds:\n{lines}\n"
                "Nothing was changed."
            )
            return
        super().__init__(
            "the database holds objects that pgultra did not make and that differ "
            f"from what the models declare:\n{lines}\n"
            "Nothing was changed. Rename the declared object, or hand the existing one "
            "over with `pgultra adopt --different PATH NAME`, which marks it as yours so that the "
            "next migration may replace it."
        )

    def __reduce__(self) -> Any:  # what pickle asks for
        return type(self), (self.conflicts,)


class MissingExtension(PgultraError):
    """
    An extension is not installed and this role may not create it.

    Attributes:
        extension: its name, as in ``CREATE EXTENSION``.
    """

    def __init__(self, extension: str, message: str) -> None:
        self.extension = extension
        super().__init__(message)

    def __reduce__(self) -> Any:  # what pickle asks for
        return type(self), (self.extension, str(self))


class UnsupportedServer(PgultraError):
    """
    The server is older than what is asked of it; the message names both versions.
    """


class RestoreConflict(PgultraError):
    """
    A restore would collide with rows that are live now; nothing was changed.

    Attributes:
        conflicts: one sentence for each row and the rule that it would break.
    """

    def __init__(self, conflicts: Sequence[str]) -> None:
        self.conflicts = tuple(conflicts)
        lines = "\n".join(f"  - {conflict}" for conflict in self.conflicts)
        super().__init__(f"the deletion cannot be restored as it was:\n{lines}")

    def __reduce__(self) -> Any:  # what pickle asks for
        return type(self), (self.conflicts,)


class EncryptionError(PgultraError, DontWrapMixin):
    """
    A value cannot be sealed, or an encrypted column cannot be asked in this way.

    SQLAlchemy does not wrap it, since its wrapper would print the statement's parameters.
    """


class DecryptionError(PgultraError, DontWrapMixin):
    """
    A sealed value does not open: wrong key, other row or column, cut, changed. Not said which.

    Attributes:
        table, column: where it was read.
        key_id: the key that its header names; None if there is no header.
    """

    def __init__(self, table: str, column: str, key_id: int | None) -> None:
        self.table = table
        self.column = column
        self.key_id = key_id
        key = "no known key" if key_id is None else f"key {key_id}"
        super().__init__(f"a value of {table}.{column} ({key}) cannot be decrypted")

    def __reduce__(self) -> Any:  # what pickle asks for
        return type(self), (self.table, self.column, self.key_id)


class DriftError(PgultraError, AssertionError):
    """
    The database differs from what the models declare.

    Attributes:
        plan: the steps that would bring the database back.
    """

    def __init__(self, plan: Plan, message: str) -> None:
        self.plan = plan
        super().__init__(message)

    def __reduce__(self) -> Any:  # what pickle asks for
        return type(self), (self.plan, str(self))


class PgultraWarning(UserWarning):
    """
    Something works, but perhaps not as expected; the message names the way out.
    """


def sqlstate_of(error: DBAPIError) -> str | None:
    """
    The SQLSTATE of what the server said, whatever the driver.
    """
    for name in ("sqlstate", "pgcode"):
        state = getattr(error.orig, name, None)
        if state is not None:
            return str(state)
    return None
