"""
Every change of a text is marked, and no trigger of ours makes a valid statement fail.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import CITEXT, JSONB

import pgultra
from pgultra import DeclarationError, plan, soft_delete
from pgultra.features.embeddings import (
    Chunks,
    EmbeddingWorker,
    Rules,
    VectorType,
    queue_status,
)
from tests.features.embeddings.counting import Length

if TYPE_CHECKING:
    from tests.fixtures.database import Database

pytestmark = pytest.mark.needs("vector")


def note(name: str = "note", body: Any = sa.Text) -> sa.Table:
    """
    A table with a text, another column, and a vector of the text.
    """
    table = sa.Table(
        name,
        sa.MetaData(),
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("body", body),
        sa.Column("other", sa.Text),
        sa.Column("embedding", VectorType(3, index=None, source="body", model="length")),
    )
    pgultra.declare(table, Rules("embedding"))
    return table


def event(schema: str | None = None) -> sa.Table:
    """
    A partitioned table, with a vector of its text.
    """
    table = sa.Table(
        "event",
        sa.MetaData(schema=schema),
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("at", sa.Date, primary_key=True),
        sa.Column("body", sa.Text),
        sa.Column("embedding", VectorType(3, index=None, source="body", model="length")),
        postgresql_partition_by="RANGE (at)",
    )
    pgultra.declare(table, Rules("embedding"))
    return table


def divide(connection: sa.Connection, table: sa.Table, months: dict[str, int]) -> None:
    """
    Make partitions of a month each.
    """
    for name, month in months.items():
        connection.exec_driver_sql(
            f"CREATE TABLE {name} PARTITION OF {table.fullname} "
            f"FOR VALUES FROM ('2026-0{month}-01') TO ('2026-0{month + 1}-01')"
        )


def book(name: str = "book", soft: bool = False, **options: Any) -> tuple[sa.Table, sa.Table]:
    """
    A parent and its chunk table.
    """
    metadata = sa.MetaData()
    parts = [sa.Column("at", sa.Date, primary_key=True)] if options else []
    parent = sa.Table(
        name,
        metadata,
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        *parts,
        sa.Column("body", sa.Text),
        **options,
    )
    keys = list(parent.primary_key)
    mine = [sa.Column(f"of_{key.name}", key.type, primary_key=True) for key in keys]
    chunk = sa.Table(
        "page",
        metadata,
        *mine,
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("text", sa.Text),
        sa.Column("embedding", VectorType(3, index=None, source="text")),
        sa.ForeignKeyConstraint(mine, keys, ondelete="CASCADE", onupdate="CASCADE"),
    )
    if soft:
        pgultra.declare(chunk, soft_delete.Rules())
    pgultra.declare(
        chunk,
        Chunks(source="body", text="text", number="number", size=20, overlap=0),
        Rules("embedding"),
    )
    return parent, chunk


def made(engine: sa.Engine, table: sa.Table) -> None:
    """
    Three rows, embedded.
    """
    table.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(table.insert(), [{"id": n, "body": f"text {n}"} for n in range(3)])
    EmbeddingWorker(engine, Length(), table.c.embedding).work()


def waiting(connection: sa.Connection, table: sa.Table) -> int:
    """
    How many rows wait.
    """
    return queue_status(connection, table.c.embedding).waiting


def test_rows_that_move_and_rows_of_partitions(engine: sa.Engine) -> None:
    """
    A move with a new text, an INSERT into a partition made later, one in another schema.
    """
    table = event()
    table.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE SCHEMA other")
        divide(connection, table, {"event_1": 1, "event_2": 2, "other.event_3": 3})
        assert not plan.check(connection, table.metadata)
        connection.execute(
            table.insert(),
            [{"id": n, "at": dt.date(2026, 1 + n % 3, 5), "body": f"text {n}"} for n in range(6)],
        )
        assert waiting(connection, table) == 6
    worker = EmbeddingWorker(engine, Length(), table.c.embedding)
    assert worker.work().embedded == 6
    with engine.begin() as connection:
        moved = table.update().where(table.c.id.in_([0, 3]))
        connection.execute(moved.values(at=dt.date(2026, 3, 6), body="moved"))
        assert waiting(connection, table) == 2
        connection.exec_driver_sql("INSERT INTO event_2 VALUES (77, '2026-02-09', 'direct')")
        assert waiting(connection, table) == 3
        connection.execute(table.update().where(table.c.id == 2).values(body="in other"))
        connection.execute(table.update().where(table.c.id == 5).values(id=55, body="new key"))
        assert waiting(connection, table) == 5
        connection.execute(table.update().where(table.c.id == 1).values(id=11))
        assert waiting(connection, table) == 5
        connection.execute(table.delete().where(table.c.id == 0))
        assert waiting(connection, table) == 4
    assert worker.work().embedded == 4
    with engine.connect() as connection:
        for row in connection.execute(sa.select(table.c.body, table.c.embedding)):
            assert row.embedding.to_list() == Length.vector(row.body)


def test_chunks_of_a_parent_that_moves(engine: sa.Engine) -> None:
    """
    They are of the text that was, and go in the same statement; those of others stay.
    """
    parent, chunk = book(postgresql_partition_by="RANGE (at)")
    parent.metadata.create_all(engine)
    with engine.begin() as connection:
        divide(connection, parent, {"book_1": 1, "book_2": 2})
        connection.execute(
            parent.insert(),
            [{"id": n, "at": dt.date(2026, 1, 5), "body": "One is. Two is."} for n in range(3)],
        )
    worker = EmbeddingWorker(engine, Length(), chunk.c.embedding)
    assert worker.work().split == 3
    count = sa.select(sa.func.count()).select_from(chunk)
    with engine.begin() as connection:
        own = parent.update().where(parent.c.id == 1)
        connection.execute(own.values(at=dt.date(2026, 2, 5), body="new"))
        assert connection.scalar(count) == 2
        connection.execute(parent.delete().where(parent.c.id == 2))
        assert connection.scalar(count) == 1
    assert worker.work().split == 1
    with engine.connect() as connection:
        assert sorted(connection.scalars(sa.select(chunk.c.text))) == ["One is. Two is.", "new"]


def test_a_move_needs_rights_on_the_side_table(engine: sa.Engine, database: Database) -> None:
    """
    Who deletes needs SELECT there, and who moves rows DELETE, too.
    """
    table, role = event(), f"{database.name}_writer"
    table.metadata.create_all(engine)
    with engine.begin() as connection:
        divide(connection, table, {"event_1": 1, "event_2": 2})
        connection.exec_driver_sql(f'CREATE ROLE "{role}" LOGIN')
        connection.exec_driver_sql(f'GRANT ALL ON event TO "{role}"')
        state = "event_embedding_state"
        connection.exec_driver_sql(f'GRANT SELECT, INSERT, UPDATE ON {state} TO "{role}"')
    try:
        with engine.begin() as connection:
            connection.exec_driver_sql(f'SET LOCAL ROLE "{role}"')
            for n in (1, 2):
                connection.execute(table.insert(), {"id": n, "at": dt.date(2026, 1, n), "body": ""})
            connection.execute(table.update().values(body="changed"))
            connection.execute(table.delete().where(table.c.id == 2))
            with pytest.raises(sa.exc.ProgrammingError, match=state), connection.begin_nested():
                connection.execute(table.update().values(at=dt.date(2026, 2, 1)))
            connection.exec_driver_sql("RESET ROLE")
            connection.exec_driver_sql(f'GRANT DELETE ON {state} TO "{role}"')
            connection.exec_driver_sql(f'SET LOCAL ROLE "{role}"')
            connection.execute(table.update().values(at=dt.date(2026, 2, 1)))
            assert waiting(connection, table) == 1
    finally:
        with engine.begin() as connection:
            connection.exec_driver_sql(f'DROP OWNED BY "{role}"')
            connection.exec_driver_sql(f'DROP ROLE "{role}"')


def test_statement_triggers_of_before_are_replaced(engine: sa.Engine) -> None:
    """
    A partitioned table of an older pgultra, whose partitions have copies of the trigger.
    """
    table = event()
    table.metadata.create_all(engine)
    with engine.begin() as connection:
        divide(connection, table, {"event_1": 1, "event_2": 2})
        [made_] = [
            each
            for each in plan.collect(table.metadata).values()
            if isinstance(each, pgultra.Trigger) and each.name == "event_embedding_added"
        ]
        before = made_.but(
            name="event_embedding_new", level="STATEMENT", new_table="pgultra_new", divided=True
        )
        for statement in (*made_.drop(), *before.create()):
            connection.exec_driver_sql(statement)
        found = plan.check(connection, table.metadata)
        assert len(found.steps) == 2
        plan.apply(plan.sorted_plan(found), connection)
        assert not plan.check(connection, table.metadata)
        names = sa.text("SELECT tgname FROM pg_trigger WHERE tgname ~ '^event_embedding'")
        assert set(connection.scalars(names)) == {
            "event_embedding_added",
            "event_embedding_changed",
        }
        connection.exec_driver_sql("INSERT INTO event_2 VALUES (1, '2026-02-09', 'direct')")
        assert waiting(connection, table) == 1


def test_a_source_that_a_trigger_changes(engine: sa.Engine) -> None:
    """
    The UPDATE names another column, and a trigger of the host's writes the text.
    """
    table = note()
    made(engine, table)
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE FUNCTION follow() RETURNS trigger LANGUAGE plpgsql AS "
            "'BEGIN NEW.body := NEW.other; RETURN NEW; END'"
        )
        connection.exec_driver_sql(
            "CREATE TRIGGER follow BEFORE UPDATE ON note FOR EACH ROW "
            "WHEN (new.other IS NOT NULL) EXECUTE FUNCTION follow()"
        )
        connection.execute(table.update().where(table.c.id == 1).values(other="new text"))
        assert waiting(connection, table) == 1


LOOSE = "CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level1', deterministic = false)"


@pytest.mark.parametrize(
    ("body", "before", "after", "setup"),
    [
        pytest.param(
            CITEXT,
            "text",
            "TEXT",
            "CREATE EXTENSION citext",
            marks=pytest.mark.needs("citext"),
            id="citext",
        ),
        pytest.param(
            sa.Text(collation="loose"),
            "cafe",
            "Café",
            LOOSE,
            marks=pytest.mark.needs("icu"),
            id="collation",
        ),
        pytest.param(sa.JSON, {"a": 1}, {"a": 2}, None, id="json"),
        pytest.param(JSONB, sa.text("'[1.0]'"), sa.text("'[1.00]'"), None, id="jsonb"),
    ],
)
def test_equal_values_of_another_text(
    engine: sa.Engine, body: Any, before: Any, after: Any, setup: str | None
) -> None:
    """
    The text is compared, not the value; the same text is no change.
    """
    table = note(body=body)
    with engine.begin() as connection:
        if setup:
            connection.exec_driver_sql(setup)
    table.metadata.create_all(engine)
    with engine.begin() as connection:
        assert not plan.check(connection, table.metadata)
        connection.execute(table.insert().values(id=1, body=before))
    EmbeddingWorker(engine, Length(), table.c.embedding).work()
    with engine.begin() as connection:
        assert waiting(connection, table) == 0
        connection.execute(table.update().values(body=before))
        assert waiting(connection, table) == 0
        connection.execute(table.update().values(body=after))
        assert waiting(connection, table) == 1


@pytest.mark.parametrize("name", ["note", "Note", "1st"])
def test_key_and_text_change_together(engine: sa.Engine, name: str) -> None:
    """
    Whatever comes first, the mark or the cascade of the new key.
    """
    table = note(name)
    made(engine, table)
    with engine.begin() as connection:
        one = table.update().where(table.c.id == 1)
        connection.execute(one.values(id=11, body="changed"))
        assert waiting(connection, table) == 1
    assert EmbeddingWorker(engine, Length(), table.c.embedding).work().embedded == 1
    parent, chunk = book(f"{name} book")
    parent.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(parent.insert(), {"id": 1, "body": "One is here. Two is there."})
    worker = EmbeddingWorker(engine, Length(), chunk.c.embedding)
    worker.work()
    with engine.begin() as connection:
        connection.execute(parent.update().values(id=11, body="Short."))
    worker.work()
    with engine.connect() as connection:
        assert connection.execute(sa.select(chunk.c.of_id, chunk.c.text)).all() == [(11, "Short.")]


def test_chunks_that_are_deleted_softly(engine: sa.Engine) -> None:
    """
    Those of an old text go for good, and nothing else can be deleted by that.
    """
    parent, chunk = book(soft=True)
    parent.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(
            parent.insert(), [{"id": n, "body": "One is here. Two is there."} for n in range(2)]
        )
    worker = EmbeddingWorker(engine, Length(), chunk.c.embedding)
    assert worker.work().split == 2
    with engine.begin() as connection:
        connection.execute(parent.update().where(parent.c.id == 1).values(body="Short."))
        assert connection.scalar(sa.select(sa.func.count()).select_from(chunk)) == 2
        with pytest.raises(sa.exc.IntegrityError, match="refused"), connection.begin_nested():
            connection.execute(chunk.delete())
    assert worker.work().split == 1


def test_two_columns_with_side_tables_of_one_name() -> None:
    """
    The second is refused, and told what is there.
    """
    metadata = sa.MetaData()
    first, second = (
        sa.Table(
            name,
            metadata,
            sa.Column("id", sa.Integer, primary_key=True),
            sa.Column("body", sa.Text),
            sa.Column(column, VectorType(3, index=None, source="body")),
        )
        for name, column in (("article", "title_embedding"), ("article_title", "embedding"))
    )
    pgultra.declare(first, Rules("title_embedding"))
    with pytest.raises(DeclarationError, match=r"article_title_embedding_state.*something else"):
        pgultra.declare(second, Rules("embedding"))
