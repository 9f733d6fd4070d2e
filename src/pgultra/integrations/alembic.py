"""
The Alembic door: ``import pgultra.integrations.alembic`` in ``env.py``, and nothing else.

After Alembic has compared tables, the comparator here adds the steps of the plan and sorts
the whole list, tables and indexes included, by what needs what. A migration is a
photograph: plain SQL through ``op.execute``, which never imports pgultra.
"""

from __future__ import annotations

import copy
import dataclasses
from typing import TYPE_CHECKING, Any

from alembic.autogenerate import comparators, renderers
from alembic.operations import MigrateOperation, Operations, ops
from alembic.util import DispatchPriority, PriorityDispatchResult
from sqlalchemy import CheckConstraint, Column, ForeignKeyConstraint, MetaData, Table
from sqlalchemy import Index as SchemaIndex
from sqlalchemy.exc import InvalidRequestError

from pgultra import sql
from pgultra.objects import Identity, Index
from pgultra.plan import check
from pgultra.plan.compare import Plan, Step
from pgultra.plan.declare import application_of
from pgultra.plan.order import TABLES, Act, acts_of, ordered, words_of, words_of_schema_items
from pgultra.plan.rebuild import GROWN

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from alembic.autogenerate.api import AutogenContext
    from alembic.operations.ops import UpgradeOps

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
def _run(operations: Operations, operation: StepOp) -> None:
    for text in operation.step.statements():
        operations.execute(sql.statement(text))


@renderers.dispatch_for(StepOp)
def _render(context: AutogenContext, operation: StepOp) -> list[str]:
    """
    The statements as Python text, a string constant for each line of SQL.
    """
    alembic: Any = context.opts["alembic_module_prefix"]
    sqlalchemy: Any = context.opts["sqlalchemy_module_prefix"]
    step = operation.step
    lines = [f"# {step.verb} {step.identity}".replace("\n", " ").replace("\r", " ")]
    if operation.concurrently:
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
    return lines


@comparators.dispatch_for("autogenerate", priority=DispatchPriority.LAST, subgroup="pgultra")
def _compare(context: AutogenContext, upgrade: UpgradeOps) -> PriorityDispatchResult:
    """
    Add the steps of the plan, and sort everything.
    """
    given = context.metadata
    several = [given] if isinstance(given, MetaData) else list(given or ())
    if not several or getattr(context.dialect, "name", None) != "postgresql":
        return PriorityDispatchResult.CONTINUE
    default = _connection(context).dialect.default_schema_name
    steps: list[Step] = []
    ours: set[Identity] = set()
    for application in dict.fromkeys(map(application_of, several)):
        together = [each for each in several if application_of(each) == application]
        plan = check(
            _connection(context),
            together,
            dropped_tables=[
                (o.schema, o.table_name) for o in upgrade.ops if isinstance(o, ops.DropTableOp)
            ],
            altered=_altered(upgrade, default),
            schemas=None if context.opts.get("include_schemas") else frozenset({default or ""}),
        )
        plan = _within_filters(plan, context, several)
        steps += plan.insist().steps
        ours |= {each.in_schema(_spelt(each.schema, default)) for each in _taken_over(plan)}
    _take_over(upgrade, ours, default)
    _use_plain_types(upgrade, context)
    if steps:
        acts = [act for step in steps for act in acts_of(step, default)]
        upgrade.ops[:] = [
            StepOp(act.item) if isinstance(act.item, Step) else act.item
            for act in ordered([*_table_acts(upgrade, default), *acts])
        ]
    return PriorityDispatchResult.CONTINUE


def _connection(context: AutogenContext) -> Any:  # a Connection, once the context is online
    if context.connection is None:
        raise RuntimeError("autogenerate needs a connection")
    return context.connection


# -- what Alembic found ---------------------------------------------------------------


def _walk(operations: Sequence[MigrateOperation]) -> Iterator[MigrateOperation]:
    for operation in operations:
        if isinstance(operation, ops.OpContainer):
            yield from _walk(operation.ops)
        else:
            yield operation


def _altered(upgrade: UpgradeOps, default: str | None) -> dict[Identity, frozenset[str]]:
    """
    Columns that are dropped or retyped, by table; GROWN for those that are added.
    """
    found: dict[Identity, frozenset[str]] = {}
    for operation in _walk(upgrade.ops):
        if isinstance(operation, ops.AddColumnOp):
            table = _table(operation, default)
            found[table] = found.get(table, frozenset()) | {GROWN}
        if isinstance(operation, ops.DropColumnOp) or (
            isinstance(operation, ops.AlterColumnOp) and operation.modify_type is not None
        ):
            table = _table(operation, default)
            found[table] = found.get(table, frozenset()) | {operation.column_name}
    return found


def _table(operation: Any, default: str | None) -> Identity:  # any operation on a table
    return Identity("table", _spelt(operation.schema, default), operation.table_name)


def _spelt(schema: str | None, default: str | None) -> str | None:
    return None if schema == default else schema


def _table_acts(upgrade: UpgradeOps, default: str | None) -> list[Act]:
    """
    Alembic's operations as acts, kept in the order that Alembic gave them.

    Only the drops of tables, which come in any order, are sorted: after what else is done to
    the table, and before the drops of the tables that it points at.
    """
    acts: list[Act] = []
    chained: Act | None = None
    for operation in upgrade.ops:
        act = Act(operation, TABLES, mentions=_mentions(operation))
        if isinstance(operation, ops.CreateTableOp):
            act.makes = frozenset({_table(operation, default)})
            if operation.schema is not None:
                act.needs = frozenset({Identity("schema", None, operation.schema)})
        elif isinstance(operation, ops.DropTableOp):
            act.unmakes = frozenset({_table(operation, default)})
            act.frees = _pointed_at(operation, default) - act.unmakes
            act.after += [other for other in acts if other.alters & act.unmakes]
            acts.append(act)
            continue
        elif hasattr(operation, "table_name"):
            act.alters = frozenset({_table(operation, default)})
            act.frees = _released(operation, default)
        if chained is not None:
            act.after.append(chained)
        chained = act
        acts.append(act)
    return acts


def _pointed_at(operation: ops.DropTableOp, default: str | None) -> frozenset[Identity]:
    """
    The tables that a table's foreign keys point at, and the schema that it lies in.
    """
    found = {Identity("schema", None, operation.schema)} if operation.schema else set()
    for item in operation.reverse().columns:
        if isinstance(item, ForeignKeyConstraint):
            found.add(_referred(item, default))
    return frozenset(found)


def _released(operation: Any, default: str | None) -> frozenset[Identity]:
    """
    The tables that foreign keys pointed at which are dropped here.
    """
    return frozenset(
        _referred(constraint, default)
        for each in _walk(getattr(operation, "ops", [operation]))
        if isinstance(each, ops.DropConstraintOp) and each._reverse is not None
        if isinstance(constraint := each.to_constraint(), ForeignKeyConstraint)
    )


def _referred(constraint: ForeignKeyConstraint, default: str | None) -> Identity:
    try:
        table = constraint.referred_table
    except InvalidRequestError:  # it is not in the MetaData, its name alone is known
        schema, _, name = constraint.elements[0].target_fullname.rpartition(".")[0].rpartition(".")
        return Identity("table", _spelt(schema or None, default), name)
    return Identity("table", _spelt(table.schema, default), table.name)


def _mentions(operation: MigrateOperation) -> frozenset[str]:
    """
    Names in defaults, generated columns, checks and indexes, at any depth.
    """
    if isinstance(operation, ops.OpContainer):
        return frozenset().union(*map(_mentions, operation.ops))
    if isinstance(operation, ops.DropTableOp | ops.DropColumnOp):
        return _mentions(operation.reverse())
    if isinstance(operation, ops.DropIndexOp):
        return _mentions(operation._reverse) if operation._reverse else frozenset()
    if isinstance(operation, ops.CreateTableOp):
        return words_of_schema_items(operation.columns)
    if isinstance(operation, ops.AddColumnOp):
        return words_of_schema_items([operation.column])
    if isinstance(operation, ops.CreateIndexOp):
        return words_of_schema_items([*operation.columns, operation.kw.get("postgresql_where")])
    if isinstance(operation, ops.CreateCheckConstraintOp):
        return words_of(str(operation.condition))
    if isinstance(operation, ops.AlterColumnOp):
        default = operation.modify_server_default
        return words_of(str(getattr(default, "arg", default)))
    return frozenset()


def _taken_over(plan: Plan) -> set[Identity]:
    """
    Indexes and checks that are ours: Alembic's own operations on them are taken away.
    """
    declared = plan.sides.desired if plan.sides is not None else ()
    removed = (step.before.identity for step in plan.steps if step.before is not None)
    return {each for each in (*declared, *removed) if each.kind in ("index", "check")}


def _take_over(upgrade: Any, ours: set[Identity], default: str | None) -> None:
    """
    Remove Alembic's own operations on our indexes and checks, at any depth.

    A table that is dropped comes back without our checks: their own steps bring them.
    """
    kept = []
    for operation in upgrade.ops:
        if isinstance(operation, ops.OpContainer):
            _take_over(operation, ours, default)
            if isinstance(operation, ops.ModifyTableOps) and not operation.ops:
                continue
        elif isinstance(operation, ops.DropTableOp) and operation._reverse is not None:
            operation._reverse.columns = [
                item
                for item in operation._reverse.columns
                if not isinstance(item, CheckConstraint)
                or _own("check", operation, item.name, default) not in ours
            ]
        elif isinstance(operation, ops.CreateIndexOp | ops.DropIndexOp):
            if _own("index", operation, operation.index_name, default) in ours:
                continue
        elif isinstance(operation, ops.DropConstraintOp | ops.CreateCheckConstraintOp):
            if _own("check", operation, operation.constraint_name, default) in ours:
                continue
        kept.append(operation)
    upgrade.ops[:] = kept


def _own(kind: str, operation: Any, name: Any, default: str | None) -> Identity:
    table = _table(operation, default)
    return Identity(kind, table.schema, str(name), table.name)


def _use_plain_types(upgrade: UpgradeOps, context: AutogenContext) -> None:
    """
    Photograph column types: ours become the plain type, with the import it needs.
    """
    for operation in _walk(upgrade.ops):
        if isinstance(operation, ops.CreateTableOp):
            operation.columns = [_plain(column, context) for column in operation.columns]
        elif isinstance(operation, ops.AddColumnOp):
            operation.column = _plain(operation.column, context)
        elif isinstance(operation, ops.AlterColumnOp):
            for name in ("modify_type", "existing_type"):
                found = getattr(operation, name)
                if hasattr(found, "photograph"):
                    setattr(operation, name, _photograph(found, context))


def _plain(item: Any, context: AutogenContext) -> Any:  # Column or constraint
    if isinstance(item, Column) and hasattr(item.type, "photograph"):
        twin = copy.copy(item)  # the model's own column keeps its type
        twin.type = _photograph(item.type, context)
        return twin
    return item


def _photograph(type_: Any, context: AutogenContext) -> Any:  # TypeEngine
    plain = type_.photograph()
    module = type(plain).__module__
    if module.partition(".")[0] != "sqlalchemy":
        _import_when_rendered(module, context)
    return plain


def _import_when_rendered(module: str, context: AutogenContext) -> None:
    """
    Add an import while the migration is printed: what is added before, Alembic forgets.
    """
    given: Any = context.opts.get("render_item")
    modules: set[str] = getattr(given, "imports_of", set())
    modules.add(module)
    if hasattr(given, "imports_of"):
        return

    def render_item(kind: str, item: Any, rendering: AutogenContext) -> Any:
        if type(item).__module__ in modules:
            rendering.imports.add(f"import {type(item).__module__}")
        return given(kind, item, rendering) if given is not None else False

    render_item.imports_of = modules  # type: ignore[attr-defined]
    context.opts["render_item"] = render_item


# -- what the environment wants to see --------------------------------------------------


def _within_filters(plan: Plan, context: AutogenContext, several: Sequence[MetaData]) -> Plan:
    """
    Honour ``include_name`` and ``include_object`` for tables and for our own kinds.
    """
    return dataclasses.replace(
        plan,
        steps=tuple(step for step in plan.steps if _included(step, context, several)),
        conflicts=tuple(
            conflict
            for conflict in plan.conflicts
            if _included(Step(None, conflict.subject), context, several)
        ),
    )


def _included(step: Step, context: AutogenContext, several: Sequence[MetaData]) -> bool:
    identity, reflected = step.identity, step.after is None
    if reflected and not _named(identity, context):
        return False
    table = _table_of(identity, context, several)
    if table is not None and not context.run_object_filters(
        table, table.name, "table", False, None
    ):
        return False
    item: Any = step.subject
    if identity.kind == "index":
        item = _index_of(table, identity)
    kind: Any = identity.kind
    other: Any = None if step.before is None or reflected else step.before
    return context.run_object_filters(item, identity.name, kind, reflected, other)


def _named(identity: Identity, context: AutogenContext) -> bool:
    """
    Whether the names of schema, table and object pass, as those of reflected tables must.
    """
    if not context.run_name_filters(identity.schema, "schema", {}):
        return False
    parents: Any = {"schema_name": identity.schema}
    if identity.table is not None:
        if not context.run_name_filters(identity.table, "table", dict(parents)):
            return False
        parents["table_name"] = identity.table
    kind: Any = identity.kind
    return context.run_name_filters(identity.name, kind, parents)


def _table_of(
    identity: Identity, context: AutogenContext, several: Sequence[MetaData]
) -> Table | None:
    """
    The table that an object sits on, if it is one of the models'.
    """
    default = _connection(context).dialect.default_schema_name
    schema = _spelt(identity.schema, default)
    for metadata in several if identity.table is not None else ():
        for table in metadata.tables.values():
            if (_spelt(table.schema, default), table.name) == (schema, identity.table):
                return table
    return None


def _index_of(table: Table | None, identity: Identity) -> SchemaIndex:
    """
    An index as hooks know it, with the table that it sits on.
    """
    if table is None:
        table = Table(str(identity.table), MetaData(), schema=identity.schema)
    found = next((each for each in table.indexes if each.name == identity.name), None)
    if found is None:
        found = SchemaIndex(identity.name)
        found.table = table
    return found
