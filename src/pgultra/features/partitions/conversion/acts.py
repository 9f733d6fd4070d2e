"""
What a conversion does, as data: steps of statements, each with the lock that it takes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Act", "Step"]


@dataclass(frozen=True)
class Act:
    """
    One statement.

    Attributes:
        text: the SQL.
        lock: what it locks in the eyes of others, and how; empty if nothing.

    >>> print(Act("CREATE TABLE a ()"))
    CREATE TABLE a ();
    """

    text: str
    lock: str = ""

    def __str__(self) -> str:
        remark = f"  -- {self.lock}" if self.lock else ""
        return (
            f"{self.text};{remark}" if "\n" not in self.text else f"{remark}\n{self.text};".lstrip()
        )


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
