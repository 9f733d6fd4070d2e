"""
What rotation and adoption do to a host's rows: all of them, and nothing else about them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from pgultra.errors import EncryptionError
from pgultra.features.encryption import (
    Encrypted,
    Equality,
    KeyRing,
    adopt,
    key_usage,
    rekey,
    rotate,
    verify,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fixtures.database import Database

ROOTS = {1: bytes(range(32)), 2: bytes(range(50, 82))}
OLD = KeyRing("test_all_rows_old", {1: ROOTS[1]})
NEW = KeyRing("test_all_rows_new", ROOTS)


def person(ring: KeyRing, **more: Any) -> sa.Table:
    """
    Give a table that notes who changed a row, in a schema with capitals.
    """
    return sa.Table(
        "Person",
        sa.MetaData(),
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("plain", sa.String),
        sa.Column("email", Encrypted(sa.String, ring, search=Equality(), **more)),
        sa.Column("changed", sa.Integer, default=0, onupdate=1),
        schema="Shop",
    )


def made(engine: sa.Engine, rows: list[dict[str, Any]]) -> None:
    table = person(OLD)
    with engine.begin() as connection:
        connection.exec_driver_sql('CREATE SCHEMA "Shop"')
        table.metadata.create_all(connection)
        connection.execute(table.insert(), rows)


def test_nothing_else_of_a_row_changes(engine: sa.Engine) -> None:
    """
    A key rotation is no change of the row: what the host keeps by onupdate= stays.
    """
    made(engine, [{"id": 1, "plain": "x", "email": "a"}, {"id": 2, "plain": "y", "email": None}])
    dual, moved = person(NEW, dual="plain"), person(NEW)
    with engine.connect() as connection:
        assert rotate(connection, moved.c.email).done == 1
        assert adopt(connection, dual.c.email).done == 1
        rows = connection.execute(sa.select(dual.c.email, dual.c.changed).order_by(dual.c.id))
        assert rows.all() == [("a", 0), ("y", 0)]


@pytest.mark.parametrize("act", [key_usage, rotate, rekey, adopt, verify])
def test_rows_that_a_policy_hides_are_not_passed_over(
    engine: sa.Engine, database: Database, owner: tuple[str, str], act: Callable[..., Any]
) -> None:
    """
    A key that is retired, or a plain column that goes, would take their values along.
    """
    made(engine, [{"id": 1, "plain": "x", "email": "a"}])
    table = person(NEW, dual="plain")
    with engine.begin() as connection:
        for statement in (
            f'GRANT USAGE ON SCHEMA "Shop" TO {owner[0]}',
            f'ALTER TABLE "Shop"."Person" OWNER TO {owner[0]}',
            'ALTER TABLE "Shop"."Person" ENABLE ROW LEVEL SECURITY',
            'ALTER TABLE "Shop"."Person" FORCE ROW LEVEL SECURITY',
        ):
            connection.exec_driver_sql(statement)
    engine = database.engine(url=engine.url.set(username=owner[0], password=owner[1]))
    with engine.connect() as connection:
        with pytest.raises(EncryptionError, match="NO FORCE ROW LEVEL SECURITY"):
            act(connection, table.c.email)
        connection.rollback()
        connection.exec_driver_sql('ALTER TABLE "Shop"."Person" NO FORCE ROW LEVEL SECURITY')
        connection.commit()
        act(connection, table.c.email)


@pytest.mark.parametrize("tenant", ["a", "b"])
def test_the_rows_of_a_translated_schema(engine: sa.Engine, tenant: str) -> None:
    """
    What is read there is written there, and not into the rows of the same keys beside it.
    """

    def account(ring: KeyRing, **more: Any) -> sa.Table:
        return sa.Table(
            "account",
            sa.MetaData(),
            sa.Column("id", sa.Integer, primary_key=True),
            sa.Column("plain", sa.String),
            sa.Column("sealed", Encrypted(sa.String, ring, **more)),
        )

    table = account(OLD)
    with engine.connect() as connection:
        for schema in "ab":
            connection.exec_driver_sql(f"CREATE SCHEMA {schema}")
            connection.execution_options(schema_translate_map={None: schema})
            table.metadata.create_all(connection)
            connection.execute(
                table.insert(),
                [
                    {"id": 1, "plain": schema, "sealed": schema},
                    {"id": 2, "plain": schema, "sealed": None},
                ],
            )
        connection.execution_options(schema_translate_map={None: tenant})
        connection.commit()
        assert rotate(connection, account(NEW).c.sealed).complete
        dual = account(NEW, dual="plain")
        assert adopt(connection, dual.c.sealed).complete
        sealed = {
            schema: connection.exec_driver_sql(
                f"SELECT substr(sealed, 3, 4) FROM {schema}.account ORDER BY id"
            )
            .scalars()
            .all()
            for schema in "ab"
        }
        other = "b" if tenant == "a" else "a"
        assert sealed[tenant] == [b"\x00\x00\x00\x02"] * 2
        assert sealed[other] == [b"\x00\x00\x00\x01", None]
