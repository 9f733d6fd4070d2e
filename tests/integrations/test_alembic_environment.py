"""
What a host says in env.py is honoured, and what else its environment does goes on.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from pgultra import (
    Check,
    ConflictingObjects,
    DeclarationError,
    Function,
    Index,
    PgultraWarning,
    Schema,
    Trigger,
    UnsupportedServer,
    View,
    declare,
    plan,
)
from tests.fixtures.alembic import MigrationEnvironment

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.fixtures.database import Database


def library(*, schema: str | None = None, application: str = "default") -> sa.MetaData:
    """
    Two tables, each with everything that sits on a table, and a view over both.
    """
    metadata = sa.MetaData(info={"pgultra.app": application})
    for name in ("book", "reader"):
        table = sa.Table(
            name,
            metadata,
            sa.Column("id", sa.Integer, primary_key=True, info={"of": "the host"}),
            sa.Column("name", sa.Text),
            schema=schema,
            info={"of": "the host"},
        )
        on = {"table": name, "schema": schema}
        index = sa.Index(f"ix_{name}", table.c.name, postgresql_where=table.c.id > 3)
        declare(
            table,
            Function(name="touch", schema=schema, body="begin return new; end"),
            Trigger(name="t", timing="BEFORE", events=("UPDATE",), function="touch", **on),
            Check(name="c", condition="id > 0", **on),
            Index.of(index),
        )
    book, reader = metadata.tables.values()
    query = sa.select(book.c.name, reader.c.id).join_from(book, reader, book.c.id == reader.c.id)
    declare(metadata, View(name="lent", schema=schema, query=query))
    return metadata


def test_include_object_hides_a_table_with_what_sits_on_it(
    alembic_env: MigrationEnvironment, engine: sa.Engine
) -> None:
    """
    The hook sees tables, and our objects by their kinds; it may read ``info`` of any of them.
    """
    seen: set[tuple[str, str, bool]] = set()

    def include_object(
        item: Any, name: str, kind: str, reflected: bool, compare_to: object
    ) -> bool:
        if kind == "index":
            assert item.table.name in ("book", "reader")
        seen.add((kind, name, reflected))
        return not item.info.get("hidden") and name not in ("reader", "lent")

    alembic_env.configure(include_object=include_object)
    text = alembic_env.autogenerate(metadata=library()).text
    assert "reader" not in text
    assert "lent" not in text
    for kind in ("trigger", "check", "index", "function"):
        assert f"# create {kind}" in text
        assert any(each[0] == kind and not each[2] for each in seen)
    alembic_env.upgrade()
    assert alembic_env.check(metadata=library()) == []
    alembic_env.configure(include_object=None)
    alembic_env.autogenerate("rest", metadata=library())
    alembic_env.upgrade()
    assert alembic_env.check(metadata=library()) == []
    alembic_env.configure(include_object=include_object)
    assert "reader" not in alembic_env.autogenerate("gone", metadata=sa.MetaData()).text
    assert ("trigger", "t", True) in seen
    assert ("view", "lent", True) in seen
    assert ("index", "ix_book", True) in seen


def test_include_name_hides_schemas_and_names(
    alembic_env: MigrationEnvironment, engine: sa.Engine
) -> None:
    """
    What is not named is not dropped: by schema, by table, by the name of an object.
    """
    for schema in ("one", "two"):
        with engine.begin() as connection:
            connection.exec_driver_sql(f"CREATE SCHEMA {schema}")
        library(schema=schema).create_all(engine)
    asked: set[tuple[str, str | None]] = set()

    def include_name(name: str | None, kind: str, parents: dict[str, Any]) -> bool:
        asked.add((kind, name))
        if kind == "schema":
            return name == "one"
        return name not in ("reader", "lent")

    alembic_env.configure(include_schemas=True, include_name=include_name)
    text = alembic_env.autogenerate(metadata=sa.MetaData()).text
    upgrade = text.partition("def downgrade")[0]
    assert "two" not in upgrade
    assert "reader" not in upgrade
    assert "lent" not in upgrade
    assert "DROP TRIGGER t ON one.book" in upgrade
    assert {("trigger", "t"), ("view", "lent"), ("schema", "one")} <= asked


def test_without_include_schemas_other_schemas_are_not_judged(
    alembic_env: MigrationEnvironment, engine: sa.Engine
) -> None:
    """
    Marked objects in a schema that Alembic does not look at are not offered for dropping.
    """
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE SCHEMA one")
    library(schema="one").create_all(engine)
    assert alembic_env.check(metadata=sa.MetaData()) == []
    alembic_env.configure(include_schemas=True)
    assert alembic_env.check(metadata=sa.MetaData()) != []


@pytest.mark.slow
def test_a_hidden_object_is_no_conflict(
    alembic_env: MigrationEnvironment, engine: sa.Engine
) -> None:
    """
    A stranger's object that bears a declared name stops autogenerate, unless it is hidden.
    """
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE VIEW lent AS SELECT 1 AS one")
    with pytest.raises(ConflictingObjects, match="view lent: it bears no mark"):
        alembic_env.autogenerate(metadata=library())
    alembic_env.configure(include_object=lambda item, name, *_: name != "lent")
    assert not alembic_env.autogenerate(metadata=library()).empty
    alembic_env.upgrade()
    with engine.connect() as connection:
        assert connection.scalar(sa.text("SELECT one FROM lent")) == 1


def test_multiple_heads_and_version_table_schema(
    alembic_env: MigrationEnvironment, engine: sa.Engine
) -> None:
    """
    Branches grow beside each other, and Alembic keeps its table where it was told to.
    """
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE SCHEMA versions")
    alembic_env.configure(version_table_schema="versions", version_table="history")
    metadata = library()
    root = alembic_env.revision("root")
    alembic_env.upgrade()
    alembic_env.autogenerate("left", metadata=metadata, head=root.identifier)
    alembic_env.revision("right", head=root.identifier, splice=True)
    alembic_env.upgrade("heads")
    assert alembic_env.check(metadata=metadata) == []
    alembic_env.downgrade("base")
    inspector = sa.inspect(engine)
    assert inspector.get_table_names() == []
    assert inspector.get_table_names(schema="versions") == ["history"]
    assert inspector.get_view_names() == []


def test_two_metadata_are_judged_together(
    alembic_env: MigrationEnvironment, database: Database
) -> None:
    """
    A list of MetaData, of one application or of two: nothing of one is taken for the other's.
    """
    one, two = sa.MetaData(), sa.MetaData()
    a = sa.Table("a", one, sa.Column("id", sa.Integer, primary_key=True))
    b = sa.Table("b", two, sa.Column("id", sa.Integer, primary_key=True))
    touch = Function(name="touch", body="begin return new; end")
    for table in (a, b):
        on = {"timing": "BEFORE", "events": ("UPDATE",), "function": "touch"}
        declare(table, touch, Trigger(name="t", table=table.name, **on))
    declare(one, View(name="v", query="SELECT b.id FROM a, b"))
    third = sa.MetaData(info={"pgultra.app": "third"})
    declare(third, View(name="w", query="SELECT * FROM v"))
    together = [one, two, third]
    alembic_env.autogenerate(metadata=together)
    alembic_env.upgrade()
    assert alembic_env.check(metadata=together) == []
    with database.engine().connect() as connection:
        assert not plan.check(connection, [one, two])
        assert not plan.check(connection, third)
        with pytest.raises(DeclarationError, match="different applications"):
            plan.check(connection, together)
        only_one = plan.check(connection, one)
        assert list(map(str, only_one)) == []
    alembic_env.downgrade()
    assert sa.inspect(database.engine()).get_view_names() == []


def test_two_metadata_that_contradict_each_other(alembic_env: MigrationEnvironment) -> None:
    """
    Two objects with one identity are refused with a sentence that tells them apart.
    """
    one, two = sa.MetaData(), sa.MetaData()
    declare(one, View(name="v", query="SELECT 1 AS one"))
    declare(two, View(name="v", query="SELECT 2 AS two"))
    with pytest.raises(DeclarationError, match="of view v: query is 'SELECT 1 AS one' in"):
        alembic_env.autogenerate(metadata=[one, two])


def test_alembics_own_check_constraints_do_not_fight_ours(
    alembic_env: MigrationEnvironment, engine: sa.Engine
) -> None:
    """
    With the opt-in comparison of checks, the host's are Alembic's and ours stay ours.
    """
    plugins = pytest.importorskip("alembic.runtime.plugins")
    wanted = "alembic.ext.checkconstraint_byname"
    if wanted not in plugins._all_plugins:
        pytest.skip("this Alembic does not compare checks")
    alembic_env.configure(autogenerate_plugins=["alembic.autogenerate.*", wanted])
    alembic_env.autogenerate(metadata=library())
    alembic_env.upgrade()
    assert alembic_env.check(metadata=library()) == []
    changed = library()
    changed.tables["book"].append_constraint(sa.CheckConstraint("id < 100", name="theirs"))
    text = alembic_env.autogenerate("more", metadata=changed).text
    assert "op.create_check_constraint" in text
    assert "'c'" not in text
    alembic_env.upgrade()
    assert alembic_env.check(metadata=changed) == []
    assert "'c'" not in alembic_env.autogenerate("less", metadata=library()).text


def test_a_host_view_of_sqlalchemy_2_1(
    alembic_env: MigrationEnvironment, engine: sa.Engine
) -> None:
    """
    Alembic takes CreateView's table for a table; it is neither created as one nor judged by us.
    """
    ddl = pytest.importorskip("sqlalchemy.sql.ddl")
    if not hasattr(ddl, "CreateView"):
        pytest.skip("CreateView is new in SQLAlchemy 2.1")
    metadata = library()
    book = metadata.tables["book"]
    ddl.CreateView(sa.select(book.c.id), "host_view", metadata=metadata)
    host = metadata.tables["host_view"]
    declare(metadata, View(name="above", query=sa.select(host)))
    with pytest.warns(PgultraWarning, match="takes the view host_view"):
        revision = alembic_env.autogenerate(metadata=metadata)
    assert "create_table('host_view'" not in revision.text
    revision.path.unlink()
    metadata.create_all(engine)
    with pytest.warns(PgultraWarning, match="host_view"):
        assert alembic_env.check(metadata=metadata) == []
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP VIEW above, lent")
    with engine.connect() as connection:
        assert {step.verb for step in plan.check(connection, metadata)} == {"create"}
    metadata.create_all(engine)
    metadata.drop_all(engine)
    assert sa.inspect(engine).get_view_names() == []


def test_the_door_stays_shut_for_others(
    alembic_env: MigrationEnvironment, engine: sa.Engine
) -> None:
    """
    A host that declares nothing gets what Alembic gives.
    """
    metadata = sa.MetaData()
    sa.Table("plain", metadata, sa.Column("id", sa.Integer, primary_key=True))
    text = alembic_env.autogenerate(metadata=metadata).text
    assert "op.create_table('plain'" in text
    assert "execute" not in text
    alembic_env.upgrade()
    assert alembic_env.check(metadata=metadata) == []


def test_a_server_too_old_is_refused(
    alembic_env: MigrationEnvironment, engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    The error names both versions, from autogenerate, check and create_all alike.
    """
    monkeypatch.setattr(sys.modules["pgultra.plan.read"], "OLDEST_SERVER", 990000)
    for attempt in (
        lambda: alembic_env.autogenerate(metadata=library()),
        lambda: library().create_all(engine),
    ):
        with pytest.raises(UnsupportedServer, match=r"needs PostgreSQL 15 .* this server is \d\d"):
            attempt()
    assert sa.inspect(engine).get_table_names() in ([], ["alembic_version"])


def test_a_schema_that_the_host_made_is_marked_only(
    alembic_env: MigrationEnvironment,
    engine: sa.Engine,
    database: Database,
    dump: Callable[[Database], str],
) -> None:
    """
    What is there and equal becomes ours by a comment; taking that back leaves it as it was.
    """
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE SCHEMA shop; COMMENT ON SCHEMA shop IS 'Goods.'")
        connection.exec_driver_sql("CREATE VIEW shop.v AS SELECT 1 AS one")
    before = dump(database)
    metadata = sa.MetaData()
    declare(metadata, Schema(name="shop"), View(name="v", schema="shop", query="SELECT 1 AS one"))
    alembic_env.configure(include_schemas=True)
    text = alembic_env.autogenerate(metadata=metadata).text
    assert "CREATE SCHEMA" not in text
    assert "CREATE VIEW" not in text
    alembic_env.upgrade()
    assert alembic_env.check(metadata=metadata) == []
    alembic_env.downgrade()
    assert dump(database) == before


def test_a_map_of_schemas_stays_out_of_migrations(tmp_path: Path, engine: sa.Engine) -> None:
    """
    Alembic compares the models' own schemas, whatever ``schema_translate_map`` the engine has.
    """
    with engine.begin() as connection:
        connection.execute(sa.schema.CreateSchema("tenant"))
    there = engine.execution_options(schema_translate_map={None: "tenant"})
    env = MigrationEnvironment(tmp_path / "m", there)
    metadata = library()
    first = env.autogenerate(metadata=metadata)
    assert "CREATE TRIGGER" in first.text
    assert "tenant" not in first.text
