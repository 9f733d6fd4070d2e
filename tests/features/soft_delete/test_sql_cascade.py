"""
What goes with a row, and comes back with it, in plain SQL.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
import sqlalchemy as sa

from pgultra import sql
from pgultra.features.soft_delete.shape import Columns
from tests.features.soft_delete.tables import Schema, dead, execute, live

if TYPE_CHECKING:
    from collections.abc import Callable

GERMAN = Columns("gelöschtAm", "gelöscht von", "Löschung", flag="ist gelöscht")


def delete(connection: sa.Connection, table: sa.Table, *keys: Any) -> None:
    """
    Delete rows softly, in one statement.
    """
    column = next(iter(table.primary_key))
    names = table.info["names"]
    connection.execute(
        table.update().where(column.in_(keys)).values({names.deleted_at: sa.func.now()})
    )


def restore(connection: sa.Connection, table: sa.Table, *keys: Any) -> None:
    """
    Restore rows, in one statement.
    """
    column = next(iter(table.primary_key))
    names = table.info["names"]
    connection.execute(table.update().where(column.in_(keys)).values({names.deleted_at: None}))


def refused(connection: sa.Connection, change: Callable[[], Any]) -> str:
    """
    Run what must fail within a savepoint, and return the message.
    """
    with pytest.raises(sa.exc.IntegrityError) as caught, connection.begin_nested():
        change()
    assert caught.value.orig is not None
    return str(caught.value.orig)


def deletions(connection: sa.Connection, *tables: sa.Table) -> set[Any]:
    """
    Collect the deletion ids in some tables.
    """
    return {
        value
        for table in tables
        for value in connection.execute(
            sa.select(table.c[table.info["names"].deletion_id])
        ).scalars()
    }


@pytest.fixture
def blog(connection: sa.Connection) -> tuple[sa.Connection, sa.Table, sa.Table, sa.Table]:
    """
    Authors, their articles, and comments, which belong to an article and have an answered comment.
    """
    schema = Schema()
    author = schema.table("author")
    article = schema.table(
        "article", sa.Column("author_id", sa.ForeignKey("author.id")), names=GERMAN
    )
    comment = schema.table(
        "comment",
        sa.Column("article_id", sa.ForeignKey("article.id")),
        sa.Column("answers", sa.ForeignKey("comment.id")),
    )
    schema.edge(author, article, id="author_id")
    schema.edge(article, comment, id="article_id")
    schema.edge(comment, comment, id="answers")
    schema.create(connection)
    execute(
        connection,
        "INSERT INTO author VALUES (1), (2)",
        "INSERT INTO article (id, author_id) VALUES (1, 1), (2, 1), (3, 2)",
        "INSERT INTO comment (id, article_id, answers) VALUES (1, 1, NULL), (2, NULL, 1), (3, NULL, 2),"
        " (4, NULL, 3), (5, NULL, 4), (6, 2, NULL), (7, 3, NULL), (8, 3, 6)",
    )
    return connection, author, article, comment


Blog = tuple[sa.Connection, sa.Table, sa.Table, sa.Table]


def test_all_levels_go_as_one_deletion(blog: Blog) -> None:
    """Three tables and five levels of a self-reference go with one row, by one hand, at one time."""
    connection, author, article, comment = blog
    execute(connection, "SET LOCAL pgultra.actor = 'ann'")
    delete(connection, author, 1)
    assert dead(connection, author) == [1]
    assert dead(connection, article) == [1, 2]
    assert dead(connection, comment) == [1, 2, 3, 4, 5, 6, 8]
    assert len(deletions(connection, author, article, comment) - {None}) == 1
    told = connection.execute(
        sa.text('SELECT DISTINCT "gelöscht von", "ist gelöscht" FROM article WHERE id < 3')
    )
    assert told.all() == [("ann", True)]


def test_restore_brings_back_all(blog: Blog) -> None:
    """Restoring the row brings back what went with it, and clears its columns."""
    connection, author, article, comment = blog
    delete(connection, author, 1)
    restore(connection, author, 1)
    assert dead(connection, author) == dead(connection, article) == dead(connection, comment) == []
    assert deletions(connection, author, article, comment) == {None}
    flags = (
        connection.execute(sa.text('SELECT DISTINCT "ist gelöscht" FROM article')).scalars().all()
    )
    assert flags == [False]


def test_what_died_before_stays_dead(blog: Blog) -> None:
    """Restoring a row does not revive what was deleted before it."""
    connection, author, article, comment = blog
    delete(connection, comment, 3)
    delete(connection, author, 1)
    restore(connection, author, 1)
    assert dead(connection, comment) == [3, 4, 5]
    restore(connection, comment, 3)
    assert dead(connection, comment) == []
    assert dead(connection, article) == []


def test_flag_cascades(blog: Blog) -> None:
    """Writing the flag alone deletes and restores along the cascade."""
    connection, _, article, comment = blog
    execute(connection, 'UPDATE article SET "ist gelöscht" = true WHERE id = 1')
    assert dead(connection, comment) == [1, 2, 3, 4, 5]
    execute(connection, 'UPDATE article SET "ist gelöscht" = false WHERE id = 1')
    assert dead(connection, article) == dead(connection, comment) == []


def test_bulk_statement_restored_in_part(blog: Blog) -> None:
    """Rows deleted by one statement come back one by one, each with what hangs below it."""
    connection, _, article, comment = blog
    delete(connection, article, 1, 3)
    assert len(deletions(connection, article, comment) - {None}) == 1
    restore(connection, article, 3)
    assert dead(connection, article) == [1]
    assert dead(connection, comment) == [1, 2, 3, 4, 5]


def test_siblings_of_one_table_restored_in_part(blog: Blog) -> None:
    """In a self-referring table too: the other rows of that statement stay dead."""
    connection, _, _, comment = blog
    delete(connection, comment, 4, 6)
    assert dead(connection, comment) == [4, 5, 6, 8]
    restore(connection, comment, 6)
    assert dead(connection, comment) == [4, 5]
    restore(connection, comment, 4)
    assert dead(connection, comment) == []


def test_shared_deletion_id(blog: Blog) -> None:
    """Deletions joined by the setting come back each by its own root."""
    connection, author, article, comment = blog
    execute(connection, f"SET LOCAL pgultra.deletion_id = '{uuid4()}'")
    delete(connection, article, 3)
    delete(connection, comment, 5)
    delete(connection, author, 2)
    assert len(deletions(connection, author, article, comment) - {None}) == 1
    restore(connection, author, 2)
    assert dead(connection, author) == dead(connection, article) == []
    assert dead(connection, comment) == [5]


def test_restore_below_a_dead_parent_is_refused(blog: Blog) -> None:
    """A row does not come back alone below a parent that went with the same deletion."""
    connection, author, article, comment = blog
    delete(connection, author, 1)
    message = refused(connection, lambda: restore(connection, article, 1))
    assert "row (1) of table public.article cannot be restored" in message
    assert "row (1) of table public.author above it is deleted" in message
    assert "same deletion" in message
    assert "Restore that row of public.author first" in message
    assert dead(connection, comment) == [1, 2, 3, 4, 5, 6, 8]


def test_restore_below_another_deletion_is_refused(blog: Blog) -> None:
    """Nor below one that was deleted apart."""
    connection, author, article, _ = blog
    delete(connection, article, 1)
    delete(connection, author, 1)
    message = refused(connection, lambda: restore(connection, article, 1))
    assert "deleted apart" in message


def test_restore_meets_a_parent_dead_since(blog: Blog) -> None:
    """A row below that has lost another parent meanwhile stops the restore, and nothing changes."""
    connection, _, article, comment = blog
    delete(connection, article, 3)
    delete(connection, comment, 6)
    message = refused(connection, lambda: restore(connection, article, 3))
    assert "row (8) of table public.comment cannot be restored" in message
    assert "row (6) of table public.comment above it" in message
    assert dead(connection, article) == [3]
    restore(connection, comment, 6)
    restore(connection, article, 3)
    assert dead(connection, comment) == []


def test_parent_and_child_in_one_statement(blog: Blog) -> None:
    """One statement may restore a whole tree at once."""
    connection, _, _, comment = blog
    delete(connection, comment, 5)
    delete(connection, comment, 3)
    restore(connection, comment, 5, 4, 3)
    assert dead(connection, comment) == []


def test_delete_and_restore_in_one_statement(blog: Blog) -> None:
    """One statement may do both."""
    connection, _, article, comment = blog
    delete(connection, article, 1)
    execute(connection, 'UPDATE article SET "ist gelöscht" = NOT "ist gelöscht" WHERE id IN (1, 3)')
    assert dead(connection, article) == [3]
    assert dead(connection, comment) == [7, 8]


def test_swap_below_itself(blog: Blog) -> None:
    """A row cannot be restored by the statement that deletes its parent."""
    connection, _, _, comment = blog
    delete(connection, comment, 3)
    swap = "UPDATE comment SET deleted_at = CASE WHEN id = 3 THEN NULL ELSE now() END WHERE id IN (2, 3)"
    refused(connection, lambda: execute(connection, swap))
    assert dead(connection, comment) == [3, 4, 5]


def test_two_deletions_in_one_statement(blog: Blog) -> None:
    """Ids given row by row stay apart along the cascade."""
    connection, _, article, comment = blog
    first, second = uuid4(), uuid4()
    execute(
        connection,
        f"""UPDATE article SET "gelöschtAm" = now(), "Löschung" = CASE id WHEN 1 THEN '{first}'::uuid
        ELSE '{second}' END WHERE id IN (1, 3)""",
    )
    ids = dict(connection.execute(sa.select(comment.c.id, comment.c.deletion_id)).all())
    assert (ids[5], ids[7], ids[6]) == (first, second, None)
    restore(connection, article, 1, 3)
    assert dead(connection, comment) == []


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
        sa.exc.DBAPIError, match="no foreign key joins it to table here.top"
    ) as caught:
        delete(connection, top, 1)
    assert "Declare its schema" in str(caught.value.orig)


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


def test_live_index_conflict_stops_a_restore(blog: Blog) -> None:
    """A unique value taken meanwhile refuses the restore as a whole."""
    connection, author, article, comment = blog
    execute(
        connection,
        "ALTER TABLE comment ADD slug text",
        "CREATE UNIQUE INDEX comment_slug ON comment (slug) WHERE deleted_at IS NULL",
        "UPDATE comment SET slug = 'a' WHERE id = 5",
    )
    delete(connection, author, 1)
    execute(connection, "UPDATE comment SET slug = 'a' WHERE id = 7")
    assert "comment_slug" in refused(connection, lambda: restore(connection, author, 1))
    assert dead(connection, article) == [1, 2]


def test_cascade_ends_where_it_began(blog: Blog) -> None:
    """The settings of a cascade are gone after it, and a later statement of the transaction is on its own."""
    connection, author, article, comment = blog
    delete(connection, author, 1)
    left = (
        connection.execute(
            sa.text("SELECT name FROM pg_settings WHERE name LIKE 'pgultra.%' AND setting <> ''")
        )
        .scalars()
        .all()
    )
    assert left == []
    delete(connection, article, 3)
    assert len(deletions(connection, article) - {None}) == 2
    assert dead(connection, comment) == [1, 2, 3, 4, 5, 6, 7, 8]
