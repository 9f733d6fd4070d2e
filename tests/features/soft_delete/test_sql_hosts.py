"""
Tables that are not ours alone: the host's own triggers, types, names and roles.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import CITEXT

from pgultra import sql
from pgultra.features.soft_delete.shape import Columns
from tests.features.soft_delete.blog import GERMAN, Blog, plant
from tests.features.soft_delete.tables import (
    Schema,
    dead,
    delete,
    deletions,
    execute,
    live,
    refused,
    restore,
)

if TYPE_CHECKING:
    from tests.fixtures.database import Database

FLAG = Columns(flag="is_deleted")
HOSTILE = Columns('since "when"', "By Whom", "x" * 63, 'is"deleted')


@pytest.fixture
def blog(connection: sa.Connection) -> Blog:
    """
    The tables with their rows, in a transaction that is rolled back.
    """
    return plant(connection)


def test_trigger_of_the_host_keeps_a_row(blog: Blog) -> None:
    """A host's trigger may keep a row alive: the cascade ends, and goes on elsewhere."""
    connection, author, _, comment = blog
    execute(
        connection,
        "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN NEW.deleted_at := NULL; NEW.deletion_id := NULL; RETURN NEW; END $$",
        "CREATE TRIGGER z_keep BEFORE UPDATE ON comment FOR EACH ROW WHEN (NEW.id = 3) EXECUTE FUNCTION keep()",
    )
    delete(connection, author, 1)
    assert live(connection, comment) == [3, 4, 5, 7]


def test_trigger_of_the_host_moves_rows(blog: Blog) -> None:
    """A host's trigger may write the same rows again, in the middle of the cascade."""
    connection, author, _, comment = blog
    execute(
        connection,
        "ALTER TABLE comment ADD seen integer DEFAULT 0",
        "CREATE FUNCTION again() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN UPDATE comment SET seen = seen + 1 WHERE id = NEW.id; RETURN NULL; END $$",
        "CREATE TRIGGER z_again AFTER UPDATE OF deleted_at ON comment FOR EACH ROW EXECUTE FUNCTION again()",
    )
    delete(connection, author, 1)
    assert live(connection, comment) == [7]
    restore(connection, author, 1)
    assert dead(connection, comment) == []
    assert connection.execute(sa.text("SELECT max(seen) FROM comment")).scalar_one() == 2


def test_trigger_of_the_host_deletes_more(blog: Blog) -> None:
    """What a host's trigger deletes during a cascade has its own deletion, and its own cascade."""
    connection, author, article, comment = blog
    execute(
        connection,
        "CREATE FUNCTION more() RETURNS trigger LANGUAGE plpgsql AS"
        ' $$ BEGIN UPDATE article SET "ist gelöscht" = true WHERE id = 3 AND NOT "ist gelöscht"; RETURN NULL; END $$',
        "CREATE TRIGGER z_more AFTER UPDATE OF deleted_at ON comment FOR EACH ROW"
        " WHEN (NEW.id = 1 AND NEW.deleted_at IS NOT NULL) EXECUTE FUNCTION more()",
    )
    delete(connection, author, 1)
    assert live(connection, article) == live(connection, comment) == []
    assert len(deletions(connection, author, article, comment) - {None}) == 2
    message = refused(connection, lambda: restore(connection, article, 3))
    assert "row (8) of table public.comment cannot be restored" in message
    restore(connection, author, 1)
    restore(connection, article, 3)
    assert dead(connection, article) == dead(connection, comment) == []


def test_owner_without_privileges(owner_engine: sa.Engine) -> None:
    """A plain owner of the database creates and uses all of it."""
    schema = Schema()
    top = schema.table("top", view="top_live")
    child = schema.table(
        "child", sa.Column("top_id", sa.ForeignKey("top.id")), refuse_orphans=True, names=GERMAN
    )
    schema.edge(top, child, id="top_id")
    with owner_engine.begin() as connection:
        execute(connection, "CREATE SCHEMA mine", "SET LOCAL search_path = mine")
        schema.create(connection)
        connection.execute(top.insert(), [{"id": 1}, {"id": 2}])
        connection.execute(child.insert(), [{"id": 1, "top_id": 1}])
        delete(connection, top, 1)
        assert dead(connection, child) == [1]
        assert connection.execute(sa.text("SELECT id FROM top_live")).scalars().all() == [2]
        restore(connection, top, 1)
        assert dead(connection, child) == []


def test_other_column_types(connection: sa.Connection) -> None:
    """Columns that a host had already may be of other types; its other columns are left alone."""
    schema = Schema()
    table = schema.table("host")
    execute(
        connection,
        "CREATE DOMAIN filled AS text NOT NULL CHECK (VALUE <> '')",
        "CREATE TABLE host (gone integer, id integer PRIMARY KEY, name filled,"
        " twice integer GENERATED ALWAYS AS (id * 2) STORED,"
        " deleted_at timestamp, deleted_by uuid, deletion_id uuid)",
        "ALTER TABLE host DROP COLUMN gone",
    )
    for each in schema.objects():
        for text in each.create():
            connection.execute(sql.statement(text))
    actor = uuid4()
    execute(
        connection,
        "INSERT INTO host (id, name) VALUES (1, 'x')",
        "SET LOCAL TimeZone = 'Asia/Tokyo'",
        f"SET LOCAL pgultra.actor = '{actor}'",
        "UPDATE host SET deleted_at = now()",
    )
    deleted = connection.execute(
        sa.text("SELECT name, twice, deleted_by, deleted_at = now()::timestamp FROM host")
    ).one()
    assert deleted == ("x", 2, actor, True)
    assert table.name == "host"


def test_hostile_names(connection: sa.Connection) -> None:
    """Quotes, capitals, blanks and 63 bytes are names like others."""
    schema = Schema()
    table = schema.table(
        'Weird "Table" ' + "y" * 49,
        sa.Column('The "Key"', sa.Integer, primary_key=True),
        names=HOSTILE,
    )
    schema.create(connection)
    connection.execute(table.insert(), [{'The "Key"': 1}, {'The "Key"': 2}])
    connection.execute(table.update().values({HOSTILE.flag: True}))
    rows = connection.execute(sa.select(table)).all()
    assert {each[4] for each in rows} == {True}
    assert len({each[3] for each in rows}) == 1
    assert None not in {each[1] for each in rows}


@pytest.mark.needs("plpgsql_check")
def test_plpgsql_check(database: Database) -> None:
    """The checker has no complaint about any function, for any table it is attached to."""
    schema = Schema()
    top = schema.table("top", names=HOSTILE)
    child = schema.table(
        "child", sa.Column("top_id", sa.ForeignKey(top.c.id)), names=FLAG, refuse_orphans=True
    )
    schema.edge(top, child, id="top_id")
    schema.edge(child, child, id="top_id")
    schema.table("leaf", schema=None)
    engine = database.engine()
    execute(engine, "CREATE EXTENSION plpgsql_check")
    schema.create(engine)
    with engine.connect() as connection:
        found = connection.execute(
            sa.text(
                "SELECT t.tgname, found.* FROM pg_trigger AS t, LATERAL plpgsql_check_function("
                " t.tgfoid, t.tgrelid, oldtable => t.tgoldtable, newtable => t.tgnewtable,"
                " extra_warnings => true, performance_warnings => true, security_warnings => true"
                ") AS found WHERE NOT t.tgisinternal"
            )
        ).all()
        functions = connection.execute(
            sa.text("SELECT count(DISTINCT tgfoid) FROM pg_trigger WHERE NOT tgisinternal")
        ).scalar_one()
    assert found == []
    assert functions == 9


def test_rows_from_before_there_were_deletions(blog: Blog) -> None:
    """Dead rows without an id come back one by one, and are parents like others."""
    connection, author, article, comment = blog
    execute(
        connection,
        "SET LOCAL session_replication_role = 'replica'",
        "UPDATE author SET deleted_at = now() WHERE id = 2",
        "UPDATE comment SET deleted_at = now() WHERE id IN (7, 8)",
        'UPDATE article SET "gelöschtAm" = now(), "ist gelöscht" = true WHERE id = 3',
        "SET LOCAL session_replication_role = 'origin'",
    )
    message = refused(connection, lambda: restore(connection, article, 3))
    assert "row (2) of table public.author above it is deleted" in message
    restore(connection, author, 2)
    restore(connection, article, 3)
    restore(connection, comment, 8)
    assert dead(connection, comment) == [7]


def test_through_the_live_view(connection: sa.Connection) -> None:
    """The live view can be written: a row deleted through it is gone from it."""
    schema = Schema()
    top = schema.table("top", view="top_live", names=FLAG)
    child = schema.table("child", sa.Column("top_id", sa.ForeignKey("top.id")))
    schema.edge(top, child, id="top_id")
    schema.create(connection)
    execute(
        connection,
        "INSERT INTO top_live (id) VALUES (1), (2)",
        "INSERT INTO child (id, top_id) VALUES (1, 1)",
        "UPDATE top_live SET is_deleted = true WHERE id = 1",
    )
    assert connection.execute(sa.text("SELECT id FROM top_live")).scalars().all() == [2]
    assert dead(connection, child) == [1]


def test_who_may_write_only_these_columns(database: Database, owner: tuple[str, str]) -> None:
    """A role needs SELECT, and UPDATE of the room's columns, on all tables of the cascade."""
    schema = Schema()
    top = schema.table("top")
    child = schema.table("child", sa.Column("top_id", sa.ForeignKey("top.id")))
    schema.edge(top, child, id="top_id")
    columns = "deleted_at, deleted_by, deletion_id"
    with database.engine().connect() as connection:
        schema.create(connection)
        execute(
            connection,
            "INSERT INTO top VALUES (1), (2)",
            "INSERT INTO child (id, top_id) VALUES (1, 1), (2, 2)",
            f"GRANT SELECT, UPDATE ({columns}) ON top TO {owner[0]}",
            f"SET LOCAL ROLE {owner[0]}",
        )
        with pytest.raises(sa.exc.ProgrammingError, match="child"), connection.begin_nested():
            delete(connection, top, 1)
        execute(
            connection,
            "RESET ROLE",
            f"GRANT SELECT, UPDATE ({columns}) ON child TO {owner[0]}",
            f"SET LOCAL ROLE {owner[0]}",
        )
        delete(connection, top, 1)
        assert dead(connection, child) == [1]
        restore(connection, top, 1)
        assert dead(connection, child) == []


@pytest.mark.needs("citext")
def test_keys_of_an_extension(connection: sa.Connection) -> None:
    """Keys are compared as their own type does it."""
    schema = Schema()
    top = schema.table("top", sa.Column("name", CITEXT, primary_key=True))
    child = schema.table(
        "child",
        sa.Column("name", CITEXT, primary_key=True),
        sa.Column("top_name", sa.ForeignKey("top.name")),
        refuse_orphans=True,
    )
    schema.edge(top, child, name="top_name")
    execute(
        connection,
        "CREATE SCHEMA extensions",
        "CREATE EXTENSION citext SCHEMA extensions",
        "SET LOCAL search_path = public, extensions",
    )
    schema.create(connection)
    execute(
        connection,
        "INSERT INTO top VALUES ('Anna')",
        "INSERT INTO child (name, top_name) VALUES ('x', 'ANNA')",
        "UPDATE top SET deleted_at = now()",
    )
    assert dead(connection, child) == ["x"]
    add = "INSERT INTO child (name, top_name) VALUES ('y', 'anna')"
    assert "row (Anna) of table public.top" in refused(connection, lambda: execute(connection, add))
    execute(connection, "UPDATE top SET deleted_at = NULL")
    assert dead(connection, child) == []


def test_functions_of_the_same_name(blog: Blog) -> None:
    """Functions and operators that someone put into the path of the caller are not called."""
    connection, author, _, comment = blog
    trap = "LANGUAGE plpgsql AS $$ BEGIN RAISE 'trapped'; END $$"
    execute(
        connection,
        f"CREATE FUNCTION public.format(text, text, text) RETURNS text {trap}",
        f"CREATE FUNCTION public.concat(text, text, text) RETURNS text {trap}",
        f"CREATE FUNCTION public.array_cat(text[], text[]) RETURNS text[] {trap}",
        f"CREATE FUNCTION public.trap(text, integer) RETURNS text {trap}",
        f"CREATE FUNCTION public.trap(text[], text[]) RETURNS text[] {trap}",
        f"CREATE FUNCTION public.trap(integer, integer) RETURNS boolean {trap}",
        f"CREATE FUNCTION public.trap(integer, bigint) RETURNS boolean {trap}",
        "CREATE OPERATOR public.|| (FUNCTION = public.trap, LEFTARG = text, RIGHTARG = integer)",
        "CREATE OPERATOR public.|| (FUNCTION = public.trap, LEFTARG = text[], RIGHTARG = text[])",
        "CREATE OPERATOR public.= (FUNCTION = public.trap, LEFTARG = integer, RIGHTARG = integer)",
        "CREATE OPERATOR public.<> (FUNCTION = public.trap, LEFTARG = integer, RIGHTARG = integer)",
    )
    delete(connection, author, 1)
    restore(connection, author, 1)
    assert dead(connection, comment) == []
