"""
The steps of a switch to the next version: what is locked, what is refused, what is written.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from sqlalchemy import Column, MetaData, Table, and_, case, func, literal, not_, or_, select, text
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.exc import DBAPIError

from pgultra import sql
from pgultra.errors import PgultraError, sqlstate_of
from pgultra.features.embeddings.index import HNSW
from pgultra.features.embeddings.objects import database_objects, index_name, schema_index
from pgultra.objects import Identity, Index
from pgultra.plan import Plan, apply, check, collect, hidden_rows

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection, FromClause

    from pgultra.features.embeddings.queue import Queue
    from pgultra.plan import Step

__all__ = [
    "exchange",
    "hand_over",
    "insist_on_all_rows",
    "insist_on_vectors",
    "lock",
    "place_of",
]

BLANKS = " \t\n\r\f\v\x1c\x1d\x1e\x1f"
"""A text of these is none, for the worker too; it knows more of them, not all encodings do."""
SHOWN = """
SELECT EXISTS (
    SELECT FROM pg_catalog.pg_depend AS d
    JOIN pg_catalog.pg_attribute AS a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
    WHERE d.classid = 'pg_catalog.pg_rewrite'::regclass
        AND d.refclassid = 'pg_catalog.pg_class'::regclass
        AND d.refobjid = to_regclass(CAST(:place AS text)) AND a.attname = :name)
"""
TAKEN = "55P03"
"""The SQLSTATE of a lock that NOWAIT does not get."""


def lock(connection: Connection, places: list[str]) -> None:
    """
    Lock the host's table and those beside it, without a wait for one while another is held.

    A worker holds rows of its queue and asks for the host's, a writer the other way round:
    in any order of ours we could be in a deadlock with one of them.
    """
    modes = [f"{place} IN EXCLUSIVE MODE" for place in places]
    modes[0] = f"{places[0]} IN ACCESS EXCLUSIVE MODE"
    while True:
        taken = None
        try:
            with connection.begin_nested():
                connection.execute(sql.statement(f"LOCK TABLE {modes[0]}"))
                for taken in modes[1:]:
                    connection.execute(sql.statement(f"LOCK TABLE {taken} NOWAIT"))
                return
        except DBAPIError as error:
            if taken is None or sqlstate_of(error) != TAKEN:
                raise
        modes.remove(taken)
        modes.insert(0, taken)


def insist_on_all_rows(connection: Connection, own: Column[Any], places: list[str]) -> None:
    """
    ALTER TABLE reaches every row, UPDATE those that policies show: the rest would lose vectors.
    """
    for place in places:
        lost = f"switch() of {own} would lose the vectors of"
        hidden_rows.insist_on_all_rows(connection, place, lost)


def _beside(side: Column[Any], new: Queue) -> tuple[FromClause, ColumnElement[bool]]:
    """
    All rows beside what the next version has of them, and whether that is as it should be.
    """
    table: Any = side.table
    own, type_ = list(table.primary_key), new.type_
    same = and_(*(mine == key for mine, key in zip(own, new.keys, strict=True)))
    state = new.state.c
    done = (state.stale_since.is_(None), state.model.is_not_distinct_from(type_.model))
    joined = new.table.outerjoin(new.state, new._same()).outerjoin(table, same)
    return joined, and_(*done, own[0].is_not(None))


def insist_on_vectors(
    connection: Connection, own: Column[Any], side: Column[Any], new: Queue, *, incomplete: bool
) -> bool:
    """
    Refuse to lose vectors; tells whether the column is NOT NULL.
    """
    joined, right = _beside(side, new)
    state, model = new.state.c, new.type_.model
    text_there = func.btrim(new.text, literal(BLANKS)) != ""
    wrong = and_(not_(right), or_(side.is_not(None), text_there))
    embedded = and_(state.stale_since.is_(None), state.model.is_not_distinct_from(model))
    ways = {
        "wait for their vector (let the worker finish)": new.waits,
        "failed (retry_failed(), then the worker)": state.failed_at.is_not(None),
        "lost it (backfill(…, everything=True), then the worker)": embedded,
    }
    every = (wrong, *(and_(wrong, each) for each in ways.values()), side.is_(None))
    counts = (func.count().filter(each) for each in every)
    missing, *found, nothing = connection.execute(select(*counts).select_from(joined)).one()
    if missing and not incomplete:
        numbers = dict(zip(ways, found, strict=True))
        numbers["are not in its queue (backfill(), then the worker)"] = missing - sum(found)
        raise PgultraError(
            f"switch() of {own} would lose vectors, for {missing} rows with a text have no fresh "
            f"one of {model}: "
            + ", ".join(f"{number} {what}" for what, number in numbers.items() if number)
            + f". Do so with next_version({own}), or say switch(…, incomplete=True)"
        )
    strict = connection.scalar(
        text(
            "SELECT attnotnull FROM pg_catalog.pg_attribute "
            "WHERE attrelid = to_regclass(CAST(:place AS text)) AND attname = :name"
        ),
        {"place": place_of(connection, own.table), "name": own.name},
    )
    if nothing and strict:
        raise PgultraError(
            f"{own} is NOT NULL, and {nothing} rows have no vector of {model} that switch() could "
            "put there; a row without text never has one: let the column be NULL, or change "
            "these rows"
        )
    return bool(strict)


def exchange(connection: Connection, own: Column[Any], side: Column[Any], *, strict: bool) -> None:
    """
    The column as it will be declared: its type, its values, its index.
    """
    table: Any = own.table
    schema = sql.schema_on(connection, table.schema)
    later = Table(
        table.name,
        MetaData(),
        *(Column(key.name, key.type, primary_key=True) for key in table.primary_key),
        Column(own.name, side.type, key=own.key),
        schema=schema,
    )
    place, name = place_of(connection, table), sql.identifier(own.name)
    type_: Any = side.type
    for each in {index_name(c) for c in (own, later.c[own.key]) if c.type.index}:  # type: ignore[attr-defined]  # our own type
        connection.execute(sql.statement(f"DROP INDEX IF EXISTS {sql.qualified(schema, each)}"))
    size = type_.dimensions
    none = f"array_fill(0::real, ARRAY[{size}])" if strict else "NULL"
    away, back = _standing(connection, own)
    apply(away, connection)
    connection.execute(
        sql.statement(
            f"ALTER TABLE {place} ALTER COLUMN {name} TYPE vector({size}) "
            f"USING {none}::vector({size})"
        )
    )
    apply(back, connection)
    beside: Any = side.table
    keys = zip(table.primary_key, beside.primary_key, strict=True)
    same = " AND ".join(
        f"h.{sql.identifier(key.name)} = s.{sql.identifier(mine.name)}" for key, mine in keys
    )
    update = sql.statement(
        f"UPDATE {place} AS h SET {name} = s.embedding "  # noqa: S608  # quoted, all of them
        f"FROM {place_of(connection, beside)} AS s WHERE {same}"
    )
    options = {"preserve_rowcount": True}
    written = connection.execute(update, execution_options=options).rowcount
    wanted = connection.scalar(select(func.count()).select_from(beside)) or 0
    if written not in (-1, wanted):
        raise PgultraError(
            f"{wanted - written} rows of {place} did not take their vector in switch(): a trigger "
            "or a rule of the table leaves the UPDATE out; disable it meanwhile"
        )
    _build(connection, own, later.c[own.key])


def _standing(connection: Connection, own: Column[Any]) -> tuple[Plan, Plan]:
    """
    What takes away the views of ours that show a column, and what brings them back.

    PostgreSQL changes no type of a column that a view shows. A stranger's view stays in the way.
    """
    table: Any = own.table
    place = {"place": place_of(connection, table), "name": own.name}
    if not connection.scalar(text(SHOWN), place):
        return Plan(), Plan()
    schema = sql.schema_on(connection, table.schema)
    default = connection.dialect.default_schema_name
    known = [schema, None] if schema == default else [schema]
    altered = {Identity("table", each, table.name): frozenset({own.name}) for each in known}
    steps = check(connection, table.metadata, altered=altered).steps

    def spelt(step: Step) -> Identity:
        return step.identity._replace(schema=step.identity.schema or default)

    away = [each for each in steps if each.after is None]
    back = [each for each in steps if each.before is None]
    both = {*map(spelt, away)} & {*map(spelt, back)}
    away, back = ([each for each in half if spelt(each) in both] for half in (away, back))
    return Plan(tuple(away)), Plan(tuple(back))


def hand_over(connection: Connection, old: Table, new: Queue, side: Column[Any]) -> None:
    """
    The queue of the next version becomes that of the column; what lacks a vector waits in it.
    """
    joined, right = _beside(side, new)
    state = new.state.c
    given = {each.name: each for each in new.state.columns if not each.primary_key} | {
        "stale_since": case((right, None), else_=func.coalesce(state.stale_since, func.now())),
        "available_at": case((state.stale_since.is_(None), func.now()), else_=state.available_at),
        "attempts": func.coalesce(state.attempts, 0),
    }
    keys = [each.name for each in new.own]
    statement = upsert(old).from_select(
        [*keys, *given], select(*new.keys, *given.values()).select_from(joined)
    )
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=keys, set_={name: statement.excluded[name] for name in given}
        )
    )


def _build(connection: Connection, own: Column[Any], later: Column[Any]) -> None:
    """
    The index, with the mark that the room's indexes of this MetaData bear.
    """
    table: Any = own.table
    index = later.type.index  # type: ignore[attr-defined]  # our own type
    if not isinstance(index, HNSW):
        return  # IVFFlat waits for build_index, which knows the new declaration
    if index_name(later) not in {each.name for each in later.table.indexes}:
        schema_index(later)
    [made] = [each for each in database_objects(later) if isinstance(each, Index)]
    made = dataclasses.replace(made, concurrently=False)  # the table is locked anyhow
    for each in collect(table.metadata).values():
        if isinstance(each, Index) and each.mark is not None and each.mark.room == "embeddings":
            made = made.owned(each.mark.application, "embeddings")
            break
    for statement in made.create():
        connection.execute(sql.statement(statement))


def place_of(connection: Connection, table: Any) -> str:
    """
    A table's name with the schema that it has on this connection, quoted.
    """
    return sql.qualified(sql.schema_on(connection, table.schema), table.name)
