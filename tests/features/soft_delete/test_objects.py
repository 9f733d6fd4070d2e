"""
The objects of a table, without a server.
"""

from __future__ import annotations

import json
import re
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from pgultra.errors import DeclarationError
from pgultra.features.soft_delete.objects import before_update_triggers, deletion_index, objects
from pgultra.features.soft_delete.shape import Columns
from pgultra.objects import Check, Function, Index, Trigger, View
from tests.features.soft_delete.tables import Schema, soft_table

if TYPE_CHECKING:
    from pgultra.objects import DatabaseObject

FLAG = Columns(flag="is_deleted")
SQL = sorted(each.name for each in files("pgultra.features.soft_delete").joinpath("sql").iterdir())


@pytest.fixture
def schema() -> Schema:
    """
    Articles, their comments, and tags that stand alone.
    """
    schema = Schema()
    article = schema.table("article", view="article_live")
    comment = schema.table(
        "comment",
        sa.Column("article_id", sa.ForeignKey("article.id")),
        names=FLAG,
        refuse_orphans=True,
    )
    schema.table("tag", guard="allow", concurrently=True)
    schema.edge(article, comment, id="article_id")
    return schema


def of(schema: Schema, name: str, kind: type[DatabaseObject]) -> dict[str, Any]:
    """
    Index the objects of one table and kind by name.
    """
    table = schema.metadata.tables[name]
    found: Any = [each for each in objects(table, schema.shape(table)) if isinstance(each, kind)]
    return {each.name: each for each in found}


def verbs(names: Any, prefix: str) -> list[str]:
    """
    Cut a common prefix off names.
    """
    return [name.removeprefix(prefix) for name in names]


def test_triggers_follow_the_shape(schema: Schema) -> None:
    """A table gets the triggers that it needs, and no more."""
    prefix = "_soft_delete_"
    assert verbs(of(schema, "article", Trigger), f"article{prefix}") == [
        "enter", "stamp", "cascade", "restore", "guard", "truncate",
    ]  # fmt: skip
    assert verbs(of(schema, "comment", Trigger), f"comment{prefix}") == [
        "align", "enter", "stamp", "under", "cascade", "restore", "guard", "truncate",
    ]  # fmt: skip
    assert verbs(of(schema, "tag", Trigger), f"tag{prefix}") == ["enter", "stamp", "cascade"]


def test_functions_are_shared(schema: Schema) -> None:
    """Tables of one schema name the very same functions, those of another schema their own."""
    one, other = of(schema, "article", Function), of(schema, "comment", Function)
    assert one.items() <= other.items()
    assert verbs(other, "pgultra_soft_delete_") == [
        "align", "stamp", "under", "cascade", "restore", "guard", "truncate",
    ]  # fmt: skip
    elsewhere = Schema()
    elsewhere.table("article", schema="shop")
    assert {each.schema for each in of(elsewhere, "shop.article", Function).values()} == {"shop"}


def test_functions_of_an_application() -> None:
    """Two applications in one schema do not share functions."""
    schema = Schema(sa.MetaData(info={"pgultra.app": "shop"}))
    schema.table("article")
    assert set(verbs(of(schema, "article", Function), "pgultra_shop_soft_delete_")) == {
        "stamp", "cascade", "guard", "truncate",
    }  # fmt: skip


def test_functions_for_other_names() -> None:
    """Other names of columns have functions of their own, shared by the tables that use them."""
    schema = Schema()
    names = Columns(deleted_at='since "when"', flag="gone")
    for name in ("one", "two"):
        schema.table(name, names=names)
    schema.table("three", names=Columns(flag="gone"))
    one, two, three = (of(schema, name, Function) for name in ("one", "two", "three"))
    assert one == two
    own = [name for name in one if name not in three]
    assert [re.sub("_[0-9a-f]{8}$", "", name) for name in own] == [
        "pgultra_soft_delete_align", "pgultra_soft_delete_stamp",
    ]  # fmt: skip
    for name in own:
        assert 'NEW."since ""when""" ' in one[name].body
        assert ".deleted_at" not in one[name].body
    assert "pgultra_soft_delete_stamp" in three


def test_triggers_name_their_functions(schema: Schema) -> None:
    """Each trigger runs a function that comes along."""
    for name in schema.metadata.tables:
        functions = of(schema, name, Function)
        for trigger in of(schema, name, Trigger).values():
            assert trigger.function in functions


def test_arguments_are_readable(schema: Schema) -> None:
    """What a trigger knows of its table stands in its argument, as JSON."""
    trigger = of(schema, "comment", Trigger)["comment_soft_delete_under"]
    assert json.loads(trigger.arguments[0]) == {
        "deleted_at": "deleted_at",
        "above": [{"name": "article", "deleted_at": "deleted_at", "on": [["id", "article_id"]]}],
    }
    stamp = of(schema, "article", Trigger)["article_soft_delete_stamp"]
    assert json.loads(stamp.arguments[0]) == {
        "table": "article", "key": ["id"], "cascade": True, "restore": True,
    }  # fmt: skip


def test_unrelated_updates_run_nothing(schema: Schema) -> None:
    """Triggers on UPDATE name their columns; those on INSERT have a condition."""
    for trigger in of(schema, "comment", Trigger).values():
        assert trigger.columns or "UPDATE" not in trigger.events
        assert trigger.when


def test_order_of_triggers_survives_cut_names() -> None:
    """Names that had to be cut sort as the whole ones do."""
    schema = Schema()
    parent = schema.table("a" * 63)
    child = schema.table(
        "z" * 63, sa.Column("parent_id", sa.Integer), names=FLAG, refuse_orphans=True
    )
    schema.edge(parent, child, id="parent_id")
    words = ["align", "enter", "stamp", "under", "cascade", "restore"]
    by_word = {
        word: name
        for name in of(schema, child.name, Trigger)
        for word in words
        if f"_{word}_" in name
    }
    assert all(len(name.encode()) <= 63 for name in by_word.values())
    before = [by_word[word] for word in words[:4]]
    after = [by_word[word] for word in words[4:]]
    assert (sorted(before), sorted(after)) == (before, after)


def test_check_of_the_flag(schema: Schema) -> None:
    """Only a table with a flag has a check, and it does not let NULL pass."""
    assert of(schema, "article", Check) == {}
    (check,) = of(schema, "comment", Check).values()
    assert check.name == "comment_soft_delete_flag"
    assert check.condition == "is_deleted IS NOT DISTINCT FROM (deleted_at IS NOT NULL)"


def test_index_of_deletions(schema: Schema) -> None:
    """The index is partial, made once, and stays among the indexes of the table."""
    table = schema.metadata.tables["article"]
    (index,) = of(schema, "article", Index).values()
    assert index.definition == "(deletion_id) WHERE deletion_id IS NOT NULL"
    assert not index.concurrently
    assert deletion_index(table, Columns()) in table.indexes
    assert len(table.indexes) == 1
    (index,) = of(schema, "tag", Index).values()
    assert index.concurrently


def test_live_view() -> None:
    """The view has all columns, checks the caller's rights, and is there only if asked for."""
    schema = Schema()
    names = Columns(deleted_at='since "when"')
    schema.table(
        "Weird", sa.Column('a "b"', sa.Integer), schema="shop", names=names, view="Weird live"
    )
    (view,) = of(schema, "shop.Weird", View).values()
    assert (view.schema, view.security_invoker) == ("shop", True)
    assert " ".join(view.query.split()) == (
        'SELECT id, "a ""b""", "since ""when""", deleted_by, deletion_id '
        'FROM shop."Weird" WHERE "since ""when""" IS NULL'
    )
    schema.table("plain")
    assert of(schema, "plain", View) == {}


def test_before_update_triggers(schema: Schema) -> None:
    """Other rooms learn of the row triggers that run before an UPDATE."""
    table = schema.metadata.tables["comment"]
    assert before_update_triggers(table, schema.shape(table)) == (
        "comment_soft_delete_align", "comment_soft_delete_stamp", "comment_soft_delete_under",
    )  # fmt: skip


def test_schema_of_a_neighbour() -> None:
    """From a declared schema, the default one is found by the foreign key that leads there."""
    schema = Schema()
    top = schema.table("top", schema="shop")
    child = schema.table("child", sa.Column("top_id", sa.ForeignKey("shop.top.id")))
    schema.edge(top, child, id="top_id")
    trigger = of(schema, "shop.top", Trigger)["top_soft_delete_cascade"]
    facts = json.loads(trigger.arguments[0])
    assert facts["home"] == {
        "from": ["shop", "top"],
        "to": "child",
        "deleted_at": "deleted_at",
    }
    trigger = of(schema, "child", Trigger)["child_soft_delete_restore"]
    assert "home" not in json.loads(trigger.arguments[0])


def test_cascade_needs_primary_keys() -> None:
    """A table without a primary key cannot take part in a cascade; the error says which."""
    schema = Schema()
    top = schema.table("top")
    child = soft_table("child", schema.metadata, sa.Column("top_id", sa.Integer))
    schema.edge(top, child, id="top_id")
    with pytest.raises(DeclarationError, match="table child has no primary key"):
        of(schema, "top", Trigger)


WORDS = {
    "all", "and", "any", "array", "as", "by", "coalesce", "distinct", "else", "exists", "filter",
    "from", "if", "in", "lateral", "not", "nullif", "on", "or", "over", "row", "select", "then", "values",
    "when", "where",
}  # fmt: skip
"""
What may stand before a parenthesis and is no function.
"""


@pytest.mark.parametrize("name", sorted(set(SQL) - {"guard.sql", "truncate.sql"}))
def test_functions_are_called_by_their_full_name(name: str) -> None:
    """Without a search_path of its own, a function must not be led astray by the caller's."""
    text = files("pgultra.features.soft_delete").joinpath("sql", name).read_text("utf-8")
    code = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("--"))
    called = re.findall(r"([\w.$]*\w)\s*\((?=[^)])", code)
    # An alias with its columns looks like a call: AS name (columns).
    aliases = set(re.findall(r"\bAS\s+(\w+)\s*\(", code)) | {"r"}
    loose = {
        each
        for each in called
        if not each.startswith("pg_catalog.") and each.lower() not in WORDS | aliases
    }
    assert loose == set()
