"""
Statement triggers of a partitioned table: on partitions too, whenever they come and go.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, mapped_column, relationship

from pgultra import (
    ByHash,
    ByRange,
    Function,
    PartitionedTable,
    SoftDelete,
    Trigger,
    declare,
    plan,
)

if TYPE_CHECKING:
    from tests.fixtures.alembic import MigrationEnvironment

RULES = ByRange("at", every="1 month", premake=1, then=ByHash("id", modulus=2))
BODY = """
BEGIN
    RAISE EXCEPTION 'seen % of % on %', TG_OP, TG_ARGV[0], TG_RELID::regclass;
END
"""
ON = """
SELECT tgrelid::regclass::text AS place, tgenabled::text AS mode FROM pg_trigger
WHERE tgname = :name ORDER BY 1
"""


def events(*triggers: Any, schema: str | None = None, table: str = "event") -> sa.MetaData:
    """
    A table of events divided on two levels, with these triggers.
    """
    metadata = sa.MetaData()
    event = sa.Table(
        table,
        metadata,
        sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("at", sa.DateTime(timezone=True), primary_key=True),
        schema=schema,
    )
    declare(event, RULES)
    if triggers:
        declare(metadata, Function(name="seen", schema=schema, returns="trigger", body=BODY))
    for each in triggers:
        declare(metadata, each)
    return metadata


def seen(**options: Any) -> Trigger:
    """
    A statement trigger that tells what it sees.
    """
    given: dict[str, Any] = {
        "name": "guard",
        "table": "event",
        "timing": "BEFORE",
        "events": ("DELETE",),
        "level": "STATEMENT",
        "function": "seen",
        "arguments": ("it's 100% $$",),
    }
    return Trigger(**{**given, **options})


def places(engine: sa.Engine, name: str = "guard") -> dict[str, str]:
    """
    The tables that have the trigger, and in which mode.
    """
    with engine.connect() as connection:
        return {row.place: row.mode for row in connection.execute(sa.text(ON), {"name": name})}


def migrated(environment: MigrationEnvironment, metadata: sa.MetaData) -> str:
    """
    One migration, run; nothing is left to do afterwards.
    """
    text = environment.autogenerate("step", metadata=metadata).text
    environment.upgrade()
    assert environment.check(metadata=metadata) == []
    return text


def test_partitions_have_them_from_the_start(engine: sa.Engine) -> None:
    """
    A statement that names a partition meets the trigger, with its own table as the place.
    """
    events(seen()).create_all(engine)
    found = places(engine)
    assert len(found) == 1 + 2 + 4
    for place in found:
        with engine.connect() as connection, pytest.raises(sa.exc.DBAPIError) as caught:
            connection.exec_driver_sql(f"DELETE FROM {place}")
        assert f"seen DELETE of it's 100% $$ on {place}" in str(caught.value.orig)


def test_one_that_comes_later_reaches_partitions_that_exist(
    alembic_env: MigrationEnvironment, engine: sa.Engine
) -> None:
    """
    Added, changed, disabled and taken away by migrations, and each of these taken back.
    """
    migrated(alembic_env, events())
    migrated(alembic_env, events(seen()))
    everywhere = places(engine)
    assert len(everywhere) == 7
    migrated(alembic_env, events(seen(events=("TRUNCATE",), enabled="A")))
    assert set(places(engine).items()) == {(place, "A") for place in everywhere}
    with engine.connect() as connection, pytest.raises(sa.exc.DBAPIError, match="seen TRUNCATE"):
        connection.exec_driver_sql(f"TRUNCATE {max(everywhere)}")
    migrated(alembic_env, events(seen(events=("TRUNCATE",), enabled="D")))
    assert set(places(engine).values()) == {"D"}
    migrated(alembic_env, events())
    assert places(engine) == {}
    for _ in range(3):
        alembic_env.downgrade("-1")
    assert places(engine) == everywhere
    alembic_env.downgrade("-1")
    assert places(engine) == {}


def test_a_partition_that_comes_later_has_its_mode(engine: sa.Engine) -> None:
    """
    A disabled trigger stays disabled on the partitions of next year.
    """
    metadata = events(seen(enabled="D"), seen(name="log", timing="AFTER", old_table="old"))
    metadata.create_all(engine)
    with engine.begin() as connection:
        made = connection.scalar(
            sa.text(
                "SELECT cardinality(pgultra_partitions_premake("
                "'event', event_partitions(), now() + interval '1 year'))"
            )
        )
        assert made > 10
    assert set(places(engine).values()) == {"D"}
    assert set(places(engine, "log").values()) == {"O"}
    assert set(places(engine)) == set(places(engine, "log"))


def test_names_of_every_kind(engine: sa.Engine) -> None:
    """
    Tables, schemas and triggers with quotes, percent signs and the words of the grammar.
    """
    table, schema = 'E"v ON TABLE%', "S ON 's"
    with engine.begin() as connection:
        connection.execute(sa.schema.CreateSchema(schema))
    name = 'guard ON "x" %s'
    metadata = events(
        seen(table=table, schema=schema, name=name, function_schema=schema),
        schema=schema,
        table=table,
    )
    metadata.create_all(engine)
    assert len(places(engine, name)) == 7
    bare = events(schema=schema, table=table)
    with engine.begin() as connection:
        plan.apply(plan.check(connection, bare), connection)
    assert places(engine, name) == {}
    with engine.begin() as connection:
        plan.apply(plan.check(connection, metadata), connection)
        assert not plan.check(connection, metadata)
    assert len(places(engine, name)) == 7


def blog(*, soft: bool) -> Any:
    """
    Classes of a blog whose posts are divided and go with it, soft-deletable or not.
    """
    bases: tuple[Any, ...] = (SoftDelete,) if soft else ()

    class Base(DeclarativeBase):
        pass

    class Blog(*bases, Base):
        __tablename__ = "blog"
        id = mapped_column(sa.BigInteger, primary_key=True)
        posts = relationship("Post", cascade="all")

    class Post(*bases, PartitionedTable, Base):
        __tablename__ = "post"
        __partition_by__ = ByHash("id", modulus=2)
        id = mapped_column(sa.BigInteger, primary_key=True, autoincrement=False)
        blog_id = mapped_column(sa.ForeignKey(Blog.id))
        notes = relationship("Note", cascade="all")

    class Note(*bases, Base):
        __tablename__ = "note"
        id = mapped_column(sa.BigInteger, primary_key=True)
        post_id = mapped_column(sa.ForeignKey(Post.id))

    sa.orm.configure_mappers()
    return Base.metadata


@pytest.mark.slow
def test_another_room_comes_to_a_divided_table_and_goes(
    alembic_env: MigrationEnvironment, engine: sa.Engine
) -> None:
    """
    Soft deletion is declared when partitions exist: it holds for statements that name these too.
    """
    migrated(alembic_env, blog(soft=False))
    with engine.begin() as connection:
        connection.exec_driver_sql("INSERT INTO blog VALUES (1)")
        connection.exec_driver_sql("INSERT INTO post SELECT n, 1 FROM generate_series(1, 10) n")
        connection.exec_driver_sql("INSERT INTO note SELECT n, n FROM generate_series(1, 10) n")
    migrated(alembic_env, blog(soft=True))
    with engine.connect() as connection:
        for partition in ("post_h0", "post_h1"):
            with pytest.raises(sa.exc.IntegrityError), connection.begin_nested():
                connection.exec_driver_sql(f"DELETE FROM {partition}")
            connection.exec_driver_sql(f"UPDATE {partition} SET deleted_at = now()")
            left = "SELECT count(*) FROM note JOIN post ON post.id = post_id WHERE {} IS {}"
            wrong = left.format("note.deletion_id", "DISTINCT FROM post.deletion_id")
            assert connection.scalar(sa.text(wrong)) == 0
        assert connection.scalar(sa.text(left.format("note.deletion_id", "NULL"))) == 0
        connection.rollback()
        connection.exec_driver_sql("UPDATE blog SET deleted_at = now()")
        assert connection.scalar(sa.text(left.format("note.deletion_id", "NOT NULL"))) == 10
    migrated(alembic_env, blog(soft=False))
    with engine.connect() as connection:
        kept = sa.text("SELECT count(*) FROM pg_trigger WHERE tgname LIKE '%soft_delete%'")
        assert connection.scalar(kept) == 0
    alembic_env.downgrade("-1")
    alembic_env.downgrade("-1")
    with engine.connect() as connection:
        assert not plan.check(connection, blog(soft=False))
