from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from pgultra import Schema, View, declare
from pgultra.plan.inventory import inventory
from tests.plan.visits import visits

if TYPE_CHECKING:
    from sqlalchemy import Connection


def test_all_that_is_marked_is_found(connection: Connection) -> None:
    """
    Several applications, other schemas and objects without a table are in it; strangers not.
    """
    visits().create_all(connection)
    other = sa.MetaData(info={"pgultra.app": "shop"})
    declare(other, Schema(name="Shop"), View(name="v", schema="Shop", query="SELECT 1 AS one"))
    other.create_all(connection)
    connection.exec_driver_sql("CREATE VIEW stranger AS SELECT 1 AS one")
    found = {
        (each.mark.application, str(each.identity)) for each in inventory(connection) if each.mark
    }
    assert found == {
        ("default", "function touch()"),
        ("default", "trigger seen on visit"),
        ("default", "view far"),
        ("shop", "schema Shop"),
        ("shop", "view Shop.v"),
    }


def test_an_empty_database_holds_nothing(connection: Connection) -> None:
    """
    No mark, no object.
    """
    assert inventory(connection) == ()
