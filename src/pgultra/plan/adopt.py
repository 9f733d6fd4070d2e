"""
Taking over what exists: an ownership mark on objects that pgultra did not make.

An adopted object is only commented on; nothing about it changes. What is equal to its
declaration is then in order; what differs is drift, which the next migration repairs.
"""

from __future__ import annotations

import dataclasses
import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy.exc import DBAPIError

from pgultra import sql
from pgultra.errors import DeclarationError
from pgultra.objects import Mark
from pgultra.plan.check import check

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from sqlalchemy import Connection, MetaData

    from pgultra.objects import DatabaseObject, Identity
    from pgultra.plan.canonical import Comparable

__all__ = ["Verdict", "adopt", "judge"]

MARKED, HANDED_OVER, OURS, REFUSED = "marked", "handed over", "ours already", "refused"


@dataclass(frozen=True)
class Verdict:
    """
    What becomes of one declared object.

    Attributes:
        identity: whose verdict it is.
        outcome: ``marked`` (it is equal), ``handed over`` (it differs, and is marked all the
            same), ``ours already`` or ``refused``.
        reason: why, where that is not plain.
        statements: the comment that makes it ours.
    """

    identity: Identity
    outcome: str
    reason: str = ""
    statements: tuple[str, ...] = ()

    @property
    def adopted(self) -> bool:
        """
        Whether the object is ours from now on.
        """
        return bool(self.statements)

    def __str__(self) -> str:
        return f"{self.outcome}: {self.identity}" + (f" ({self.reason})" if self.reason else "")


def judge(
    sides: Comparable, names: Collection[str] | None = None, *, different: bool = False
) -> tuple[Verdict, ...]:
    """
    Decide for each declared object that exists whether it can be taken over.

    Args:
        sides: both sides, in the same spelling.
        names: only these: ``article_live``, ``shop.article_live``, ``touch()``, or as
            ``check`` prints it, ``view article_live``; None is all.
        different: hand over what differs from its declaration, too.

    Returns:
        a verdict for each that was named; without names, for each that is unmarked.

    Raises:
        DeclarationError: nothing of that name is declared.
    """
    wanted = None if names is None else _named(sides, names)
    verdicts = []
    for identity, new in sides.desired.items():
        if wanted is not None and identity not in wanted:
            continue
        verdict = _verdict(new, sides.actual.get(identity), different=different)
        if wanted is not None or verdict.outcome != OURS:
            verdicts.append(verdict)
    if wanted is None:
        verdicts = [v for v in verdicts if v.identity in sides.actual]
    return tuple(verdicts)


def adopt(
    connection: Connection,
    metadata: MetaData | Sequence[MetaData],
    names: Collection[str] | None = None,
    *,
    different: bool = False,
    dry_run: bool = False,
) -> tuple[Verdict, ...]:
    """
    Mark what exists and was declared, inside the caller's transaction.

    Args:
        connection: whose transaction is used; it is not committed here.
        metadata: whose declarations are meant.
        names: as in ``judge``.
        different: as in ``judge``.
        dry_run: decide, and change nothing.

    Returns:
        what was done, and what was refused and why. What the database refused, because the
        object belongs to another role, is among the refused.
    """
    sides = check(connection, metadata).sides
    assert sides is not None  # check compared
    verdicts = judge(sides, names, different=different)
    return verdicts if dry_run else tuple(_done(verdict, connection) for verdict in verdicts)


def _verdict(new: DatabaseObject, old: DatabaseObject | None, *, different: bool) -> Verdict:
    identity = new.identity
    if not new.remark():
        return Verdict(identity, OURS, "it bears no mark, whoever made it")
    if old is None:
        return Verdict(identity, REFUSED, "it does not exist yet: the next migration makes it")
    if old.mark is not None and new.mark is not None:
        if old.mark.application == new.mark.application:
            return Verdict(identity, OURS)
        return Verdict(
            identity,
            REFUSED,
            f"it belongs to the application {old.mark.application!r}; if that one has given it up, "
            "take the last line off its comment and adopt it again",
        )
    if new.same_as(old):
        marked = dataclasses.replace(new, comment=old.comment)
        return Verdict(identity, MARKED, statements=marked.remark())
    fields = ", ".join(new.differing(old))
    if not different:
        return Verdict(
            identity,
            REFUSED,
            f"it differs from what is declared, in {fields}; --different hands it over, and the "
            "next migration replaces it",
        )
    # Without a fingerprint: that would say it was built from the declared text.
    mark = new.mark and Mark(new.mark.application, new.mark.room)
    handed = dataclasses.replace(old, mark=mark)
    return Verdict(
        identity,
        HANDED_OVER,
        f"it differs in {fields}: the next migration replaces it",
        handed.remark(),
    )


def _done(verdict: Verdict, connection: Connection) -> Verdict:
    if not verdict.adopted:
        return verdict
    try:
        with connection.begin_nested():
            for text in verdict.statements:
                connection.execute(sql.statement(text))
    except DBAPIError as error:
        reason = str(error.orig).strip().partition("\n")[0]
        return Verdict(verdict.identity, REFUSED, f"PostgreSQL says: {reason}")
    return verdict


def _named(sides: Comparable, names: Collection[str]) -> set[Identity]:
    known: dict[str, set[Identity]] = {}
    for identity in sides.desired:
        for spelling in _spellings(identity):
            known.setdefault(spelling, set()).add(identity)
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=3)
            raise DeclarationError(
                f"nothing named {name!r} is declared"
                + (f"; did you mean {' or '.join(close)}?" if close else "")
            )
    return {identity for name in names for identity in known[name]}


def _spellings(identity: Identity) -> Iterator[str]:
    yield str(identity)
    yield str(identity).partition(" ")[2]
    for name in dict.fromkeys((identity.name, identity.name.partition("(")[0])):
        yield name
        if identity.schema is not None:
            yield f"{identity.schema}.{name}"
