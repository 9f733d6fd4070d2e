from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from pgultra import DeclarationError, View, declare, plan
from pgultra.objects import Identity, Mark
from pgultra.objects._belongings import Belongings
from pgultra.sql import statement

if TYPE_CHECKING:
    from collections.abc import Callable

OURS = Mark("default", "declared")


def test_statements() -> None:
    """
    The query as it was given, options that differ, and the mark written by the server itself.
    """
    view = View(
        name="v",
        schema="s",
        query="  SELECT 1 ;\n",
        security_invoker=True,
        security_barrier=True,
        check_option="local",
    )
    assert view.create() == (
        (
            "CREATE VIEW s.v WITH (security_invoker=true, security_barrier=true, check_option=local) "
            "AS\nSELECT 1"
        ),
    )
    assert view.drop() == ("DROP VIEW s.v",)
    marked = dataclasses.replace(view, mark=Mark("default", "declared", "abc"))
    assert marked.create()[1].startswith("DO $$")
    read = dataclasses.replace(view, mark=Mark("default", "declared", "abc", "def"))
    assert read.create()[1] == "COMMENT ON VIEW s.v IS 'pgultra:default:declared abc:def'"


def test_a_select_is_rendered_at_once() -> None:
    """
    With its values, and knowing which tables it needs.
    """
    metadata = sa.MetaData(schema="s")
    item = sa.Table("Item", metadata, sa.Column("id", sa.Integer), sa.Column("name", sa.Text))
    inner = sa.select(item.c.id).where(item.c.name == "it's").subquery()
    view = View(name="v", query=sa.select(inner.c.id).where(inner.c.id.in_([1, 2])))
    assert "'it''s'" in view.query
    assert "IN (1, 2)" in view.query
    assert view.requires == (Identity("table", "s", "Item"),)
    metadata.remove(item)
    assert isinstance(view.query, str)


def test_wrong_options_are_refused() -> None:
    """
    The error names the view.
    """
    with pytest.raises(DeclarationError, match="view v: check_option='global' is not local"):
        View(name="v", query="SELECT 1", check_option="global")
    with pytest.raises(sa.exc.CompileError):
        View(name="v", query=sa.select(sa.literal(object())))


def test_columns_may_be_appended_in_place() -> None:
    """
    Anything else needs a new view, which inherits.
    """
    old = View(name="v", query="a", columns=(("a", "integer"), ("b", "text")))
    for columns, in_place in (
        ((("a", "integer"), ("b", "text"), ("c", "date")), True),
        ((("a", "integer"), ("b", "text")), True),
        ((("a", "integer"),), False),
        ((("b", "text"), ("a", "integer")), False),
        ((("a", "bigint"), ("b", "text")), False),
        (None, False),
    ):
        new = View(name="v", query="b", columns=columns)
        assert new.in_place(old) is in_place
        verb = "CREATE OR REPLACE VIEW" if in_place else "DROP VIEW"
        assert new.replace(old)[0].startswith(verb)


def test_what_it_had_comes_back_as_far_as_its_columns_stay() -> None:
    """
    Owner, grants, defaults and comments, with names that need quotes.
    """
    had = Belongings(
        columns=(("a b", "int"), ("gone", "int")),
        owner="The owner",
        grants=(
            ("SELECT", True, "PUBLIC", ""),
            ("UPDATE", False, '"o|p"', "a b"),
            ("UPDATE", False, "x", "gone"),
        ),
        comments=(("a b", "it's"), ("gone", "x")),
        defaults=(("a b", "1 + 1"), ("gone", "1")),
    )
    old = View(name="V", query="x", columns=had.columns, belongings=had)
    new = View(name="V", query="y", columns=(("a b", "int"),))
    assert new.replace(old)[2:] == (
        'ALTER VIEW "V" OWNER TO "The owner"',
        'GRANT SELECT ON "V" TO PUBLIC WITH GRANT OPTION',
        'GRANT UPDATE ("a b") ON "V" TO "o|p"',
        'ALTER VIEW "V" ALTER COLUMN "a b" SET DEFAULT 1 + 1',
        "COMMENT ON COLUMN \"V\".\"a b\" IS 'it''s'",
    )


def test_fingerprints_answer_for_the_server() -> None:
    """
    Both texts as they were when it was made: nothing to ask. SELECT * is always asked for.
    """
    mark = Mark("default", "declared", "abc")
    desired = View(name="v", query="select a from t", mark=mark)
    live = View(name="v", query=" SELECT a\n FROM t", mark=mark, untouched=True)
    assert desired.same_as(live)
    assert not desired.same_as(dataclasses.replace(live, untouched=False))
    assert not desired.same_as(dataclasses.replace(live, security_invoker=True))
    other = dataclasses.replace(desired, mark=Mark("default", "declared", "fed"))
    assert not other.same_as(live)
    star = dataclasses.replace(desired, query="select *, count(*) from t")
    assert star.lists_all
    assert not star.same_as(live)
    assert not dataclasses.replace(desired, query="select count(*) from t").lists_all


@pytest.mark.parametrize(
    "change",
    [
        "CREATE OR REPLACE VIEW v AS SELECT id, 1 AS n FROM item",
        "CREATE OR REPLACE VIEW v AS SELECT id, n FROM item WHERE id > 1",
        "ALTER VIEW v SET (security_invoker = true)",
        "ALTER VIEW v SET (security_barrier = on)",
        "ALTER VIEW v SET (check_option = cascaded)",
        "ALTER VIEW v RENAME COLUMN n TO m",
        (
            "DROP VIEW v; CREATE VIEW v AS SELECT n, id FROM item; "
            "COMMENT ON VIEW v IS 'pgultra:default:declared'"
        ),
    ],
)
def test_every_change_is_seen_and_repaired(engine: sa.Engine, change: str) -> None:
    """
    One object in the plan, and none after it.
    """
    metadata = sa.MetaData()
    item = sa.Table("item", metadata, sa.Column("id", sa.Integer), sa.Column("n", sa.Integer))
    declare(metadata, View(name="v", query=sa.select(item)))
    metadata.create_all(engine)
    with engine.begin() as connection:
        assert not plan.check(connection, metadata)
        for text in change.split("; "):
            connection.execute(statement(text))
        found = plan.check(connection, metadata)
        assert {step.identity.name for step in found} == {"v"}
        plan.apply(found, connection)
        assert not plan.check(connection, metadata)


def test_a_fingerprint_is_taken_by_the_server(
    connection: sa.Connection,
) -> None:
    """
    Under the path of the host, which is as it was afterwards.
    """
    connection.exec_driver_sql("CREATE SCHEMA s; CREATE TABLE s.item (id int)")
    connection.exec_driver_sql("SET LOCAL search_path = s, public")
    view = View(name="v", query="SELECT id FROM item", mark=Mark("default", "declared", "abc"))
    for text in dataclasses.replace(view, comment="It's $$ mine $pgultra$ %").create():
        connection.execute(statement(text))
    comment = connection.scalar(sa.text("SELECT obj_description('s.v'::regclass)"))
    text, mark = Mark.parse(comment)
    assert text == "It's $$ mine $pgultra$ %"
    assert mark is not None
    assert (mark.fingerprint, len(mark.printed or "")) == ("abc", 12)
    assert connection.scalar(sa.text("SHOW search_path")) == "s, public"


def test_marks_are_parsed() -> None:
    """
    The last line, exactly; everything else is the user's.
    """
    assert Mark.parse(None) == (None, None)
    assert Mark.parse("Mine.") == ("Mine.", None)
    assert Mark.parse(str(OURS)) == (None, OURS)
    assert Mark.parse(f"Mine.\n\n{OURS} \n") == (f"Mine.\n\n{OURS} \n", None)
    assert Mark.parse(f"Mine.\n\n{OURS} ") == ("Mine.\n", OURS)
    assert Mark.parse(f"{OURS}\nMine.") == (f"{OURS}\nMine.", None)
    for mark in (Mark("a", "b", "0f"), Mark("a", "b", "0f", "e1"), OURS):
        assert Mark.parse(str(mark)) == (None, mark)


def test_what_stands_on_what_is_asked_once(
    engine: sa.Engine, count_statements: Callable[..., object]
) -> None:
    """
    However many views there are, a check without a change asks for no details.
    """
    metadata = sa.MetaData()
    for number in range(10):
        query = f"SELECT * FROM v{number - 1}" if number else "SELECT 1 AS one"
        declare(metadata, View(name=f"v{number}", query=query.replace("*", "one")))
    metadata.create_all(engine)
    with engine.connect() as connection:
        statements = count_statements(connection)
        assert not plan.check(connection, metadata)
    assert not any("pg_depend" in text for text in statements)
    assert len(statements) < 12


@pytest.fixture
def count_statements() -> Callable[[sa.Connection], list[str]]:
    """
    `count_statements(connection)`: a list that grows.
    """

    def watched(connection: sa.Connection) -> list[str]:
        seen: list[str] = []
        sa.event.listen(connection, "before_cursor_execute", lambda *a: seen.append(a[2]))
        return seen

    return watched
