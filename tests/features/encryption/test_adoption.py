from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from cryptography.fernet import Fernet
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from pgultra import plan
from pgultra.errors import DeclarationError, DecryptionError, EncryptionError
from pgultra.features.encryption import (
    Encrypted,
    EncryptedColumn,
    Equality,
    FernetText,
    KeyRing,
    PgcryptoColumn,
    adopt,
    verify,
)

if TYPE_CHECKING:
    from tests.fixtures.alembic import MigrationEnvironment

RING = KeyRing("test_adoption", {1: bytes(range(32))})


class Base(DeclarativeBase):
    pass


class Person(Base):
    __tablename__ = "person"

    id: Mapped[int] = mapped_column(primary_key=True)
    tenant: Mapped[int] = mapped_column(default=1)
    email_plain: Mapped[str | None] = mapped_column("email")
    email: Mapped[str | None] = EncryptedColumn(
        sa.String, keys=RING, name="email_sealed", dual="email", context="tenant", search=Equality()
    )


table: Any = Person.__table__


@pytest.fixture
def people(engine: sa.Engine) -> sa.Engine:
    """
    A table whose rows were written before it had an encrypted column.
    """
    Base.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO person (id, tenant, email) "
            "SELECT n, mod(n, 3), CASE WHEN mod(n, 10) > 0 THEN 'p' || n END FROM generate_series(1, 250) n"
        )
    return engine


def test_both_are_read_until_all_is_sealed(people: sa.Engine) -> None:
    """
    Before, while and after ``adopt`` the attribute has the same value.
    """

    def values() -> list[str | None]:
        with Session(people) as session:
            return list(session.scalars(sa.select(Person.email).order_by(Person.id)))

    before = values()
    assert before[:2] == ["p1", "p2"]
    with people.connect() as connection:
        dry = adopt(connection, Person.email, dry_run=True)
        assert (dry.rows, dry.done, dry.remaining, dry.complete) == (225, 0, 225, False)
        calls: list[tuple[int, int]] = []
        done = adopt(connection, Person.email, batch=100, progress=lambda *at: calls.append(at))
        assert (done.done, done.remaining, done.complete) == (225, 0, True)
        assert calls == [(100, 225), (200, 225), (225, 225)]
        assert verify(connection, Person.email).complete
    assert values() == before
    with people.begin() as connection:
        connection.exec_driver_sql("UPDATE person SET email = NULL")
    assert values() == [None] * 250


def test_the_unit_of_work_writes_both(people: sa.Engine) -> None:
    """
    Whichever attribute is set, old and new processes read the same.
    """
    with Session(people) as session:
        session.add(Person(id=1000, email="new"))
        session.add(Person(id=1001, email_plain="old"))
        session.get_one(Person, 1).email = "changed"
        session.get_one(Person, 2).email_plain = "changed too"
        session.get_one(Person, 3).tenant = 9
        session.commit()
        for key, value in (
            (1000, "new"), (1001, "old"), (1, "changed"), (2, "changed too"), (3, "p3"),
        ):  # fmt: skip
            person = session.get_one(Person, key)
            assert (person.email, person.email_plain) == (value, value)
        found = session.scalars(sa.select(Person.id).where(Person.email == "changed too"))
        assert found.all() == [2]
    with people.connect() as connection:
        assert verify(connection, Person.email).different == ()


def test_old_processes_make_a_sealed_value_stale(people: sa.Engine) -> None:
    """
    A plaintext that is written alone is what is read, and is adopted anew.
    """
    with people.connect() as connection:
        adopt(connection, Person.email)
        with connection.begin():
            connection.exec_driver_sql("UPDATE person SET email = 'fresh' WHERE id = 7")
        with connection.begin():
            assert (
                connection.scalar(sa.select(table.c.email_sealed).where(table.c.id == 7)) == "fresh"
            )
        assert not verify(connection, Person.email).complete
        connection.rollback()
        assert adopt(connection, Person.email).done == 1
        assert verify(connection, Person.email).complete


def test_verification_finds_what_differs(people: sa.Engine) -> None:
    """
    A sealed value that is another, or does not open, is named by its key.
    """
    with people.connect() as connection:
        adopt(connection, Person.email)
        with connection.begin():
            connection.exec_driver_sql("ALTER TABLE person DISABLE TRIGGER USER")
            connection.exec_driver_sql("UPDATE person SET email = 'x' WHERE id = 7")
            connection.exec_driver_sql("UPDATE person SET email_sealed = '\\x01' WHERE id = 8")
        with connection.begin():
            result = verify(connection, Person.email, batch=50)
    assert result.different == ((7,), (8,))
    assert not result.complete


def test_a_transaction_is_refused(people: sa.Engine) -> None:
    """
    Batches commit; what the caller began must not be among it.
    """
    with people.begin() as connection:
        connection.exec_driver_sql("SELECT 1")
        with pytest.raises(EncryptionError, match="in none"):
            adopt(connection, Person.email)
        with pytest.raises(EncryptionError, match="no column"):
            adopt(connection, Person.email, from_="nothing")


PLAIN = """
import sqlalchemy as sa
from pgultra.features.encryption import Encrypted, KeyRing
RING = KeyRing("steps", {1: bytes(range(32))})
metadata = sa.MetaData()
"""
STEPS = [
    (
        "t = sa.Table('person', metadata, sa.Column('id', sa.Integer, primary_key=True),"
        " sa.Column('email', sa.Text))"
    ),
    (
        "t = sa.Table('person', metadata, sa.Column('id', sa.Integer, primary_key=True),"
        " sa.Column('email', sa.Text),"
        " sa.Column('sealed', Encrypted(sa.Text, RING, dual='email')))"
    ),
    (
        "t = sa.Table('person', metadata, sa.Column('id', sa.Integer, primary_key=True),"
        " sa.Column('sealed', Encrypted(sa.Text, RING, id='person.sealed')))"
    ),
]


def test_each_step_is_a_migration(alembic_env: MigrationEnvironment) -> None:
    """
    Plain, both, encrypted: each runs, and leaves nothing for the next but its own.
    """
    for number, step in enumerate(STEPS):
        path = alembic_env.write_models(PLAIN + step)
        text = alembic_env.autogenerate(f"step {number}").text
        assert ("CREATE TRIGGER person_sealed_adopting" in text) == (number > 0)
        alembic_env.upgrade()
        assert alembic_env.check() == []
        names: dict[str, Any] = {}
        exec(path.read_text(), names)
        with alembic_env.engine.connect() as connection:
            if number == 0:
                with connection.begin():
                    connection.execute(names["t"].insert(), [{"id": 1, "email": "a@x"}])
            if number == 1:
                assert adopt(connection, names["t"].c.sealed).complete
            if number:
                assert connection.scalar(sa.select(names["t"].c.sealed)) == "a@x"
                connection.rollback()
                assert not plan.check(connection, names["metadata"])


def test_fernet_is_adopted(engine: sa.Engine) -> None:
    """
    Tokens are read with their keys, old ones too, and sealed.
    """
    keys = [Fernet.generate_key(), Fernet.generate_key()]
    for binary in (False, True):
        old = FernetText(lambda: keys, binary)
        tokens = sa.Table(
            f"tokens_{binary}".lower(), sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True),
            sa.Column("old", old), sa.Column("new", Encrypted(sa.String, RING)),
        )  # fmt: skip
        with engine.connect() as connection:
            with connection.begin():
                tokens.metadata.create_all(connection)
                connection.execute(
                    sa.insert(tokens), [{"id": 1, "old": "a"}, {"id": 2, "old": None}]
                )
            assert adopt(connection, tokens.c.new, from_="old").done == 1
            assert verify(connection, tokens.c.new, from_="old").complete
            assert connection.scalar(sa.select(tokens.c.new).where(tokens.c.id == 1)) == "a"
            keys[:] = [Fernet.generate_key()]
            with pytest.raises(DecryptionError):
                connection.execute(sa.select(tokens.c.old)).all()
    assert repr(FernetText(lambda: keys)) == "FernetText(...)"
    with pytest.raises(DeclarationError):
        FernetText(["key"])  # type: ignore[arg-type]


def test_sqlalchemy_utils_is_adopted(engine: sa.Engine) -> None:
    """
    ``StringEncryptedType`` decrypts as it is read.
    """
    encrypted_type = pytest.importorskip("sqlalchemy_utils.types.encrypted.encrypted_type")
    old = encrypted_type.StringEncryptedType(sa.String, "a passphrase", encrypted_type.AesGcmEngine)
    fixed = encrypted_type.StringEncryptedType(
        sa.String, "a passphrase", encrypted_type.AesEngine, "pkcs5"
    )
    values = sa.Table(
        "values", sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("old", old), sa.Column("older", fixed),
        sa.Column("new", Encrypted(sa.String, RING)), sa.Column("newer", Encrypted(sa.String, RING)),
    )  # fmt: skip
    with engine.connect() as connection:
        with connection.begin():
            values.metadata.create_all(connection)
            connection.execute(sa.insert(values), [{"id": 1, "old": "secret", "older": "same"}])
        for new, from_ in (("new", "old"), ("newer", "older")):
            assert adopt(connection, values.c[new], from_=from_).complete
            assert verify(connection, values.c[new], from_=from_).complete
        row = connection.execute(sa.select(values.c.new, values.c.newer)).one()
    assert row == ("secret", "same")


def test_pgcrypto_is_adopted(engine: sa.Engine, server: Any) -> None:
    """
    The passphrase is a parameter, read for every statement, and never empty.
    """
    if "pgcrypto" not in server.extensions:
        pytest.skip("no pgcrypto")
    passphrase = ["a passphrase that is long"]
    old = PgcryptoColumn(lambda: passphrase[0])
    phones = sa.Table(
        "phones", sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("old", old), sa.Column("new", Encrypted(sa.String, RING)),
    )  # fmt: skip
    seen: list[str] = []
    with engine.connect() as connection:
        sa.event.listen(connection, "before_cursor_execute", lambda *given: seen.append(given[2]))
        with connection.begin():
            connection.exec_driver_sql("CREATE EXTENSION pgcrypto")
            phones.metadata.create_all(connection)
            connection.execute(sa.insert(phones), [{"id": 1, "old": "555"}, {"id": 2, "old": None}])
            assert connection.scalar(sa.text("SELECT pgp_sym_decrypt(old, :key) FROM phones"
                                             " WHERE id = 1"), {"key": passphrase[0]}) == "555"  # fmt: skip
        assert adopt(connection, phones.c.new, from_="old").done == 1
        assert verify(connection, phones.c.new, from_="old").complete
        assert connection.scalar(sa.select(phones.c.new).where(phones.c.id == 1)) == "555"
        connection.rollback()
        assert not any(passphrase[0] in statement for statement in seen)
        for wrong in ("", "short"):
            passphrase[0] = wrong
            with pytest.raises(EncryptionError, match="shorter than 16"):
                connection.execute(sa.select(phones.c.old)).all()
    assert repr(old) == "PgcryptoColumn(...)"
    with pytest.raises(DeclarationError):
        PgcryptoColumn("the passphrase itself")  # type: ignore[arg-type]
    with pytest.raises((AttributeError, pickle.PicklingError)):
        pickle.dumps(old)
