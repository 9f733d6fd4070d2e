"""
While a plaintext is being replaced: the plaintext that is read is that of the very row.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
import sqlalchemy as sa

from pgultra.errors import EncryptionError
from pgultra.features.encryption import Encrypted
from tests.features.encryption.models import RING


@pytest.fixture
def person(connection: sa.Connection) -> sa.Table:
    """
    A boss, and somebody who works for him; nobody's address is sealed yet.
    """
    metadata = sa.MetaData(schema="Sales")
    table = sa.Table(
        "Person",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("boss", sa.Integer),
        sa.Column("tenant", sa.Integer),
        sa.Column("the Mail", sa.Text, key="plain"),
        sa.Column("email", Encrypted(sa.String, RING, dual="plain")),
        sa.Column("iban", Encrypted(sa.String, RING, context="tenant")),
    )
    connection.exec_driver_sql('CREATE SCHEMA "Sales"')
    metadata.create_all(connection)
    rows: list[dict[str, Any]] = [
        {"id": 1, "boss": None, "tenant": 1, "plain": "boss", "email": None, "iban": "b"},
        {"id": 2, "boss": 1, "tenant": 2, "plain": "worker", "email": None, "iban": "w"},
    ]

    connection.execute(table.insert(), rows)
    return table


def joined(person: sa.Table, *columns: Any) -> Any:
    """
    A subquery over a worker and the boss.
    """
    worker, boss = person.alias("worker"), person.alias("boss")
    chosen = [
        {"w": worker, "b": boss}[name[0]].c[name[2:]].label(name.replace(".", "_"))
        for name in columns
    ]
    joined = worker.join(boss, worker.c.boss == boss.c.id)
    return sa.select(*chosen).select_from(joined).subquery()


@pytest.mark.parametrize(
    "columns",
    [
        ("w.plain", "w.email", "b.plain", "b.email"),
        ("b.plain", "b.email", "w.plain", "w.email"),
        ("b.plain", "w.plain", "w.email", "b.email"),
    ],
)
def test_two_rows_of_one_table(
    connection: sa.Connection, person: sa.Table, columns: tuple[str, ...]
) -> None:
    """
    In a subquery over a table and itself, each value is read with its own row's plaintext.
    """
    both = joined(person, *columns)
    row = connection.execute(sa.select(both.c.w_email, both.c.b_email)).one()
    assert row == ("worker", "boss")


def test_contexts_of_two_rows_of_one_table(connection: sa.Connection, person: sa.Table) -> None:
    """
    The same holds for a context.
    """
    both = joined(person, "b.tenant", "b.iban", "w.tenant", "w.iban")
    assert connection.execute(sa.select(both.c.w_iban, both.c.b_iban)).one() == ("w", "b")


@pytest.mark.parametrize("columns", [("w.id", "w.email", "b.plain"), ("b.tenant", "w.iban")])
def test_a_subquery_without_the_plaintext_of_the_row(
    connection: sa.Connection, person: sa.Table, columns: tuple[str, ...]
) -> None:
    """
    Another row's column of the same name is not taken for it: that raises.
    """
    both = joined(person, *columns)
    wanted = next(each for each in both.c if each.name in ("w_email", "w_iban"))
    with pytest.raises(EncryptionError, match="lost them"):
        connection.execute(sa.select(wanted)).all()


def test_a_union_within_a_subquery(connection: sa.Connection, person: sa.Table) -> None:
    """
    Where all of its queries have the columns, the rows are read.
    """
    other = person.alias()
    both = sa.union_all(
        sa.select(person).where(person.c.id == 1), sa.select(other).where(other.c.id == 2)
    ).subquery()
    found = connection.execute(sa.select(both.c.email, both.c.iban).order_by(both.c.id)).all()
    assert found == [("boss", "b"), ("worker", "w")]


VALUES: dict[str, tuple[Any, Any]] = {
    "date": (sa.Date(), dt.date(2026, 3, 4)),
    "timestamp": (sa.DateTime(), dt.datetime(2026, 3, 4, 5, 6, 7, 890)),  # noqa: DTZ001  # without a zone
    "with zone": (
        sa.DateTime(timezone=True),
        dt.datetime(2026, 3, 4, 5, 6, tzinfo=dt.UTC),
    ),
}


@pytest.mark.parametrize("style", ["ISO", "German", "SQL, DMY", "Postgres, MDY"])
@pytest.mark.parametrize("kind", VALUES)
def test_dates_in_any_style(connection: sa.Connection, style: str, kind: str) -> None:
    """
    The session's ``DateStyle`` is nothing to the plaintext.
    """
    type_, value = VALUES[kind]
    table = sa.Table(
        "event",
        sa.MetaData(),
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("plain", type_),
        sa.Column("sealed", Encrypted(type_, RING, dual="plain")),
    )
    table.metadata.create_all(connection)
    connection.execute(table.insert().values(plain=value))
    connection.exec_driver_sql(f"SET LOCAL datestyle = '{style}'")
    connection.exec_driver_sql("SET LOCAL timezone = 'Asia/Kathmandu'")
    assert connection.scalar(sa.select(table.c.sealed)) == value


def test_a_plaintext_that_does_not_fit_is_not_told(connection: sa.Connection) -> None:
    """
    The error names the column, and not what stands there.
    """
    table = sa.Table(
        "event",
        sa.MetaData(),
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("plain", sa.Text),
        sa.Column("sealed", Encrypted(sa.Date, RING, dual="plain")),
    )
    table.metadata.create_all(connection)
    connection.execute(table.insert().values(plain="a secret"))
    with pytest.raises(EncryptionError, match=r"event\.sealed") as raised:
        connection.scalar(sa.select(table.c.sealed))
    assert "secret" not in str(raised.value)
    assert raised.value.__cause__ is None
    assert raised.value.__context__ is None
