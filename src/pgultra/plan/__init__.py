"""
The verbs: from models to a plan, and from a plan to a database.

::

    models ──declare──▶ MetaData.info ──collect──▶ State (desired) ─┐
                                                                    ├─compare──▶ Plan ──▶ doors
    PostgreSQL ───────────────────────read──────▶ State (actual) ───┘

Data flows from left to right, once.
"""

from __future__ import annotations

from pgultra.plan import emit
from pgultra.plan.apply import apply, sorted_plan
from pgultra.plan.check import check
from pgultra.plan.collect import collect
from pgultra.plan.compare import Plan, Step, compare
from pgultra.plan.declare import (
    Declaration,
    application_of,
    declarations,
    declare,
    facts_of,
    function_name,
)
from pgultra.plan.facts import Facts, Live
from pgultra.plan.read import read, scope_of
from pgultra.plan.state import State

__all__ = [
    "Declaration",
    "Facts",
    "Live",
    "Plan",
    "State",
    "Step",
    "application_of",
    "apply",
    "check",
    "collect",
    "compare",
    "declarations",
    "declare",
    "facts_of",
    "function_name",
    "read",
    "scope_of",
    "sorted_plan",
]

emit.listen()
