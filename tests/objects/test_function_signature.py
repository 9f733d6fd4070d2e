"""
A function is one by its argument types, however its arguments are spelt and called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from pgultra import Function, View, declare, plan
from pgultra.objects._signature import without_defaults
from pgultra.plan.adopt import adopt

if TYPE_CHECKING:
    from tests.fixtures.alembic import MigrationEnvironment

ONE, TWO = "begin return 1; end", "begin return 2; end"


def models(arguments: str = "a int", *, view: bool = False, **options: Any) -> sa.MetaData:
    metadata = sa.MetaData()
    common: dict[str, Any] = {"returns": "int", "body": ONE, "schema": "Shop"}
    declare(metadata, Function(name="Pay", arguments=arguments, **{**common, **options}))
    if view:
        declare(metadata, View(name="v", schema="Shop", query='SELECT "Shop"."Pay"(1) AS x'))
    return metadata


@pytest.fixture(autouse=True)
def schema(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql('CREATE SCHEMA "Shop"')


CHANGES: list[tuple[str, dict[str, Any], str, dict[str, Any]]] = [
    ("a int", {}, "a int", {"body": TWO}),
    ("a int", {}, "a int", {"returns": "bigint"}),
    ("a int", {}, "a int", {"strict": True}),
    ("a int, b varchar(10) = 'x, y'", {}, "a int, b varchar(10) = 'x, y'", {"body": TWO}),
    ("a integer DEFAULT 1", {}, "a integer DEFAULT 1", {"returns": "bigint"}),
    ("a integer DEFAULT 1", {}, "a integer DEFAULT 2", {}),
    ("a integer", {}, "b integer", {}),
    ("a int", {}, "b int = 3", {"returns": "bigint"}),
]


@pytest.mark.slow
@pytest.mark.parametrize(("arguments", "options", "others", "changed"), CHANGES)
def test_it_changes_there_and_back(
    engine: sa.Engine,
    alembic_env: MigrationEnvironment,
    arguments: str,
    options: dict[str, Any],
    others: str,
    changed: dict[str, Any],
) -> None:
    """
    Body, flags, result, names and defaults, with a view of ours that calls it.
    """
    alembic_env.configure(include_schemas=True)
    first = models(arguments, view=True, **options)
    second = models(others, view=True, **changed)
    for number, metadata in enumerate((first, second)):
        alembic_env.autogenerate(str(number), metadata=metadata)
        alembic_env.upgrade()
        again = alembic_env.autogenerate(f"{number} again", metadata=metadata)
        assert again.empty, again.text
        again.path.unlink()
    alembic_env.downgrade("-1")
    with engine.connect() as connection:
        assert not plan.check(connection, first)


@pytest.mark.parametrize(("arguments", "options", "others", "changed"), CHANGES)
def test_create_all_and_apply_change_it_too(
    engine: sa.Engine,
    arguments: str,
    options: dict[str, Any],
    others: str,
    changed: dict[str, Any],
) -> None:
    """
    The old one is dropped first, where it must be dropped.
    """
    first, second = models(arguments, **options), models(others, **changed)
    for metadata in (first, second):
        metadata.create_all(engine)
        with engine.connect() as connection:
            assert not plan.check(connection, metadata)
    with engine.begin() as connection:
        plan.apply(plan.check(connection, first), connection)
        assert not plan.check(connection, first)


def test_an_overload_is_another_function(engine: sa.Engine) -> None:
    """
    The same name with other types: both stay.
    """
    metadata = models("a int")
    declare(
        metadata, Function(name="Pay", schema="Shop", arguments="a text", body=ONE, returns="int")
    )
    metadata.create_all(engine)
    other = models("b int")
    declare(other, Function(name="Pay", schema="Shop", arguments="a text", body=ONE, returns="int"))
    with engine.begin() as connection:
        found = plan.check(connection, other)
        assert {step.identity.name for step in found} == {"Pay(a integer)"}
        plan.apply(found, connection)
        assert not plan.check(connection, other)


def test_cost_and_rows_stay(engine: sa.Engine, alembic_env: MigrationEnvironment) -> None:
    """
    What somebody set for the planner: in place, made anew, and on the way back.
    """
    alembic_env.configure(include_schemas=True)
    with engine.begin() as connection:
        connection.exec_driver_sql(
            'CREATE FUNCTION "Shop"."Pay"(a integer) RETURNS SETOF integer LANGUAGE plpgsql '
            "COST 7 ROWS 3 AS $$begin return next a; end$$"
        )
    definition = 'SELECT pg_get_functiondef(\'"Shop"."Pay"\'::regproc)'
    changed = models(returns="setof integer", body="begin return next a + 1; end")
    with engine.begin() as connection:
        before = connection.exec_driver_sql(definition).scalar_one()
        adopt(connection, changed, different=True)
    alembic_env.autogenerate(metadata=changed)
    alembic_env.upgrade()
    with engine.connect() as connection:
        after = connection.exec_driver_sql(definition).scalar_one()
        assert after.replace(" + 1", "") == before
    alembic_env.autogenerate("scalar", metadata=models(returns="bigint"))
    alembic_env.upgrade()
    with engine.connect() as connection:
        row = connection.exec_driver_sql("SELECT procost FROM pg_proc WHERE proname = 'Pay'")
        assert row.scalar_one() == 7
    alembic_env.downgrade("base")
    with engine.connect() as connection:
        assert connection.exec_driver_sql(definition).scalar_one() == before


@pytest.mark.parametrize(
    ("arguments", "bare"),
    [
        ("a integer DEFAULT(1)", "a integer"),
        ("a integer\nDEFAULT 1,\n b text = ''", "a integer, b text"),
        ("a text DEFAULT 'x, default', b integer[] = '{1}'", "a text, b integer[]"),
        ("a numeric(10, 2)=1.5", "a numeric(10, 2)"),
        ('"the default" integer', '"the default" integer'),
    ],
)
def test_defaults_are_cut_off_however_they_stand(
    engine: sa.Engine, arguments: str, bare: str
) -> None:
    """
    COMMENT ON FUNCTION takes none.
    """
    assert without_defaults(arguments) == bare
    models(arguments).create_all(engine)
    with engine.connect() as connection:
        assert not plan.check(connection, models(arguments))
