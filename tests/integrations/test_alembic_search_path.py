"""
Autogenerate on a connection whose search_path is not that of the engine's first one.

What names no schema is what the path finds: tables and their partitions in one schema, with
another one before it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from pgultra import ByRange, ConflictingObjects, Function, Index, Trigger, View, declare, plan
from tests.fixtures.alembic import MigrationEnvironment

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.fixtures.database import Database


def visits(*, more: bool = False) -> sa.MetaData:
    """
    A table in monthly partitions, another one that refers to it, and a view.
    """
    metadata = sa.MetaData()
    visit = sa.Table(
        "Visit",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("at", sa.DateTime(timezone=True), primary_key=True),
        sa.Column("note", sa.Text),
    )
    sa.Table(
        "remark",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("visit", sa.Integer),
        sa.Column("at", sa.DateTime(timezone=True)),
        sa.ForeignKeyConstraint(["visit", "at"], ["Visit.id", "Visit.at"], name="on_visit"),
    )
    declare(visit, ByRange("at", every="1 month"))
    declare(metadata, View(name="noted", query='SELECT id, note FROM "Visit"'))
    if more:
        declare(visit, Index.of(sa.Index("visit_note", visit.c.note)))
        declare(metadata, View(name="ids", query="SELECT id FROM noted"))
    return metadata


def run(engine: sa.Engine, *statements: str) -> None:
    """
    SQL as another program would send it.
    """
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def set_at_once(database: Database, path: str) -> sa.Engine:
    """
    Every connection has it, the first one too.
    """
    return database.engine(connect_args={"options": f"-csearch_path={path}"})


def set_later(database: Database, path: str) -> sa.Engine:
    """
    By an event, after the engine's first connection: its default schema stays ``public``.
    """
    engine = database.engine(poolclass=sa.NullPool)
    with engine.connect():
        pass

    @sa.event.listens_for(engine, "connect")
    def set_path(driver_connection: object, _: object) -> None:
        with driver_connection.cursor() as cursor:  # type: ignore[attr-defined]
            cursor.execute(f"SET search_path = {path}")
        driver_connection.commit()  # type: ignore[attr-defined]

    return engine


@pytest.mark.slow
@pytest.mark.parametrize("connected", [set_at_once, set_later])
@pytest.mark.parametrize(
    ("home", "path"),
    [("public", "other,public"), ('"Tenant"', '"Tenant"'), ("public", "public,other")],
)
def test_partitions_stay_with_their_rows(
    engine: sa.Engine,
    database: Database,
    tmp_path: Path,
    connected: Callable[[Database, str], sa.Engine],
    home: str,
    path: str,
) -> None:
    """
    A schema before the one of the tables, or one that was set late: nothing is to be done.
    """
    run(engine, "CREATE SCHEMA other", 'CREATE SCHEMA "Tenant"')
    with engine.begin() as connection:
        connection.exec_driver_sql(f"SET LOCAL search_path = {home}")
        visits().create_all(connection)
        connection.exec_driver_sql("""INSERT INTO "Visit" VALUES (1, now(), 'precious')""")
    environment = MigrationEnvironment(tmp_path / "migrations", connected(database, path))
    assert environment.autogenerate(metadata=visits()).empty
    environment.upgrade()
    with engine.connect() as connection:
        rows = connection.exec_driver_sql(f'SELECT note FROM {home}."Visit"').scalars().all()
    assert rows == ["precious"]


def test_partitions_in_another_schema_of_the_path(
    engine: sa.Engine, database: Database, tmp_path: Path
) -> None:
    """
    Alembic sees them as tables without a schema, and they are partitions all the same.
    """
    metadata = visits()
    metadata.create_all(engine)
    old = "FOR VALUES FROM ('2001-01-01') TO ('2001-02-01')"
    run(
        engine,
        "CREATE SCHEMA parts",
        f'CREATE TABLE parts.visit_2001 PARTITION OF "Visit" {old}',
        """INSERT INTO "Visit" VALUES (1, '2001-01-05', 'precious')""",
    )
    again = set_at_once(database, "public,parts")
    assert MigrationEnvironment(tmp_path / "one", again).check(metadata=metadata) == []
    everywhere = MigrationEnvironment(tmp_path / "two", again, include_schemas=True)
    assert everywhere.check(metadata=metadata) == []


def test_an_index_comes_on_only(engine: sa.Engine, database: Database, tmp_path: Path) -> None:
    """
    Whichever schema of the path the partitioned table is found in.
    """
    visits().create_all(engine)
    run(engine, "CREATE SCHEMA other", "DROP VIEW noted")
    metadata = visits()
    sa.Index("visit_at", metadata.tables["Visit"].c.at)
    environment = MigrationEnvironment(
        tmp_path / "migrations", set_later(database, "public,other"), include_schemas=True
    )
    assert "CREATE INDEX visit_at ON ONLY" in environment.autogenerate(metadata=metadata).text


def test_nothing_is_made_beside_what_is_there(
    engine: sa.Engine, database: Database, tmp_path: Path
) -> None:
    """
    What names no schema would go to the first one of the path, and not be found: refused.
    """
    visits().create_all(engine)
    run(engine, "CREATE SCHEMA other")
    metadata, path = visits(more=True), set_at_once(database, "other,public")
    environment = MigrationEnvironment(tmp_path / "migrations", path)
    with pytest.raises(ConflictingObjects) as caught:
        environment.autogenerate(metadata=metadata)
    assert "view ids: it names no schema and would be made in other" in str(caught.value)
    assert "what is there is in public: put public first in the search_path" in str(caught.value)
    assert "pgultra did not make" not in str(caught.value)
    with path.connect() as connection, pytest.raises(ConflictingObjects, match="made in other"):
        plan.apply(plan.check(connection, metadata), connection)
    on_the_table = visits()
    visit = on_the_table.tables["Visit"]
    declare(visit, Index.of(sa.Index("visit_note", visit.c.note)))
    environment.autogenerate("on the table", metadata=on_the_table)
    environment.upgrade()
    assert environment.check(metadata=on_the_table) == []


def test_no_table_is_made_beside_the_others(
    engine: sa.Engine, database: Database, tmp_path: Path
) -> None:
    """
    The next run would look for everything beside the new table.
    """
    visits().create_all(engine)
    run(engine, "CREATE SCHEMA other")
    metadata = visits()
    sa.Table("fresh", metadata, sa.Column("id", sa.Integer, primary_key=True))
    environment = MigrationEnvironment(tmp_path / "one", set_at_once(database, "other,public"))
    with pytest.raises(ConflictingObjects, match="table fresh: it names no schema"):
        environment.autogenerate(metadata=metadata)
    right = MigrationEnvironment(tmp_path / "two", set_at_once(database, "public,other"))
    right.autogenerate(metadata=metadata)
    right.upgrade()
    assert right.check(metadata=metadata) == []


def test_drops_and_triggers_go_on(engine: sa.Engine, database: Database, tmp_path: Path) -> None:
    """
    What is found along the path can be dropped, and what sits on a table comes with it.
    """
    metadata = visits()
    function = Function(name="touch", body="begin return new; end")
    declare(metadata, function)
    metadata.create_all(engine)
    run(engine, "CREATE SCHEMA other")
    less = sa.MetaData()
    for table in visits().tables.values():
        table.to_metadata(less)
    declare(less.tables["Visit"], ByRange("at", every="1 month"))
    declare(less, function)
    how = {"timing": "BEFORE", "events": ("UPDATE",), "function": "touch"}
    declare(less.tables["remark"], Trigger(name="t", table="remark", **how))
    path = set_at_once(database, "other,public")
    environment = MigrationEnvironment(tmp_path / "migrations", path)
    text = environment.autogenerate(metadata=less).text
    assert "DROP VIEW noted" in text
    assert "CREATE TRIGGER t" in text
    environment.upgrade()
    assert environment.check(metadata=less) == []
