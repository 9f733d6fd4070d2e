"""
The door of ``create_all`` and ``drop_all``.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event

from pgultra import (
    Check,
    ConflictingObjects,
    DeclarationError,
    Extension,
    Function,
    Index,
    MissingExtension,
    Schema,
    Trigger,
    UnsupportedServer,
    View,
    declare,
    plan,
)
from pgultra.plan import emit

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fixtures.database import Database

TOUCH = Function(name="touch", body="begin return new; end")


def library(*names: str, metadata: sa.MetaData | None = None) -> sa.MetaData:
    """
    Tables that share a trigger function, each with a trigger, a check and an index.
    """
    metadata = metadata or sa.MetaData()
    for name in names or ("book", "reader"):
        table = sa.Table(
            name,
            metadata,
            sa.Column("id", sa.Integer, primary_key=True),
            sa.Column("name", sa.Text),
        )
        index = sa.Index(f"ix_{name}", table.c.name)
        declare(
            table,
            TOUCH,
            Trigger(name="t", table=name, timing="BEFORE", events=("UPDATE",), function="touch"),
            Check(name="c", table=name, condition="id > 0"),
            Index.of(index),
        )
    return metadata


def verbs(engine: sa.Engine, metadata: sa.MetaData) -> list[str]:
    with engine.connect() as connection:
        return list(map(str, plan.check(connection, metadata)))


def test_the_listeners_are_there_once() -> None:
    """
    Calling listen() again changes nothing.
    """
    emit.listen()
    for name in ("before_create", "after_create", "before_drop", "after_drop"):
        listeners = [
            f for f in getattr(sa.MetaData().dispatch, name) if f.__module__ == emit.__name__
        ]
        assert len(listeners) == 1


def test_nothing_declared_nothing_asked(engine: sa.Engine) -> None:
    """
    A host without declarations pays for no statement.
    """
    metadata = sa.MetaData()
    sa.Table("plain", metadata, sa.Column("id", sa.Integer, primary_key=True))
    seen: list[str] = []
    with engine.begin() as connection:
        event.listen(connection, "before_cursor_execute", lambda *a: seen.append(a[2]))
        metadata.create_all(connection)
        metadata.drop_all(connection)
    assert not any("pg_description" in text or "pgultra" in text for text in seen)


def test_some_tables_only(engine: sa.Engine, database: Database, dump: Callable[..., str]) -> None:
    """
    tables= makes what sits on these tables, and nothing of the MetaData's own; drop_all likewise.
    """
    metadata = library()
    declare(metadata, View(name="both", query="SELECT 1 AS one"))
    before = dump(database)
    book = metadata.tables["book"]
    metadata.create_all(engine, tables=[book])
    left = verbs(engine, metadata)
    assert "create view both" in left
    assert "create trigger t on reader" in left
    assert not any("book" in step or "touch" in step for step in left)
    metadata.create_all(engine)
    assert verbs(engine, metadata) == []
    metadata.drop_all(engine, tables=[book])
    with engine.connect() as connection:
        assert connection.scalar(sa.text("SELECT to_regproc('touch') IS NOT NULL"))
        assert connection.scalar(sa.text("SELECT to_regclass('both') IS NOT NULL"))
    metadata.drop_all(engine)
    assert dump(database) == before


def test_checkfirst(engine: sa.Engine, database: Database, dump: Callable[..., str]) -> None:
    """
    Twice in either direction, with and without looking first.
    """
    metadata = library()
    before = dump(database)
    metadata.drop_all(engine)
    metadata.create_all(engine, checkfirst=False)
    made = dump(database)
    metadata.create_all(engine, checkfirst=True)
    assert dump(database) == made
    with pytest.raises(sa.exc.ProgrammingError, match="already exists"):
        metadata.create_all(engine, checkfirst=False)
    assert dump(database) == made
    metadata.drop_all(engine, checkfirst=False)
    assert dump(database) == before
    metadata.drop_all(engine, checkfirst=True)
    with pytest.raises(sa.exc.ProgrammingError, match="does not exist"):
        metadata.drop_all(engine, checkfirst=False)


def test_create_all_makes_what_is_missing_and_changes_nothing(engine: sa.Engine) -> None:
    """
    An object that was changed by hand is a migration's affair; a dropped view is made again.
    """
    metadata = library()
    declare(
        metadata,
        View(name="v", query="SELECT id FROM book"),
        View(name="w", query="SELECT id FROM reader"),
    )
    metadata.create_all(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP VIEW v")
        connection.exec_driver_sql("CREATE OR REPLACE VIEW w AS SELECT id FROM reader WHERE false")
    metadata.create_all(engine)
    assert verbs(engine, metadata) == ["replace view w"]


def test_a_function_of_a_newer_version_is_replaced(engine: sa.Engine) -> None:
    """
    A shared function follows the models, since the objects made now may count on it.
    """
    library("book").create_all(engine)
    metadata = library("book", "reader")
    newer = Function(name="touch", body="begin return null; end")
    for table in metadata.tables.values():
        entries = metadata.info["pgultra"][table.key]
        entries[:] = [newer if entry == TOUCH else entry for entry in entries]
    metadata.create_all(engine)
    assert verbs(engine, metadata) == []


def test_several_metadata_share_a_function(
    engine: sa.Engine, database: Database, dump: Callable[..., str]
) -> None:
    """
    The function is made once, and goes with the last MetaData that uses it.
    """
    before = dump(database)
    one, two = library("book"), library("reader")
    one.create_all(engine)
    alone = dump(database)
    two.create_all(engine)
    assert verbs(engine, one) == verbs(engine, two) == []
    two.drop_all(engine)
    assert dump(database) == alone
    assert verbs(engine, one) == []
    one.drop_all(engine)
    assert dump(database) == before


def test_a_stranger_that_uses_our_function_keeps_it(engine: sa.Engine) -> None:
    """
    What still has a user is left, without an error.
    """
    metadata = library()
    declare(metadata, Schema(name="shop"))
    metadata.create_all(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE shop.theirs (id int)")
        connection.exec_driver_sql(
            "CREATE TRIGGER t BEFORE INSERT ON shop.theirs FOR EACH ROW EXECUTE FUNCTION touch()"
        )
    metadata.drop_all(engine)
    with engine.connect() as connection:
        assert connection.scalar(sa.text("SELECT to_regproc('touch') IS NOT NULL"))
        assert connection.scalar(sa.text("SELECT count(*) FROM shop.theirs")) == 0


def test_a_conflict_leaves_nothing_half_done(
    engine: sa.Engine, database: Database, dump: Callable[..., str]
) -> None:
    """
    A stranger's view bears our name: an error that says so, and no table was made.
    """
    metadata = library()
    declare(metadata, Schema(name="shop"), View(name="v", query="SELECT id FROM book"))
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE VIEW v AS SELECT 'theirs' AS whose")
    before = dump(database)
    with pytest.raises(ConflictingObjects, match=r"view v: it bears no mark .* query") as caught:
        metadata.create_all(engine)
    assert "pgultra adopt" in str(caught.value)
    assert len(caught.value.conflicts) == 1
    assert dump(database) == before


def test_an_error_leaves_nothing_half_done(
    engine: sa.Engine, database: Database, dump: Callable[..., str]
) -> None:
    """
    create_all is one transaction: the last statement's error takes back the first.
    """
    metadata = library()
    declare(metadata, View(name="v", query="SELECT nothing FROM nowhere"))
    before = dump(database)
    with pytest.raises(sa.exc.ProgrammingError, match="nowhere"):
        metadata.create_all(engine)
    assert dump(database) == before


def test_an_equal_object_of_nobody_is_marked(engine: sa.Engine) -> None:
    """
    What is equal becomes ours, as an index does that SQLAlchemy made.
    """
    metadata = library()
    with engine.begin() as connection:
        connection.exec_driver_sql(TOUCH.create()[0])
    metadata.create_all(engine)
    assert verbs(engine, metadata) == []


def test_two_objects_with_one_identity_are_refused(engine: sa.Engine) -> None:
    """
    Before anything is asked of the server, in a sentence that tells them apart.
    """
    metadata = library()
    declare(metadata, Function(name="touch", body="begin return null; end"))
    with pytest.raises(DeclarationError, match=r"function touch\(\): body is"):
        metadata.create_all(engine)
    assert sa.inspect(engine).get_table_names() == []


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
async def test_an_extension_that_may_not_be_made(
    driver: str, database: Database, owner_engine: sa.Engine
) -> None:
    """
    The error says which command a superuser must run; nothing was done.
    """
    metadata = library()
    declare(metadata, Extension(name="file_fdw"))
    server = database.server
    expected = "may not create the extension" if "file_fdw" in server.extensions else "cannot be"
    engine = database.async_engine(driver, url=owner_engine.url)
    with pytest.raises(MissingExtension, match=expected) as caught:
        async with engine.begin() as connection:
            await connection.run_sync(metadata.create_all)
    assert caught.value.extension == "file_fdw"
    assert "CREATE EXTENSION file_fdw;" in str(caught.value)
    assert sa.inspect(owner_engine).get_table_names() == []


def test_an_extension_that_the_server_lacks(engine: sa.Engine) -> None:
    """
    The error says that its package must be installed.
    """
    metadata = sa.MetaData()
    declare(metadata, Extension(name="no_such_extension"))
    with pytest.raises(MissingExtension, match="Install its package"):
        metadata.create_all(engine)


def test_a_server_too_old(engine: sa.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Refused with both versions, before any table is made.
    """
    monkeypatch.setattr(sys.modules["pgultra.plan.read"], "OLDEST_SERVER", 990000)
    with pytest.raises(UnsupportedServer, match=r"PostgreSQL 15 or newer; this server is \d+"):
        library().create_all(engine)
    assert sa.inspect(engine).get_table_names() == []


def test_objects_by_hand_cannot_follow_schema_translate_map(engine: sa.Engine) -> None:
    """
    Their text names schemas that SQLAlchemy does not see: refused, with the way out.
    """
    metadata = library()
    translated = engine.execution_options(schema_translate_map={None: "tenant"})
    with pytest.raises(DeclarationError, match="cannot follow schema_translate_map"):
        metadata.create_all(translated)
    same = engine.execution_options(schema_translate_map={"other": "tenant"})
    metadata.create_all(same)
    assert verbs(engine, metadata) == []


class Touched:
    """
    A declaration as a room writes it: everything derived from the table that it is given.
    """

    room = "touched"

    def objects(self, table: sa.Table) -> list[Any]:
        on = {"table": table.name, "schema": table.schema}
        others = [key.column.table for key in table.foreign_keys]
        return [
            Function(name="touch", schema=table.schema, body=TOUCH.body),
            Trigger(
                name="t",
                timing="BEFORE",
                events=("INSERT",),
                function="touch",
                arguments=tuple(other.fullname for other in others),
                **on,
            ),
        ]


@pytest.mark.parametrize("source", [None, "template"])
@pytest.mark.parametrize("target", [None, "one"])
def test_declarations_follow_schema_translate_map(
    source: str | None, target: str | None, engine: sa.Engine
) -> None:
    """
    From any schema to any schema, foreign keys included; other connections see no drift.
    """

    def family(schema: str | None) -> sa.MetaData:
        metadata = sa.MetaData()
        parent = sa.Table(
            "parent", metadata, sa.Column("id", sa.Integer, primary_key=True), schema=schema
        )
        key = sa.ForeignKey(parent.c.id)
        child = sa.Table("child", metadata, sa.Column("id", key, primary_key=True), schema=schema)
        for table in (parent, child):
            declare(table, Touched())
        return metadata

    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE SCHEMA one")
    translated = engine.execution_options(schema_translate_map={source: target})
    family(source).create_all(translated)
    assert verbs(engine, family(target)) == []
    with engine.connect() as connection:
        found = connection.scalar(
            sa.text("SELECT encode(tgargs, 'escape') FROM pg_trigger WHERE tgnargs = 1")
        )
    assert found == f"{target + '.' if target else ''}parent\\000"
    family(source).create_all(translated)
    family(source).drop_all(translated)
    assert len(verbs(engine, family(target))) == 3


def test_generated_columns_and_functions_need_each_other(engine: sa.Engine) -> None:
    """
    A function for a table comes before it, one about a table after it; both go in turn.
    """
    metadata = sa.MetaData()
    sa.Table(
        "item",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("double", sa.Integer, sa.Computed("twice(id)", persisted=True)),
        sa.CheckConstraint("positive(id)"),
    )
    function = {"arguments": "n int", "volatility": "immutable"}
    declare(
        metadata,
        Function(name="total", returns="bigint", language="sql", body="SELECT sum(id) FROM item"),
        Function(name="first", returns="item", language="sql", body="SELECT * FROM item LIMIT 1"),
        Function(name="about", arguments="i item", returns="text", body="begin return ''; end"),
        Function(name="twice", returns="int", language="sql", body="SELECT n * 2", **function),
        Function(name="positive", returns="bool", body="begin return n > 0; end", **function),
        View(name="totals", query="SELECT total() AS n, about(item) AS a FROM item"),
    )
    metadata.create_all(engine)
    assert verbs(engine, metadata) == []
    metadata.drop_all(engine)
    assert {text.split()[0] for text in verbs(engine, metadata)} == {"create"}


def test_under_autocommit(database: Database) -> None:
    """
    Each statement for itself, indexes CONCURRENTLY if they were declared so.
    """
    metadata = library()
    engine = database.engine(isolation_level="AUTOCOMMIT")
    metadata.create_all(engine)
    assert verbs(engine, metadata) == []
    metadata.drop_all(engine)
    assert all(text.startswith("create") for text in verbs(engine, metadata))


def test_on_a_mock_engine() -> None:
    """
    Without a database everything is emitted, in the order in which it would run.
    """
    statements: list[str] = []
    dialect = sa.create_mock_engine("postgresql+psycopg://", lambda *_: None).dialect
    mock = sa.create_mock_engine(
        "postgresql+psycopg://",
        lambda what, *_: statements.append(str(what.compile(dialect=dialect))),
    )
    metadata = library("book")
    metadata.create_all(mock, checkfirst=False)
    words = [" ".join(text.split()[:2]) for text in statements]
    assert (
        words.index("CREATE FUNCTION") < words.index("CREATE TABLE") < words.index("CREATE TRIGGER")
    )
    assert words.count("CREATE FUNCTION") == words.count("CREATE INDEX") == 1
    statements.clear()
    metadata.drop_all(mock, checkfirst=False)
    words = [" ".join(text.split()[:2]) for text in statements]
    assert words.index("DROP TABLE") < words.index("DROP FUNCTION")
    assert words.count("DROP FUNCTION") == 1


def test_other_databases_are_left_alone() -> None:
    """
    On SQLite the same MetaData makes its tables, and nothing is said.
    """
    engine = sa.create_engine("sqlite://")
    metadata = library()
    metadata.create_all(engine)
    assert sa.inspect(engine).get_table_names() == ["book", "reader"]
    metadata.drop_all(engine)
    engine.dispose()
