"""
A table of orders in a schema of its own, as tests convert it.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from pgultra import declare
from pgultra.features.partitions import ByRange
from pgultra.sql import qualified
from tests.features.partitions.conversion.belongings import run

if TYPE_CHECKING:
    from collections.abc import Iterator

SCHEMA = 'The "Shop"'
ORDER = qualified(SCHEMA, "Order")
OLD = qualified(SCHEMA, "Order_partitions_old")
NEW = qualified(SCHEMA, "Order_partitions_new")
FEBRUARY = qualified(SCHEMA, "Order_2026_02")
ROWS = 300


def orders(engine: sa.Engine, *more: str, columns: str = "id bigint PRIMARY KEY") -> None:
    """
    Make the table, with rows from January to April of 2026.
    """
    with engine.begin() as connection:
        run(
            connection,
            f"CREATE SCHEMA {qualified(None, SCHEMA)}",
            f"CREATE TABLE {ORDER} ({columns}, at timestamptz NOT NULL, note text)",
            f"INSERT INTO {ORDER} (at, note) OVERRIDING SYSTEM VALUE "
            f"SELECT '2026-01-01Z'::timestamptz + n * interval '8 hours', 'n' || n "
            f"FROM generate_series(1, {ROWS}) AS n"
            if "IDENTITY" in columns
            else f"INSERT INTO {ORDER} (id, at, note) "
            f"SELECT n, '2026-01-01Z'::timestamptz + n * interval '8 hours', 'n' || n "
            f"FROM generate_series(1, {ROWS}) AS n",
            *more,
        )


def order(*more: Any, rules: Any = None, metadata: sa.MetaData | None = None) -> sa.Table:
    """
    The model of it, divided by month.
    """
    table = sa.Table(
        "Order",
        sa.MetaData() if metadata is None else metadata,
        sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("at", sa.DateTime(timezone=True), primary_key=True),
        sa.Column("note", sa.Text),
        *more,
        schema=SCHEMA,
    )
    declare(table, rules or ByRange("at", every="1 month"))
    return table


def do(engine: sa.Engine, *texts: str) -> None:
    """
    Run statements in a transaction of their own.
    """
    with engine.begin() as connection:
        run(connection, *texts)


def asked(engine: sa.Engine, text: str, role: str | None = None) -> Any:
    """
    One value, as a role sees it.
    """
    with engine.connect() as connection:
        if role is not None:
            run(connection, f"SET LOCAL ROLE {role}")
        return run(connection, text).scalar()


@contextmanager
def role(engine: sa.Engine, name: str) -> Iterator[str]:
    """
    A role that nothing is left of; roles are the server's, so that its name carries the database's.
    """
    name = f"{name}_{engine.url.database}"
    do(engine, f'CREATE ROLE "{name}"')
    try:
        yield f'"{name}"'
    finally:
        do(engine, f'DROP OWNED BY "{name}" CASCADE', f'DROP ROLE "{name}"')
