"""
The comparator that Alembic calls last, and the operation that it adds to the list.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from alembic.autogenerate import comparators, renderers
from alembic.operations import MigrateOperation, Operations, ops
from alembic.util import DispatchPriority, PriorityDispatchResult
from sqlalchemy import MetaData

from pgultra import sql
from pgultra.errors import ConflictingObjects
from pgultra.integrations.alembic import filters, operations, partitions
from pgultra.objects import Index
from pgultra.plan.check import beside, check
from pgultra.plan.compare import Conflict, Step
from pgultra.plan.declare import application_of, is_declared
from pgultra.plan.order import acts_of, ordered
from pgultra.plan.read import home_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alembic.autogenerate.api import AutogenContext
    from alembic.operations.ops import UpgradeOps

    from pgultra.objects import Identity
    from pgultra.plan.read import Home

__all__ = ["StepOp"]


class StepOp(MigrateOperation):
    """
    One step of a plan as an Alembic operation.
    """

    def __init__(self, step: Step) -> None:
        self.step = step

    def reverse(self) -> StepOp:
        """
        The operation that takes it back.
        """
        return StepOp(self.step.reverse())

    def to_diff_tuple(self) -> tuple[str, str]:
        """
        What ``alembic check`` prints.
        """
        return (f"pgultra_{self.step.verb}", str(self.step.identity))

    @property
    def concurrently(self) -> bool:
        """
        Whether it must run outside a transaction.
        """
        subject = self.step.subject
        return isinstance(subject, Index) and subject.concurrently and not self.step.only_marks


@Operations.implementation_for(StepOp)
def _run(alembic: Operations, operation: StepOp) -> None:
    for text in operation.step.statements():
        alembic.execute(sql.statement(text))


_RESUMING = (
    "# Outside the transaction: what stands above is committed first. If the build breaks off,",
    "# run `alembic stamp` with this revision and autogenerate again: that finishes the rest.",
)


@renderers.dispatch_for(StepOp)
def _render(context: AutogenContext, operation: StepOp) -> list[str]:
    """
    The statements as Python text, a string constant for each line of SQL.
    """
    alembic: Any = context.opts["alembic_module_prefix"]
    sqlalchemy: Any = context.opts["sqlalchemy_module_prefix"]
    step = operation.step
    lines = [f"# {step.verb} {step.identity}".replace("\n", " ").replace("\r", " ")]
    lines += [f"# {line}" for line in (step.advice or "").splitlines()]
    if operation.concurrently:
        lines += _RESUMING
        lines.append(f"with {alembic}get_context().autocommit_block():")
    for text in step.statements():
        pieces = text.replace("%", "%%").splitlines(keepends=True)
        if len(pieces) == 1:
            constant = repr(pieces[0])
        else:
            constant = "\n" + "\n".join(f"    {piece!r}" for piece in pieces) + "\n"
        lines.append(f"{alembic}execute({sqlalchemy}DDL({constant}))")
    if operation.concurrently:
        lines.append("")
    if not step.statements():  # an extension is not dropped, and a function needs a body
        lines.append("pass")
    return lines


def _insist_on_one_place(upgrade: UpgradeOps, several: Sequence[MetaData], home: Home) -> None:
    """
    Make no table where the others are not: what stands on these would not be found any more.
    """
    reason = beside(home)
    if reason is None or not any(map(is_declared, several)):
        return
    made = [o for o in upgrade.ops if isinstance(o, ops.CreateTableOp) and o.schema is None]
    conflicts = [Conflict(f"table {each.table_name}: {reason}") for each in made]
    for conflict in conflicts:
        conflict.refused = True
    if conflicts:
        raise ConflictingObjects(conflicts)


@comparators.dispatch_for("autogenerate", priority=DispatchPriority.LAST, subgroup="pgultra")
def _compare(context: AutogenContext, upgrade: UpgradeOps) -> PriorityDispatchResult:
    """
    Add the steps of the plan, and sort everything.
    """
    given = context.metadata
    several = [given] if isinstance(given, MetaData) else list(given or ())
    if not several or getattr(context.dialect, "name", None) != "postgresql":
        return PriorityDispatchResult.CONTINUE
    connection = operations.connection_of(context)
    default = home_of(connection, several)
    operations.leave_host_views(upgrade, several, default)
    _insist_on_one_place(upgrade, several, default)
    steps: list[Step] = []
    ours: set[Identity] = set()
    applications = dict.fromkeys(map(application_of, several))
    for application in applications:
        together = [each for each in several if application_of(each) == application]
        plan = check(
            connection,
            together,
            dropped_tables=[
                (o.schema, o.table_name) for o in upgrade.ops if isinstance(o, ops.DropTableOp)
            ],
            altered=operations.altered(upgrade, default),
            released=operations.released(upgrade, default),
            schemas=None if context.opts.get("include_schemas") else frozenset({default}),
            home=default if len(applications) == 1 else home_of(connection, together),
        )
        plan = filters.within(plan, context, several, default)
        steps += plan.insist().steps
        ours |= {
            each.in_schema(operations.spelt(each.schema, default))
            for each in operations.taken_over(plan)
        }
    operations.take_over(upgrade, ours, default)
    operations.use_plain_types(upgrade, context)
    operations.sort_columns(upgrade)
    if steps:
        acts = [act for step in steps for act in acts_of(step, default)]
        upgrade.ops[:] = [
            StepOp(act.item) if isinstance(act.item, Step) else act.item
            for act in ordered([*operations.table_acts(upgrade, default), *acts])
        ]
    partitions.mend(upgrade, several, connection)  # last: before, an index is Alembic's or ours
    return PriorityDispatchResult.CONTINUE
