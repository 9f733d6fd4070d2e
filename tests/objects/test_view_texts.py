"""
The text of a view ends where it ends, and keeps its tabs, also in a script.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from pgultra import View, declare, plan
from pgultra.objects._texts import bare, untabbed
from pgultra.plan.script import script

if TYPE_CHECKING:
    from tests.fixtures.alembic import MigrationEnvironment


def views(*queries: str) -> sa.MetaData:
    metadata = sa.MetaData()
    sa.Table("Item", metadata, sa.Column("id", sa.Integer))
    for number, query in enumerate(queries):
        declare(metadata, View(name=f"v{number}", query=query))
    return metadata


@pytest.mark.parametrize(
    ("query", "kept"),
    [
        ("select 1 -- one", "select 1"),
        ("select 1; -- one\n/* two */ -- three", "select 1"),
        ("select 1 -- one\n, 2", "select 1 -- one\n, 2"),
        ("select '-- one'", "select '-- one'"),
        ("select E'it\\'s -- one'", "select E'it\\'s -- one'"),
        ('select 1 as "-- one"', 'select 1 as "-- one"'),
        ("select $a$ -- one$a$", "select $a$ -- one$a$"),
        ("select a$b$c -- $b$", "select a$b$c"),
    ],
)
def test_what_stands_behind_a_query_is_left_out(query: str, kept: str) -> None:
    """
    A comment would swallow the semicolon of a script.
    """
    assert bare(query) == kept


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("select 'a\tb'", "select E'a\\tb'"),
        ("select 'a\t''b\\'", "select E'a\\t''b\\\\'"),
        ("select E'a\tb\\''", "select E'a\\tb\\''"),
        ("select $$a\t'b$$", "select E'a\\t''b'"),
        ("select 1\t-- it's\t", "select 1\t-- it's\t"),
        ('select 1 as "a\tb"', 'select 1 as "a\tb"'),
    ],
)
def test_a_tab_in_a_string_becomes_an_escape(text: str, kept: str) -> None:
    """
    Nothing else is changed.
    """
    assert untabbed(text) == kept


@pytest.mark.parametrize("door", ["script", "offline"])
def test_a_script_makes_the_same_views(
    engine: sa.Engine, alembic_env: MigrationEnvironment, door: str
) -> None:
    """
    Comments at the end, and tabs in strings.
    """
    metadata = views(
        'select id from "Item" -- all of them',
        'select id from "Item"; -- it\'s all\n-- and nothing else',
        "select 'a\tb''\\'::text as x,\t$$c\td$$::text as y",
    )
    if door == "script":
        text = "".join(f"{statement};\n" for statement in script(metadata))
    else:
        alembic_env.autogenerate("one", metadata=metadata)
        text = alembic_env.offline_sql()
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE IF EXISTS alembic_version")
        connection.exec_driver_sql(text.replace("%", "%%"))
    with engine.connect() as connection:
        assert not plan.check(connection, metadata)
        row = connection.exec_driver_sql("SELECT x, y FROM v2").one()
        assert tuple(row) == ("a\tb'\\", "c\td")
