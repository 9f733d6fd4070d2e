"""
What Alembic found: which of it is ours, what it makes, drops and needs.
"""

from __future__ import annotations

import copy
import warnings
from typing import TYPE_CHECKING, Any

from alembic.operations import MigrateOperation, ops
from sqlalchemy import CheckConstraint, Column, ForeignKeyConstraint
from sqlalchemy.exc import InvalidRequestError

from pgultra.errors import PgultraWarning
from pgultra.objects import Identity
from pgultra.plan.order import TABLES, Act
from pgultra.plan.rebuild import GROWN
from pgultra.plan.words import words_of, words_of_schema_items

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from alembic.autogenerate.api import AutogenContext
    from alembic.operations.ops import UpgradeOps
    from sqlalchemy import MetaData

    from pgultra.plan.compare import Plan

__all__ = [
    "altered",
    "connection_of",
    "leave_host_views",
    "released",
    "spelt",
    "table_acts",
    "take_over",
    "taken_over",
    "use_plain_types",
]


def connection_of(context: AutogenContext) -> Any:  # a Connection, once the context is online
    """
    The connection that autogenerate works on.
    """
    if context.connection is None:
        raise RuntimeError("autogenerate needs a connection")
    return context.connection


def _walk(operations: Sequence[MigrateOperation]) -> Iterator[MigrateOperation]:
    for operation in operations:
        if isinstance(operation, ops.OpContainer):
            yield from _walk(operation.ops)
        else:
            yield operation


def altered(upgrade: UpgradeOps, default: str | None) -> dict[Identity, frozenset[str]]:
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


def released(upgrade: UpgradeOps, default: str | None) -> frozenset[Identity]:
    """
    Tables, columns, indexes and checks that are dropped, and columns whose default changes.
    """
    found: set[Identity] = set()
    for operation in _walk(upgrade.ops):
        if isinstance(operation, ops.DropTableOp):
            found.add(_table(operation, default))
        elif isinstance(operation, ops.DropIndexOp):
            found.add(_own("index", operation, operation.index_name, default))
        elif isinstance(operation, ops.DropConstraintOp):
            found.add(_own("check", operation, operation.constraint_name, default))
        elif isinstance(operation, ops.DropColumnOp) or (
            isinstance(operation, ops.AlterColumnOp)
            and operation.modify_server_default is not False
        ):
            found.add(_own("column", operation, operation.column_name, default))
    return frozenset(found)


def _table(operation: Any, default: str | None) -> Identity:  # any operation on a table
    return Identity("table", spelt(operation.schema, default), operation.table_name)


def spelt(schema: str | None, default: str | None) -> str | None:
    """
    A schema as objects are identified: None for the default one.
    """
    return None if schema == default else schema


def leave_host_views(upgrade: UpgradeOps, several: Sequence[MetaData], default: str) -> None:
    """
    Take away the tables that Alembic would make of SQLAlchemy 2.1's ``CreateView``.

    Alembic does not know views, so it would try on every run, and make a table in place of
    the view. The host makes them; who wants them migrated declares a ``View``.
    """
    views = {
        (spelt(table.schema, default), table.name)
        for metadata in several
        for table in metadata.tables.values()
        if getattr(table, "is_view", False)
    }
    if not views:
        return
    kept = []
    for operation in upgrade.ops:
        place = isinstance(operation, ops.CreateTableOp) and _table(operation, default)
        if place and (place.schema, place.name) in views:
            warnings.warn(
                f"Alembic takes the view {place.name} of SQLAlchemy's CreateView for a table; it "
                "is left out of the migration: make it yourself, or declare it as a pgultra View",
                PgultraWarning,
                stacklevel=2,
            )
        else:
            kept.append(operation)
    upgrade.ops[:] = kept


def sort_columns(upgrade: UpgradeOps) -> None:
    """
    Within a table, a generated column goes before its parts change, and comes after them.

    Alembic adds first, alters then and drops last, in the order of the columns: there a part
    is retyped or dropped under the column that is made of it. What is built on the column
    goes first.
    """
    for table in upgrade.ops:
        if isinstance(table, ops.ModifyTableOps) and any(map(_is_generated, table.ops)):
            table.ops.sort(key=_turn)


def _turn(operation: MigrateOperation) -> int:
    generated = _is_generated(operation)
    if isinstance(operation, ops.DropIndexOp | ops.DropConstraintOp):
        return 0
    if isinstance(operation, ops.DropColumnOp):
        return 1 if generated else 5
    if isinstance(operation, ops.AddColumnOp):
        return 3 if generated else 2
    return 2 if isinstance(operation, ops.AlterColumnOp) else 4


def _is_generated(operation: MigrateOperation) -> bool:
    """
    Whether a generated column is added or dropped.
    """
    if isinstance(operation, ops.DropColumnOp):
        operation = operation.reverse()
    return isinstance(operation, ops.AddColumnOp) and operation.column.computed is not None


def table_acts(upgrade: UpgradeOps, default: str | None) -> list[Act]:
    """
    Alembic's operations as acts, kept in the order that Alembic gave them.

    Only the drops of tables, which come in any order, are sorted: after what else is done to
    the table, and before the drops of the tables that it points at.
    """
    acts: list[Act] = []
    chained: Act | None = None
    for operation in upgrade.ops:
        act = Act(operation, TABLES, mentions=_mentions(operation), forgets=_forgets(operation))
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
        return Identity("table", spelt(schema or None, default), name)
    return Identity("table", spelt(table.schema, default), table.name)


def _mentions(operation: MigrateOperation) -> frozenset[str]:
    """
    Names in what a table's own expressions are, at any depth.
    """
    if isinstance(operation, ops.OpContainer):
        return frozenset().union(*map(_mentions, operation.ops))
    if isinstance(operation, ops.CreateTableOp):
        divided = operation.kw.get("postgresql_partition_by")
        return words_of_schema_items([*operation.columns, divided])
    if isinstance(operation, ops.AddColumnOp):
        return words_of_schema_items([operation.column])
    if isinstance(operation, ops.CreateIndexOp):
        return words_of_schema_items([*operation.columns, operation.kw.get("postgresql_where")])
    if isinstance(operation, ops.CreateCheckConstraintOp):
        return words_of(str(operation.condition))
    if isinstance(operation, ops.AlterColumnOp):
        return _words_of_default(operation.modify_server_default)
    return frozenset()


def _forgets(operation: MigrateOperation) -> frozenset[str]:
    """
    Names in what is dropped, and in defaults as they were before, at any depth.
    """
    if isinstance(operation, ops.OpContainer):
        return frozenset().union(*map(_forgets, operation.ops))
    if isinstance(operation, ops.DropTableOp | ops.DropColumnOp):
        return _mentions(operation.reverse())
    if isinstance(operation, ops.DropIndexOp):
        return _mentions(operation._reverse) if operation._reverse else frozenset()
    if isinstance(operation, ops.AlterColumnOp):
        return _words_of_default(operation.existing_server_default)
    return frozenset()


def _words_of_default(default: Any) -> frozenset[str]:  # as Alembic holds it
    return words_of(str(getattr(default, "arg", default)))


def taken_over(plan: Plan) -> set[Identity]:
    """
    Indexes and checks that are ours: Alembic's own operations on them are taken away.
    """
    declared = plan.sides.desired if plan.sides is not None else ()
    removed = (step.before.identity for step in plan.steps if step.before is not None)
    return {each for each in (*declared, *removed) if each.kind in ("index", "check")}


def take_over(upgrade: Any, ours: set[Identity], default: str | None) -> None:
    """
    Remove Alembic's own operations on our indexes and checks, at any depth.

    A table that is dropped comes back without our checks: their own steps bring them.
    """
    kept = []
    for operation in upgrade.ops:
        if isinstance(operation, ops.OpContainer):
            take_over(operation, ours, default)
            if isinstance(operation, ops.ModifyTableOps) and not operation.ops:
                continue
        elif isinstance(operation, ops.DropTableOp) and operation._reverse is not None:
            operation._reverse.columns = [
                item
                for item in operation._reverse.columns
                if not isinstance(item, CheckConstraint)
                or _own("check", operation, item.name, default) not in ours
            ]
        elif _index_or_check(operation, default) in ours:
            continue
        kept.append(operation)
    upgrade.ops[:] = kept


def _index_or_check(operation: MigrateOperation, default: str | None) -> Identity | None:
    if isinstance(operation, ops.CreateIndexOp | ops.DropIndexOp):
        return _own("index", operation, operation.index_name, default)
    if isinstance(operation, ops.DropConstraintOp | ops.CreateCheckConstraintOp):
        return _own("check", operation, operation.constraint_name, default)
    return None


def _own(kind: str, operation: Any, name: Any, default: str | None) -> Identity:
    table = _table(operation, default)
    return Identity(kind, table.schema, str(name), table.name)


def use_plain_types(upgrade: UpgradeOps, context: AutogenContext) -> None:
    """
    Photograph column types: ours become the plain type, with the import it needs.
    """
    for operation in _walk(upgrade.ops):
        if isinstance(operation, ops.CreateTableOp):
            operation.columns = [_plain(column, context) for column in operation.columns]
        elif isinstance(operation, ops.AddColumnOp):
            operation.column = _plain(operation.column, context)
        elif isinstance(operation, ops.DropTableOp | ops.DropColumnOp):
            for type_ in _types_of_return(operation):  # the downgrade prints them
                module = type(type_).__module__
                if module.partition(".")[0] == "pgvector":  # reflected, so of no model of ours
                    _import_when_rendered(module, context)
        elif isinstance(operation, ops.AlterColumnOp):
            for name in ("modify_type", "existing_type"):
                found = getattr(operation, name)
                if hasattr(found, "photograph"):
                    setattr(operation, name, _photograph(found, context))


def _types_of_return(operation: Any) -> list[Any]:  # a drop, which may know what it drops
    way_back: Any = operation._reverse
    items = getattr(way_back, "columns", None) or [getattr(way_back, "column", None)]
    return [item.type for item in items if isinstance(item, Column)]


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

    render_item.imports_of = modules  # type: ignore[attr-defined]  # read by the template
    context.opts["render_item"] = render_item
