from __future__ import annotations

import pytest
import sqlalchemy as sa

from pgultra import DeclarationError
from pgultra.plan.facts import Facts, Live


def test_live_as_text_and_as_expression() -> None:
    """
    Both say the same, so that the planner matches the partial indexes.
    """
    table = sa.table("item", sa.column("deleted At"))
    live = Live("deleted At")
    assert live.text() == '"deleted At" IS NULL'
    assert live.text("i.") == 'i."deleted At" IS NULL'
    assert str(live.expression(table)) == 'item."deleted At" IS NULL'
    assert str(live.expression(table.alias("i"))) == 'i."deleted At" IS NULL'


def test_nothing_is_known_of_a_plain_table() -> None:
    """
    Merging nothing is knowing nothing.
    """
    assert Facts.merged([], "t") == Facts()
    assert Facts.merged([Facts(), Facts()], "t") == Facts()


def test_what_can_be_added_is_added() -> None:
    """
    Secret columns, rankers and triggers of several rooms stand side by side.
    """
    one = Facts(secret_columns=frozenset("a"), before_update_triggers=("x",), rankers=(1,))
    two = Facts(secret_columns=frozenset("b"), before_update_triggers=("y",), rankers=(2,))
    merged = Facts.merged([one, two], "t")
    assert merged.secret_columns == {"a", "b"}
    assert merged.before_update_triggers == ("x", "y")
    assert merged.rankers == (1, 2)


@pytest.mark.parametrize(
    ("field", "one", "two"),
    [
        ("live", Live("a"), Live("b")),
        ("tenant_column", "a", "b"),
        ("partition_key", ("a",), ("b",)),
    ],
)
def test_what_can_be_said_once_must_not_differ(field: str, one: object, two: object) -> None:
    """
    Equal answers are one answer; different ones are an error that names table and fact.
    """
    assert Facts.merged([Facts(**{field: one}), Facts(**{field: one})], "t") == Facts(
        **{field: one}
    )
    assert Facts.merged([Facts(), Facts(**{field: two})], "t") == Facts(**{field: two})
    with pytest.raises(DeclarationError, match=f"table t: two declarations disagree on {field}"):
        Facts.merged([Facts(**{field: one}), Facts(**{field: two})], "t")
