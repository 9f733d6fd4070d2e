from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.dialects import postgresql

from pgultra import Check, Function, Index, Schema, Trigger, View
from pgultra.objects import Identity, Mark
from pgultra.plan import Step
from pgultra.plan.order import (
    TABLES,
    Act,
    acts_of,
    ordered,
)
from pgultra.plan.words import words_checked, words_of, words_of_schema_items

if TYPE_CHECKING:
    from pgultra.objects import DatabaseObject

OURS = Mark("default", "declared")
TOUCH = Function(name="touch", body="begin return new; end")


def trigger(table: str = "item", **options: object) -> Trigger:
    return Trigger(
        **{
            "name": "t",
            "table": table,
            "timing": "BEFORE",
            "events": ("INSERT",),
            "function": "touch",
            "mark": OURS,
            **options,
        }
    )


def table(name: str, *mentions: str) -> Act:
    """
    A table operation that makes a table.
    """
    identity = Identity("table", None, name)
    return Act(f"table {name}", TABLES, makes=frozenset({identity}), mentions=frozenset(mentions))


def sorted_names(*acts: Act | Step | DatabaseObject) -> list[str]:
    """
    What comes out, by name.
    """
    several: list[Act] = []
    for each in acts:
        if isinstance(each, Act):
            several.append(each)
        else:
            several += acts_of(each if isinstance(each, Step) else Step(None, each))
    return [
        act.item if isinstance(act.item, str) else f"{act.item.verb} {act.item.identity.name}"
        for act in ordered(several)
    ]


def test_a_script_reads_from_schema_to_trigger() -> None:
    """
    Whatever the order in which things are given.
    """
    made = sorted_names(
        trigger(schema="shop", function_schema=None),
        View(name="v", schema="shop", query="SELECT 1"),
        Check(name="c", table="item", schema="shop", condition="true"),
        TOUCH,
        Schema(name="shop"),
        Act("table item", TABLES, makes=frozenset({Identity("table", "shop", "item")})),
    )
    assert made == [
        "create shop",
        "table item",
        "create touch()",
        "create c",
        "create v",
        "create t",
    ]


def test_functions_come_after_tables_unless_one_calls_them() -> None:
    """
    PostgreSQL may look at tables when it makes them, and at run time.
    """
    sql = Function(name="s", returns="bigint", language="sql", body="SELECT count(*) FROM item")
    about = Function(name="a", arguments="i item", returns="int", body="begin return 1; end")
    blind = Function(name="b", body="begin perform 1 from item; return new; end")
    assert sorted_names(sql, about, blind, table("item", "b")) == [
        "create b()",
        "table item",
        "create s()",
        "create a(i item)",
    ]


def test_what_a_function_calls_at_run_time_comes_along() -> None:
    """
    A column that is added with a default calls it for the rows that are there.
    """
    inner = Function(name="inner", returns="int", body="begin return 1; end")
    outer = Function(name="outer", returns="int", body="begin return inner(); end")
    assert sorted_names(table("item", "outer"), outer, inner) == [
        "create inner()",
        "create outer()",
        "table item",
    ]


def test_a_body_is_not_checked_where_it_names_what_is_not_there() -> None:
    """
    A default's function that reads a later table; one that goes back before its column does.
    """
    body = "SELECT count(*) FROM other"
    count = Function(name="n", returns="bigint", language="sql", body=body, mark=OURS)
    item, other = table("item", "n"), table("other")
    other.after.append(item)
    acts = ordered([item, other, *acts_of(Step(None, count))])
    (step,) = (act.item for act in acts if isinstance(act.item, Step))
    assert acts[0].item is step
    assert "check_function_bodies" in step.statements()[0]
    assert "check_function_bodies" not in "".join(step.reverse().statements())

    moved = Step(count, count.but(body="SELECT 1"))
    alter = Act("alter other", TABLES, alters=frozenset({Identity("table", None, "other")}))
    (step,) = (act.item for act in ordered([alter, *acts_of(moved)]) if act is not alter)
    assert "check_function_bodies" not in step.statements()[0]
    assert "check_function_bodies" in step.reverse().statements()[0]


def test_a_table_that_calls_a_function_comes_after_it() -> None:
    """
    Generated columns, defaults and checks are read for names.
    """
    sql = Function(
        name="twice", arguments="n int", returns="int", language="sql", body="SELECT n*2"
    )
    assert sorted_names(table("item", "twice"), sql) == ["create twice(n int)", "table item"]


def test_views_stand_in_the_order_of_their_texts() -> None:
    """
    Quoted names count as their contents.
    """
    made = sorted_names(
        View(name="c", query='SELECT * FROM "the ""b"""'),
        View(name='the "b"', query="SELECT * FROM a"),
        View(name="a", query="SELECT 1 AS one"),
    )
    assert made == ["create a", 'create the "b"', "create c"]


def test_drops_stand_the_other_way_round() -> None:
    """
    What stands on tables goes first, functions of triggers last, those that name tables before.
    """
    sql = Function(name="s", returns="bigint", language="sql", body="SELECT count(*) FROM item")
    gone = Act("drop item", TABLES, unmakes=frozenset({Identity("table", None, "item")}))
    steps = [
        Step(each, None) for each in (TOUCH, sql, trigger(), View(name="v", query="SELECT s()"))
    ]
    names = sorted_names(gone, *steps)
    assert names.index("drop t") < names.index("drop item") < names.index("drop touch()")
    assert names.index("drop v") < names.index("drop s()") < names.index("drop item")


def test_a_name_is_free_before_it_is_taken_again() -> None:
    """
    A view that moves over, a trigger that is made anew.
    """
    old, new = (
        View(name="v", query=query, mark=OURS) for query in ("SELECT 1 AS a", "SELECT 2 AS b")
    )
    assert sorted_names(Step(old, new)) == ["drop v", "create v"]
    assert sorted_names(Step(trigger(), trigger(when="true"))) == ["replace t"]


def test_an_old_overload_goes_before_what_calls_the_new_one() -> None:
    """
    Else the new view would be bound to the old function.
    """
    old = Function(name="f", arguments="a integer", returns="int", body="x")
    new = Function(name="f", arguments="a int, b int = 2", returns="int", body="x")
    view = View(name="v", query="SELECT f(1)")
    names = sorted_names(Step(old, None), Step(None, new), Step(view, view, apart=True))
    assert names == ["drop v", "drop f(a integer)", "create f(a int, b int = 2)", "create v"] or (
        names.index("drop v") < names.index("drop f(a integer)") < names.index("create v")
    )


def test_what_lets_go_of_a_function_comes_before_its_drop() -> None:
    """
    A trigger that is replaced in place by one that calls another function.
    """
    other = Function(name="other", body="begin return new; end")
    moved = Step(trigger(), trigger(function="other"))
    names = sorted_names(Step(TOUCH, None), moved, Step(None, other))
    assert names == ["create other()", "replace t", "drop touch()"]


def test_steps_stand_on_the_right_side_of_altered_tables() -> None:
    """
    A drop before the column goes, a create after it came.
    """
    item = Identity("table", None, "item")
    alter = Act("alter item", TABLES, alters=frozenset({item}))
    old, new = (trigger(events=("UPDATE",), columns=(name,)) for name in "ab")
    assert sorted_names(alter, Step(old, new, apart=True)) == ["drop t", "alter item", "create t"]
    index = Index(name="ix", table="item", definition="(b)")
    assert sorted_names(index, alter) == ["alter item", "create ix"]


def test_the_default_schema_has_two_spellings() -> None:
    """
    A trigger on public.item needs the table item, if public is the default.
    """
    acts = acts_of(Step(None, trigger(schema="public", function_schema=None)), "public")
    assert ordered([*acts, table("item")])[0].item == "table item"


def test_a_circle_keeps_the_given_order() -> None:
    """
    Nothing is lost, and nothing loops.
    """
    one, two = Act("one", TABLES), Act("two", TABLES)
    one.after.append(two)
    two.after.append(one)
    assert [act.item for act in ordered([one, two])] == ["one", "two"]


@given(st.permutations(range(6)))
def test_the_order_does_not_depend_on_the_order_given(places: list[int]) -> None:
    """
    As far as dependencies go: a chain of views comes out as a chain.
    """
    views = [
        View(name=f"v{n}", query=f"SELECT * FROM v{n - 1}" if n else "SELECT 1") for n in range(6)
    ]
    assert sorted_names(*(views[n] for n in places)) == [f"create v{n}" for n in range(6)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('SELECT A."B ""c" FROM d$1', {"select", "a", 'B "c', "from", "d$1"}),
        ("", set()),
        ("GrÖße", {"grÖße"}),
        ("kind <> 'active' || E'a\\'b' || 'it''s c'", {"kind"}),
        ("'\"No\" One'::regclass, 'two'::text", {"No", "one", "regclass", "text"}),
        ("\"it's\" < 'it'", {"it's"}),
        ("-- it's\na /* what's */ b -- c", {"a", "b"}),
        ("a < $x$ it's b $x$ and $1 < $$ c $$", {"a", "and"}),
    ],
)
def test_words_of_a_text(text: str, words: set[str]) -> None:
    """
    Names as they are stored, quotes undone; a string is no name, unless it is cast to one.
    """
    assert words_of(text) == words


def test_a_string_in_a_view_is_no_view() -> None:
    """
    ``active`` is made of the view whose text compares with the word.
    """
    rows = View(name="rich", query="SELECT id FROM item WHERE kind <> 'active'")
    active = View(name="active", query="SELECT id FROM rich")
    assert sorted_names(rows, active) == ["create rich", "create active"]
    assert sorted_names(active, rows) == ["create rich", "create active"]


def test_a_table_stands_on_no_view() -> None:
    """
    A word of a generated column is the name of a view of that table.
    """
    item = table("item", *words_of("setweight(to_tsvector(title), 'A'::\"char\")"))
    view = View(name="char", query="SELECT id FROM item")
    assert sorted_names(view, item) == ["table item", "create char"]


def test_words_of_functions_and_tables() -> None:
    """
    Only what PostgreSQL looks at when it makes them.
    """
    function = Function(name="f", arguments="a kind", returns="item", body="other")
    assert words_checked(function) == {"a", "kind", "item"}
    metadata = sa.MetaData()
    made = sa.Table(
        "t",
        metadata,
        sa.Column("a", sa.Integer, sa.Computed("twice(b)")),
        sa.Column("c", sa.Integer, server_default=sa.text("first(1)")),
        sa.Column("d", sa.Integer, server_default=sa.func.second()),
        sa.CheckConstraint("third(a) > 0"),
    )
    index = sa.Index("ix", sa.func.fourth(made.c.a), postgresql_where=sa.func.fifth(made.c.c))
    domain = postgresql.DOMAIN("d", sa.Text, check="sixth(VALUE)", default=sa.text("seventh()"))
    lot = sa.Table(
        "lot",
        metadata,
        sa.Column("e", postgresql.ARRAY(domain)),
        postgresql.ExcludeConstraint((sa.text("eighth(e)"), "="), where=sa.text("ninth(e)")),
        postgresql_partition_by="RANGE (tenth(e))",
    )
    items = [*made.columns, *made.constraints, index, lot, *lot.columns, *lot.constraints]
    wanted = "twice first second third fourth fifth sixth seventh eighth ninth tenth"
    assert words_of_schema_items(items) >= set(wanted.split())
