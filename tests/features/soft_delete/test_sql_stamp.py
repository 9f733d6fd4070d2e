"""
The columns of one row, whoever writes them and however.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from pgultra import sql
from pgultra.features.soft_delete.shape import Columns
from tests.features.soft_delete.tables import Schema, execute

if TYPE_CHECKING:
    from tests.fixtures.database import Database

FLAG = Columns(flag="is_deleted")
HOSTILE = Columns('since "when"', "By Whom", "x" * 63, 'is"deleted')
NOON = "2020-01-01 12:00:00+00"


@pytest.fixture
def schema() -> Schema:
    """
    A table without a flag and one with, both with three live rows.
    """
    schema = Schema()
    schema.table("plain")
    schema.table("flagged", names=FLAG)
    return schema


@pytest.fixture
def tables(connection: sa.Connection, schema: Schema) -> sa.Connection:
    """
    The connection on which the tables exist.
    """
    schema.create(connection)
    execute(
        connection, *(f"INSERT INTO {name} VALUES (1), (2), (3)" for name in schema.metadata.tables)
    )
    return connection


def row(bind: sa.Connection, table: str = "plain", key: int = 1) -> Any:
    """
    Fetch one row.
    """
    return bind.execute(sa.text(f"SELECT * FROM {table} WHERE id = {key}")).one()


def test_update_fills_in_the_rest(tables: sa.Connection) -> None:
    """A written timestamp brings an id, and the actor from the setting."""
    execute(
        tables,
        "SET LOCAL pgultra.actor = 'ann'",
        "UPDATE plain SET deleted_at = now() WHERE id = 1",
    )
    deleted = row(tables)
    assert deleted.deleted_by == "ann"
    assert isinstance(deleted.deletion_id, UUID)
    assert row(tables, key=2) == (2, None, None, None)


def test_no_actor_is_null(tables: sa.Connection) -> None:
    """Without an actor, or with an empty one, nobody is named."""
    execute(
        tables, "SET LOCAL pgultra.actor = ''", "UPDATE plain SET deleted_at = now() WHERE id = 1"
    )
    assert row(tables).deleted_by is None


def test_given_values_stay(tables: sa.Connection) -> None:
    """A given time, name and id are kept, also those of the past."""
    given = uuid4()
    execute(
        tables,
        "SET LOCAL pgultra.actor = 'ann'",
        f"UPDATE plain SET deleted_at = '{NOON}', deleted_by = 'bob', deletion_id = '{given}' WHERE id = 1",
    )
    deleted = row(tables)
    assert (deleted.deleted_at.year, deleted.deleted_by, deleted.deletion_id) == (
        2020,
        "bob",
        given,
    )


def test_deletion_id_from_setting(tables: sa.Connection) -> None:
    """The setting joins several statements, and tables, into one deletion."""
    given = uuid4()
    execute(
        tables,
        f"SET LOCAL pgultra.deletion_id = '{given}'",
        "UPDATE plain SET deleted_at = now() WHERE id = 1",
        "UPDATE flagged SET is_deleted = true WHERE id = 1",
        "INSERT INTO plain VALUES (4, now())",
    )
    assert {
        row(tables).deletion_id,
        row(tables, "flagged").deletion_id,
        row(tables, key=4).deletion_id,
    } == {given}


def test_one_statement_is_one_deletion(tables: sa.Connection) -> None:
    """All rows of a statement share an id; the next statement has another, also within a function."""
    execute(
        tables,
        "DO $$ BEGIN UPDATE plain SET deleted_at = now() WHERE id < 3;"
        " UPDATE plain SET deleted_at = now() WHERE id = 3;"
        " UPDATE flagged SET is_deleted = true; END $$",
    )
    first, second, third = (row(tables, key=key).deletion_id for key in (1, 2, 3))
    assert first == second != third
    assert len({row(tables, "flagged", key).deletion_id for key in (1, 2, 3)} | {first, third}) == 3


def test_returning_shows_the_final_values(tables: sa.Connection) -> None:
    """RETURNING gives what is stored."""
    returned = tables.execute(
        sa.text("UPDATE flagged SET is_deleted = true WHERE id = 1 RETURNING *")
    ).one()
    assert returned == row(tables, "flagged")
    assert returned.deleted_at is not None
    assert returned.deletion_id is not None


def test_restore_clears(tables: sa.Connection) -> None:
    """A restored row names neither who deleted it nor in which deletion."""
    execute(
        tables,
        "UPDATE plain SET deleted_at = now(), deleted_by = 'ann'",
        "UPDATE plain SET deleted_at = NULL WHERE id = 1",
    )
    assert row(tables) == (1, None, None, None)


def test_dead_row_may_be_edited(tables: sa.Connection) -> None:
    """A new time or name for a dead row does not make it another deletion."""
    execute(tables, "UPDATE plain SET deleted_at = now()")
    before = row(tables).deletion_id
    execute(tables, f"UPDATE plain SET deleted_at = '{NOON}', deleted_by = 'bob'")
    after = row(tables)
    assert (after.deleted_at.year, after.deleted_by, after.deletion_id) == (2020, "bob", before)


def test_live_row_keeps_nothing(tables: sa.Connection) -> None:
    """A live row cannot be given an id or a name."""
    execute(
        tables,
        f"UPDATE plain SET deleted_by = 'ann', deletion_id = '{uuid4()}' WHERE id = 1",
        f"INSERT INTO plain VALUES (4, NULL, 'ann', '{uuid4()}')",
    )
    assert row(tables) == (1, None, None, None)
    assert row(tables, key=4) == (4, None, None, None)


@pytest.mark.parametrize(
    ("start", "change", "dead", "year"),
    [
        ("", "is_deleted = true", True, None),
        ("", "is_deleted = false", False, None),
        ("", "is_deleted = NULL", False, None),
        ("", f"deleted_at = '{NOON}'", True, 2020),
        ("", f"deleted_at = '{NOON}', is_deleted = true", True, 2020),
        ("", f"deleted_at = '{NOON}', is_deleted = false", True, 2020),
        ("", f"deleted_at = '{NOON}', is_deleted = NULL", True, 2020),
        ("", "deleted_at = NULL, is_deleted = true", True, None),
        ("dead", "is_deleted = false", False, None),
        ("dead", "is_deleted = true", True, 2020),
        ("dead", "is_deleted = NULL", True, 2020),
        ("dead", "deleted_at = NULL", False, None),
        ("dead", "deleted_at = NULL, is_deleted = true", False, None),
        ("dead", "deleted_at = NULL, is_deleted = false", False, None),
        ("dead", "deleted_at = '2021-01-01', is_deleted = false", True, 2021),
        ("dead", f"deleted_at = '{NOON}', is_deleted = false", False, None),
    ],
)
def test_flag_and_time_on_update(
    tables: sa.Connection, start: str, change: str, dead: bool, year: int | None
) -> None:
    """Whichever of the two is written brings the other along; in conflict the time wins."""
    if start:
        execute(tables, f"UPDATE flagged SET deleted_at = '{NOON}' WHERE id = 1")
    execute(tables, f"UPDATE flagged SET {change} WHERE id = 1")
    after = row(tables, "flagged")
    assert (after.is_deleted, after.deleted_at is not None) == (dead, dead)
    assert (after.deletion_id is not None) == dead
    if year:
        assert after.deleted_at.year == year


@pytest.mark.parametrize(
    ("values", "dead", "year"),
    [
        ("NULL, false", False, None),
        ("NULL, true", True, None),
        ("NULL, NULL", False, None),
        ("NULL, DEFAULT", False, None),
        (f"'{NOON}', false", True, 2020),
        (f"'{NOON}', true", True, 2020),
        (f"'{NOON}', NULL", True, 2020),
        (f"'{NOON}', DEFAULT", True, 2020),
    ],
)
def test_flag_and_time_on_insert(
    tables: sa.Connection, values: str, dead: bool, year: int | None
) -> None:
    """The same for a row that is inserted."""
    execute(tables, f"INSERT INTO flagged (id, deleted_at, is_deleted) VALUES (9, {values})")
    after = row(tables, "flagged", 9)
    assert (after.is_deleted, after.deleted_at is not None) == (dead, dead)
    assert (after.deletion_id is not None) == dead
    if year:
        assert after.deleted_at.year == year


def test_dead_rows_inserted_are_deletions_of_their_own(tables: sa.Connection) -> None:
    """Each row that is inserted dead can be restored by itself."""
    execute(tables, "INSERT INTO plain (id, deleted_at) VALUES (8, now()), (9, now())")
    assert row(tables, key=8).deletion_id != row(tables, key=9).deletion_id


def test_logical_restore_changes_nothing(tables: sa.Connection) -> None:
    """Rows that come with all their columns stay as they are, by INSERT and by COPY."""
    given = uuid4()
    execute(
        tables,
        "SET LOCAL pgultra.actor = 'ann'",
        f"INSERT INTO flagged VALUES (8, '{NOON}', 'bob', '{given}', true)",
    )
    with tables.connection.cursor().copy("COPY flagged FROM STDIN") as copy:
        copy.write_row((9, NOON, "bob", given, True))
        copy.write_row((10, NOON, None, None, False))
    for key in (8, 9):
        assert row(tables, "flagged", key)[2:] == ("bob", given, True)
        assert row(tables, "flagged", key).deleted_at.year == 2020
    assert row(tables, "flagged", 10).is_deleted is True
    assert row(tables, "flagged", 10).deletion_id is not None


def test_upsert_revives_and_deletes(tables: sa.Connection, schema: Schema) -> None:
    """INSERT ... ON CONFLICT DO UPDATE goes through the same rules."""
    table = schema.metadata.tables["flagged"]
    statement = insert(table).values(id=1)
    statement = statement.on_conflict_do_update(
        index_elements=["id"], set_={"is_deleted": sa.not_(table.c.is_deleted)}
    )
    execute(tables, statement)
    assert row(tables, "flagged").deletion_id is not None
    execute(tables, statement)
    assert row(tables, "flagged") == (1, None, None, None, False)


def test_merge(tables: sa.Connection) -> None:
    """So does MERGE."""
    execute(
        tables,
        "MERGE INTO plain USING generate_series(2, 4) AS g ON plain.id = g"
        " WHEN MATCHED THEN UPDATE SET deleted_at = now()"
        " WHEN NOT MATCHED THEN INSERT (id, deleted_at) VALUES (g, now())",
    )
    assert row(tables, key=2).deletion_id == row(tables, key=3).deletion_id
    assert row(tables, key=4).deletion_id is not None


def test_replica_role_leaves_rows_alone(tables: sa.Connection) -> None:
    """What replication applies has been through the triggers where it came from."""
    execute(
        tables,
        "SET LOCAL session_replication_role = 'replica'",
        f"UPDATE plain SET deleted_at = '{NOON}'",
    )
    assert row(tables).deletion_id is None


def test_live_rows_cost_no_call(tables: sa.Connection) -> None:
    """Inserting live rows and updating other columns calls no function."""
    for statement in ("INSERT INTO flagged VALUES (7)", "UPDATE flagged SET id = 8 WHERE id = 7"):
        plan = tables.execute(sa.text(f"EXPLAIN ANALYZE {statement}")).scalars().all()
        assert not [line for line in plan if "Trigger" in line]
    plan = (
        tables.execute(sa.text("EXPLAIN ANALYZE UPDATE flagged SET is_deleted = true"))
        .scalars()
        .all()
    )
    assert len([line for line in plan if "Trigger" in line]) == 2


def test_unchanged_values_cost_no_call(tables: sa.Connection) -> None:
    """An ORM that writes all columns back does not pay for it row by row."""
    plan = (
        tables.execute(sa.text("EXPLAIN ANALYZE UPDATE flagged SET deleted_at = deleted_at"))
        .scalars()
        .all()
    )
    assert not [line for line in plan if "_stamp" in line]


def test_savepoint_rolls_back_cleanly(tables: sa.Connection) -> None:
    """An undone deletion leaves no id behind for the next."""
    with tables.begin_nested() as savepoint:
        execute(tables, "UPDATE plain SET deleted_at = now() WHERE id = 1")
        undone = row(tables).deletion_id
        savepoint.rollback()
    execute(tables, "UPDATE plain SET deleted_at = now() WHERE id = 2")
    assert row(tables).deletion_id is None
    assert row(tables, key=2).deletion_id not in (None, undone)


def test_settings_end_with_the_transaction(engine: sa.Engine, schema: Schema) -> None:
    """Nothing that the triggers remember outlives the transaction, in a pooled session."""
    schema.create(engine)
    execute(engine, "INSERT INTO plain VALUES (1)", "UPDATE plain SET deleted_at = now()")
    with engine.begin() as connection:
        left = connection.execute(
            sa.text(
                "SELECT name, setting FROM pg_settings WHERE name LIKE 'pgultra.%' AND setting <> ''"
            )
        ).all()
    assert left == []


def test_trigger_of_the_host_within_a_statement(tables: sa.Connection) -> None:
    """What a host's trigger deletes row by row, elsewhere, is another deletion."""
    execute(
        tables,
        "CREATE FUNCTION follow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " UPDATE flagged SET is_deleted = true WHERE id = NEW.id; RETURN NEW; END $$",
        "CREATE TRIGGER a_follow BEFORE UPDATE ON plain FOR EACH ROW EXECUTE FUNCTION follow()",
        "UPDATE plain SET deleted_at = now()",
    )
    mine = {row(tables, key=key).deletion_id for key in (1, 2, 3)}
    theirs = {row(tables, "flagged", key).deletion_id for key in (1, 2, 3)}
    assert len(mine) == 1
    assert len(theirs) == 3
    assert not mine & theirs


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


def test_order_of_triggers_survives_cut_names() -> None:
    """Names that had to be cut sort as the whole ones do."""
    schema = Schema()
    parent = schema.table("a" * 63)
    child = schema.table(
        "z" * 63, sa.Column("parent_id", sa.Integer), names=FLAG, refuse_orphans=True
    )
    schema.edge(parent, child, id="parent_id")
    names = [
        each.name
        for each in schema.objects()
        if each.identity.kind == "trigger" and each.table == child.name
    ]
    words = ["enter", "stamp", "under"]
    before = [name for name in names if any(f"_{word}_" in name for word in words)]
    assert [next(word for word in words if f"_{word}_" in name) for name in sorted(before)] == words
    after = [name for name in names if "_cascade_" in name or "_restore_" in name]
    assert ["_cascade_" in name for name in sorted(after)] == [True, False]


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


def test_partitions(connection: sa.Connection) -> None:
    """Rows of partitions are stamped, through the parent and directly, and when they move."""
    schema = Schema()
    table = schema.table("event", sa.Column("place", sa.Integer), names=FLAG)
    ddl = sa.schema.CreateTable(table).compile(dialect=sql.dialect()).string
    execute(
        connection,
        ddl.replace("PRIMARY KEY (id)", "PRIMARY KEY (id, place)") + " PARTITION BY LIST (place)",
        "CREATE TABLE event_1 PARTITION OF event FOR VALUES IN (1)",
        "CREATE TABLE event_2 PARTITION OF event FOR VALUES IN (2)",
    )
    for each in schema.objects():
        for text in each.create():
            connection.execute(sql.statement(text))
    execute(
        connection,
        "INSERT INTO event (id, place) VALUES (1, 1), (2, 2), (3, 1)",
        "INSERT INTO event_1 (id, place, is_deleted) VALUES (4, 1, true)",
        "UPDATE event SET is_deleted = true WHERE id < 3",
        "UPDATE event_1 SET is_deleted = true WHERE id = 3",
        "UPDATE event SET place = 2 WHERE id = 1",
    )
    rows = connection.execute(sa.text("SELECT * FROM event ORDER BY id")).all()
    assert [each.is_deleted and each.deleted_at is not None for each in rows] == [True] * 4
    assert rows[0].deletion_id == rows[1].deletion_id
    assert [each.place for each in rows] == [2, 2, 1, 1]


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
    assert functions == 6
