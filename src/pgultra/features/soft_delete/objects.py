"""
The database side of the room: functions, triggers, check, index and view of one table.

Everything is derived from the final table and its `Shape`.  The functions are shared by all tables
of a schema; what they must know of a table stands in the trigger's argument, as JSON.  Their texts
are the files in `sql/`.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from pgultra import sql
from pgultra.errors import DeclarationError
from pgultra.features.soft_delete import arguments
from pgultra.features.soft_delete.shape import Columns
from pgultra.objects import Check, DatabaseObject, Function, Identity, Index, Trigger, View
from pgultra.plan import function_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pgultra.features.soft_delete.shape import Shape

__all__ = ["before_update_triggers", "deletion_index", "objects"]

ROOM = "soft_delete"

_SAFE_PATH = (("search_path", "pg_catalog, pg_temp"),)
_SETTINGS = {"guard": _SAFE_PATH, "truncate": _SAFE_PATH}
"""
The others run statements on the host's tables, whose own triggers and types need the caller's
path; they name every function with its schema instead.
"""

UNLESS_CASCADING = (
    "pg_catalog.current_setting('pgultra.soft_delete_cascading', true)"
    " IS DISTINCT FROM pg_catalog.pg_trigger_depth()::text"
)
"""
A cascade writes all four columns itself: the triggers of the rows below have nothing to add.
The depth tells its statements from those that a host's own trigger runs meanwhile.
"""

UNLESS_HARD = "pg_catalog.current_setting('pgultra.hard_delete', true) IS DISTINCT FROM 'on'"


def objects(table: sa.Table, shape: Shape) -> Iterator[DatabaseObject]:
    """
    Derive the database objects of one soft-deletable table.

    Args:
        table: The table, with all its columns.
        shape: What was resolved from its options and its neighbours.

    Yields:
        Shared functions first, then what belongs to this table alone.

    Raises:
        DeclarationError: A table in the cascade has no primary key.
    """
    for edge in shape.parents:
        for name, key in (
            (edge.parent, edge.parent_primary_key),
            (edge.child, edge.child_primary_key),
        ):
            if not key:
                raise DeclarationError(
                    f"table {shape.table}: option cascade: table {name} has no primary key, which "
                    "tells its rows apart and gives the order of locks: declare one, or take the "
                    f"cascade from {edge.parent} to {edge.child} away"
                )
    triggers = tuple(_triggers(table, shape))
    for verb in dict.fromkeys(_VERBS[what] for what, _ in triggers):
        yield Function(
            name=function_name(table.metadata, ROOM, _named(verb, shape.columns)),
            schema=table.schema,
            body=_body(verb, shape.columns),
            settings=_SETTINGS.get(verb, ()),
        )
    if shape.columns.flag is not None:
        flag, since = sql.identifier(shape.columns.flag), sql.identifier(shape.columns.deleted_at)
        yield Check(
            name=sql.short_name(table.name, ROOM, "flag"),
            table=table.name,
            schema=table.schema,
            condition=f"{flag} IS NOT DISTINCT FROM ({since} IS NOT NULL)",
        )
    yield Index.of(deletion_index(table, shape.columns), concurrently=shape.concurrently)
    if shape.view is not None:
        yield _view(table, shape)
    for what, options in triggers:
        yield Trigger(
            name=sql.short_name(table.name, ROOM, what),
            table=table.name,
            schema=table.schema,
            function=function_name(table.metadata, ROOM, _named(_VERBS[what], shape.columns)),
            **options,
        )


def deletion_index(table: sa.Table, columns: Columns) -> sa.Index:
    """
    Find, or make, the index over the rows of one deletion, among the indexes of the table.

    It is partial: live rows are not in it.
    """
    name = sql.short_name(table.name, ROOM, "deletion")
    for index in table.indexes:
        if index.name == name:
            return index
    column = _column(table, columns.deletion_id)
    return sa.Index(name, column, postgresql_where=column.is_not(None))


def before_update_triggers(table: sa.Table, shape: Shape) -> tuple[str, ...]:
    """
    Name the BEFORE UPDATE row triggers, for `Facts`.

    With one of them, PostgreSQL computes all generated columns anew, whatever is updated.
    """
    return tuple(
        sql.short_name(table.name, ROOM, what)
        for what, options in _triggers(table, shape)
        if options["timing"] == "BEFORE" and "UPDATE" in options["events"]
    )


_VERBS: Mapping[str, str] = {
    # PostgreSQL runs triggers by name: align completes what enter and stamp look at, these write
    # what under looks at, and cascade kills before restore revives.  Words of equal length keep
    # that order where `short_name` must cut.
    "align": "align",
    "enter": "stamp",
    "stamp": "stamp",
    "under": "under",
    "cascade": "cascade",
    "restore": "restore",
    "guard": "guard",
    "truncate": "truncate",
}


def _triggers(table: sa.Table, shape: Shape) -> Iterator[tuple[str, dict[str, Any]]]:
    names = shape.columns
    own = (names.deleted_at, names.deleted_by, names.deletion_id)
    written = own if names.flag is None else (*own, names.flag)
    since = f"NEW.{sql.identifier(names.deleted_at)}"
    if names.flag is not None:
        yield (
            "align",
            {
                "timing": "BEFORE",
                "events": ("INSERT", "UPDATE"),
                "columns": (names.deleted_at, names.flag),
                "when": f"NEW.{sql.identifier(names.flag)} IS DISTINCT FROM ({since} IS NOT NULL)",
            },
        )
    stamp = (arguments.of_stamp(shape),)
    yield (
        "enter",
        {
            "timing": "BEFORE",
            "events": ("INSERT",),
            "when": " OR ".join(f"NEW.{sql.identifier(name)} IS NOT NULL" for name in own),
            "arguments": stamp,
        },
    )
    changed = " OR ".join(
        f"OLD.{sql.identifier(name)} IS DISTINCT FROM NEW.{sql.identifier(name)}" for name in own
    )
    yield (
        "stamp",
        {
            "timing": "BEFORE",
            "events": ("UPDATE",),
            "columns": written,
            "when": f"{UNLESS_CASCADING} AND ({changed})",
            "arguments": stamp,
        },
    )
    if shape.refuse_orphans and shape.above:
        keys = tuple(dict.fromkeys(name for edge in shape.above for name in edge.child_key))
        # A generated key is computed after the BEFORE triggers, from columns that are not known.
        generated = any(_column(table, name).computed is not None for name in keys)
        yield (
            "under",
            {
                "timing": "AFTER" if generated else "BEFORE",
                "events": ("INSERT", "UPDATE"),
                **({} if generated else {"columns": keys}),
                "when": f"{since} IS NULL",
                "arguments": (arguments.of_under(shape),),
            },
        )
    yield (
        "cascade",
        {
            "timing": "AFTER",
            "events": ("UPDATE",),
            "columns": written,
            "level": "STATEMENT",
            "when": UNLESS_CASCADING,
            "arguments": (arguments.of_cascade(shape),),
        },
    )
    if shape.parents:
        yield (
            "restore",
            {
                "timing": "AFTER",
                "events": ("UPDATE",),
                "columns": written,
                "level": "STATEMENT",
                "when": UNLESS_CASCADING,
                "arguments": (arguments.of_restore(shape),),
            },
        )
    if shape.guard == "raise":
        yield (
            "guard",
            {
                "timing": "AFTER",
                "events": ("DELETE",),
                "level": "STATEMENT",
                "old_table": "gone",
                "when": UNLESS_HARD,
                "arguments": (names.deleted_at,),
            },
        )
        yield (
            "truncate",
            {
                "timing": "BEFORE",
                "events": ("TRUNCATE",),
                "level": "STATEMENT",
                "when": UNLESS_HARD,
                "arguments": (names.deleted_at,),
            },
        )


def _view(table: sa.Table, shape: Shape) -> View:
    columns: list[sa.ColumnClause[Any]] = [sa.column(column.name) for column in table.columns]
    live = sa.column(shape.columns.deleted_at).is_(None)
    source = sa.table(table.name, schema=table.schema)
    return View(
        name=str(shape.view),
        schema=table.schema,
        query=sql.render(sa.select(*columns).select_from(source).where(live)),
        security_invoker=True,
        requires=(Identity("table", table.schema, table.name),),
    )


def _column(table: sa.Table, name: str) -> sa.Column[Any]:
    return next(column for column in table.columns if column.name == name)


_USUAL = Columns(flag="is_deleted")
_READS: Mapping[str, tuple[str, ...]] = {
    "align": ("deleted_at", "flag"),
    "stamp": ("deleted_at", "deleted_by", "deletion_id"),
}
"""
The functions that touch columns of the row by name.
PL/pgSQL reads ``NEW.deleted_at`` four times faster than any way to a column whose name it is told.
"""


def _named(verb: str, columns: Columns) -> str:
    """
    Tell apart the functions that are made for other names than the usual ones.
    """
    own = [getattr(columns, name) for name in _READS.get(verb, ())]
    usual = [getattr(_USUAL, name) for name in _READS.get(verb, ())]
    return verb if own == usual else f"{verb}_{sql.fingerprint(repr(own))[:8]}"


@cache
def _written(name: str) -> str:
    """
    A file of ``sql/``; a line ``-- include`` stands for another one.
    """
    text = files(__package__).joinpath("sql", name).read_text(encoding="utf-8")
    return re.sub(r"^ *-- include (\S+)\n", lambda found: _written(found[1]), text, flags=re.M)


@cache
def _body(verb: str, columns: Columns) -> str:
    text = _written(f"{verb}.sql").strip()
    own = {getattr(_USUAL, name): getattr(columns, name) for name in _READS.get(verb, ())}

    def renamed(found: re.Match[str]) -> str:
        return f"{found[1]}.{sql.identifier(own[found[2]])}"

    return re.sub(r"\b(NEW|OLD)\.(\w+)", renamed, text)
