"""
``create_all(tables=…)`` takes along what these tables and their objects need.
"""

from __future__ import annotations

import sqlalchemy as sa

from pgultra import Function, Schema, Trigger, View, declare, plan


def test_what_some_tables_need_comes_along(engine: sa.Engine) -> None:
    """
    A trigger's function, what a default calls, the schema; nothing else of the MetaData's.
    """
    metadata = sa.MetaData()
    item = sa.Table(
        "Item",
        metadata,
        sa.Column("id", sa.Integer, server_default=sa.text('"Next"()')),
        schema="Shop",
    )
    sa.Table("other", metadata, sa.Column("id", sa.Integer))
    declare(
        metadata,
        Schema(name="Shop"),
        Function(name="f", body="begin new.id := new.id + one(); return new; end"),
        Function(name="Next", returns="integer", body="begin return 41; end"),
        Function(name="one", returns="integer", language="sql", body="select 1"),
        Function(name="spare", returns="integer", language="sql", body="select 2"),
        View(name="all_others", query="SELECT id FROM other"),
    )
    declare(
        item,
        Trigger(
            name="g",
            table="Item",
            schema="Shop",
            timing="BEFORE",
            events=("INSERT",),
            function="f",
            function_schema=None,
        ),
    )
    metadata.create_all(engine, tables=[item])
    with engine.begin() as connection:
        connection.exec_driver_sql('INSERT INTO "Shop"."Item" DEFAULT VALUES')
        assert connection.exec_driver_sql('SELECT id FROM "Shop"."Item"').scalar() == 42
        left = sorted(str(step) for step in plan.check(connection, metadata))
        assert left == ["create function spare()", "create view all_others"]
    metadata.drop_all(engine, tables=[item])
    metadata.create_all(engine)
    with engine.connect() as connection:
        assert not plan.check(connection, metadata)
