"""
EXPLAIN ANALYZE around a statement: the plan's performance tests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.expression import ClauseElement, Executable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.orm import Session


class Explain(Executable, ClauseElement):
    """
    A statement's plan, as JSON.
    """

    inherit_cache = False

    def __init__(self, statement: Any) -> None:
        self.statement = statement


@compiles(Explain)
def _explain(element: Explain, compiler: Any, **options: Any) -> str:
    inner = compiler.process(element.statement, **options)
    return f"EXPLAIN (ANALYZE, FORMAT json) {inner}"


def indexes_used(session: Session, statement: Any) -> set[str]:
    """
    The indexes that a statement reads when its table is too big to be read, or sorted, whole.
    """
    switch(session, "off")
    (plan,) = session.execute(Explain(statement)).scalar_one()
    switch(session, "on")
    return set(names(plan["Plan"]))


def switch(session: Session, to: str) -> None:
    """
    Make PostgreSQL think that 97 rows are many.
    """
    for setting in ("enable_seqscan", "enable_sort"):
        session.execute(select(func.set_config(setting, to, True)))


def names(node: dict[str, Any]) -> Iterator[str]:
    """
    The indexes of a plan that were read, and not only planned for.
    """
    if "Index Name" in node and node["Actual Loops"]:
        yield node["Index Name"]
    for each in node.get("Plans", ()):
        yield from names(each)
