"""
Indexes in migrations of partitioned tables: ON ONLY where pgultra keeps the partitions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, configure_mappers, mapped_column

from pgultra import (
    ByRange,
    Index,
    PartitionedTable,
    SoftDelete,
    declare,
    partitions,
    plan,
    soft_delete,
)

if TYPE_CHECKING:
    from tests.fixtures.alembic import MigrationEnvironment

INVALID = "SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid"


def by_hand(engine: sa.Engine, schema: str) -> None:
    """
    A partitioned table whose partitions the models say nothing of, with rows.
    """
    with engine.begin() as connection:
        if schema != "public":
            connection.exec_driver_sql(f'CREATE SCHEMA "{schema}"')
        place = f'"{schema}"."Reading"'
        connection.exec_driver_sql(
            f"CREATE TABLE {place} (id int NOT NULL, word text) PARTITION BY RANGE (id)"
        )
        connection.exec_driver_sql(
            f'CREATE TABLE "{schema}"."Reading_1" PARTITION OF {place} FOR VALUES FROM (0) TO (9)'
        )
        connection.exec_driver_sql(f"INSERT INTO {place} VALUES (1, 'a'), (2, 'b')")


def readings(schema: str | None, *, ours: bool) -> sa.MetaData:
    """
    The models of it, with a unique index.
    """
    metadata = sa.MetaData()
    table = sa.Table(
        "Reading",
        metadata,
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("word", sa.Text),
        schema=schema,
        postgresql_partition_by="RANGE (id)",
    )
    index = sa.Index("reading_key", table.c.id, table.c.word, unique=True)
    if ours:
        declare(table, Index.of(index))
    return metadata


@pytest.mark.parametrize("schema", [None, "Lab"])
@pytest.mark.parametrize("ours", [False, True])
def test_partitions_that_nobody_declared_get_the_index_at_once(
    alembic_env: MigrationEnvironment, engine: sa.Engine, schema: str | None, ours: bool
) -> None:
    """
    Maintenance does not know them, so that an index ON ONLY would stay invalid for good.
    """
    by_hand(engine, schema or "public")
    metadata = readings(schema, ours=ours)

    def not_the_partition(name: str | None, kind: str, _: Any) -> bool:
        return not (kind == "table" and name == "Reading_1")

    alembic_env.configure(include_schemas=schema is not None, include_name=not_the_partition)
    assert "ON ONLY" not in alembic_env.autogenerate(metadata=metadata).text
    alembic_env.upgrade()
    assert alembic_env.check(metadata=metadata) == []
    with engine.begin() as connection:
        assert connection.exec_driver_sql(INVALID).all() == []
        place = f'"{schema or "public"}"."Reading"'
        with pytest.raises(sa.exc.IntegrityError):
            connection.exec_driver_sql(f"INSERT INTO {place} VALUES (1, 'a')")


@pytest.mark.parametrize("schema", [None, "Lab"])
def test_an_index_that_stayed_invalid_is_made_anew(
    alembic_env: MigrationEnvironment, engine: sa.Engine, schema: str | None
) -> None:
    """
    One of ours, from a migration that made it ON ONLY and left it so.
    """
    by_hand(engine, schema or "public")
    metadata = readings(schema, ours=True)
    place = f'"{schema or "public"}"'
    (declared,) = plan.collect(metadata).values()
    with engine.begin() as connection:
        connection.exec_driver_sql(
            f'CREATE UNIQUE INDEX reading_key ON ONLY {place}."Reading" (id, word)'
        )
        connection.exec_driver_sql(f"COMMENT ON INDEX {place}.reading_key IS '{declared.mark}'")

    def not_the_partition(name: str | None, kind: str, _: Any) -> bool:
        return not (kind == "table" and name == "Reading_1")

    alembic_env.configure(include_schemas=schema is not None, include_name=not_the_partition)
    assert alembic_env.check(metadata=metadata) != []
    alembic_env.autogenerate(metadata=metadata)
    alembic_env.upgrade()
    assert alembic_env.check(metadata=metadata) == []
    with engine.begin() as connection:
        assert connection.exec_driver_sql(INVALID).all() == []
        with pytest.raises(sa.exc.IntegrityError):
            connection.exec_driver_sql(f"INSERT INTO {place}.\"Reading\" VALUES (1, 'a')")


def events(kind: str) -> sa.MetaData:
    """
    A table in monthly partitions: as it is, soft-deletable, with an index of ours, or a plain one.
    """

    class Base(DeclarativeBase):
        pass

    class Columns:
        id: Mapped[int] = mapped_column(primary_key=True)
        at: Mapped[Any] = mapped_column(sa.DateTime(timezone=True), primary_key=True)
        name: Mapped[str] = mapped_column(sa.Text)

    arguments = (soft_delete.unique_live("name", "at"),) if kind == "soft" else ()
    bases = (SoftDelete, PartitionedTable, Columns, Base) if kind == "soft" else None
    event = type(
        "Event",
        bases or (PartitionedTable, Columns, Base),
        {
            "__tablename__": "Event",
            "__partition_by__": ByRange("at", every="1 month"),
            "__table_args__": arguments,
        },
    )
    table: Any = event.__table__  # type: ignore[attr-defined]
    if kind in ("ours", "plain"):
        index = sa.Index("event_name", table.c.name)
        if kind == "ours":
            declare(table, Index.of(index))
    configure_mappers()
    return Base.metadata


@pytest.mark.parametrize("kind", ["soft", "ours", "plain"])
def test_an_index_is_made_once(
    alembic_env: MigrationEnvironment, engine: sa.Engine, kind: str
) -> None:
    """
    Whoever declares it, it stands once in the migration, ON ONLY; maintenance builds the rest.
    """
    alembic_env.autogenerate("first", metadata=events("as it is"))
    alembic_env.upgrade()
    with engine.begin() as connection:
        connection.exec_driver_sql("""INSERT INTO "Event" VALUES (1, now(), 'x')""")
    metadata = events(kind)
    text = alembic_env.autogenerate("then", metadata=metadata).text
    upgrade = text.partition("def downgrade")[0]
    created = [line for line in upgrade.splitlines() if "INDEX" in line and "CREATE" in line]
    assert created
    assert len(set(created)) == len(created)
    assert all("ON ONLY" in line for line in created)
    alembic_env.upgrade()
    assert alembic_env.check(metadata=metadata) == []
    with engine.connect() as connection:
        assert len(connection.exec_driver_sql(INVALID).all()) == len(created)
    with engine.connect() as connection:
        partitions.maintain(connection, metadata)
    with engine.connect() as connection:
        assert connection.exec_driver_sql(INVALID).all() == []
    assert alembic_env.check(metadata=metadata) == []
    alembic_env.downgrade("-1")
    with engine.connect() as connection:
        assert not plan.check(connection, events("as it is"))
        assert connection.exec_driver_sql('SELECT name FROM "Event"').scalars().all() == ["x"]
