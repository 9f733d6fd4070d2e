"""
Functions stand on the right side of tables, types and views, at every door.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from alembic.ddl.postgresql import PostgresqlImpl
from sqlalchemy.dialects import postgresql

from pgultra import Function, Schema, Trigger, View, declare, plan
from pgultra.plan.script import script

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.fixtures.alembic import MigrationEnvironment

    Door = Callable[[sa.MetaData], None]

pytestmark = pytest.mark.parametrize("door", ["create_all", "alembic", "script"], indirect=True)

NOTHING = "begin return new; end"


@pytest.fixture
def door(
    request: pytest.FixtureRequest, engine: sa.Engine, alembic_env: MigrationEnvironment
) -> Iterator[Door]:
    """
    Makes everything and checks it, and takes it back in the end, where the door can.
    """
    back: list[Callable[[], Any]] = []

    def run(metadata: sa.MetaData) -> None:
        if request.param == "create_all":
            metadata.create_all(engine)
            back.append(lambda: metadata.drop_all(engine))
        elif request.param == "alembic":
            alembic_env.autogenerate("one", metadata=metadata)
            alembic_env.upgrade()
            if not sa.inspect(
                engine
            ).get_domains():  # Alembic drops no type, and a domain holds the function that it calls
                back.append(alembic_env.downgrade)
        else:
            _executed(engine, "".join(f"{statement};\n" for statement in script(metadata)))
        with engine.connect() as connection:
            assert not plan.check(connection, metadata)

    yield run
    for act in back:
        act()
    with engine.connect() as connection:
        found = sa.inspect(connection)
        assert not back or set(found.get_table_names()) <= {"alembic_version"}


def _executed(engine: sa.Engine, text: str) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql(text.replace("%", "%%"))


def articles(*more: Any, name: str = "article") -> sa.MetaData:
    metadata = sa.MetaData()
    sa.Table(name, metadata, sa.Column("id", sa.Integer, primary_key=True), *more)
    return metadata


@pytest.mark.parametrize(
    "body",
    [
        f"DECLARE r article%rowtype; {NOTHING}",
        f"declare x article.id%TYPE; {NOTHING}",
        "begin declare x ARTICLE; begin return new; end; end",
        'declare x "Big$Word"."id"%type; begin return new; end',
    ],
)
def test_a_declared_variable_of_a_table(door: Door, body: str) -> None:
    """
    PostgreSQL looks at the table when it makes the trigger's function.
    """
    metadata = articles(name="Big$Word" if "Big" in body else "article")
    (table,) = metadata.tables.values()
    declare(
        table,
        Function(name="f", body=body),
        Trigger(name="g", table=table.name, timing="BEFORE", events=("INSERT",), function="f"),
    )
    door(metadata)


def test_an_argument_of_an_enum(door: Door) -> None:
    """
    The type is made with the table that uses it.
    """
    metadata = articles(sa.Column("mood", sa.Enum("a", "b", name="mood")))
    body = "begin return 1; end"
    declare(metadata, Function(name="f", arguments="m mood", returns="integer", body=body))
    door(metadata)


@pytest.mark.parametrize(
    "options",
    [
        {"language": "SQL", "body": "select count(*)::int from article"},
        {"language": "sql", "body": "SELECT COUNT(*)::INT FROM ARTICLE"},
        {"language": "sql", "body": "-- the author's\nselect max(id) from article -- it's all"},
        {"language": "sql", "body": "/* a 'b */ select max(id) from article -- $$"},
        {"returns": "SETOF Article", "body": "begin return; end"},
    ],
)
def test_words_as_postgresql_reads_them(door: Door, options: dict[str, str]) -> None:
    """
    In any case, beside comments, whatever the language's spelling.
    """
    metadata = articles()
    declare(metadata, Function(name="f", **{"returns": "integer", **options}))
    door(metadata)


@pytest.mark.parametrize(
    ("base", "query"),
    [
        ("base$v", "select * from base$v"),
        ("base_v", "SELECT * FROM BASE_V"),
        ("Base", 'select id, $$ "x $$ as x from "Base"'),
        ("base_v", "-- it's\nselect * from base_v -- what's"),
    ],
)
def test_a_view_on_a_view(door: Door, base: str, query: str) -> None:
    """
    The one that is named comes first, also where its name comes last.
    """
    metadata = articles()
    declare(
        metadata,
        View(name="A_top", query=query),
        View(name=base, query="select id from article"),
    )
    door(metadata)


def test_a_function_that_tables_call_in_every_place(
    door: Door, request: pytest.FixtureRequest
) -> None:
    """
    In an exclusion, in PARTITION BY and in a domain's check, also over another function.
    """
    by_alembic = request.node.callspec.params["door"] == "alembic"
    domain: sa.types.TypeEngine[str] = postgresql.DOMAIN(
        "filled_text", sa.Text, check='"Okay"(VALUE)'
    )
    if by_alembic and not hasattr(PostgresqlImpl, "_render_DOMAIN_type"):
        domain = sa.Text()  # Alembic before 1.20 writes a domain that does not run
    metadata = sa.MetaData()
    sql = {"language": "sql", "volatility": "immutable"}
    declare(
        metadata,
        Function(name="Okay", arguments="a text", returns="boolean", body="select a <> ''", **sql),
        Function(
            name="tenth",
            arguments="a integer",
            returns="integer",
            body="begin return divided(a, 10); end",
            volatility="immutable",
        ),
        Function(
            name="divided",
            arguments="a integer, b integer",
            returns="integer",
            body="select a / b",
            **sql,
        ),
    )
    sa.Table(
        "filled",
        metadata,
        sa.Column("a", domain),
        sa.Column("n", sa.Integer),
        postgresql.ExcludeConstraint((sa.text("tenth(n)"), "="), name="x", using="btree"),
    )
    sa.Table(
        "parted", metadata, sa.Column("n", sa.Integer), postgresql_partition_by="RANGE (tenth(n))"
    )
    door(metadata)


def test_a_function_between_two_tables(door: Door, engine: sa.Engine) -> None:
    """
    A default of the one reads the other, which is made later: the body is not checked then.
    """
    metadata = articles(
        sa.Column("n", sa.Integer, server_default=sa.text("next_n()")), name="a_first"
    )
    sa.Table("b_setting", metadata, sa.Column("n", sa.Integer))
    body = "select max(n) + 1 from b_setting"
    declare(metadata, Function(name="next_n", returns="integer", language="sql", body=body))
    door(metadata)
    with engine.begin() as connection:
        connection.exec_driver_sql("INSERT INTO b_setting VALUES (41)")
        connection.exec_driver_sql("INSERT INTO a_first (id) VALUES (1)")
        assert connection.exec_driver_sql("SELECT n FROM a_first").scalar() == 42
        assert connection.exec_driver_sql("SHOW check_function_bodies").scalar() == "on"


def test_in_a_schema_of_its_own(door: Door) -> None:
    """
    The schema first, the table, the function that reads it, and the trigger.
    """
    metadata = sa.MetaData()
    table = sa.Table("Item", metadata, sa.Column("id", sa.Integer), schema="Shop")
    body = f'declare r "Shop"."Item"%rowtype; {NOTHING}'
    declare(metadata, Schema(name="Shop"))
    declare(
        table,
        Function(name="f", schema="Shop", body=body),
        Trigger(
            name="g",
            table="Item",
            schema="Shop",
            timing="BEFORE",
            events=("INSERT",),
            function="f",
        ),
    )
    door(metadata)
