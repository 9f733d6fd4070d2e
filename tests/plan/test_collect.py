from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from pgultra import DeclarationError, Function, Trigger, View, declare
from pgultra.objects import Identity, Mark
from pgultra.plan import collect
from pgultra.plan.collect import is_translated, translated

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pgultra.objects import DatabaseObject


@dataclass(frozen=True)
class Stamped:
    room: str = "stamped"

    def objects(self, table: sa.Table) -> Iterator[DatabaseObject]:
        place = {"schema": table.schema}
        yield Function(name="stamp", body="begin return new; end", **place)
        yield Trigger(
            name=f"{table.name}_stamp",
            table=table.name,
            timing="BEFORE",
            events=("UPDATE",),
            columns=tuple(column.name for column in table.columns),
            function="stamp",
            **place,
        )


def table(metadata: sa.MetaData, name: str, schema: str | None = None) -> sa.Table:
    made = sa.Table(name, metadata, sa.Column("id", sa.Integer), schema=schema)
    declare(made, Stamped())
    return made


def test_objects_are_derived_from_the_table_as_it_is() -> None:
    """
    A column that comes late is in the next answer.
    """
    metadata = sa.MetaData()
    item = table(metadata, "item")
    identity = Identity("trigger", None, "item_stamp", "item")
    assert collect(metadata)[identity].columns == ("id",)
    item.append_column(sa.Column("late", sa.Integer))
    assert collect(metadata)[identity].columns == ("id", "late")


def test_everything_is_marked() -> None:
    """
    Application and room; a fingerprint where PostgreSQL prints the text anew.
    """
    metadata = sa.MetaData(info={"pgultra.app": "shop"})
    table(metadata, "item")
    declare(metadata, View(name="v", query="SELECT 1 AS one"))
    marks = {identity.kind: each.mark for identity, each in collect(metadata).items()}
    assert marks["function"] == marks["trigger"] == Mark("shop", "stamped")
    assert marks["view"].room == "declared"
    assert len(marks["view"].fingerprint) == 12


def test_shared_functions_are_one_for_each_schema() -> None:
    """
    Three tables in two schemas have three triggers and two functions.
    """
    metadata = sa.MetaData()
    for name, schema in (("a", None), ("b", None), ("c", "shop")):
        table(metadata, name, schema)
    kinds = [identity.kind for identity in collect(metadata)]
    assert (kinds.count("function"), kinds.count("trigger")) == (2, 3)


@pytest.mark.parametrize("application", ["Shop", "my shop", "a:b", ""])
def test_an_application_is_one_plain_word(application: str) -> None:
    """
    It stands in comments and names; the error says where it is set.
    """
    metadata = sa.MetaData(info={"pgultra.app": application})
    declare(metadata, View(name="v", query="SELECT 1"))
    with pytest.raises(DeclarationError, match=r"pgultra\.app"):
        collect(metadata)


def test_a_translated_copy_says_the_same_of_other_schemas() -> None:
    """
    Foreign keys follow; the original is untouched.
    """
    metadata = sa.MetaData(info={"pgultra.app": "shop"})
    parent = table(metadata, "parent")
    child = table(metadata, "child", "kids")
    child.append_column(sa.Column("parent_id", sa.ForeignKey(parent.c.id)))
    copy = translated(metadata, {None: "one", "kids": None})
    assert set(copy.tables) == {"one.parent", "child"}
    key = next(iter(copy.tables["child"].foreign_keys))
    assert key.column.table is copy.tables["one.parent"]
    assert {(each.schema, each.mark.application) for each in collect(copy).values()} == {
        ("one", "shop"),
        (None, "shop"),
    }
    assert set(metadata.tables) == {"parent", "kids.child"}


def test_a_map_that_says_nothing_translates_nothing() -> None:
    """
    Only schemas that occur count.
    """
    metadata = sa.MetaData()
    table(metadata, "item", "shop")
    assert not is_translated(metadata, {None: "x", "other": "y", "shop": "shop"})
    assert is_translated(metadata, {"shop": None})


def test_text_cannot_be_translated() -> None:
    """
    A view declared by hand is refused, with the way out.
    """
    metadata = sa.MetaData()
    table(metadata, "item")
    declare(metadata, View(name="v", query="SELECT id FROM item"))
    with pytest.raises(DeclarationError, match="view v was declared by hand and cannot follow"):
        translated(metadata, {None: "one"})
