from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from pgultra import DeclarationError, Function, Schema, Trigger, View, declare, plan
from pgultra.objects import Identity

if TYPE_CHECKING:
    from tests.fixtures.database import Database


def shop(*names: str, schema: str | None = None, application: str = "default") -> sa.MetaData:
    metadata = sa.MetaData(info={"pgultra.app": application})
    for name in names or ("item",):
        table = sa.Table(
            name, metadata, sa.Column("id", sa.Integer, primary_key=True), schema=schema
        )
        declare(
            table,
            Function(name="f", schema=schema, body="begin return new; end"),
            Trigger(
                name="t",
                table=name,
                schema=schema,
                timing="BEFORE",
                events=("INSERT",),
                function="f",
            ),
        )
    return metadata


def checked(engine: sa.Engine, *arguments: object, **options: object) -> list[str]:
    with engine.connect() as connection:
        found = plan.check(connection, *arguments, **options)
    return [*map(str, found), *found.conflicts]


def test_only_our_tables_are_judged(engine: sa.Engine) -> None:
    """
    Marked triggers of tables that this MetaData does not have are another one's affair.
    """
    shop("a", "b").create_all(engine)
    assert checked(engine, shop("a")) == []
    assert checked(engine, shop("a", "b")) == []
    assert checked(engine, [shop("a"), shop("b")]) == []


def test_tables_about_to_go_count_too(engine: sa.Engine) -> None:
    """
    Their triggers are dropped, and the function with its last user.
    """
    shop("a", "b").create_all(engine)
    assert checked(engine, shop("a"), dropped_tables=[(None, "b")]) == ["drop trigger t on b"]
    assert checked(engine, sa.MetaData(), dropped_tables=[(None, "a"), (None, "b")]) == [
        "drop trigger t on b",
        "drop trigger t on a",
        "drop function f()",
    ]


def test_a_declaration_that_is_gone_is_dropped(engine: sa.Engine) -> None:
    """
    Also when nothing at all is declared any more.
    """
    metadata = shop()
    metadata.create_all(engine)
    bare = sa.MetaData()
    sa.Table("item", bare, sa.Column("id", sa.Integer, primary_key=True))
    assert checked(engine, bare) == ["drop trigger t on item", "drop function f()"]


def test_applications_are_strangers_to_each_other(engine: sa.Engine) -> None:
    """
    The same names in one schema are a conflict; other names do not even show.
    """
    shop("a", application="one").create_all(engine)
    assert checked(engine, shop("b", application="three"))[-1].startswith(
        "function f(): it belongs"
    )
    assert checked(engine, sa.MetaData(info={"pgultra.app": "two"})) == []
    with pytest.raises(DeclarationError, match="different applications"):
        checked(engine, [shop("a", application="one"), shop("b", application="two")])


def test_a_comment_that_only_mentions_us_is_not_ours(engine: sa.Engine) -> None:
    """
    The mark is the last line, and names the application exactly.
    """
    with engine.begin() as connection:
        for number, comment in enumerate(
            (
                "see pgultra:default:declared",
                "pgultra:default:declared\nbut not the last line",
                "pgultra:default:declared\npgultra:other:declared",
                "pgultra:default_:declared",
                "pgultra:Default:declared",
            )
        ):
            connection.exec_driver_sql(f"CREATE VIEW v{number} AS SELECT 1 AS one")
            connection.exec_driver_sql(f"COMMENT ON VIEW v{number} IS '{comment}'")
        connection.exec_driver_sql("CREATE VIEW ours AS SELECT 1 AS one")
        connection.exec_driver_sql("COMMENT ON VIEW ours IS 'Mine.\npgultra:default:x  '")
    assert checked(engine, sa.MetaData()) == ["drop view ours"]


def test_schemas_limit_what_sits_on_no_table(engine: sa.Engine) -> None:
    """
    Functions and views of other schemas are left out; what is declared counts wherever it is.
    """
    metadata = shop(schema="one")
    declare(metadata, Schema(name="one"), View(name="v", schema="one", query="SELECT 1 AS one"))
    metadata.create_all(engine)
    assert checked(engine, sa.MetaData(), schemas=frozenset({"public"})) == ["drop schema one"]
    assert "drop view one.v" in checked(engine, sa.MetaData())
    assert checked(engine, metadata, schemas=frozenset()) == []


def test_altered_columns_are_told_by_their_table(engine: sa.Engine) -> None:
    """
    What stands on them is rebuilt.
    """
    metadata = shop()
    declare(metadata, View(name="v", query="SELECT id FROM item"))
    metadata.create_all(engine)
    altered = {Identity("table", None, "item"): frozenset({"id"})}
    assert checked(engine, metadata, altered=altered) == ["drop view v", "create view v"]


@pytest.mark.parametrize("path", ["mine,public", "public,mine"])
def test_none_is_where_the_path_finds_it(path: str, engine: sa.Engine, database: Database) -> None:
    """
    A schema for each tenant, chosen by search_path: each sees its own objects.
    """
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE SCHEMA mine")
    shop().create_all(engine)
    declared = shop("other")
    declare(declared, View(name="v", query="SELECT id FROM other"))
    tenant = database.engine(connect_args={"options": f"-csearch_path={path}"})
    assert checked(tenant, shop()) == []
    declared.create_all(tenant)
    assert checked(tenant, declared) == []
    with tenant.connect() as connection:
        where = connection.scalar(sa.text("SELECT to_regclass('v')::regclass::oid::regclass::text"))
    assert where == "v"


def test_the_plan_can_be_described(engine: sa.Engine) -> None:
    """
    It carries what it compared, and says nothing of drift when there is none.
    """
    with engine.connect() as connection:
        found = plan.check(connection, shop())
        assert set(found.sides.desired) == {step.identity for step in found}
        assert found.weaker == ()
        assert "sides" not in repr(found)
