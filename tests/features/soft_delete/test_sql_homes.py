"""
Tables of one name in several schemas, and keys whose text depends on the settings of the session.
"""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Column, ForeignKey, Integer, MetaData, Table, text

from pgultra import declare
from pgultra.features.soft_delete import Rules


def dead(connection: sa.Connection, name: str) -> list[Any]:
    """
    The keys of the deleted rows of a table.
    """
    statement = f"SELECT id FROM {name} WHERE deleted_at IS NOT NULL ORDER BY id"
    return list(connection.scalars(text(statement)).all())


def run(connection: sa.Connection, *statements: str) -> None:
    """
    Execute statements.
    """
    for statement in statements:
        connection.exec_driver_sql(statement)


@pytest.fixture
def tenants(engine: sa.Engine) -> sa.Engine:
    """
    Organisations, and their departments, in a schema that two tenants share; each has projects.
    """
    metadata = MetaData()
    organisation = Table("Org", metadata, Column("id", Integer, primary_key=True), schema="Core")
    department = Table(
        "dept",
        metadata,
        Column("id", Integer, primary_key=True),
        Column("org_id", ForeignKey("Core.Org.id")),
        schema="Core",
    )
    project = Table(
        "project",
        metadata,
        Column("id", Integer, primary_key=True),
        Column("org_id", ForeignKey("Core.Org.id")),
        Column("dept_id", ForeignKey("Core.dept.id")),
    )
    declare(organisation, Rules(cascade=("Core.dept.org_id", "project.org_id")))
    declare(department, Rules(cascade=("project.dept_id",)))
    declare(project, Rules(refuse_orphans=True))
    with engine.begin() as connection:
        run(connection, 'CREATE SCHEMA "Core"', 'CREATE SCHEMA "T1"', 'CREATE SCHEMA "T2"')
        run(connection, "CREATE SCHEMA archive")
    for tenant in ("T1", "T2"):
        with engine.begin() as connection:
            run(connection, f'SET LOCAL search_path = "{tenant}"')
            metadata.create_all(connection)
    with engine.begin() as connection:
        run(
            connection,
            # A table of that name that is not of ours.
            'CREATE TABLE archive.project (id integer, org_id integer REFERENCES "Core"."Org")',
            'INSERT INTO "Core"."Org" VALUES (1), (2)',
            'INSERT INTO "Core".dept VALUES (1, 1), (2, 2)',
            *(
                f'INSERT INTO "{tenant}".project VALUES (1, 1, NULL), (2, 2, NULL), (3, NULL, 1)'
                for tenant in ("T1", "T2")
            ),
            "INSERT INTO archive.project VALUES (1, 1)",
        )
    return engine


def test_a_shared_parent(tenants: sa.Engine) -> None:
    """
    A deletion reaches the children in the schemas of all tenants, and so does its restore.
    """
    with tenants.begin() as connection:
        run(connection, 'UPDATE "Core"."Org" SET deleted_at = now() WHERE id = 1')
        assert dead(connection, '"Core".dept') == [1]
        assert dead(connection, '"T1".project') == dead(connection, '"T2".project') == [1, 3]
        run(connection, 'UPDATE "Core"."Org" SET deleted_at = NULL')
        assert dead(connection, '"Core".dept') == []
        assert dead(connection, '"T1".project') == dead(connection, '"T2".project') == []


def test_an_orphan_of_one_tenant(tenants: sa.Engine) -> None:
    """
    A live row below a shared row that is deleted is refused in each schema.
    """
    with tenants.begin() as connection:
        run(connection, 'UPDATE "Core".dept SET deleted_at = now() WHERE id = 1')
    for tenant in ("T1", "T2"):
        with (
            pytest.raises(sa.exc.IntegrityError, match="cannot stand below row"),
            tenants.begin() as connection,
        ):
            run(connection, f'INSERT INTO "{tenant}".project (id, dept_id) VALUES (9, 1)')


def test_two_schemas_in_one_statement(engine: sa.Engine) -> None:
    """
    One statement over tables of one name in two declared schemas cascades in both.
    """
    metadata = MetaData()
    for schema in ("S1", "S2"):
        parent = Table("p", metadata, Column("id", Integer, primary_key=True), schema=schema)
        child = Table(
            "c",
            metadata,
            Column("id", Integer, primary_key=True),
            Column("p_id", ForeignKey(f"{schema}.p.id")),
            schema=schema,
        )
        declare(parent, Rules(cascade=(f"{schema}.c.p_id",)))
        declare(child, Rules())
    both = 'WITH one AS (UPDATE "S1".p SET {0} RETURNING id) UPDATE "S2".p SET {0} FROM one'
    with engine.begin() as connection:
        run(connection, 'CREATE SCHEMA "S1"', 'CREATE SCHEMA "S2"')
        metadata.create_all(connection)
        for schema in ("S1", "S2"):
            run(connection, f'INSERT INTO "{schema}".p VALUES (1), (2)')
            run(connection, f'INSERT INTO "{schema}".c VALUES (1, 1), (2, 2)')
        run(connection, both.format("deleted_at = now()") + ' WHERE one.id = "S2".p.id')
        assert dead(connection, '"S1".c') == dead(connection, '"S2".c') == [1, 2]
        run(connection, both.format("deleted_at = NULL") + ' WHERE one.id = "S2".p.id')
        assert dead(connection, '"S1".c') == dead(connection, '"S2".c') == []


@pytest.mark.parametrize(
    ("type_", "value", "settings"),
    [
        (
            sa.DateTime(timezone=True),
            "'2026-01-02 10:00:00.123456+00'",
            ("DateStyle = 'SQL, DMY'", "TimeZone = 'Asia/Kolkata'"),
        ),
        (sa.Date(), "'2026-01-02'", ("DateStyle = 'German'",)),
        (sa.Double(), "0.1::float8 + 0.2", ("extra_float_digits = 0",)),
        (sa.Interval(), "'-1 year 2 days'", ("IntervalStyle = 'sql_standard'",)),
    ],
)
def test_settings_of_the_session(
    connection: sa.Connection, type_: Any, value: str, settings: tuple[str, ...]
) -> None:
    """
    A restore finds the rows below by key, in whatever style the session writes keys.
    """
    metadata = MetaData()
    tables = []
    for name, above in (("p", None), ("c", "p"), ("d", "c")):
        key = Column("id", type_, primary_key=True, autoincrement=False)
        up = [Column("up", ForeignKey(f"{above}.id"))] if above else []
        tables.append(Table(name, metadata, key, *up))
    declare(tables[0], Rules(cascade=("c.up",)))
    declare(tables[1], Rules(cascade=("d.up",)))
    declare(tables[2], Rules())
    metadata.create_all(connection)
    run(
        connection,
        f"INSERT INTO p VALUES ({value})",
        *(f"INSERT INTO {name} VALUES ({value}, {value})" for name in ("c", "d")),
        "CREATE TABLE seen (style text, digits text)",
        "CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN"
        " INSERT INTO seen VALUES (current_setting('DateStyle'),"
        " current_setting('extra_float_digits')); RETURN NEW; END$$",
        "CREATE TRIGGER look BEFORE UPDATE ON d FOR EACH ROW EXECUTE FUNCTION look()",
        "UPDATE p SET deleted_at = now()",
        "TRUNCATE seen",
    )
    assert len(dead(connection, "d")) == 1
    run(connection, *(f"SET LOCAL {setting}" for setting in settings))
    names = ("DateStyle", "extra_float_digits")
    before = [connection.scalar(text(f"SELECT current_setting('{name}')")) for name in names]
    run(connection, "UPDATE p SET deleted_at = NULL")
    for name in ("p", "c", "d"):
        assert dead(connection, name) == []
    assert list(connection.execute(text("SELECT * FROM seen")).one()) == before
    after = [connection.scalar(text(f"SELECT current_setting('{name}')")) for name in names]
    assert after == before
