"""
Cascades over every shape of tables: diamonds, cycles, composite keys, schemas, partitions.
"""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from pgultra import sql
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


def test_key_changed_in_the_same_statement(connection: sa.Connection) -> None:
    """A row that gets another key while it is deleted or restored keeps its children."""
    schema = Schema()
    top = schema.table("top")
    child = schema.table(
        "child", sa.Column("top_id", sa.ForeignKey("top.id", onupdate="CASCADE", deferrable=True))
    )
    schema.edge(top, child, id="top_id")
    schema.create(connection)
    execute(
        connection, "INSERT INTO top VALUES (1)", "INSERT INTO child (id, top_id) VALUES (1, 1)"
    )
    execute(connection, "UPDATE top SET id = 2, deleted_at = now()")
    assert dead(connection, child) == [1]
    execute(connection, "UPDATE top SET id = 3, deleted_at = NULL")
    assert live(connection, child) == [1]


def test_diamond(connection: sa.Connection) -> None:
    """A row with two parents goes with either, and comes back when both are live."""
    schema = Schema()
    top = schema.table("top")
    left = schema.table("left_side", sa.Column("top_id", sa.ForeignKey("top.id")))
    right = schema.table("right_side", sa.Column("top_id", sa.ForeignKey("top.id")))
    bottom = schema.table(
        "bottom",
        sa.Column("left_id", sa.ForeignKey("left_side.id")),
        sa.Column("right_id", sa.ForeignKey("right_side.id")),
    )
    schema.edge(top, left, id="top_id")
    schema.edge(top, right, id="top_id")
    schema.edge(left, bottom, id="left_id")
    schema.edge(right, bottom, id="right_id")
    schema.create(connection)
    execute(
        connection,
        "INSERT INTO top VALUES (1)",
        "INSERT INTO left_side (id, top_id) VALUES (1, 1), (2, NULL)",
        "INSERT INTO right_side (id, top_id) VALUES (1, 1), (2, NULL)",
        "INSERT INTO bottom (id, left_id, right_id) VALUES (1, 1, 1), (2, 1, 2), (3, 2, 1), (4, 2, 2), (5, 1, NULL)",
    )
    delete(connection, top, 1)
    assert live(connection, bottom) == [4]
    restore(connection, top, 1)
    assert dead(connection, bottom) == []

    delete(connection, right, 2)
    delete(connection, left, 1)
    assert live(connection, bottom) == [3]
    restore(connection, left, 1)
    assert dead(connection, bottom) == [2, 4]


def test_both_parents_in_one_statement(connection: sa.Connection) -> None:
    """What two rows of one deletion share comes back with the second of them."""
    schema = Schema()
    person = schema.table("person")
    friendship = schema.table(
        "friendship",
        sa.Column("one", sa.ForeignKey("person.id")),
        sa.Column("other", sa.ForeignKey("person.id")),
    )
    letter = schema.table("letter", sa.Column("friendship_id", sa.ForeignKey("friendship.id")))
    schema.edge(person, friendship, id="one")
    schema.edge(person, friendship, id="other")
    schema.edge(friendship, letter, id="friendship_id")
    schema.create(connection)
    execute(
        connection,
        "INSERT INTO person VALUES (1), (2), (3)",
        "INSERT INTO friendship (id, one, other) VALUES (12, 1, 2), (13, 1, 3)",
        "INSERT INTO letter (id, friendship_id) VALUES (1, 12), (2, 13)",
    )
    delete(connection, person, 1, 2)
    restore(connection, person, 1)
    assert (dead(connection, friendship), dead(connection, letter)) == ([12], [1])
    restore(connection, person, 2)
    assert (dead(connection, friendship), dead(connection, letter)) == ([], [])


def test_cycle_of_tables(connection: sa.Connection) -> None:
    """Two tables that point at each other are followed round and round, also where the data close the ring."""
    schema = Schema()
    top = schema.table("top")
    one = schema.table(
        "one",
        sa.Column("top_id", sa.ForeignKey("top.id")),
        sa.Column("two_id", sa.ForeignKey("two.id", name="one_two", use_alter=True)),
    )
    two = schema.table("two", sa.Column("one_id", sa.ForeignKey("one.id")))
    schema.edge(top, one, id="top_id")
    schema.edge(one, two, id="one_id")
    schema.edge(two, one, id="two_id")
    schema.create(connection)
    execute(
        connection,
        "INSERT INTO top VALUES (1)",
        "INSERT INTO one (id, top_id) VALUES (1, 1), (2, NULL), (3, NULL), (4, NULL), (5, 1)",
        "INSERT INTO two (id, one_id) VALUES (1, 1), (2, 2), (3, 3), (4, 4), (5, 5)",
        "UPDATE one SET two_id = id - 1 WHERE id IN (2, 3, 4)",
        "UPDATE one SET two_id = 5 WHERE id = 5",
    )
    delete(connection, one, 2)
    assert (dead(connection, one), dead(connection, two)) == ([2, 3, 4], [2, 3, 4])
    restore(connection, one, 2)
    assert (dead(connection, one), dead(connection, two)) == ([], [])

    delete(connection, one, 5)
    assert (dead(connection, one), dead(connection, two)) == ([5], [5])
    restore(connection, one, 5)
    assert (dead(connection, one), dead(connection, two)) == ([], [])

    delete(connection, top, 1)
    assert (live(connection, one), live(connection, two)) == ([], [])
    restore(connection, top, 1)
    assert (dead(connection, one), dead(connection, two)) == ([], [])


def test_composite_keys(connection: sa.Connection) -> None:
    """Keys of several columns, of many types, and references to a unique key that is not primary."""
    schema = Schema()
    top = schema.table(
        "top",
        sa.Column("day", sa.DateTime(timezone=True), primary_key=True),
        sa.Column("code", sa.CHAR(5), primary_key=True),
        sa.Column("label", sa.Text, unique=True),
    )
    child = schema.table(
        "child",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("amount", sa.Numeric(10, 2), primary_key=True),
        sa.Column("top_day", sa.DateTime(timezone=True)),
        sa.Column("top_code", sa.CHAR(5)),
        sa.ForeignKeyConstraint(["top_day", "top_code"], ["top.day", "top.code"]),
    )
    tag = schema.table(
        "tag",
        sa.Column("k1", sa.LargeBinary, primary_key=True),
        sa.Column("label", sa.ForeignKey("top.label")),
        sa.Column("up", sa.ForeignKey("tag.k1")),
    )
    schema.edge(top, child, day="top_day", code="top_code")
    schema.edge(top, tag, label="label")
    schema.edge(tag, tag, k1="up")
    schema.create(connection)
    execute(
        connection,
        "SET LOCAL DateStyle = 'German'",
        "INSERT INTO top VALUES ('2020-01-02 03:04:05.678901+05', 'a,{}', 'x'), ('2020-01-02', 'b', 'y')",
        "INSERT INTO child SELECT gen_random_uuid(), 1.5, day, code FROM top",
        r"INSERT INTO tag (k1, label, up) VALUES ('\x00ff', 'x', NULL), ('\x22', NULL, '\x00ff'), ('\x23', 'y', NULL)",
        "UPDATE top SET deleted_at = now() WHERE label = 'x'",
    )
    assert (len(dead(connection, child)), dead(connection, tag)) == (1, [b"\x00\xff", b"\x22"])
    execute(connection, "UPDATE top SET deleted_at = NULL WHERE label = 'x'")
    assert (dead(connection, child), dead(connection, tag)) == ([], [])


def test_many_to_one(connection: sa.Connection) -> None:
    """A cascade may lead to the row that a foreign key names, and that several rows may share."""
    schema = Schema()
    address = schema.table("address")
    person = schema.table("person", sa.Column("address_id", sa.ForeignKey("address.id")))
    schema.edge(person, address, address_id="id")
    schema.create(connection)
    execute(
        connection,
        "INSERT INTO address VALUES (1), (2)",
        "INSERT INTO person (id, address_id) VALUES (1, 1), (2, 1), (3, 2)",
    )
    delete(connection, person, 1)
    assert dead(connection, address) == [1]
    restore(connection, person, 1)
    assert dead(connection, address) == []
    delete(connection, person, 1, 2)
    restore(connection, person, 2)
    assert dead(connection, address) == [1]
    restore(connection, person, 1)
    assert dead(connection, address) == []


@pytest.mark.parametrize(
    "schemas", [("here", "here"), ("here", "there"), (None, "there"), ("there", None)]
)
def test_schemas(connection: sa.Connection, schemas: tuple[str | None, str | None]) -> None:
    """Tables of the default schema and of declared ones cascade into each other, whatever the path is then."""
    upper, lower = schemas
    schema = Schema()
    top = schema.table("top", schema=upper)
    child = schema.table(
        "child", sa.Column("top_id", sa.ForeignKey(top.c.id)), schema=lower, refuse_orphans=True
    )
    grandchild = schema.table(
        "grandchild", sa.Column("child_id", sa.ForeignKey(child.c.id)), schema=upper
    )
    schema.edge(top, child, id="top_id")
    schema.edge(child, grandchild, id="child_id")
    execute(
        connection,
        "CREATE SCHEMA here",
        "CREATE SCHEMA there",
        "CREATE SCHEMA home",
        "SET LOCAL search_path = home",
    )
    schema.create(connection)
    connection.execute(top.insert(), [{"id": 1}])
    connection.execute(child.insert(), [{"id": 1, "top_id": 1}])
    connection.execute(grandchild.insert(), [{"id": 1, "child_id": 1}])
    names = {table: f"{table.schema or 'home'}.{table.name}" for table in (top, child, grandchild)}
    execute(
        connection,
        "SET LOCAL search_path = pg_catalog",
        f"UPDATE {names[top]} SET deleted_at = now()",
    )
    for table in names:
        assert (
            connection.execute(
                sa.text(f"SELECT count(deleted_at) FROM {names[table]}")
            ).scalar_one()
            == 1
        )
    message = refused(
        connection,
        lambda: execute(connection, f"INSERT INTO {names[child]} (id, top_id) VALUES (2, 1)"),
    )
    assert f"row (1) of table {names[top]}" in message
    execute(connection, f"UPDATE {names[top]} SET deleted_at = NULL")
    for table in names:
        assert (
            connection.execute(
                sa.text(f"SELECT count(deleted_at) FROM {names[table]}")
            ).scalar_one()
            == 0
        )


def test_schema_that_nothing_tells(connection: sa.Connection) -> None:
    """Without a foreign key, the default schema cannot be found from a declared one; the error says what to do."""
    schema = Schema()
    top = schema.table("top", schema="here")
    child = schema.table("child", sa.Column("top_id", sa.Integer))
    schema.edge(top, child, id="top_id")
    execute(connection, "CREATE SCHEMA here")
    schema.create(connection)
    connection.execute(top.insert(), [{"id": 1}])
    with pytest.raises(
        sa.exc.DBAPIError, match=r"no foreign key joins it to table here\.top"
    ) as caught:
        delete(connection, top, 1)
    assert "Declare its schema" in str(caught.value.orig)


def test_long_logs(connection: sa.Connection) -> None:
    """Thousands of rows in one statement, each with an id of its own."""
    schema = Schema()
    top = schema.table("top")
    child = schema.table("child", sa.Column("top_id", sa.ForeignKey("top.id"), index=True))
    schema.edge(top, child, id="top_id")
    schema.create(connection)
    execute(
        connection,
        "INSERT INTO top SELECT generate_series(1, 3000)",
        "INSERT INTO child (id, top_id) SELECT id, id FROM top",
        "UPDATE top SET deleted_at = now(), deletion_id = gen_random_uuid() WHERE id % 2 = 0",
    )
    assert dead(connection, child) == dead(connection, top) == list(range(2, 3001, 2))
    assert len(deletions(connection, child)) == 1501
    execute(connection, "UPDATE top SET deleted_at = NULL WHERE id % 4 = 0")
    assert dead(connection, child) == dead(connection, top) == list(range(2, 3001, 4))


def test_chain_of_many_levels(connection: sa.Connection) -> None:
    """A long chain takes one step per level, not more with every level."""
    schema = Schema()
    link = schema.table("link", sa.Column("up", sa.ForeignKey("link.id"), index=True))
    schema.edge(link, link, id="up")
    schema.create(connection)
    execute(
        connection,
        "INSERT INTO link (id, up) SELECT g, nullif(g - 1, 0) FROM generate_series(1, 400) AS g",
    )
    delete(connection, link, 1)
    assert live(connection, link) == []
    restore(connection, link, 1)
    assert dead(connection, link) == []


def test_partitioned_tables(connection: sa.Connection) -> None:
    """Parents and children may be partitioned, and refer to themselves across partitions."""
    schema = Schema()
    top = schema.table(
        "top",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("place", sa.Integer, primary_key=True),
    )
    child = schema.table(
        "child",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("place", sa.Integer, primary_key=True),
        sa.Column("top_id", sa.Integer),
        sa.Column("up", sa.Integer),
        sa.Column("up_place", sa.Integer),
        sa.ForeignKeyConstraint(["top_id", "place"], ["top.id", "top.place"]),
    )
    schema.edge(top, child, id="top_id", place="place")
    schema.edge(child, child, id="up", place="up_place")
    for table in (top, child):
        ddl = sa.schema.CreateTable(table).compile(dialect=sql.dialect()).string
        execute(
            connection,
            ddl + " PARTITION BY LIST (place)",
            *(
                f"CREATE TABLE {table.name}_{n} PARTITION OF {table.name} FOR VALUES IN ({n})"
                for n in (1, 2)
            ),
        )
    for each in schema.objects():
        for text in each.create():
            connection.execute(sql.statement(text))
    execute(
        connection,
        "INSERT INTO top (id, place) VALUES (1, 1), (1, 2), (2, 2)",
        "INSERT INTO child (id, place, top_id, up, up_place) VALUES (1, 1, 1, NULL, NULL), (2, 2, NULL, 1, 1),"
        " (3, 1, NULL, 2, 2), (4, 2, 1, NULL, NULL), (5, 2, 2, NULL, NULL)",
        "UPDATE top SET deleted_at = now() WHERE place = 1",
    )
    assert dead(connection, child) == [(1, 1), (2, 2), (3, 1)]
    execute(connection, "UPDATE top SET deleted_at = NULL WHERE place = 1")
    assert dead(connection, child) == []
