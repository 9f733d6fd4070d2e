"""
What a conversion does, as data: steps of statements, each with the lock that it takes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pgultra.features.partitions.conversion.locks import lock_of

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Act", "Step"]


@dataclass(frozen=True)
class Act:
    """
    One statement.

    Attributes:
        text: the SQL.

    >>> print(Act("CREATE TRIGGER a AFTER UPDATE ON b EXECUTE FUNCTION c()"))
    -- SHARE ROW EXCLUSIVE
    CREATE TRIGGER a AFTER UPDATE ON b EXECUTE FUNCTION c();
    """

    text: str

    @property
    def lock(self) -> str:
        """
        What it locks.
        """
        return lock_of(self.text)

    def __str__(self) -> str:
        remark = "" if self.lock == "none" else f"-- {self.lock}\n"
        return f"{remark}{self.text};"


@dataclass(frozen=True)
class Step:
    """
    Statements that belong together.

    Attributes:
        name: the word that the journal keeps.
        what: what it does, in a sentence.
        acts: its statements.
        how: in how many transactions: ``one``, ``each`` (one for each statement), ``pages``
            (one for each page of rows), ``none`` (outside of any).
    """

    name: str
    what: str
    acts: tuple[Act, ...] = ()
    how: str = "one"
    notes: tuple[str, ...] = field(default=())

    def lines(self) -> Iterator[str]:
        """
        The step as text that a shell of SQL would take.
        """
        yield f"-- {self.name}: {self.what}"
        for note in self.notes:
            yield f"--   {note}"
        if self.how == "one":
            yield "BEGIN;"
        yield from (str(act) for act in self.acts)
        if self.how == "one":
            yield "COMMIT;"
