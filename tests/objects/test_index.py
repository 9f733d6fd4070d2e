from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from pgultra import DeclarationError, Index, declare, plan
from pgultra.objects import Mark
from pgultra.sql import statement

if TYPE_CHECKING:
    from collections.abc import Callable

OURS = Mark("default", "declared", "abc")


def item(schema: str | None = None, name: str = "item") -> sa.Table:
    return sa.Table(
        name,
        sa.MetaData(),
        sa.Column("id", sa.Integer),
        sa.Column("Name", sa.Text),
        schema=schema,
    )


def test_a_sqlalchemy_index_is_wrapped() -> None:
    """
    It stays in its table; everything that SQLAlchemy says of it is kept.
    """
    table = item("s")
    index = sa.Index(
        "ix",
        table.c.Name.desc(),
        sa.func.lower(table.c.Name),
        unique=True,
        postgresql_where=table.c.id.in_([1, 2]),
        postgresql_include=["id"],
    )
    wrapped = Index.of(index)
    assert index in table.indexes
    assert wrapped.definition == '("Name" DESC, lower("Name")) INCLUDE (id) WHERE id IN (1, 2)'
    assert (wrapped.name, wrapped.table, wrapped.schema, wrapped.unique) == (
        "ix",
        "item",
        "s",
        True,
    )
    assert wrapped.create() == (
        (
            'CREATE UNIQUE INDEX ix ON s.item ("Name" DESC, lower("Name")) INCLUDE (id) '
            "WHERE id IN (1, 2)"
        ),
    )
    assert wrapped.drop() == ("DROP INDEX s.ix",)


@pytest.mark.parametrize("name", ["lateral", "values", 'The "x"', "%", "select", "Übung"])
def test_names_that_need_quotes(name: str) -> None:
    """
    Also where SQLAlchemy quotes less than we do.
    """
    table = item(name=name)
    wrapped = Index.of(sa.Index(name, table.c.id))
    assert (wrapped.name, wrapped.table, wrapped.definition) == (name, name, "(id)")


def test_naming_conventions_and_long_names() -> None:
    """
    The name is the one that SQLAlchemy gives it.
    """
    convention = {"ix": "made_%(table_name)s_%(column_0_name)s"}
    table = sa.Table(
        "t" * 60, sa.MetaData(naming_convention=convention), sa.Column("id", sa.Integer, index=True)
    )
    (index,) = table.indexes
    wrapped = Index.of(index)
    assert wrapped.name.startswith("made_ttt")
    assert len(wrapped.name) <= 63


def test_concurrently_can_be_asked_for_in_either_way() -> None:
    """
    By us or by SQLAlchemy; the build drops what an earlier one left, and keeps what it finished.
    """
    table = item()
    ours = Index.of(sa.Index("a", table.c.id), concurrently=True)
    theirs = Index.of(sa.Index("b", table.c.id, postgresql_concurrently=True))
    assert ours.concurrently
    assert theirs.concurrently
    rename, leftover, build = ours.create()
    assert "NOT indisvalid" in rename
    assert leftover == "DROP INDEX CONCURRENTLY IF EXISTS a_pgultra_leftover"
    assert build == "CREATE INDEX CONCURRENTLY IF NOT EXISTS a ON item (id)"
    assert ours.drop() == ("DROP INDEX CONCURRENTLY a",)
    plain = dataclasses.replace(ours, concurrently=False)
    assert plain.replace(ours)[0] == "DROP INDEX a"
    assert ours == plain
    assert ours.printed is False


def test_an_index_needs_a_table() -> None:
    """
    One that waits for its columns cannot be wrapped yet.
    """
    index = sa.Index("a", "id")
    with pytest.raises(DeclarationError, match="needs a name and a table"):
        Index.of(index)


def test_fingerprints_answer_for_the_server() -> None:
    """
    An index cannot be altered in place: what was built from this text is this index.
    """
    one = Index(name="i", table="t", definition="(a)", mark=OURS)
    printed = dataclasses.replace(one, definition="USING btree (a)")
    assert one.same_as(printed)
    assert not one.same_as(dataclasses.replace(printed, valid=False))
    assert not one.same_as(dataclasses.replace(printed, mark=Mark("default", "declared", "def")))
    assert not one.same_as(dataclasses.replace(printed, mark=None))


@pytest.mark.parametrize("table", ["t", 'a "USING" b', "t USING x", "T", "select", "x ON t"])
@pytest.mark.parametrize("name", ["i", "tt USING x", 'i" ON t USING btree (x)', "ON ONLY t"])
def test_the_definition_is_cut_off_its_names(
    connection: sa.Connection, table: str, name: str
) -> None:
    """
    Whatever the names look like.
    """
    made = item("Sch ema", table)
    index = Index.of(sa.Index(name, made.c.id, postgresql_where=made.c.id > 3))
    connection.execute(sa.schema.CreateSchema("Sch ema"))
    connection.execute(sa.schema.CreateTable(made))
    for text in index.create():
        connection.execute(statement(text))
    scope = plan.scope_of(connection, [made.metadata], plan.State([index]), application="default")
    (found,) = plan.read(connection, scope).values()
    assert found.definition == "USING btree (id) WHERE (id > 3)"
    assert (found.name, found.table) == (name, table)


@pytest.mark.parametrize(
    ("options", "change"),
    [
        ({}, "CREATE INDEX ix ON item (n, id)"),
        ({}, "CREATE UNIQUE INDEX ix ON item (n)"),
        ({"postgresql_where": "n > 3"}, "CREATE INDEX ix ON item (n) WHERE n > 4"),
        ({"postgresql_using": "hash"}, "CREATE INDEX ix ON item (n)"),
        ({"postgresql_with": {"fillfactor": 70}}, "CREATE INDEX ix ON item (n)"),
        (
            {"unique": True, "postgresql_nulls_not_distinct": True},
            "CREATE UNIQUE INDEX ix ON item (n)",
        ),
        ({}, None),
    ],
)
def test_every_change_is_seen_and_repaired(
    engine: sa.Engine, options: dict[str, Any], change: str | None
) -> None:
    """
    An index made by hand under our name and mark; one that went INVALID.
    """
    metadata = sa.MetaData()
    table = sa.Table("item", metadata, sa.Column("id", sa.Integer), sa.Column("n", sa.Integer))
    if "postgresql_where" in options:
        options = {**options, "postgresql_where": sa.text(options["postgresql_where"])}
    declare(table, Index.of(sa.Index("ix", table.c.n, **options)))
    metadata.create_all(engine)
    with engine.begin() as connection:
        assert not plan.check(connection, metadata)
        if change is None:
            connection.exec_driver_sql(
                "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'ix'::regclass"
            )
        else:
            connection.exec_driver_sql(f"DROP INDEX ix; {change}")
            connection.exec_driver_sql("COMMENT ON INDEX ix IS 'pgultra:default:declared'")
        found = plan.check(connection, metadata)
        assert {step.identity.name for step in found} == {"ix"}
        plan.apply(found, connection)
        assert not plan.check(connection, metadata)


def test_partitioned_tables(engine: sa.Engine) -> None:
    """
    The parent's index is ours; those of the partitions are PostgreSQL's.
    """
    metadata = sa.MetaData()
    table = sa.Table(
        "item", metadata, sa.Column("id", sa.Integer), postgresql_partition_by="RANGE (id)"
    )
    declare(table, Index.of(sa.Index("ix", table.c.id)))
    metadata.create_all(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE part PARTITION OF item FOR VALUES FROM (0) TO (9)")
        assert not plan.check(connection, metadata)
        connection.exec_driver_sql("COMMENT ON INDEX ix IS NULL")
        assert [step.verb for step in plan.check(connection, metadata)] == ["mark"]


def test_an_index_of_another_table_is_not_ours(
    engine: sa.Engine, new_database: Callable[..., Any]
) -> None:
    """
    Names of indexes are unique in a schema; PostgreSQL refuses the second, and so nothing is made.
    """
    metadata = sa.MetaData()
    table = sa.Table("item", metadata, sa.Column("id", sa.Integer))
    declare(table, Index.of(sa.Index("ix", table.c.id)))
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE other (id int); CREATE INDEX ix ON other (id)")
    with pytest.raises(sa.exc.ProgrammingError, match="already exists"):
        metadata.create_all(engine)
    assert not sa.inspect(engine).has_table("item")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("WITH (m = 16) WHERE (id > 3)", "WHERE (id > 3)", True),
        ("WITH (m = 16, ef = 64)", "WITH (ef='64', m='16')", True),
        ("WITH (m = 24)", "WITH (m='24', ef='64')", True),
        ("WITH (m = 24)", "", False),
        ("WITH (m = 16) WHERE (id > 3)", "WHERE (id > 4)", False),
        ("WHERE (x = ' WITH (m=16)'::text)", "WHERE (x = ''::text)", False),
    ],
)
def test_what_is_not_said_is_the_default(one: str, other: str, same: bool) -> None:
    """
    Storage parameters count with the defaults of the access method, in any order.
    """
    first, second = (
        Index(name="i", table="t", definition=f"USING hnsw (v) {text}".rstrip(), **options)
        for text, options in ((one, {"defaults": (("m", "16"), ("ef", "64"))}), (other, {}))
    )
    assert first.same_as(second) is same
