from __future__ import annotations

import json

import sqlalchemy as sa

from pgultra import Check, Extension, Index, plan
from pgultra.objects import Function, Identity, Mark, Trigger, View
from pgultra.plan import Plan, State, Step, check
from pgultra.plan.canonical import Comparable
from pgultra.plan.compare import Conflict
from pgultra.plan.describe import as_json, as_text, changes, strangers
from tests.plan.visits import visits

MARK = Mark("default", "declared")
TOUCH = Function(name="touch", body="begin\n  return new;\nend", mark=MARK)
VIEW = View(name="far", query="SELECT 1 AS one", mark=MARK)


def edited(body: str) -> Function:
    """
    The function with another body.
    """
    return Function(name="touch", body=body, mark=MARK)


def trigger(timing: str = "BEFORE", enabled: str = "O", *arguments: str) -> Trigger:
    """
    A trigger that runs it.
    """
    return Trigger(
        name="seen",
        table="visit",
        timing=timing,
        events=("INSERT",),
        function="touch",
        arguments=arguments,
        enabled=enabled,
        mark=MARK,
    )


def test_an_empty_plan_is_no_drift() -> None:
    """
    Nothing to say is said in two words.
    """
    assert as_text(Plan()) == "no drift"
    assert as_json(Plan()) == {"drift": False, "steps": [], "conflicts": [], "weaker": []}


def test_an_edited_function_is_a_diff_of_its_lines() -> None:
    """
    Only the lines that differ are marked, from the database to the models.
    """
    step = Step(edited("begin\n  return null;\nend"), TOUCH)
    text = as_text(Plan((step,)))
    assert text.splitlines()[0] == "changed: function touch() (declared)"
    assert "    -  return null;" in text
    assert "    +  return new;" in text
    assert "     end$$;" in text


def test_a_missing_object_is_cut_and_a_short_one_is_not() -> None:
    """
    A body of a hundred lines does not bury the rest, unless it is asked for.
    """
    long = edited("\n".join(f"line {number}" for number in range(100)))
    cut = as_text(Plan((Step(None, long),)))
    assert "… 93 more lines" in cut
    assert len(cut.splitlines()) < 12
    assert "line 99" in as_text(Plan((Step(None, long),)), limit=None)
    assert "more lines" not in as_text(Plan((Step(None, TOUCH),)))


def test_what_is_dropped_is_shown_as_removed() -> None:
    """
    An object that is not declared any more has minus signs only.
    """
    text = as_text(Plan((Step(VIEW, None),)))
    assert text.startswith("not declared: view far (declared)")
    assert "    -CREATE VIEW far AS" in text


def test_a_lost_mark_needs_no_diff() -> None:
    """
    An object that is only unmarked is named, and nothing else.
    """
    unmarked = View(name="far", query="SELECT 1 AS one")
    assert as_text(Plan((Step(unmarked, VIEW),))) == "unmarked: view far (declared)"


def test_a_drop_and_a_create_of_one_object_are_one_change() -> None:
    """
    What cannot change in place is one replacement for the reader, with the SQL of both halves.
    """
    other = View(name="far", query="SELECT 1 AS two", mark=MARK)
    steps = (Step(other, None), Step(None, TOUCH), Step(None, VIEW))
    replaced, made = changes(Plan(steps))
    assert (replaced.verb, str(replaced.identity)) == ("replace", "view far")
    assert replaced.statements[0] == "DROP VIEW far"
    assert "-SELECT 1 AS two;" in replaced.diff()
    assert made.verb == "create"


def test_what_only_gives_way_says_so() -> None:
    """
    A view that is made anew for what it stands on is not called changed.
    """
    (change,) = changes(Plan((Step(VIEW, None), Step(None, VIEW))))
    assert change.verb == "rebuild"
    assert str(change) == "rebuilt with what it stands on: view far (declared)"
    assert change.diff() == []


def test_a_trigger_is_compared_clause_by_clause() -> None:
    """
    A trigger is one line of SQL; a reader sees which part of it differs.
    """
    (change,) = changes(Plan((Step(trigger("AFTER", "D"), trigger()),)))
    diff = change.diff()
    assert "-    AFTER INSERT ON visit" in diff
    assert "+    BEFORE INSERT ON visit" in diff
    assert "     FOR EACH ROW" in diff
    assert "-ALTER TABLE visit DISABLE TRIGGER seen;" in diff


def test_long_arguments_are_broken_at_commas() -> None:
    """
    A trigger with a page of JSON in it is not one endless line.
    """
    facts = json.dumps({f"column {number}": [number] for number in range(30)})
    (change,) = changes(Plan((Step(None, trigger("BEFORE", "O", facts)),)))
    assert max(map(len, change.diff())) < 100


def test_marks_and_comments_are_no_difference() -> None:
    """
    The diff shows what is compared, and nothing else.
    """
    before = View(
        name="far",
        query="SELECT 1 AS two",
        comment="mine",
        mark=Mark("default", "declared", "0123456789ab"),
    )
    (change,) = changes(Plan((Step(before, VIEW),)))
    assert [line for line in change.diff() if line.startswith("-")][1:] == ["-SELECT 1 AS two;"]


def test_conflicts_are_shown_beside_what_is_declared() -> None:
    """
    A stranger that bears a declared name is shown with its difference.
    """
    stranger = View(name="far", query="SELECT 2 AS one")
    sides = Comparable(State([VIEW]), State([stranger]), {})
    conflict = Conflict.of(VIEW.identity, VIEW, "it bears no mark of pgultra")
    found = Plan((), (conflict,), sides=sides)
    text = as_text(found)
    assert text.startswith("in the way, and not made by pgultra:")
    assert "    -SELECT 2 AS one;" in text
    assert [str(change.identity) for change in strangers(found)] == ["view far"]
    (shown,) = as_json(found)["conflicts"]
    assert (shown["kind"], shown["name"]) == ("view", "far")
    assert shown["reason"].startswith("view far: ")
    assert "+SELECT 1 AS one;" in shown["diff"]


def test_weaker_answers_are_said() -> None:
    """
    What could not be printed here is not passed off as checked.
    """
    found = Plan(weaker=(Identity("view", None, "far"),))
    assert not found
    assert as_text(found).startswith("no drift\n\nweaker answer for 1 object: ")
    assert as_json(found)["weaker"][0]["name"] == "far"


def test_json_is_json() -> None:
    """
    The values survive a round trip, names and all.
    """
    found = as_json(Plan((Step(None, TOUCH), Step(None, Extension(name="pg_trgm")))))
    again = json.loads(json.dumps(found))
    assert again == found
    first, second = again["steps"]
    assert (first["verb"], first["kind"], first["name"]) == ("create", "function", "touch()")
    assert first["room"] == "declared"
    assert first["statements"][0].startswith("CREATE FUNCTION touch()")
    assert second["statements"] == ["CREATE EXTENSION IF NOT EXISTS pg_trgm"]


def test_every_kind_can_be_described() -> None:
    """
    No noun makes the description stumble.
    """
    table = sa.Table("t", sa.MetaData(), sa.Column("id", sa.Integer, index=True))
    (index,) = table.indexes
    more = [Index.of(index, concurrently=True), Check(name="c", table="t", condition="id > 0")]
    for each in [*plan.collect(visits()).values(), *more]:
        assert "+" in as_text(Plan((Step(None, each),)))


def test_a_view_is_compared_as_postgresql_prints_it(connection: sa.Connection) -> None:
    """
    A difference in layout is none, nor are grants: both sides are in the server's spelling.
    """
    metadata = visits()
    metadata.create_all(connection)
    connection.exec_driver_sql("GRANT SELECT ON far TO pg_monitor")
    connection.exec_driver_sql(
        "CREATE OR REPLACE VIEW far AS SELECT id, name FROM visit WHERE name LIKE '60%%'"
    )
    (change,) = changes(check(connection, metadata))
    changed = [line for line in change.diff() if line[0] in "+-" and line[1:3] not in ("--", "++")]
    assert [("50%" in line, "60%" in line) for line in changed] == [(False, True), (True, False)]


def test_a_long_comment_stays_on_its_line() -> None:
    """
    Broken at its commas, what follows them would be SQL to whoever copies it.
    """
    words = ", ".join(["and so on"] * 20)
    function = Function(
        name="f", body=f"-- first, {words}\nBEGIN\n  RETURN NEW; -- x, {words}\nEND"
    )
    lines = as_text(Plan((Step(None, function),)), limit=None).splitlines()
    assert sum(words in line for line in lines) == 2
