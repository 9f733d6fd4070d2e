from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from pgultra import DeclarationError, Function, PgultraWarning, Trigger, declare, plan
from pgultra.features import search
from pgultra.features.search import Part, Related, TSVectorType
from pgultra.objects import Generation
from tests.features.search import sample
from tests.features.search.tables import note_table as table

if TYPE_CHECKING:
    from tests.fixtures.alembic import MigrationEnvironment


def kinds(metadata: sa.MetaData) -> list[str]:
    """
    The kinds of what is declared.
    """
    return [each.kind for each in plan.collect(metadata).values()]


def weird(word: str) -> str:
    """
    A name with everything that needs quotes.
    """
    return f'The "{word}" \'s 100% $1 :a \\n'


def long(word: str) -> str:
    """
    A name of 63 bytes.
    """
    return word + "_" * (63 - len(word))


def test_parts_of_this_row_make_a_generated_column() -> None:
    """
    Text columns of the same row are immutable: PostgreSQL keeps the vector.
    """
    metadata = sa.MetaData()
    note = table(metadata, {"title": "A", "body": "B"}, config="english")
    assert kinds(metadata) == ["index", "generation"]
    assert note.c.search.computed is not None
    assert "'english'::regconfig" in str(note.c.search.computed.sqltext)


@pytest.mark.parametrize("mode", ["generated", "trigger"])
def test_names_of_control_characters(engine: sa.Engine, mode: str) -> None:
    """
    PostgreSQL takes any but NUL.
    """
    metadata = sa.MetaData()
    names = [chr(n) for n in range(1, 32)]
    sa.Table(
        "note",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        *(sa.Column(name, sa.Text) for name in names),
        sa.Column("search", TSVectorType(dict.fromkeys(names, "A"), config="simple", mode=mode)),
    )
    metadata.create_all(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql("INSERT INTO note (id, \"\x01\") VALUES (1, 'one')")
        assert connection.exec_driver_sql("SELECT search::text FROM note").scalar() == "'one':1A"


@pytest.mark.parametrize("on", ["table", "metadata"])
def test_a_before_update_trigger_makes_triggers_of_all_vectors(on: str) -> None:
    """
    With any BEFORE UPDATE row trigger PostgreSQL would compute generated columns each time.
    """
    metadata = sa.MetaData()
    note = table(metadata, {"title": "A"})
    declare(note, Function(name="touch", body="begin return new; end"))
    declare(
        note if on == "table" else metadata,
        Trigger(name="touch", table="note", timing="BEFORE", events=("UPDATE",), function="touch"),
    )
    assert note.c.search.computed is None
    assert kinds(metadata).count("trigger") == 4
    assert plan.facts_of(note).before_update_triggers == (
        "note_search_search_update",
        "note_search_search_write",
    )


@pytest.mark.parametrize(
    "parts",
    [
        {"missing": "A"},
        {"title": "E"},
        {},
        {sa.text("title"): "A"},
        {"search": "A"},
        {sa.func.now(): "A"},
    ],
)
def test_a_part_that_cannot_be_is_refused(parts: dict[object, str]) -> None:
    """
    A missing column, a wrong letter, no part at all, or text that nobody can follow.
    """
    metadata = sa.MetaData()

    def declared() -> None:
        table(metadata, parts)
        plan.collect(metadata)

    with pytest.raises(DeclarationError):
        declared()


def test_modes_that_contradict_each_other_are_refused() -> None:
    """
    A generated vector beside one kept by triggers would cost on every update.
    """
    metadata = sa.MetaData()
    more = sa.Column("other", TSVectorType({"body": "A"}, mode="trigger"))
    table(metadata, {"title": "A"}, more, mode="generated")
    with pytest.raises(DeclarationError, match="same mode"):
        plan.collect(metadata)


def test_a_configuration_of_the_host_needs_its_schema() -> None:
    """
    Triggers run without the host's search_path.
    """
    with pytest.raises(DeclarationError, match="with its schema"):
        TSVectorType({"title": "A"}, config="mine")
    assert TSVectorType(config="blog.mine").configuration.literal() == "'blog.mine'::regconfig"


@pytest.mark.parametrize("schema", [None, "Search 'n' \"Schema"])
@pytest.mark.parametrize("name", [str, weird, long])
def test_create_all_leaves_nothing_to_do(
    engine: sa.Engine, schema: str | None, name: object
) -> None:
    """
    What create_all makes is what is declared, with any names; drop_all leaves nothing.
    """
    metadata = sample.build(schema, name)
    with engine.begin() as connection:
        if schema:
            connection.execute(sa.schema.CreateSchema(schema))
        metadata.create_all(connection)
        assert list(plan.check(connection, metadata)) == []
        metadata.drop_all(connection)
        left = sa.text(
            "SELECT proname FROM pg_proc WHERE proname LIKE '%search%' "
            "AND pronamespace <> 'pg_catalog'::regnamespace"
        )
        assert connection.scalars(left).all() == []


@pytest.mark.parametrize("name", [str, weird, long])
def test_migrations_make_the_same(alembic_env: MigrationEnvironment, name: object) -> None:
    """
    Autogenerate, upgrade, autogenerate again: nothing; downgrade runs.
    """
    if name is weird and sa.__version__ < "2.1":
        pytest.skip("SQLAlchemy 2.0 cannot reflect foreign keys of such names")
    metadata = sample.build(None, name)
    revision = alembic_env.autogenerate("first", metadata=metadata)
    assert "import pgultra" not in revision.text
    assert "TSVECTOR()" in revision.text
    alembic_env.upgrade()
    assert alembic_env.check(metadata=metadata) == []
    alembic_env.downgrade()


def test_a_changed_part_is_a_migration(
    engine: sa.Engine, alembic_env: MigrationEnvironment
) -> None:
    """
    Other weights make a generated column anew, index included; and the way back runs.
    """
    before, after = sa.MetaData(), sa.MetaData()
    table(before, {"title": "A", "body": "B"}, config="english")
    table(after, {"title": "B", "body": "A"}, config="english")
    before.create_all(engine)
    with engine.begin() as connection:
        connection.execute(sa.text("INSERT INTO note (id, title, body) VALUES (1, 'fox', 'dog')"))
    alembic_env.autogenerate("weights", metadata=after)
    alembic_env.upgrade()
    assert alembic_env.check(metadata=after) == []
    with engine.connect() as connection:
        assert connection.scalar(sa.text("SELECT search::text FROM note")) == "'dog':2A 'fox':1B"
        assert sa.inspect(connection).get_indexes("note")[0]["column_names"] == ["search"]
    alembic_env.downgrade()
    with engine.connect() as connection:
        assert list(plan.check(connection, before)) == []


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["generated", "trigger"])
@pytest.mark.parametrize(
    ("parts", "options", "expected"),
    [
        ({"title": "A"}, {}, "'fox':1A"),
        ({"title": "A", "body": "C"}, {}, "'fox':1A 'hors':2C"),
        ({"title": "A", "body": Part("B", budget=3)}, {}, "'fox':1A 'hor':2B"),
        ({"title": "A", "body": "B"}, {"config": "simple"}, "'foxes':1A 'horses':2B"),
        (
            {"title": "A", "body": "B"},
            {"config": {"en": "english", None: "simple"}, "language_column": "language"},
            "'foxes':1A 'horses':2B",
        ),
    ],
    ids=["parts", "weights", "budget", "config", "languages"],
)
def test_a_change_of_anything_reaches_the_rows(
    engine: sa.Engine,
    alembic_env: MigrationEnvironment,
    parts: dict[str, object],
    options: dict[str, object],
    expected: str,
    mode: str,
) -> None:
    """
    Parts, weights, budgets, config: a real migration; triggers' rows come with the backfill.
    """
    before, after = sa.MetaData(), sa.MetaData()
    options = {"config": "english", **options}
    first, second = (sa.Column("language", sa.Text) for _ in range(2))
    table(before, {"title": "A", "body": "B"}, first, config="english", mode=mode)
    notes = table(after, parts, second, mode=mode, **options)
    before.create_all(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO note (id, title, body) VALUES (1, 'foxes', 'horses'), (2, 'cats', 'birds')"
        )
    revision = alembic_env.autogenerate("changed", metadata=after)
    assert "import pgultra" not in revision.text
    alembic_env.upgrade()
    assert alembic_env.check(metadata=after) == []
    with engine.connect() as connection:
        done = search.backfill(connection, notes.c.search)
        assert done.changed == (0 if mode == "generated" else 2)
        assert connection.scalar(sa.select(notes.c.search).where(notes.c.id == 1)) == expected
    alembic_env.downgrade()
    with engine.connect() as connection:
        assert list(plan.check(connection, before)) == []


@pytest.mark.slow
@pytest.mark.parametrize("fastupdate", [True, False])
def test_the_index_is_built_as_it_is_declared(
    engine: sa.Engine, alembic_env: MigrationEnvironment, fastupdate: bool
) -> None:
    """
    GIN, with fastupdate off if that is asked for, CONCURRENTLY in its migration.
    """
    metadata = sa.MetaData()
    table(metadata, {"title": "A"}, concurrently=True, fastupdate=fastupdate)
    revision = alembic_env.autogenerate("first", metadata=metadata)
    assert "CREATE INDEX CONCURRENTLY" in revision.text
    alembic_env.upgrade()
    assert alembic_env.check(metadata=metadata) == []
    with engine.connect() as connection:
        found = connection.execute(
            sa.text(
                "SELECT reloptions, amname FROM pg_class AS c JOIN pg_am AS m ON m.oid = c.relam "
                "WHERE c.oid = 'note_search_gin'::regclass"
            )
        ).one()
    assert found.amname == "gin"
    assert found.reloptions == (None if fastupdate else ["fastupdate=off"])


def test_a_generated_column_becomes_one_with_triggers(
    engine: sa.Engine, alembic_env: MigrationEnvironment
) -> None:
    """
    The values stay, the expression goes, triggers come; and the way back runs.
    """
    before, after = sa.MetaData(), sa.MetaData()
    table(before, {"title": "A"})
    table(after, {"title": "A"}, mode="trigger")
    before.create_all(engine)
    with engine.begin() as connection:
        connection.execute(sa.text("INSERT INTO note (id, title) VALUES (1, 'fox')"))
    alembic_env.autogenerate("triggers", metadata=after)
    alembic_env.upgrade()
    with engine.begin() as connection:
        assert list(plan.check(connection, after)) == []
        connection.execute(sa.text("UPDATE note SET title = 'dog'"))
        assert connection.scalar(sa.text("SELECT search::text FROM note")) == "'dog':1A"
    alembic_env.downgrade()
    with engine.connect() as connection:
        assert list(plan.check(connection, before)) == []


def test_a_part_that_goes_takes_the_vector_with_it(
    engine: sa.Engine, alembic_env: MigrationEnvironment
) -> None:
    """
    A column that a generated column reads cannot be dropped: the vector gives way first.
    """
    before, after = sa.MetaData(), sa.MetaData()
    table(before, {"title": "A", "extra": "B"}, sa.Column("extra", sa.Text))
    table(after, {"title": "A"})
    before.create_all(engine)
    alembic_env.autogenerate("less", metadata=after)
    alembic_env.upgrade()
    assert alembic_env.check(metadata=after) == []
    alembic_env.downgrade()
    with engine.connect() as connection:
        assert list(plan.check(connection, before)) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (sa.String(20), sa.String(40)),  # the expression stays as it is
        (sa.String(20), sa.Text()),  # its casts change
        (sa.Integer(), sa.BigInteger()),
    ],
)
def test_a_part_that_is_retyped_takes_the_vector_along(
    engine: sa.Engine,
    alembic_env: MigrationEnvironment,
    old: sa.types.TypeEngine[object],
    new: object,
) -> None:
    """
    PostgreSQL refuses to retype what a generated column reads: it is rebuilt in the migration.
    """
    before, after = sa.MetaData(), sa.MetaData()
    parts = {"title": "A", "extra": "B"}
    for metadata, type_ in ((before, old), (after, new)):
        note = table(metadata, parts, sa.Column("extra", type_))
        sa.Index("theirs", note.c.search, postgresql_using="gin")
    before.create_all(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql("INSERT INTO note (id, title, extra) VALUES (1, 'fox', '7')")
    revision = alembic_env.autogenerate("retyped", metadata=after)
    assert revision.text.count("DROP COLUMN search") == 2  # there and back
    alembic_env.upgrade()
    assert alembic_env.check(metadata=after) == []
    with engine.connect() as connection:
        assert connection.scalar(sa.text("SELECT search::text FROM note")) == "'7':2B 'fox':1A"
        names = {index["name"] for index in sa.inspect(connection).get_indexes("note")}
        assert names == {"note_search_gin", "theirs"}
    alembic_env.downgrade()
    with engine.connect() as connection:
        assert list(plan.check(connection, before)) == []


def test_a_column_that_no_vector_reads_is_retyped_alone(
    engine: sa.Engine, alembic_env: MigrationEnvironment
) -> None:
    """
    The vector stays where it is: nothing is computed anew.
    """
    before, after = sa.MetaData(), sa.MetaData()
    table(before, {"title": "A"}, sa.Column("extra", sa.String(20)))
    table(after, {"title": "A"}, sa.Column("extra", sa.String(40)))
    before.create_all(engine)
    revision = alembic_env.autogenerate("retyped", metadata=after)
    assert "search" not in revision.text
    alembic_env.upgrade()
    assert alembic_env.check(metadata=after) == []


@pytest.mark.parametrize(("mode", "told"), [("auto", True), ("trigger", False)])
def test_a_trigger_that_nobody_declared_is_told_of(
    engine: sa.Engine, mode: str, told: bool
) -> None:
    """
    It makes PostgreSQL compute a generated vector on each update; check warns and says why.
    """
    metadata = sa.MetaData()
    table(metadata, {"title": "A"}, mode=mode)
    metadata.create_all(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'begin return new; end'"
        )
        for timing, level in (("BEFORE", "ROW"), ("AFTER", "ROW"), ("BEFORE", "STATEMENT")):
            connection.exec_driver_sql(
                f"CREATE TRIGGER t_{timing}_{level} {timing} UPDATE ON note FOR EACH {level} "
                "EXECUTE FUNCTION touch()"
            )
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            assert list(plan.check(connection, metadata)) == []
    assert [each.category for each in caught] == [PgultraWarning] * told
    for each in caught:
        text = str(each.message)
        assert text.startswith("note has BEFORE UPDATE row triggers (t_before_row), ")
        assert "generated search anew" in text


@pytest.mark.parametrize("events", [(), ("INSERT",)])
def test_a_trigger_that_goes_is_not_told_of(engine: sa.Engine, events: tuple[str, ...]) -> None:
    """
    What the plan itself takes away, or keeps from updates, cannot be in its way.
    """
    metadata = sa.MetaData()
    note = table(metadata, {"title": "A"})
    metadata.create_all(engine)
    if events:
        touch = Function(name="touch", body="begin return new; end")
        trigger = {"timing": "BEFORE", "events": events, "function": "touch"}
        declare(note, touch, Trigger(name="touch", table="note", **trigger))
    with engine.begin() as connection:
        for statement in (
            "CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'begin return new; end'",
            "CREATE TRIGGER touch BEFORE UPDATE ON note FOR EACH ROW EXECUTE FUNCTION touch()",
            "COMMENT ON FUNCTION touch() IS 'pgultra:default:declared'",
            "COMMENT ON TRIGGER touch ON note IS 'pgultra:default:declared'",
        ):
            connection.exec_driver_sql(statement)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = list(map(str, plan.check(connection, metadata)))
    if events:
        assert found == ["replace trigger touch on note"]
    else:
        assert found == ["drop trigger touch on note", "drop function touch()"]


def test_a_changed_function_is_reported(engine: sa.Engine) -> None:
    """
    A hand-edited function and a dropped trigger are drift.
    """
    metadata = sa.MetaData()
    table(metadata, {"title": "A"}, mode="trigger")
    metadata.create_all(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TRIGGER note_search_search_update ON note")
        connection.exec_driver_sql(
            "CREATE OR REPLACE FUNCTION note_search_search() RETURNS trigger LANGUAGE plpgsql "
            "AS 'begin return new; end'"
        )
        steps = {str(step) for step in plan.check(connection, metadata)}
    assert steps == {
        "create trigger note_search_search_update on note",
        "replace function note_search_search()",
    }


def test_objects_are_values() -> None:
    """
    Deriving twice gives equal objects, and the noun is public.
    """
    metadata = sample.build()
    first, second = plan.collect(metadata), plan.collect(metadata)
    assert dict(first) == dict(second)
    assert any(isinstance(each, Generation) for each in first.values())


def test_related_needs_one_foreign_key() -> None:
    """
    Without a foreign key there is no way to follow.
    """
    metadata = sa.MetaData()
    sa.Table("tag", metadata, sa.Column("name", sa.Text))
    table(metadata, {Related("tag.name"): "A"})
    with pytest.raises(DeclarationError, match="foreign keys"):
        plan.collect(metadata)
