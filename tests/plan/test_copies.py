from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from pgultra import Function, PgultraWarning, Trigger, declare, plan

if TYPE_CHECKING:
    from sqlalchemy import Engine


def declared() -> sa.Table:
    """
    Make a table with a trigger.
    """
    table = sa.Table("visit", sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True))
    trigger = Trigger(
        name="seen", table="visit", timing="BEFORE", events=("INSERT",), function="seen"
    )
    declare(table, Function(name="seen", body="BEGIN RETURN NEW; END"), trigger)
    return table


def test_table_create_warns_and_the_plan_mends(engine: Engine) -> None:
    """
    ``Table.create()`` makes no trigger and says so; ``plan.apply`` makes what is missing.
    """
    table = declared()
    with engine.begin() as connection:
        with pytest.warns(PgultraWarning, match=r"Table\.create\(\) made table visit without"):
            table.create(connection)
        missing = plan.check(connection, table.metadata)
        assert [str(step) for step in missing] == [
            "create function seen()",
            "create trigger seen on visit",
        ]
        plan.apply(missing, connection)
        assert not plan.check(connection, table.metadata)


def test_a_copy_warns_until_it_has_declarations_of_its_own(engine: Engine) -> None:
    """
    A copy made with ``to_metadata`` says what it lacks; with them handed on, it is silent.
    """
    table = declared()
    lost = table.to_metadata(sa.MetaData())
    with pytest.warns(PgultraWarning, match="visit is a copy"):
        lost.metadata.create_all(engine)
    lost.metadata.drop_all(engine)
    whole = table.to_metadata(sa.MetaData())
    declare(whole, *plan.declarations(table))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        whole.metadata.create_all(engine)
    with engine.connect() as connection:
        assert not plan.check(connection, whole.metadata)
