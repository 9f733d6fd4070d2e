"""
Whole stories: two years of upkeep, and strangers' tables that see all of it.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from pgultra import ByHash, ByList, ByRange, declare, plan
from pgultra.features import partitions
from pgultra.integrations.cli.app import app
from tests.features.partitions.upkeep_stage import children, tables

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fixtures.alembic import MigrationEnvironment
    from tests.fixtures.database import Database

MOMENT = sa.DateTime(timezone=True)
STRANGERS = """
CREATE TABLE event_2024_01 (id bigint, at timestamptz, note text);
CREATE TABLE orders_2024_01 (id bigint PRIMARY KEY);
INSERT INTO event_2024_01 VALUES (1, '2024-01-05', 'mine');
INSERT INTO orders_2024_01 VALUES (1);
COMMENT ON TABLE orders_2024_01 IS 'partition of event for 2024-01 (by pgultra)';
CREATE SCHEMA "Elsewhere";
CREATE TABLE "Elsewhere".event_2024_01 (id bigint, at timestamptz, note text)
"""
MODELS = """
import sqlalchemy as sa
from pgultra import ByRange, declare

metadata = sa.MetaData()
event = sa.Table(
    "event", metadata,
    sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("at", sa.DateTime(timezone=True), primary_key=True),
    sa.Column("note", sa.Text),
)
declare(event, ByRange("at", every="1 month", premake=1, retain="2 months", on_expire="drop",
                       default=True))
"""


def six_tables() -> sa.MetaData:
    """
    By range with each way to expire, on two levels, by list and by hash.
    """
    metadata = sa.MetaData()
    retain = {"every": "1 month", "retain": "6 months"}
    for name, rules in (
        ("kept", ByRange("at", every="1 month", premake=2)),
        ("detached", ByRange("at", **retain)),  # type: ignore[arg-type]
        ("dropped", ByRange("at", on_expire="drop", then=ByHash("id", modulus=2), **retain)),  # type: ignore[arg-type]
        ("moved", ByRange("at", on_expire="archive", archive="Attic", **retain)),  # type: ignore[arg-type]
        ("listed", ByList("kind", {"a": ("a", "b"), "c": ("c",)}, default=True)),
        ("hashed", ByHash("id", modulus=3)),
    ):
        table = sa.Table(
            name,
            metadata,
            sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
            sa.Column("at", MOMENT, primary_key=True),
            sa.Column("kind", sa.Text, primary_key=True),
            sa.Column("note", sa.Text, index=True),
        )
        declare(table, rules)
    return metadata


@pytest.mark.once
@pytest.mark.slow
def test_after_24_months_autogenerate_is_empty(
    alembic_env: MigrationEnvironment, engine: sa.Engine
) -> None:
    """
    Migrated once, kept up for two years by a clock: every row is home, and Alembic sees nothing.
    """
    metadata = six_tables()
    alembic_env.autogenerate("six", metadata=metadata)
    alembic_env.upgrade()
    now = datetime.now(UTC)
    done: dict[str, int] = {}
    for month in range(24):
        with engine.begin() as connection:
            for table in metadata.sorted_tables:
                connection.execute(
                    table.insert(),
                    [{"at": now + timedelta(days=n), "kind": "abcd"[n % 4]} for n in range(28)],
                )
        now += timedelta(days=31 if month % 2 else 30)
        with engine.connect() as connection:
            night = partitions.maintain(connection, metadata, now=now)
        assert night.complete, str(night)
        for action in night.done:
            done[action.verb] = done.get(action.verb, 0) + 1
        if month % 8 == 7:
            assert alembic_env.check(metadata=metadata) == []
    # some 17 of 24 months went, from each of three tables
    assert 16 <= done["drop"] == done["detach"] == done["archive"] <= 19
    assert alembic_env.autogenerate("nothing", metadata=metadata).empty
    with engine.connect() as connection:
        assert plan.check(connection, metadata).steps == ()
        standing = partitions.status(connection, metadata, now=now)
        assert {each.table: (each.gaps, each.pending) for each in standing} == {
            f"public.{name}": ((), 0) for name in metadata.tables
        }
        for name, number in (("kept", 24 * 28), ("listed", 24 * 28), ("hashed", 24 * 28)):
            assert connection.scalar(sa.text(f"SELECT count(*) FROM {name}")) == number
        moved = "SELECT count(*) FROM pg_tables WHERE schemaname = 'Attic'"
        assert connection.scalar(sa.text(moved)) == done["archive"]


@pytest.fixture
def strangers(engine: sa.Engine) -> set[str]:
    """
    Tables of somebody else, with names like those that our partitions get.
    """
    with engine.begin() as connection:
        before = tables(connection)
        for statement in STRANGERS.split(";"):
            connection.exec_driver_sql(statement)
        return tables(connection) - before


@pytest.mark.slow
def test_look_alikes_survive_every_command(
    engine: sa.Engine, database: Database, strangers: set[str], tmp_path: Path
) -> None:
    """
    event_2024_01 and orders_2024_01 stay with their rows, whatever is run beside them.
    """
    path = tmp_path / "models.py"
    path.write_text(MODELS)
    names: dict[str, Any] = {}
    exec(MODELS, names)
    metadata, event = names["metadata"], names["event"]

    def run(*words: str) -> str:
        done = CliRunner().invoke(
            app, [*words[:2], f"{path}:metadata", *words[2:], "--url", database.dsn]
        )
        assert done.exit_code in (0, 1), done.output
        return done.output

    def look() -> None:
        with engine.connect() as connection:
            assert tables(connection) >= strangers
            for name in ("event_2024_01", "orders_2024_01"):
                assert connection.scalar(sa.text(f"SELECT count(*) FROM {name}")) == 1

    with engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TABLE event (id bigint PRIMARY KEY, at timestamptz NOT NULL, note text)"
        )
        connection.exec_driver_sql(
            "INSERT INTO event SELECT g, timestamptz '2023-12-20' + g * interval '1 day', 'n'"
            " FROM generate_series(1, 90) AS g"
        )
    assert "ACCESS EXCLUSIVE" in run("partitions", "convert", "event", "--plan")
    for words in (
        ("convert", "event"),
        ("convert", "event", "--rollback"),
        ("convert", "event"),
        ("convert", "event", "--finish"),
    ):
        run("partitions", *words)
        look()
    with engine.connect() as connection:  # the name was taken: January got another one
        assert "event_2024_01_2" in children(connection, "event")
    run("partitions", "plan")
    run("partitions", "status")
    run("partitions", "adopt")
    run("partitions", "drain")
    assert "detach and drop" in run("partitions", "plan")
    assert "done" in run("partitions", "maintain")
    look()
    with engine.connect() as connection:
        left = [name for name in children(connection, "event") if name < "event_2026"]
        assert left == []
        connection.rollback()
        late = datetime.now(UTC) + timedelta(days=400)
        partitions.maintain(connection, metadata, now=late)
        partitions.drain_default(connection, event, now=late)
    look()
    metadata.drop_all(engine)
    look()
    with engine.begin() as connection:
        metadata.create_all(connection)
    look()
