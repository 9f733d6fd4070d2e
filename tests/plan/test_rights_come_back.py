"""
Who may do what, and whose it is, is the same after a view or a function was made anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from pgultra import Function, View, declare, plan
from pgultra.objects._rights import Rights

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fixtures.alembic import MigrationEnvironment

FUNCTION = """
SELECT proowner::regrole::text,
    (SELECT array_agg(g.entry::text ORDER BY g.entry::text) FROM unnest(proacl) AS g (entry))
FROM pg_proc WHERE proname = 'Pay'
"""
VIEW = """
SELECT c.relname, c.relowner::regrole::text, a.attacl::text,
    (SELECT array_agg(g.entry::text ORDER BY g.entry::text) FROM unnest(c.relacl) AS g (entry))
FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid
WHERE c.relname IN ('V', 'w') AND a.attname = 'a' ORDER BY 1
"""


@pytest.fixture
def role(engine: sa.Engine, owner: tuple[str, str]) -> Iterator[str]:
    """
    A role that may own things in the schema "Shop"; what it has is dropped at the end.
    """
    name = owner[0]
    with engine.begin() as connection:
        connection.exec_driver_sql(f'CREATE SCHEMA "Shop"; GRANT ALL ON SCHEMA "Shop" TO {name}')
    yield name
    with engine.begin() as connection:
        connection.exec_driver_sql(f"DROP OWNED BY {name} CASCADE")


def paying(**options: Any) -> sa.MetaData:
    metadata = sa.MetaData()
    common: dict[str, Any] = {
        "returns": "integer",
        "body": "begin return 1; end",
        "security": "definer",
    }
    declare(
        metadata,
        Function(name="Pay", schema="Shop", arguments="a integer", **{**common, **options}),
    )
    return metadata


def shown(query: str, other: str = 'SELECT a FROM "Shop"."V"') -> sa.MetaData:
    metadata = sa.MetaData()
    columns = [sa.Column(name, sa.Text) for name in "abc"]
    sa.Table("t", metadata, sa.Column("id", sa.Integer, primary_key=True), *columns, schema="Shop")
    declare(
        metadata,
        View(name="V", schema="Shop", query=f'SELECT {query} FROM "Shop".t'),
        View(name="w", schema="Shop", query=other),
    )
    return metadata


def asked(engine: sa.Engine, query: str) -> list[tuple[Any, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.exec_driver_sql(query)]


@pytest.mark.parametrize(
    "acts",
    [
        'REVOKE EXECUTE ON FUNCTION "Shop"."Pay"(integer) FROM PUBLIC',
        (
            'REVOKE EXECUTE ON FUNCTION "Shop"."Pay"(integer) FROM PUBLIC; '
            'GRANT EXECUTE ON FUNCTION "Shop"."Pay"(integer) TO {role} WITH GRANT OPTION'
        ),
        'ALTER FUNCTION "Shop"."Pay"(integer) OWNER TO {role}',
        'REVOKE ALL ON FUNCTION "Shop"."Pay"(integer) FROM PUBLIC, CURRENT_USER',
    ],
)
def test_a_function_made_anew_is_open_to_nobody_else(
    engine: sa.Engine, alembic_env: MigrationEnvironment, role: str, acts: str
) -> None:
    """
    Its result changes there and back; it is undeclared, and the migration taken back.
    """
    alembic_env.configure(include_schemas=True)
    alembic_env.autogenerate(metadata=paying())
    alembic_env.upgrade()
    with engine.begin() as connection:
        connection.exec_driver_sql(acts.format(role=role))
    before = asked(engine, FUNCTION)
    alembic_env.autogenerate("bigger", metadata=paying(returns="bigint"))
    alembic_env.upgrade()
    assert asked(engine, FUNCTION) == before
    assert alembic_env.autogenerate("again", metadata=paying(returns="bigint")).empty
    alembic_env.downgrade("-1")
    assert asked(engine, FUNCTION) == before
    alembic_env.upgrade()
    nothing = shown("a", "SELECT 1 AS a")
    alembic_env.autogenerate("none", metadata=nothing)
    alembic_env.upgrade()
    assert asked(engine, FUNCTION) == []
    alembic_env.downgrade("-1")
    assert asked(engine, FUNCTION) == before


def test_create_all_keeps_a_function_closed(engine: sa.Engine, role: str) -> None:
    """
    It changes functions, so it gives back what they had; an owner too.
    """
    paying().create_all(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql(
            'REVOKE EXECUTE ON FUNCTION "Shop"."Pay"(integer) FROM PUBLIC; '
            f'ALTER FUNCTION "Shop"."Pay"(integer) OWNER TO {role}'
        )
    before = asked(engine, FUNCTION)
    paying(returns="bigint").create_all(engine)
    assert asked(engine, FUNCTION) == before


def test_default_privileges_do_not_open_what_was_closed(
    engine: sa.Engine, alembic_env: MigrationEnvironment, role: str
) -> None:
    """
    A new view and a new function get them; one that is made anew has what it had.
    """
    with engine.begin() as connection:
        for what in ("SELECT ON TABLES", "EXECUTE ON FUNCTIONS"):
            connection.exec_driver_sql(f"ALTER DEFAULT PRIVILEGES GRANT {what} TO {role}")
    for metadata in (first := shown("id, a, b"), second := shown("a, b")):
        declare(
            metadata,
            Function(
                name="Pay",
                schema="Shop",
                arguments="a integer",
                returns="integer" if metadata is first else "bigint",
                body="begin return 1; end",
            ),
        )
    first.create_all(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql(
            f'REVOKE ALL ON "Shop"."V" FROM {role}; GRANT INSERT ON "Shop"."V" TO {role}; '
            f'REVOKE ALL ON FUNCTION "Shop"."Pay"(integer) FROM {role}'
        )
    before = asked(engine, VIEW), asked(engine, FUNCTION)
    with engine.begin() as connection:
        found = plan.check(connection, second)
        plan.apply(found, connection)
        assert not plan.check(connection, second)
    assert (asked(engine, VIEW), asked(engine, FUNCTION)) == before


def test_default_privileges_of_another_database_are_left_alone(
    engine: sa.Engine, role: str
) -> None:
    """
    A migration is written where a role has no default, and run where it has one.
    """
    shown("id, a, b").create_all(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql('GRANT SELECT ON "Shop"."V" TO PUBLIC')  # a decision
        written = plan.check(connection, shown("a, b"))
        connection.exec_driver_sql(f"ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO {role}")
        plan.apply(written, connection)
        connection.exec_driver_sql('REVOKE ALL ON "Shop"."V" FROM PUBLIC')
        may = f"SELECT has_table_privilege('{role}', '\"Shop\".\"V\"', 'SELECT')"
        assert connection.exec_driver_sql(may).scalar_one()


def test_what_an_owner_took_from_himself_stays_away(
    engine: sa.Engine, alembic_env: MigrationEnvironment, role: str
) -> None:
    """
    A view that nobody writes to; grants on columns, and those that may be passed on.
    """
    alembic_env.configure(include_schemas=True)
    alembic_env.autogenerate(metadata=shown("id, a, b"))
    alembic_env.upgrade()
    with engine.begin() as connection:
        connection.exec_driver_sql(
            'REVOKE INSERT, UPDATE, DELETE ON "Shop".w FROM CURRENT_USER; '
            f'GRANT SELECT ON "Shop".w TO {role} WITH GRANT OPTION; '
            f'GRANT SELECT (a) ON "Shop"."V" TO {role}; ALTER VIEW "Shop"."V" OWNER TO {role}; '
            f'REVOKE INSERT ON "Shop"."V" FROM {role}'
        )
    before = asked(engine, VIEW)
    alembic_env.autogenerate("fewer", metadata=shown("a, b"))
    alembic_env.upgrade()
    assert asked(engine, VIEW) == before
    alembic_env.downgrade("-1")
    assert asked(engine, VIEW) == before


def test_nothing_is_said_where_nothing_was_decided() -> None:
    """
    The script of an ordinary rebuild stays as short as it was.
    """
    assert list(Rights().given("VIEW", "v")) == []
    assert list(Rights(owner="o").given("FUNCTION", "f(a integer)")) == [
        "ALTER FUNCTION f(a integer) OWNER TO o"
    ]


def test_a_view_with_another_collation_is_made_anew(
    engine: sa.Engine, alembic_env: MigrationEnvironment, role: str
) -> None:
    """
    CREATE OR REPLACE refuses to change the collation of a column.
    """
    alembic_env.configure(include_schemas=True)
    alembic_env.autogenerate(metadata=shown("id, a"))
    alembic_env.upgrade()
    changed = shown('id, a COLLATE "C" AS a')
    alembic_env.autogenerate("collation", metadata=changed)
    alembic_env.upgrade()
    assert alembic_env.autogenerate("again", metadata=changed).empty
    alembic_env.downgrade("-1")
