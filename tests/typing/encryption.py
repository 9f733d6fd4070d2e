"""
Uses of the encryption room, checked by mypy and pyright and never run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, assert_type

from sqlalchemy import Column, ColumnElement, Connection, Integer, Select, String, select
from sqlalchemy.orm import (
    DeclarativeBase,
    InstrumentedAttribute,
    Mapped,
    MappedAsDataclass,
    Session,
    mapped_column,
)

from pgultra import (
    DecryptionError,
    Encrypted,
    EncryptedColumn,
    Equality,
    KeyRing,
    Prefix,
    encryption,
)

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

PII = KeyRing.from_env("pii", variable="APP_PII_KEYS")


class Base(DeclarativeBase):
    """
    A plain declarative base.
    """


CUSTOMERS = encryption.SubjectKeys(Base.metadata, keys=PII)


class Person(Base):
    """
    Every option of a column.
    """

    __tablename__ = "person"

    id: Mapped[int] = mapped_column(primary_key=True)
    tenant: Mapped[int] = mapped_column()
    email: Mapped[str] = EncryptedColumn(
        String, keys=PII, id="person.email", search=Equality(normalize="casefold", unique=True)
    )
    surname: Mapped[str | None] = EncryptedColumn(
        String(80), keys=PII, search=Prefix(3, normalize=("strip", "casefold")), deferred=True
    )
    born: Mapped[int] = EncryptedColumn(
        Integer,
        keys=PII,
        context=(tenant, "id"),
        padding=16,
        algorithm="AES-256-GCM-SIV",
        nullable=False,
    )
    iban: Mapped[str | None] = EncryptedColumn(
        String, keys=PII, context=("tenant", "id"), subjects=CUSTOMERS, errors="quarantine"
    )


class Wrong(Base):
    """
    What cannot be meant.
    """

    __tablename__ = "wrong"

    id: Mapped[int] = mapped_column(primary_key=True)
    keyless: Mapped[str] = EncryptedColumn(String)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    spelt: Mapped[str] = EncryptedColumn(String, keys="key")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    weak: Mapped[str] = EncryptedColumn(String, keys=PII, algorithm="DES")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    sought: Mapped[str] = EncryptedColumn(String, keys=PII, search="equality")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    misspelt: Mapped[str] = EncryptedColumn(String, keys=PII, is_unique=True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    plainly: Mapped[str] = EncryptedColumn(String, keys=PII, index=True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    hidden: Mapped[str] = EncryptedColumn(String, keys=PII, errors="ignore")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


class DataBase(MappedAsDataclass, DeclarativeBase):
    """
    A dataclass base.
    """


class Letter(DataBase):
    """
    There the type stands in ``mapped_column``.
    """

    __tablename__ = "letter"

    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str] = mapped_column(Encrypted(String, PII))
    note: Mapped[str | None] = mapped_column(Encrypted(String, PII), init=False)


def rings() -> None:
    """
    Where keys come from.
    """
    assert_type(PII, KeyRing)
    assert_type(KeyRing.from_file("pii", "/run/secrets/pii"), KeyRing)
    assert_type(KeyRing("pii", lambda: {1: bytes(32)}, active=1), KeyRing)
    assert_type(KeyRing.generate(2), str)

    class Vault:
        def unwrap(self, wrapped: bytes) -> bytes:
            return wrapped

        def wrap(self, key: bytes) -> bytes:
            return key

    class Half:
        def unwrap(self, wrapped: bytes) -> bytes:
            return wrapped

    assert_type(KeyRing.from_provider("pii", Vault(), {1: b""}, lifetime=60), KeyRing)
    provider: encryption.KeyProvider = Vault()
    assert_type(provider.unwrap(b""), bytes)
    half: encryption.KeyProvider = Half()  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    KeyRing.from_provider("pii", half, {1: b""})
    KeyRing.from_provider("pii", Half(), {1: b""})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    KeyRing("pii", 7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Equality(normalize="lower")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Equality(keys=1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def attributes(person: Person) -> None:
    """
    Values have the type that Python sees, and so have expressions.
    """
    assert_type(person.email, str)
    assert_type(person.surname, str | None)
    assert_type(person.born, int)
    assert_type(Person.email, InstrumentedAttribute[str])
    assert_type(Person.email == "ann@example.com", ColumnElement[bool])
    assert_type(select(Person.email), Select[str])
    assert_type(encryption.blind_index(Person.email), ColumnElement[bytes])
    assert_type(encryption.expected_matches(Equality(bits=12), rows=9).false_positives, float)
    Letter(id=1, text="x")
    Letter(id=1, text=7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Letter(id=1, text="x", note="y")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    person.email = 7  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue]
    Column("phone", encryption.PgcryptoColumn("secret"))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Column("phone", encryption.FernetText(lambda: ["key"], binary=True))


def quarantined(person: Person, value: encryption.Quarantined) -> None:
    """
    What stands in the place of a value that does not open.
    """
    assert_type(value.error, DecryptionError)
    assert_type(value.sealed, bytes)
    person.email = value  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue]


def work(session: Session, connection: Connection) -> None:
    """
    With a sync session or connection the answer is there at once.
    """
    everybody = select(Person).where(Person.tenant == 1)
    assert_type(
        encryption.find(session, everybody, Person.surname, starts_with="mül"), list[Person]
    )
    assert_type(encryption.find(session, select(Person.id), Person.surname, "Li"), list[int])
    assert_type(encryption.rotate(connection, Person.email, progress=print), encryption.Rotated)
    assert_type(encryption.rekey(connection, Person.email, dry_run=True).complete, bool)
    assert_type(encryption.key_usage(connection, Base), list[encryption.KeyUsage])
    assert_type(encryption.adopt(connection, Person.email, from_="email_plain"), encryption.Adopted)
    assert_type(encryption.verify(connection, Person.email).different, tuple[tuple[Any, ...], ...])
    assert_type(CUSTOMERS.destroy(connection, 17), bool)
    CUSTOMERS.ensure(connection, 17, "18")
    encryption.binary_results(connection.engine)
    encryption.find(connection, everybody, Person.surname, "Li")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    encryption.rotate(session, Person.email)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    encryption.rotate(connection, Person.email, batchsize=5)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]


async def work_async(session: AsyncSession, connection: AsyncConnection) -> None:
    """
    With an async one it is awaited.
    """
    found = await encryption.find(session, select(Person), Person.surname, starts_with="mül")
    assert_type(found, list[Person])
    assert_type(await encryption.rotate(connection, Person.email), encryption.Rotated)
    assert_type(await encryption.rekey(connection, Person.email), encryption.Rotated)
    assert_type(await encryption.key_usage(connection, Person), list[encryption.KeyUsage])
    assert_type(await encryption.adopt(connection, Person.email), encryption.Adopted)
    assert_type(await encryption.verify(connection, Person.email), encryption.Adopted)
    await connection.run_sync(CUSTOMERS.ensure, 17)
