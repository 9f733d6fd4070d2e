"""
Advice: what a migration and a check say of rows that were there before.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from pgultra import Function, Trigger, declare
from pgultra.objects import Identity
from pgultra.objects._advice import Advice
from pgultra.plan import Plan, Step, apply, check
from pgultra.plan.describe import as_json, as_text
from tests.plan.visits import visits

if TYPE_CHECKING:
    import sqlalchemy as sa

WORDS = "then look after old rows:\nfill(visit)"
VISIT = Identity("table", None, "visit")
TOUCH = Function(name="keep", body="begin return new; end", advice=Advice(VISIT, WORDS))


def advised(table: Identity, name: str = "keep") -> sa.MetaData:
    """
    Models whose trigger and function have advice for a table.
    """
    metadata = visits()
    function = dataclasses.replace(TOUCH, name=name, advice=Advice(table, WORDS))
    on_insert = Trigger(
        name=name, table="visit", timing="BEFORE", events=("INSERT",), function=name
    )
    declare(metadata.tables["visit"], function, on_insert)
    return metadata


def test_it_is_said_of_what_is_made_and_changed(connection: sa.Connection) -> None:
    """
    Where the table exists, in the text and in the JSON; a table to come has no rows.
    """
    assert "fill(visit)" not in as_text(check(connection, advised(VISIT)))
    visits().create_all(connection)
    found = check(connection, advised(VISIT))
    assert [step.advice for step in found] == [WORDS, None]
    assert as_text(found).count("    then look after old rows:\n    fill(visit)\n") == 1
    assert [each["advice"] for each in as_json(found)["steps"]] == [WORDS, None]
    assert [step.advice for step in found.reverse()] == [None, None]
    elsewhere = Identity("table", "elsewhere", "visit")
    assert {step.advice for step in check(connection, advised(elsewhere))} == {None}


def test_a_changed_function_says_it_on_both_ways(connection: sa.Connection) -> None:
    """
    Rows were made by the other body, there and back; a lost mark alone says nothing.
    """
    metadata = advised(VISIT)
    metadata.create_all(connection)
    assert not check(connection, metadata)
    connection.exec_driver_sql("COMMENT ON FUNCTION keep() IS NULL")
    unmarked = check(connection, metadata)
    assert [step.advice for step in unmarked] == [None]
    apply(unmarked, connection)
    change = "CREATE OR REPLACE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS 'begin end'"
    connection.exec_driver_sql(change)
    found = check(connection, metadata)
    assert [step.advice for step in found] == [WORDS]
    assert [step.advice for step in found.reverse()] == [WORDS]


def test_what_is_only_printed_otherwise_says_nothing(connection: sa.Connection) -> None:
    """
    PostgreSQL writes a trigger's WHEN in its own way: a lost mark is no change of it.
    """
    metadata = visits()
    keep = Trigger(
        name="keep", table="visit", timing="AFTER", events=("UPDATE",), function="keep",
        when="old.name IS DISTINCT FROM new.name", advice=Advice(VISIT, WORDS),
    )  # fmt: skip
    declare(metadata.tables["visit"], TOUCH.but(advice=None), keep)
    metadata.create_all(connection)
    connection.exec_driver_sql("COMMENT ON TRIGGER keep ON visit IS NULL")
    assert [step.advice for step in check(connection, metadata)] == [None]
    connection.exec_driver_sql("DROP TRIGGER keep ON visit")
    assert [step.advice for step in check(connection, metadata)] == [WORDS]


def test_it_is_no_part_of_the_object() -> None:
    """
    Objects with and without are equal, also in what is printed.
    """
    plain = TOUCH.but(advice=None)
    assert plain == TOUCH
    assert repr(plain) == repr(TOUCH)
    assert Plan((Step(None, TOUCH),)).statements() == Plan((Step(None, plain),)).statements()
