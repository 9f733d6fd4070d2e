"""
One declaration, four doors, one database: for all kinds at once and for every room.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql.base import PGDialect

from pgultra import DeclarationError, Function, PgultraWarning, plan
from pgultra.plan.script import script
from pgultra.sql import statement
from tests.fixtures.strangers import STRANGERS
from tests.laws.samples import Place, cases, rooms, sample

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.ext.asyncio import AsyncEngine

    from tests.fixtures.alembic import MigrationEnvironment
    from tests.fixtures.database import Database

PLAIN, HOSTILE = Place(), Place("Shop's", "weird")
EVERY_PLACE = [
    PLAIN,
    HOSTILE,
    Place(None, "weird"),
    Place("shop", "foreign"),
    Place(None, "long"),
    Place(None, "keyword"),
]
everywhere = pytest.mark.parametrize(
    ("which", "place"), cases(EVERY_PLACE, [PLAIN, HOSTILE, Place(None, "long")])
)
twice = pytest.mark.parametrize(("which", "place"), cases([PLAIN, HOSTILE], [PLAIN, HOSTILE]))
once = pytest.mark.parametrize(("which", "place"), cases([PLAIN], [PLAIN]))


def drift(engine: sa.Engine, metadata: sa.MetaData) -> list[str]:
    """
    The steps that a check would take, and what stands in the way.
    """
    with engine.connect() as connection:
        found = plan.check(connection, metadata)
    return [*map(str, found), *found.conflicts]


@pytest.mark.parametrize("room", rooms())
def test_every_room_has_a_sample(room: str) -> None:
    """
    A room is a folder with a model that the laws can use.
    """
    assert plan.collect(sample(room, Place()))


@pytest.mark.slow
@everywhere
@pytest.mark.usefixtures("strangers")
def test_create_all_and_drop_all(
    which: str,
    place: Place,
    engine: sa.Engine,
    database: Database,
    dump: Callable[[Database], str],
) -> None:
    """
    create_all leaves an empty plan, twice; drop_all leaves the database as it was.
    """
    before = dump(database)
    metadata = sample(which, place)
    metadata.create_all(engine)
    made = dump(database)
    assert drift(engine, metadata) == []
    assert drift(engine, sample(which, place)) == []
    metadata.create_all(engine)
    assert made == dump(database) != before
    metadata.drop_all(engine)
    assert before == dump(database)


@pytest.mark.slow
@pytest.mark.once
@twice
def test_a_script(
    which: str,
    place: Place,
    database: Database,
    engine: sa.Engine,
    new_database: Callable[[], Database],
    psql: Callable[[Database, str], str],
    dump: Callable[[Database], str],
) -> None:
    """
    psql runs what `pgultra sql` prints, and the database is the same as by create_all.
    """
    metadata = sample(which, place)
    metadata.create_all(engine)
    other = new_database()
    psql(other, "".join(f"{statement};\n" for statement in script(metadata)))
    assert dump(other) == dump(database)
    assert drift(other.engine(), metadata) == []


@pytest.mark.slow
@pytest.mark.once
@once
def test_a_script_of_objects_alone(
    which: str, place: Place, database: Database, psql: Callable[[Database, str], str]
) -> None:
    """
    With `--only-objects`, what stands beside tables that SQLAlchemy made with their indexes.
    """
    metadata = sample(which, place)
    engine = database.engine()
    early = [each for each in plan.collect(metadata).values() if each.kind == "extension"]
    with engine.begin() as connection, warnings.catch_warnings():
        warnings.simplefilter("ignore", PgultraWarning)  # Table.create() makes nothing else
        for each in early:
            for text in each.create():
                connection.execute(statement(text))
        for table in metadata.sorted_tables:
            table.create(connection)
    psql(database, "".join(f"{text};\n" for text in script(metadata, tables=False)))
    assert drift(engine, metadata) == []


def reflects_quotes() -> bool:
    """
    Whether SQLAlchemy's own pattern for foreign keys knows a doubled quote: not in 2.0.40.
    """
    key = 'FOREIGN KEY (a) REFERENCES "x ""y"(id)'
    return bool(re.search(PGDialect()._fk_regex_pattern, key))


@pytest.mark.slow
@everywhere
@pytest.mark.usefixtures("strangers")
def test_a_migration_there_and_back(
    which: str,
    place: Place,
    engine: sa.Engine,
    database: Database,
    new_database: Callable[[], Database],
    dump: Callable[[Database], str],
    alembic_env: MigrationEnvironment,
) -> None:
    """
    One autogenerate makes what create_all makes; then nothing is left; downgrade takes it back.
    """
    if place.style == "weird" and not reflects_quotes():
        pytest.skip("this SQLAlchemy cannot reflect a foreign key to a name with a quote in it")
    before = dump(database)
    metadata = sample(which, place)
    alembic_env.configure(include_schemas=True, include_name=not_theirs)
    revision = alembic_env.autogenerate(metadata=metadata)
    assert "import pgultra" not in revision.text
    alembic_env.upgrade()
    assert drift(engine, metadata) == []
    assert alembic_env.check(metadata=metadata) == []
    assert alembic_env.autogenerate("second", metadata=metadata).empty
    alembic_env.upgrade()
    made = dump(database)
    other = new_database()
    with other.engine().begin() as connection:
        connection.exec_driver_sql(STRANGERS)
    sample(which, place).create_all(other.engine())
    assert made == dump(other)
    alembic_env.downgrade()
    assert before == dump(database)


def not_theirs(name: str | None, kind: str, parents: dict[str, str | None]) -> bool:
    """
    What a host says when the database holds tables of others.
    """
    return name not in ("theirs", "visitor")


@pytest.mark.slow
@twice
def test_offline_sql(
    which: str,
    place: Place,
    engine: sa.Engine,
    database: Database,
    new_database: Callable[[], Database],
    dump: Callable[[Database], str],
    psql: Callable[[Database, str], str],
    alembic_env: MigrationEnvironment,
) -> None:
    """
    psql runs what --sql prints, and the database is the same as by create_all; and back again.
    """
    metadata = sample(which, place)
    empty = dump(database)
    alembic_env.configure(include_schemas=True)
    revision = alembic_env.autogenerate(metadata=metadata)
    other = new_database()
    psql(other, alembic_env.offline_sql())
    assert drift(other.engine(), metadata) == []
    sample(which, place).create_all(engine)
    assert dump(database) == dump(other)
    psql(other, alembic_env.offline_sql(f"{revision.identifier}:base", down=True))
    assert empty == dump(other)


@pytest.mark.slow
@twice
def test_an_owner_is_enough(
    which: str, place: Place, owner_engine: sa.Engine, engine: sa.Engine
) -> None:
    """
    A role that owns the database and is no superuser makes, checks and drops everything.

    Extensions that are not trusted are the superuser's affair.
    """
    metadata = sample(which, place)
    with engine.begin() as connection:
        for each in plan.collect(metadata).values():
            if each.kind == "extension" and not each.schema:
                connection.exec_driver_sql(each.create()[0])
    with owner_engine.begin() as connection:
        connection.execute(sa.text("CREATE SCHEMA mine"))
    engine = owner_engine
    metadata.create_all(engine)
    assert drift(engine, metadata) == []
    metadata.drop_all(engine)
    assert {step.verb for step in check(engine, metadata)} == {"create"}


def check(engine: sa.Engine, metadata: sa.MetaData) -> plan.Plan:
    with engine.connect() as connection:
        return plan.check(connection, metadata)


@twice
async def test_an_async_engine(which: str, place: Place, database: Database) -> None:
    """
    run_sync is enough, with either driver.
    """
    driver = "asyncpg" if place == PLAIN else "psycopg"
    metadata = sample(which, place)
    engine: AsyncEngine = database.async_engine(driver)
    async with engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
    async with engine.connect() as connection:
        found = await connection.run_sync(plan.check, metadata)
        assert list(map(str, found)) == []
    async with engine.begin() as connection:
        await connection.run_sync(metadata.drop_all)
        found = await connection.run_sync(plan.check, metadata)
        assert {step.verb for step in found} == {"create"}


@once
@pytest.mark.needs("plpgsql_check")
def test_every_function_can_run(which: str, place: Place, engine: sa.Engine) -> None:
    """
    plpgsql_check finds nothing wrong with any function, on any table it is attached to.
    """
    metadata = sample(which, place)
    metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE EXTENSION plpgsql_check"))
        checked = connection.execute(sa.text(PAIRS)).all()
        found = connection.execute(sa.text(f"SELECT pair.*, c.* FROM ({PAIRS}) AS pair, {CHECK}"))
        assert found.all() == []
    written = {row.proname for row in checked}
    declared = [each for each in plan.collect(metadata).values() if isinstance(each, Function)]
    assert written == {each.name for each in declared if each.language == "plpgsql"}


PAIRS = """
SELECT p.oid, p.proname, coalesce(t.tgrelid, 0) AS attached, t.tgnewtable, t.tgoldtable
FROM pg_proc AS p
JOIN pg_language AS l ON l.oid = p.prolang AND l.lanname = 'plpgsql'
LEFT JOIN pg_trigger AS t ON t.tgfoid = p.oid
WHERE obj_description(p.oid, 'pg_proc') ~ 'pgultra:default:'
"""
CHECK = """
plpgsql_check_function_tb(pair.oid, pair.attached,
    newtable => pair.tgnewtable, oldtable => pair.tgoldtable) AS c
WHERE c.level = 'error'
"""


@pytest.mark.slow
@once
def test_two_applications_do_not_meet(
    which: str,
    place: Place,
    engine: sa.Engine,
    database: Database,
    dump: Callable[[Database], str],
    alembic_env: MigrationEnvironment,
) -> None:
    """
    What one application makes, checks, migrates and drops does not touch the other's.
    """
    one, two = (
        sample(which, replace(place, schema="one")),
        sample(which, replace(place, schema="two")),
    )
    one.info["pgultra.app"], two.info["pgultra.app"] = "one", "two"
    two.create_all(engine)
    alone = dump(database)
    one.create_all(engine)
    assert drift(engine, one) == drift(engine, two) == []
    empty = sa.MetaData(info={"pgultra.app": "one"})
    alembic_env.configure(include_schemas=True, include_name=lambda name, *_: name != "two")
    revision = alembic_env.autogenerate(metadata=empty)
    assert not revision.empty
    alembic_env.upgrade()
    assert dump(database) == alone
    alembic_env.downgrade()
    assert drift(engine, one) == drift(engine, two) == []
    one.drop_all(engine)
    assert dump(database) == alone


@pytest.mark.parametrize(("which", "place"), cases([], [PLAIN]))
def test_a_room_follows_schema_translate_map(
    which: str, place: Place, engine: sa.Engine, database: Database, dump: Callable[[Database], str]
) -> None:
    """
    A schema for each tenant: the same as if the schema had been declared.
    """
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE SCHEMA tenant"))
    before = dump(database)
    translated = engine.execution_options(schema_translate_map={None: "tenant"})
    sample(which, place).create_all(translated)
    with pytest.raises(DeclarationError, match="set the search_path"):
        drift(translated, sample(which, place))
    with engine.begin() as connection:
        connection.execute(sa.text("COMMENT ON SCHEMA tenant IS 'pgultra:default:declared'"))
    assert drift(engine, sample(which, replace(place, schema="tenant"))) == []
    sample(which, place).drop_all(translated)
    with engine.begin() as connection:
        connection.execute(sa.text("COMMENT ON SCHEMA tenant IS NULL"))
    assert dump(database) == before
