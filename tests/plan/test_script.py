from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from pgultra import Function, Index, Schema, Trigger, View, declare
from pgultra.features.embeddings import NextVersion, Rules, VectorType
from pgultra.plan import check
from pgultra.plan.script import script
from tests.plan.visits import visits

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fixtures.database import Database


def mock() -> tuple[Any, list[str]]:
    """
    SQLAlchemy's engine that only collects what it is given.
    """
    seen: list[str] = []
    engine = sa.create_mock_engine(
        "postgresql://", lambda element, *_: seen.append(str(element.compile(engine)).strip())
    )
    return engine, seen


def test_tables_and_objects_come_in_one_order() -> None:
    """
    A function before the table, a view and a trigger after it.
    """
    heads = [" ".join(statement.split()[:3]) for statement in script(visits())]
    assert heads.index("CREATE FUNCTION touch()") < heads.index("CREATE TABLE visit")
    assert heads.index("CREATE TABLE visit") < heads.index("CREATE VIEW far")
    assert heads.index("CREATE TYPE place") < heads.index("CREATE TABLE visit")


def test_objects_alone() -> None:
    """
    Without tables there is only what was declared with pgultra.
    """
    text = "\n".join(script(visits(), tables=False))
    assert "CREATE TABLE" not in text
    assert "CREATE TRIGGER seen" in text


def test_psql_runs_it_and_nothing_is_left_to_do(
    database: Database, psql: Callable[[Database, str], str]
) -> None:
    """
    What is printed makes the same database as create_all: the check finds no drift.
    """
    metadata = visits()
    visit = metadata.tables["visit"]
    declare(visit, Index.of(sa.Index("visit_name", visit.c.name)))
    declare(
        metadata,
        Schema(name="Odd one"),
        View(name="far", schema="Odd one", query="SELECT id, '\t%' AS mark FROM far"),
        Function(
            name="far_count",
            language="sql",
            returns="bigint",
            body="SELECT count(*) -- trailing   \n  FROM far   \n",
        ),
    )
    psql(database, "".join(f"{statement};\n" for statement in script(metadata)))
    with database.engine().connect() as connection:
        assert not check(connection, metadata)


def test_a_mock_engine_gets_everything_too() -> None:
    """
    SQLAlchemy's own way to print DDL includes what was declared, both ways.
    """
    engine, seen = mock()
    metadata = visits()
    metadata.create_all(engine)
    assert any("CREATE TRIGGER seen" in text for text in seen)
    seen.clear()
    metadata.drop_all(engine)
    heads = [" ".join(text.split()[:2]) for text in seen]
    assert heads == ["DROP VIEW", "DROP TABLE", "DROP FUNCTION", "DROP TYPE"]


@pytest.mark.parametrize("wanted", [True, False])
def test_only_the_wanted_tables_are_made_on_a_mock_engine(wanted: bool) -> None:
    """
    With ``tables=`` their objects come along, and those of the MetaData do not.
    """
    engine, seen = mock()
    metadata = visits()
    metadata.create_all(engine, tables=[metadata.tables["visit"]] if wanted else [])
    assert any("CREATE VIEW far" in text for text in seen) is wanted
    assert not any("CREATE FUNCTION" in text for text in seen)


def test_what_other_tables_use_stays_on_a_mock_engine() -> None:
    """
    There is no server to ask: the declarations tell that another table still calls a function.
    """
    engine, seen = mock()
    metadata = sa.MetaData()
    function = Function(name="touch", language="plpgsql", returns="trigger", body="BEGIN END")
    for name in ("one", "two"):
        table = sa.Table(name, metadata, sa.Column("id", sa.Integer, primary_key=True))
        trigger = Trigger(
            name="touched", table=name, timing="BEFORE", events=("INSERT",), function="touch"
        )
        declare(table, function, trigger)
    metadata.drop_all(engine, tables=[metadata.tables["one"]])
    assert [" ".join(text.split()[:3]) for text in seen] == ["DROP TABLE one"]
    seen.clear()
    metadata.drop_all(engine)
    assert sum(text.startswith("DROP FUNCTION") for text in seen) == 1


@pytest.mark.needs("vector")
def test_what_goes_with_a_table_keeps_nothing_on_a_mock_engine() -> None:
    """
    Side tables that a room keeps are dropped with theirs, so they use nothing any more.
    """
    engine, seen = mock()
    note = sa.Table(
        "note",
        sa.MetaData(),
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("text", sa.Text),
        sa.Column(
            "embedding",
            VectorType(
                4, source="text", model="a", next_version=NextVersion(dimensions=4, model="b")
            ),
        ),
    )
    declare(note, Rules("embedding"))
    note.metadata.drop_all(engine, tables=[note])
    assert sum("DROP FUNCTION pgultra_embeddings_mark" in text for text in seen) == 2
