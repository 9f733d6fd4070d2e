"""
What cannot be is refused when it is declared, with what to write instead.
"""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, column_property

from pgultra import Check, DeclarationError, Function, Trigger, View, declare, plan

LONG = "ü" * 32
"""32 letters, 64 bytes."""


def trigger(**options: Any) -> Trigger:
    given: dict[str, Any] = {
        "name": "g",
        "table": "Item",
        "timing": "BEFORE",
        "events": ("UPDATE",),
        "function": "f",
    }
    return Trigger(**{**given, **options})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"level": "row"}, "trigger g on table Item: level='row' is not ROW or STATEMENT"),
        ({"columns": ("a",), "events": ("INSERT",)}, "columns are those of UPDATE OF"),
        ({"columns": "name"}, "columns='name' is not a tuple of texts"),
        ({"enabled": "x"}, "enabled='x' is not O"),
        ({"arguments": (1,)}, "arguments=.*is not a tuple of texts"),
        ({"deferrable": True}, "add constraint=True"),
        ({"initially_deferred": True}, "add constraint=True"),
        ({"when": ""}, "when is empty"),
        ({"name": ""}, "is not a name"),
        ({"name": LONG}, "64 bytes"),
    ],
)
def test_a_trigger_that_cannot_be(options: dict[str, Any], message: str) -> None:
    """
    The error names the trigger, its table and the option.
    """
    with pytest.raises(DeclarationError, match=message):
        trigger(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": ""}, "view: name='' is not a name"),
        ({"name": None}, "view: name=None is not a name"),
        ({"name": LONG}, f"view {LONG}: the name has 64 bytes"),
        ({"query": ""}, "view v: query='' is not a SELECT"),
        ({"query": " -- nothing\n;"}, "view v: query=.*is not a SELECT"),
        ({"query": None}, "view v: query=None is not a SELECT"),
    ],
)
def test_a_view_that_cannot_be(options: dict[str, Any], message: str) -> None:
    """
    Names and queries that are none.
    """
    with pytest.raises(DeclarationError, match=message):
        View(**{"name": "v", "query": "SELECT 1", **options})


def test_a_long_name_of_a_function() -> None:
    """
    PostgreSQL would cut it, and it would be missing for ever; 63 bytes are not too long.
    """
    with pytest.raises(DeclarationError, match=f"function {LONG}: the name has 64 bytes"):
        Function(name=LONG, body="x")
    assert Function(name=LONG[:-1] + "u", body="x").name
    with pytest.raises(DeclarationError, match="64 bytes"):
        Check(name=LONG, table="item", condition="true")


def test_a_class_of_two_tables() -> None:
    """
    A class that is mapped to a join has no table that objects could be declared on.
    """

    class Base(DeclarativeBase):
        pass

    one, two = (
        sa.Table(name, Base.metadata, sa.Column("id", sa.Integer, primary_key=True))
        for name in ("one", "two")
    )

    class Both(Base):
        __table__ = one.join(two, one.c.id == two.c.id)
        id = column_property(one.c.id, two.c.id)

    with pytest.raises(DeclarationError, match="declare: Both is mapped to a Join"):
        declare(Both, View(name="v", query="SELECT 1"))


def test_lists_are_taken_for_tuples_and_nothing_drifts(engine: sa.Engine) -> None:
    """
    And a trigger that is deferred at first is deferrable.
    """
    metadata = sa.MetaData()
    table = sa.Table("Item", metadata, sa.Column("id", sa.Integer), sa.Column("Name", sa.Text))
    declare(
        table,
        Function(name="f", body="begin return new; end"),
        trigger(columns=["Name"], arguments=["a\tb", "it's"]),
        trigger(name="h", timing="AFTER", constraint=True, initially_deferred=True),
        trigger(name="own", function="suppress_redundant_updates_trigger"),
        trigger(name="own_too", function="suppress_redundant_updates_trigger", when="new.id > 0"),
    )
    metadata.create_all(engine)
    with engine.connect() as connection:
        assert not plan.check(connection, metadata)
    other = sa.MetaData()
    table = sa.Table("Item", other, sa.Column("id", sa.Integer), sa.Column("Name", sa.Text))
    declare(table, trigger(name="own", function="suppress_redundant_updates_trigger", enabled="D"))
    with engine.begin() as connection:
        changed = [step for step in plan.check(connection, other) if step.identity.name == "own"]
        assert changed[0].statements() == ('ALTER TABLE "Item" DISABLE TRIGGER own',)
