"""
A unique rule without the partition key goes only when the model has another, or somebody says so.
"""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from pgultra.errors import PgultraError
from pgultra.features.partitions import convert, finish_conversion, plan_conversion
from tests.features.partitions.conversion.orders import ORDER, asked, order, orders

RULES = {
    "a constraint beside an index on its columns and the key": (
        f'ALTER TABLE {ORDER} ADD CONSTRAINT "One" UNIQUE (note)',
        f"CREATE INDEX beside ON {ORDER} (note, at)",
        ("note", "at"),
    ),
    "an expression beside an index on the key": (
        f'CREATE UNIQUE INDEX "One" ON {ORDER} (lower(note))',
        f"CREATE INDEX beside ON {ORDER} (at)",
        ("at",),
    ),
}


@pytest.mark.parametrize("name", RULES)
def test_an_ordinary_index_replaces_no_rule(engine: sa.Engine, name: str) -> None:
    """
    An index that is not unique holds no rule, whatever its columns are: the rule is an obstacle.
    """
    rule, beside, columns = RULES[name]
    orders(engine, rule, beside)
    model = order(sa.Index("beside", *columns))
    with (
        engine.connect() as connection,
        pytest.raises(PgultraError, match=r"unique One .* give_up=\['One'\]"),
    ):
        plan_conversion(connection, model)


def test_a_unique_rule_of_the_model_replaces_one(engine: sa.Engine) -> None:
    """
    The rule with the key stands for the one without it, and is there afterwards.
    """
    orders(engine, f'ALTER TABLE {ORDER} ADD CONSTRAINT "One" UNIQUE (note)')
    model = order(sa.UniqueConstraint("note", "at", name="One"))
    with engine.connect() as connection:
        assert "One gets the partition key" in str(plan_conversion(connection, model))
        convert(connection, model)
        finish_conversion(connection, model)
    defined = asked(
        engine, "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'One'"
    )
    assert defined == "UNIQUE (note, at)"
