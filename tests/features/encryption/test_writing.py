"""
Each row that is written gets the context of its own row, in a schema with names to be quoted.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from pgultra.errors import EncryptionError
from pgultra.features.encryption import Encrypted, EncryptedColumn
from tests.features.encryption.models import RING

if TYPE_CHECKING:
    from collections.abc import Callable


class Base(DeclarativeBase):
    metadata = sa.MetaData(schema="Sales")


class Account(Base):
    __tablename__ = "Account"

    id: Mapped[int] = mapped_column("Id", primary_key=True, autoincrement=False)
    tenant: Mapped[int | None] = mapped_column("Tenant Id")
    note: Mapped[str | None]
    iban: Mapped[str | None] = EncryptedColumn(
        sa.String, keys=RING, context="tenant", name="The IBAN"
    )


account: Any = Account.__table__
ID, TENANT, IBAN = account.c["Id"], account.c["Tenant Id"], account.c["The IBAN"]
bind = sa.bindparam
THREE = (1, 2, 3)


@pytest.fixture
def rows(connection: sa.Connection) -> sa.Connection:
    """
    Three accounts of three tenants.
    """
    connection.exec_driver_sql('CREATE SCHEMA "Sales"')
    Base.metadata.create_all(connection)
    connection.execute(
        account.insert(), [{"Id": n, "Tenant Id": n, "The IBAN": f"old{n}"} for n in THREE]
    )
    return connection


def ibans(connection: sa.Connection) -> list[str | None]:
    """
    Read them, each in its row.
    """
    return list(connection.scalars(sa.select(IBAN).order_by(ID)))


def update_parameters(connection: sa.Connection) -> None:
    connection.execute(
        sa.update(account).where(bind("i") == ID, bind("t") == TENANT).values({IBAN: bind("v")}),
        [{"i": n, "t": n, "v": f"new{n}"} for n in THREE],
    )


def update_ordered(connection: sa.Connection) -> None:
    statement = sa.update(account).where(bind("t") == TENANT)
    connection.execute(
        statement.ordered_values((account.c.note, "n"), (IBAN, bind("v"))),
        [{"t": n, "v": f"new{n}"} for n in THREE],
    )


def insert_parameters(connection: sa.Connection) -> None:
    connection.execute(account.delete())
    names: dict[Any, Any] = {ID: bind("i"), TENANT: bind("t"), IBAN: bind("v")}
    connection.execute(
        account.insert().values(names), [{"i": n, "t": n, "v": f"new{n}"} for n in THREE]
    )


def insert_returning(connection: sa.Connection) -> None:
    connection.execute(account.delete())
    names: dict[Any, Any] = {TENANT: bind("t"), IBAN: bind("v")}
    returned = connection.execute(
        account.insert().values(names).returning(IBAN, sort_by_parameter_order=True),
        [{"Id": n, "t": n, "v": f"new{n}"} for n in THREE],
    )
    assert returned.scalars().all() == ["new1", "new2", "new3"]


@pytest.mark.parametrize(
    "write", [update_parameters, update_ordered, insert_parameters, insert_returning]
)
def test_each_row_gets_its_own_value(
    rows: sa.Connection, write: Callable[[sa.Connection], None]
) -> None:
    """
    Many rows with values behind parameters: the last one's value is not everybody's.
    """
    write(rows)
    assert ibans(rows) == ["new1", "new2", "new3"]


def test_one_value_is_sealed_for_each_row(rows: sa.Connection) -> None:
    """
    What the statement has for all of them is sealed for every row's own context.
    """
    rows.execute(
        sa.update(account).where(bind("t") == TENANT).values({IBAN: "all"}),
        [{"t": n} for n in THREE],
    )
    assert ibans(rows) == ["all"] * 3
    rows.execute(
        account.insert().values({IBAN: "more"}), [{"Id": n, "Tenant Id": n} for n in (4, 5)]
    )
    assert ibans(rows) == ["all"] * 3 + ["more"] * 2


def test_null_beside_values(rows: sa.Connection) -> None:
    """
    A row without a value among rows with one stays without.
    """
    rows.execute(
        sa.update(account).where(bind("t") == TENANT).values({IBAN: bind("v")}),
        [{"t": n, "v": None if n == 2 else f"new{n}"} for n in THREE],
    )
    assert ibans(rows) == ["new1", None, "new3"]


def test_a_context_that_is_null(rows: sa.Connection) -> None:
    """
    NULL is told by values and by WHERE as well.
    """
    one = sa.update(account).where(ID == 1)
    rows.execute(one.values({IBAN: "a", TENANT: sa.null()}))
    assert ibans(rows)[0] == "a"
    rows.execute(one.where(TENANT.is_(None)).values({IBAN: "b"}))
    assert ibans(rows)[0] == "b"


def test_attributes_whose_columns_have_other_names(rows: sa.Connection) -> None:
    """
    A statement that names attributes is read as one that names their columns.
    """
    with Session(rows, join_transaction_mode="create_savepoint") as session:
        session.execute(sa.update(Account).where(Account.tenant == 1).values(iban="new"))
        session.execute(sa.insert(Account).values(id=4, tenant=4, iban="four"))
        with pytest.raises(EncryptionError, match="must write the encrypted value too"):
            session.execute(sa.update(Account).where(Account.id == 2).values(tenant=9))
        session.commit()
    assert ibans(rows) == ["new", "old2", "old3", "four"]


def test_writes_within_a_query_are_looked_at(rows: sa.Connection) -> None:
    """
    A CTE that moves a context, or writes SQL into an encrypted column, is refused.
    """
    moving = sa.update(account).where(ID == 1).values({TENANT: 9}).returning(ID).cte()
    with pytest.raises(EncryptionError, match="must write the encrypted value too"):
        rows.execute(sa.select(moving))
    other = sa.select(moving.c["Id"])
    with pytest.raises(EncryptionError, match="must write the encrypted value too"):
        rows.execute(sa.delete(account).where(ID.in_(other)))
    inserting = account.insert().values({ID: 4, TENANT: 4, IBAN: "x"}).returning(ID).cte()
    with pytest.raises(EncryptionError, match="does not tell"):
        rows.execute(sa.select(inserting))
    harmless = sa.update(account).where(ID == 1).values(note="n").returning(ID).cte()
    assert rows.execute(sa.select(harmless)).scalars().all() == [1]
    assert ibans(rows) == ["old1", "old2", "old3"]


def conflict(**written: Any) -> Any:
    """
    An INSERT of another tenant's row, which updates the one that is there.
    """
    names = {"tenant": "Tenant Id", "iban": "The IBAN"}
    statement = upsert(account).values({ID: 1, TENANT: 7, IBAN: "seven"})
    return statement.on_conflict_do_update(
        index_elements=[ID],
        set_={
            names[name]: statement.excluded[names[name]] if value == "excluded" else value
            for name, value in written.items()
        },
    )


@pytest.mark.parametrize(
    "written",
    [
        {"tenant": "excluded"},
        {"tenant": 5, "iban": "excluded"},
        {"tenant": TENANT, "iban": "excluded"},
        {"iban": "excluded"},
    ],
)
def test_on_conflict_takes_value_and_context_from_one_row(
    rows: sa.Connection, written: dict[str, Any]
) -> None:
    """
    Without the other, or with another context, the row that stays would not open.
    """
    with pytest.raises(EncryptionError, match="ON CONFLICT DO UPDATE"):
        rows.execute(conflict(**written))
    rows.execute(conflict(tenant="excluded", iban="excluded"))
    assert ibans(rows) == ["seven", "old2", "old3"]


def test_on_conflict_may_remove_the_value(rows: sa.Connection) -> None:
    """
    NULL has no context.
    """
    rows.execute(conflict(tenant="excluded", iban=sa.null()))
    assert ibans(rows) == [None, "old2", "old3"]


def table(*columns: sa.Column[Any]) -> sa.Table:
    """
    A small table of its own.
    """
    key = sa.Column("id", sa.Integer, primary_key=True, autoincrement=False)
    return sa.Table("small", sa.MetaData(), key, *columns)


@pytest.mark.parametrize("turned", [False, True])
def test_a_default_is_taken_once(connection: sa.Connection, turned: bool) -> None:
    """
    Rows with and without a value, in either order: what is sealed for is what is stored.
    """
    small = table(
        sa.Column("tenant", sa.Uuid, default=uuid.uuid4),
        sa.Column("iban", Encrypted(sa.String, RING, context="tenant")),
    )
    small.metadata.create_all(connection)
    given: list[dict[str, Any]] = [{"id": 1, "iban": None}, {"id": 2, "iban": "x"}]
    connection.execute(small.insert(), given[::-1] if turned else given)
    connection.execute(small.insert().values([{"id": 3, "iban": None}, {"id": 4, "iban": "y"}]))
    found = connection.scalars(sa.select(small.c.iban).order_by(small.c.id)).all()
    assert found == [None, "x", None, "y"]


def test_a_default_of_the_value_itself(connection: sa.Connection) -> None:
    """
    It is sealed for its row, by every form of INSERT.
    """
    small = table(
        sa.Column("tenant", sa.Integer),
        sa.Column("iban", Encrypted(sa.String, RING, context="tenant"), default="none"),
    )
    small.metadata.create_all(connection)
    connection.execute(small.insert().values(id=1, tenant=1))
    connection.execute(small.insert(), [{"id": 2, "tenant": 2}, {"id": 3, "tenant": 3}])
    connection.execute(small.insert().values([{"id": 4, "tenant": 4}, {"id": 5, "tenant": 5}]))
    assert connection.scalars(sa.select(small.c.iban)).all() == ["none"] * 5


def test_a_default_that_asks_for_the_statement(connection: sa.Connection) -> None:
    """
    It cannot be taken before the statement runs, and the error says what to do.
    """
    small = table(
        sa.Column("tenant", sa.Integer, default=lambda now: now.get_current_parameters()["id"]),
        sa.Column("iban", Encrypted(sa.String, RING, context="tenant")),
    )
    small.metadata.create_all(connection)
    with pytest.raises(EncryptionError, match="put it among the values"):
        connection.execute(small.insert().values(id=1, iban="x"))
    connection.execute(small.insert().values(id=1))
    connection.execute(small.insert().values(id=2, tenant=2, iban="x"))
    assert connection.scalars(sa.select(small.c.iban).order_by(small.c.id)).all() == [None, "x"]


def test_a_context_that_every_update_changes(connection: sa.Connection) -> None:
    """
    With ``onupdate=`` an UPDATE must say both the context and the value.
    """
    small = table(
        sa.Column("note", sa.Text),
        sa.Column("version", sa.Integer, default=1, onupdate=2),
        sa.Column("iban", Encrypted(sa.String, RING, context="version")),
    )
    small.metadata.create_all(connection)
    connection.execute(small.insert().values(id=1, iban="x"))
    one = sa.update(small).where(small.c.id == 1, small.c.version == 1)
    with pytest.raises(EncryptionError, match="must write the encrypted value too"):
        connection.execute(one.values(note="n"))
    with pytest.raises(EncryptionError, match="does not tell"):
        connection.execute(one.values(iban="y"))
    connection.execute(one.values(version=3, iban="y"))
    assert connection.scalars(sa.select(small.c.iban)).all() == ["y"]
