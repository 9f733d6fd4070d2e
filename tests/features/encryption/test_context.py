from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import aliased

from pgultra.errors import DeclarationError, DecryptionError, EncryptionError
from pgultra.features.encryption import Encrypted
from tests.features.encryption.models import CUSTOMERS, RING, Account, Base, Parcel

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

ONE, TWO = uuid.UUID(int=1), uuid.UUID(int=2)
account = Account.__table__


@pytest.fixture
def rows(session: Session) -> Session:
    """
    Two accounts of two tenants.
    """
    session.add(Account(id=ONE, tenant=1, iban="one"))
    session.add(Account(id=TWO, tenant=2, iban="two"))
    session.flush()
    session.expire_all()
    return session


def ibans(session: Session) -> list[str | None]:
    """
    Read them, each in its row.
    """
    session.expire_all()
    return list(session.scalars(sa.select(Account.iban).order_by(Account.id)))


def test_the_unit_of_work_tells_the_context(rows: Session) -> None:
    """
    Inserts, updates, and changes of the context alone keep rows readable.
    """
    assert ibans(rows) == ["one", "two"]
    one = rows.get_one(Account, ONE)
    one.iban = "uno"
    rows.flush()
    assert ibans(rows) == ["uno", "two"]
    rows.get_one(Account, ONE).tenant = 7
    rows.flush()
    assert ibans(rows) == ["uno", "two"]
    moved = rows.get_one(Account, ONE)
    moved.id = uuid.UUID(int=0)
    rows.flush()
    assert ibans(rows) == ["uno", "two"]
    moved.iban = None
    rows.flush()
    assert ibans(rows) == [None, "two"]
    moved.tenant = 3
    rows.flush()
    assert ibans(rows) == [None, "two"]


def test_a_default_of_the_context_is_taken_before_sealing(session: Session) -> None:
    """
    A client-side key is known when the row is written, in the ORM and in Core.
    """
    session.add(Account(tenant=1, iban="orm"))
    session.flush()
    session.execute(sa.insert(Account).values(tenant=1, iban="values"))
    session.execute(
        sa.insert(Account), [{"tenant": 1, "iban": "bulk"}, {"tenant": 2, "iban": "b2"}]
    )
    session.execute(
        sa.insert(account).values([{"tenant": 1, "iban": "m"}, {"tenant": 1, "iban": None}])
    )
    found = set(session.scalars(sa.select(Account.iban)))
    assert found == {"orm", "values", "bulk", "b2", "m", None}


def test_ciphertexts_do_not_move(rows: Session) -> None:
    """
    Swapped between rows, or with a tenant changed behind our back, nothing opens.
    """
    other = "(SELECT o.iban FROM account o WHERE o.id <> account.id)"
    for change in (f"UPDATE account SET iban = {other}", "UPDATE account SET tenant = tenant + 1"):
        savepoint = rows.begin_nested()
        rows.execute(sa.text(change))
        with pytest.raises(DecryptionError):
            ibans(rows)
        savepoint.rollback()
    assert ibans(rows) == ["one", "two"]


def test_forms_of_reading_that_keep_the_context(rows: Session) -> None:
    """
    Labels, aliases, RETURNING, subqueries, CTEs and unions with the columns beside.
    """
    other = aliased(Account)
    everything = sa.select(Account).subquery()
    named = sa.select(Account).cte()
    statements: list[Any] = [
        sa.select(Account.iban.label("x")),
        sa.select(other.iban),
        sa.select(account.c.iban),
        sa.select(account.alias().c.iban),
        sa.select(everything.c.iban),
        sa.select(named.c.iban),
        sa.union_all(sa.select(Account.iban), sa.select(Account.iban).where(sa.false())),
        sa.select(other.iban).join(Account, Account.id == other.id),
        sa.update(Account).where(Account.tenant > 0).values(tenant=Account.tenant, iban=None)
        .returning(account.c.iban),
    ]  # fmt: skip
    for statement in statements[:-1]:
        assert sorted(rows.execute(statement).scalars()) == ["one", "two"]
    added = sa.insert(Account).values(tenant=3, iban="three").returning(Account.iban)
    assert rows.execute(added).scalar_one() == "three"


@pytest.mark.parametrize(
    "statement",
    [
        lambda: sa.select(sa.func.max(Account.iban)),
        lambda: sa.select(sa.select(Account.iban).subquery()),
        lambda: sa.select(sa.func.coalesce(Account.iban, Account.iban)),
        lambda: sa.text("SELECT iban FROM account").columns(iban=account.c.iban.type),
    ],
)
def test_forms_of_reading_that_lose_the_context(rows: Session, statement: Any) -> None:
    """
    They raise with the reason, and give no ciphertext.
    """
    with pytest.raises(EncryptionError, match="lost them"):
        rows.execute(statement()).all()


def test_updates_in_core(rows: Session) -> None:
    """
    The context is among the values, or in WHERE by ``==``.
    """
    for where in (
        [Account.id == ONE, Account.tenant == 1],
        [sa.and_(Account.tenant == 1, Account.id == ONE)],
    ):
        rows.execute(sa.update(Account).where(*where).values(iban="uno"))
        assert ibans(rows) == ["uno", "two"]
    rows.execute(sa.update(account).where(account.c.id == ONE).values(tenant=9, iban="nine"))
    assert ibans(rows) == ["nine", "two"]
    several = sa.update(account).where(account.c.id == sa.bindparam("key"))
    rows.connection().execute(
        several, [{"key": ONE, "tenant": 4, "iban": "4"}, {"key": TWO, "tenant": 5, "iban": "5"}]
    )
    assert ibans(rows) == ["4", "5"]
    rows.execute(sa.update(Account), [{"id": ONE, "tenant": 6, "iban": "6"}])
    assert ibans(rows) == ["6", "5"]
    rows.execute(sa.update(Account).values(iban=None))
    assert ibans(rows) == [None, None]


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        (lambda: sa.update(Account).values(iban="x"), "does not tell"),
        (lambda: sa.update(Account).where(Account.id == ONE).values(iban="x"), "tenant"),
        (
            lambda: sa.update(Account).where((Account.id == ONE) | (Account.tenant == 1))
            .values(iban="x"), "does not tell",
        ),
        (lambda: sa.update(Account).where(Account.id == ONE).values(tenant=5), "write the encry"),
        (
            lambda: sa.update(Account).where(Account.id == ONE)
            .values(tenant=Account.tenant, iban="x"), "does not tell",
        ),
        (
            lambda: sa.update(Account).where(Account.id == ONE, Account.tenant == 1)
            .values(iban=sa.func.upper("x")), "not SQL expressions",
        ),
        (
            lambda: sa.insert(account).from_select(["id", "iban"], sa.select(account.c.id, account.c.iban)),
            "INSERT FROM SELECT",
        ),
        (
            lambda: (upsert := insert(account).values(id=ONE, tenant=1, iban="x"))
            .on_conflict_do_update(index_elements=["id"], set_={"iban": upsert.excluded.iban}),
            "conflict's columns",
        ),
        (
            lambda: insert(account).values(id=ONE, tenant=1, iban="x")
            .on_conflict_do_update(index_elements=["id"], set_={"iban": "y", "tenant": 1}),
            "excluded",
        ),
    ],
)  # fmt: skip
def test_writes_that_do_not_tell_the_context(rows: Session, statement: Any, reason: str) -> None:
    """
    They raise before anything is sent.
    """
    with pytest.raises(EncryptionError, match=reason):
        rows.execute(statement())


def test_on_conflict_with_the_whole_context(rows: Session) -> None:
    """
    What the conflict is over, or what is written too, is the context of the row that stays.
    """
    upsert = insert(account).values(id=ONE, tenant=8, iban="eight")
    rows.execute(
        upsert.on_conflict_do_update(
            index_elements=["id"],
            set_={"iban": upsert.excluded.iban, "tenant": upsert.excluded.tenant},
        )
    )
    assert ibans(rows) == ["eight", "two"]


def test_contexts_that_cannot_be() -> None:
    """
    A context column must exist, and have one text in Python and in PostgreSQL.
    """
    for name, message in (("nothing", "is no column"), ("day", "the same in Python")):
        table = sa.Table(
            "wrong",
            sa.MetaData(),
            sa.Column("day", sa.DateTime),
            sa.Column("value", Encrypted(sa.String, RING, context=name)),
        )
        with pytest.raises(DeclarationError, match=message):
            sa.select(table).compile()


def test_crypto_shredding(session: Session) -> None:
    """
    Once a subject's key is destroyed, its rows are unreadable, others are not.
    """
    with pytest.raises(EncryptionError, match="no key at hand"), session.begin_nested():
        session.execute(sa.insert(Parcel).values(id=1, customer=1, address="x"))
    CUSTOMERS.ensure(session.connection(), 1, 2)
    CUSTOMERS.ensure(session.connection(), 1)
    session.add_all(
        [Parcel(id=1, customer=1, address="Rue 1"), Parcel(id=2, customer=2, address="Rue 2")]
    )
    session.flush()
    statement = sa.select(Parcel.address).order_by(Parcel.id)
    assert session.scalars(statement).all() == ["Rue 1", "Rue 2"]
    backup = session.execute(sa.text("SELECT address FROM parcel WHERE id = 1")).scalar_one()
    assert CUSTOMERS.destroy(session.connection(), 1)
    assert not CUSTOMERS.destroy(session.connection(), 1)
    with pytest.raises(DecryptionError):
        session.scalars(statement).all()
    assert session.scalars(statement.where(Parcel.customer == 2)).all() == ["Rue 2"]
    CUSTOMERS.ensure(session.connection(), 1)  # another key: what was written stays lost
    assert (
        session.execute(sa.text("SELECT address FROM parcel WHERE id = 1")).scalar_one() == backup
    )
    with pytest.raises(DecryptionError):
        session.scalars(statement).all()
    assert CUSTOMERS.load(session.connection()) == 2
    assert repr(CUSTOMERS) == "SubjectKeys('customer_key')"
    assert "customer_key" in Base.metadata.tables


def test_subject_keys_are_forgotten(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    What another process destroyed can be read here for the lifetime at most.
    """
    CUSTOMERS.ensure(session.connection(), 5)
    assert CUSTOMERS.key("5") is not None
    later = __import__("time").monotonic() + CUSTOMERS.lifetime + 1
    monkeypatch.setattr("pgultra.features.encryption.subjects.time.monotonic", lambda: later)
    assert CUSTOMERS.key("5") is None
