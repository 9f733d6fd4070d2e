"""
A vector that stops or begins to be generated, and the way back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from pgultra import Check, Trigger, View, declare, plan
from pgultra.features.search import TSVectorType

if TYPE_CHECKING:
    from tests.fixtures.alembic import MigrationEnvironment


def notes(
    mode: str, schema: str | None = None, *more: sa.Column[Any], body: bool = True, **options: Any
) -> sa.MetaData:
    metadata = sa.MetaData()
    parts = {"title": "A", "body": "B"} if body else {"title": "A"}
    sa.Table(
        "note",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("title", sa.Text),
        *([sa.Column("body", sa.Text)] if body else []),
        *more,
        sa.Column("search", TSVectorType(parts, mode=mode, **options)),
        schema=schema,
    )
    return metadata


def there_and_back(
    engine: sa.Engine, env: MigrationEnvironment, one: sa.MetaData, other: sa.MetaData
) -> None:
    """
    Each way leaves what is declared, and rows that can be found.
    """
    [table] = one.tables.values()
    vector = sa.select(table.c.search)
    env.autogenerate("one", metadata=one)
    env.upgrade()
    with engine.begin() as connection:
        connection.execute(table.insert().values(id=1, title="fox"))
    env.autogenerate("other", metadata=other)
    for metadata, go in ((other, env.upgrade), (one, lambda: env.downgrade("-1"))) * 2:
        go()
        with engine.connect() as connection:
            assert not plan.check(connection, metadata)
            assert connection.scalar(vector) == "'fox':1A"
    env.downgrade()


@pytest.mark.parametrize("schema", [None, "public", "Sh op"])
@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"mode": "generated"}, {"mode": "trigger"}),
        ({"mode": "trigger"}, {"mode": "generated"}),
        ({"mode": "generated", "fastupdate": False}, {"mode": "trigger"}),
        ({"mode": "generated", "index": False}, {"mode": "trigger"}),
        ({"mode": "generated"}, {"mode": "trigger", "index": False}),
        ({"mode": "generated"}, {"mode": "trigger", "fastupdate": False, "concurrently": True}),
        ({"mode": "trigger", "fastupdate": False, "concurrently": True}, {"mode": "generated"}),
        ({"mode": "generated"}, {"mode": "trigger", "body": False}),
        ({"mode": "trigger"}, {"mode": "generated", "body": False}),
    ],
)
def test_rows_are_found_on_both_ways(
    engine: sa.Engine,
    alembic_env: MigrationEnvironment,
    one: dict[str, Any],
    other: dict[str, Any],
    schema: str | None,
) -> None:
    """
    Though the index changes too, or a part goes; under the default schema's own name as well.
    """
    if schema == "Sh op":
        alembic_env.configure(include_schemas=True)
        with engine.begin() as connection:
            connection.exec_driver_sql('CREATE SCHEMA "Sh op"')
    there_and_back(engine, alembic_env, notes(schema=schema, **one), notes(schema=schema, **other))


def test_its_rules_come_back(engine: sa.Engine, alembic_env: MigrationEnvironment) -> None:
    """
    Checks, a comment and a right, of which some only the database knows.
    """
    one, other = notes("generated"), notes("trigger")
    for metadata in (one, other):
        condition = "search IS DISTINCT FROM 'a'::tsvector"
        table = metadata.tables["note"]
        declare(table, Check(name="no_a", table="note", condition=condition))
        table.c.search.comment = "what is found"
    alembic_env.autogenerate("one", metadata=one)
    alembic_env.upgrade()
    with engine.begin() as connection:
        for text in (
            "ALTER TABLE note ADD CONSTRAINT hand CHECK (search <> 'b')",
            "GRANT SELECT (search) ON note TO pg_monitor",
        ):
            connection.exec_driver_sql(text)
    before = rules_of(engine)
    assert len(before) == 4
    alembic_env.autogenerate("other", metadata=other)
    for go in (alembic_env.upgrade, lambda: alembic_env.downgrade("-1")) * 2:
        go()
        assert rules_of(engine) == before


def rules_of(engine: sa.Engine) -> list[str]:
    """
    What PostgreSQL keeps of the column beside its expression.
    """
    query = """
        SELECT conname FROM pg_constraint
        WHERE conrelid = 'note'::regclass AND contype = 'c'
        UNION ALL SELECT a.attacl::text FROM pg_attribute AS a
        WHERE a.attrelid = 'note'::regclass AND a.attname = 'search'
        UNION ALL SELECT col_description(a.attrelid, a.attnum) FROM pg_attribute AS a
        WHERE a.attrelid = 'note'::regclass AND a.attname = 'search'
        ORDER BY 1"""
    with engine.connect() as connection:
        return [str(each) for each in connection.scalars(sa.text(query))]


def test_what_stands_on_it_gives_way(engine: sa.Engine, alembic_env: MigrationEnvironment) -> None:
    """
    A view and a trigger of ours would keep the column from being generated again.
    """

    def seen(mode: str) -> sa.MetaData:
        metadata = notes(mode)
        declare(
            metadata.tables["note"],
            View(name="seen", query="SELECT id, search FROM note"),
            Trigger(
                name="on_it",
                table="note",
                timing="AFTER",
                events=("UPDATE",),
                when="old.search IS DISTINCT FROM new.search",
                function="suppress_redundant_updates_trigger",
                function_schema="pg_catalog",
            ),
        )
        return metadata

    there_and_back(engine, alembic_env, seen("generated"), seen("trigger"))


def test_rows_that_come_while_an_index_is_built(
    engine: sa.Engine, alembic_env: MigrationEnvironment
) -> None:
    """
    CONCURRENTLY commits what came before, so the triggers must be there by then.
    """
    one, other = notes("generated"), notes("trigger", concurrently=True, fastupdate=False)
    alembic_env.autogenerate("one", metadata=one)
    alembic_env.upgrade()
    alembic_env.autogenerate("other", metadata=other)
    [note] = other.tables.values()
    built = []

    @sa.event.listens_for(engine, "before_cursor_execute")
    def write(*arguments: Any) -> None:
        if "INDEX CONCURRENTLY" in arguments[2]:
            built.append(arguments[2])
            with engine.begin() as connection:
                connection.execute(note.insert().values(id=len(built), title="fox"))

    alembic_env.upgrade()
    assert built
    with engine.connect() as connection:
        found = connection.scalars(sa.select(note.c.search)).all()
        assert found == ["'fox':1A"] * len(built)


def test_an_index_in_pieces_goes_before_the_triggers(engine: sa.Engine) -> None:
    """
    It commits what came before; rows that came meanwhile would have no vector on the way back.
    """
    kept = notes("trigger", concurrently=True)
    kept.create_all(engine)
    plain = sa.MetaData()
    names = [sa.Column(each.name, sa.Text) for each in kept.tables["note"].columns]
    sa.Table("note", plain, *names)
    with engine.connect() as connection:
        found = plan.check(connection, plain)
    kinds = [step.identity.kind for step in found]
    assert kinds.index("index") < kinds.index("trigger")
    back = [step.identity.kind for step in found.reverse()]
    assert back.index("trigger") < back.index("index")
