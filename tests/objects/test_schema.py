from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pgultra import Schema
from pgultra.objects import Mark, Phase, Scope
from pgultra.sql import statement

if TYPE_CHECKING:
    import sqlalchemy as sa

OURS = Mark("default", "declared")


def test_statements() -> None:
    """
    Made with its mark, dropped without CASCADE.
    """
    schema = Schema(name='The "shop"', mark=OURS)
    assert schema.create() == (
        'CREATE SCHEMA "The ""shop"""',
        'COMMENT ON SCHEMA "The ""shop""" IS \'pgultra:default:declared\'',
    )
    assert schema.drop() == ('DROP SCHEMA "The ""shop"""',)
    assert schema.phase is Phase.BEFORE_TABLES
    assert str(schema.identity) == 'schema The "shop"'


def test_a_schema_lies_in_no_schema() -> None:
    """
    Whatever the default is, its identity stays.
    """
    schema = Schema(name="public")
    assert schema.canonical(Scope("default", "public")) == schema


def test_reading(connection: sa.Connection) -> None:
    """
    The wanted ones and the marked ones, with what the user wrote.
    """
    made = Schema(name="a", mark=OURS, comment="Mine.")
    for text in (*made.create(), "CREATE SCHEMA b", "CREATE SCHEMA c"):
        connection.execute(statement(text))
    oid = connection.exec_driver_sql("SELECT oid::text FROM pg_namespace WHERE nspname = 'a'")
    marked = {"pg_namespace": [oid.scalar_one()]}
    scope = Scope("default", "public", wanted=frozenset({Schema(name="b").identity}), marked=marked)
    found = list(Schema.read(connection, scope))
    assert found == [made, Schema(name="b")]
    assert found[0].comment == "Mine."
    assert list(Schema.read(connection, Scope("default", "public"))) == []


def test_dropping_is_refused_while_something_is_inside(connection: sa.Connection) -> None:
    """
    PostgreSQL says no: there is no CASCADE.
    """
    for text in (*Schema(name="a").create(), "CREATE TABLE a.t ()"):
        connection.execute(statement(text))
    with pytest.raises(Exception, match="depend"), connection.begin_nested():
        connection.execute(statement(Schema(name="a").drop()[0]))
