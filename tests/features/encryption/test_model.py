from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    MappedAsDataclass,
    Session,
    aliased,
    mapped_column,
)

from pgultra import plan
from pgultra.errors import DeclarationError, DecryptionError, EncryptionError
from pgultra.features.encryption import Encrypted, Equality, KeyRing, Prefix, Quarantined
from tests.features.encryption.models import RING, ROOTS, Account, Base, Invitation, Person

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine


def raw(session: Session, column: str, table: str = "person") -> list[Any]:
    """
    Give what is stored.
    """
    return list(session.execute(sa.text(f'SELECT "{column}" FROM {table} ORDER BY id')).scalars())


def test_the_unit_of_work(session: Session) -> None:
    """
    Values come back as they were, NULL stays NULL, and the database sees ciphertexts.
    """
    session.add(Person(email="Ann@example.com", note=None, papers={"a": [1, 2.5, None]}))
    session.flush()
    session.expire_all()
    person = session.scalars(sa.select(Person)).one()
    assert (person.email, person.note, person.papers) == (
        "Ann@example.com", None, {"a": [1, 2.5, None]},
    )  # fmt: skip
    assert raw(session, "theNote") == [None]
    assert b"Ann" not in raw(session, "email")[0]
    person.note = "changed"
    session.flush()
    session.refresh(person)
    assert person.note == "changed"


def test_a_value_that_does_not_open(session: Session) -> None:
    """
    Whoever swaps two ciphertexts, or cuts one, gets an error and never a value.
    """
    session.add_all([Person(id=1, email="a@x", note="one"), Person(id=2, email="b@x")])
    session.flush()
    for change in (
        'UPDATE person SET "theNote" = email',
        'UPDATE person SET "theNote" = substr(email, 1, 20)',
        "UPDATE person SET \"theNote\" = ''",
        "UPDATE person SET \"theNote\" = 'clear text'",
    ):
        session.execute(sa.text(change))
        with pytest.raises(DecryptionError, match=r"person\.theNote"):
            session.execute(sa.select(Person.note)).all()


def test_another_ring_does_not_open(session: Session) -> None:
    """
    A wrong root key under the same number ends in the one error.
    """
    session.add(Person(email="a@x"))
    session.flush()
    wrong = KeyRing("test_model_wrong", {2: bytes(range(9, 41))})
    table = sa.Table(
        "person", sa.MetaData(),
        sa.Column("email", Encrypted(sa.String, wrong)),
    )  # fmt: skip
    with pytest.raises(DecryptionError, match="key 2"):
        session.execute(sa.select(table.c.email)).all()


def test_quarantine(session: Session) -> None:
    """
    The rest of the row can be read; the object can be looked at, and is not written back.
    """

    class Own(DeclarativeBase):
        pass

    class Fragile(Own):
        __tablename__ = "person"
        id: Mapped[int] = mapped_column(primary_key=True)
        email: Mapped[Any] = mapped_column(
            Encrypted(sa.String, RING, errors="quarantine", search=Equality())
        )

    session.execute(sa.insert(Person).values(id=1, email="a@x"))
    session.execute(sa.text("UPDATE person SET email = overlay(email placing 'xx' from 40)"))
    found = session.get(Fragile, 1)
    assert found is not None
    assert isinstance(found.email, Quarantined)
    assert found.email.error.key_id == 2
    assert isinstance(found.email.sealed, bytes)
    assert repr(found.email) == "<quarantined value of person.email, key 2>"
    with pytest.raises(DecryptionError):
        bool(found.email)
    session.add(Fragile(id=2, email=found.email))
    with pytest.raises(EncryptionError, match="cannot be written"), session.begin_nested():
        session.flush()


def test_two_columns_with_one_statement_shape_keep_their_keys(connection: sa.Connection) -> None:
    """
    SQLAlchemy's cache of statements tells rings, ids and searches apart.
    """
    other = KeyRing("test_model_other", {2: bytes(range(60, 92))})
    tables = [
        sa.Table("cached", sa.MetaData(), sa.Column("value", type_))
        for type_ in (
            Encrypted(sa.String, RING),
            Encrypted(sa.String, other),
            Encrypted(sa.String, RING, id="another"),
            Encrypted(sa.String, RING, errors="quarantine"),
            Encrypted(sa.Integer, RING),
        )
    ]
    tables[0].metadata.create_all(connection, tables=[tables[0]])
    connection.execute(sa.insert(tables[0]).values(value="7"))
    assert connection.execute(sa.select(tables[0])).scalar_one() == "7"
    for table in tables[1:3]:
        with pytest.raises(DecryptionError):
            connection.execute(sa.select(table)).scalar_one()
    assert connection.execute(sa.select(tables[4])).scalar_one() == 7
    keys = {table.c.value.type._static_cache_key for table in tables}
    assert len(keys) == len(tables)
    assert not any(root.hex() in repr(keys) or repr(root) in repr(keys) for root in ROOTS.values())


def test_a_statement_compiled_before_a_rotation_seals_with_the_new_key(
    connection: sa.Connection,
) -> None:
    """
    Keys are found when the statement runs, by the ring's name.
    """
    keys = {1: bytes(range(32))}
    ring = KeyRing("test_model_moving", lambda: dict(keys))
    table = sa.Table(
        "moving", sa.MetaData(), sa.Column("id", sa.Integer),
        sa.Column("value", Encrypted(sa.String, ring, search=Equality())),
    )  # fmt: skip
    table.metadata.create_all(connection, tables=[table])
    statement = sa.insert(table)
    connection.execute(statement, {"id": 1, "value": "x"})
    keys[2] = bytes(range(40, 72))
    ring.prefetch()
    connection.execute(statement, {"id": 2, "value": "x"})
    used = connection.execute(sa.text("SELECT substr(value, 6, 1) FROM moving ORDER BY id"))
    assert [bytes(each) for each in used.scalars()] == [b"\x01", b"\x02"]
    both = sa.select(table.c.id).where(table.c.value == "x")
    assert len(connection.execute(both).all()) == 2


def test_pickles_hold_no_key() -> None:
    """
    Types, tables and statements are pickled with the ring's name only.
    """
    table = sa.Table(
        "pickled", sa.MetaData(), sa.Column("email", Encrypted(sa.String, RING, search=Equality()))
    )
    statement = sa.select(table).where(table.c.email == "x")
    statement.compile()
    table.c.email.type.seal("x")
    for each in (table.metadata, table.c.email.type, statement):
        text = pickle.dumps(each)
        assert not any(root in text for root in ROOTS.values())
        pickle.loads(text)


def test_one_type_on_two_columns() -> None:
    """
    A type that is used twice becomes two, each with the id of its own column.
    """
    shared = Encrypted(sa.String, RING)
    table = sa.Table("shared", sa.MetaData(), sa.Column("a", shared), sa.Column("b", shared))
    assert [column.type.id for column in table.c] == ["shared.a", "shared.b"]
    copy = table.to_metadata(sa.MetaData(), schema="elsewhere")
    assert [column.type.id for column in copy.c] == ["shared.a", "shared.b"]
    pinned = Encrypted(sa.String, RING, id="pinned")
    with pytest.raises(DeclarationError, match="give each an id= of its own"):
        sa.Table("two", sa.MetaData(), sa.Column("a", pinned), sa.Column("b", pinned))


def test_the_kernel_knows_what_is_secret() -> None:
    """
    The names stand in the table's facts, for rooms that copy rows.
    """
    facts = plan.facts_of(Person.__table__)
    assert facts.secret_columns == {"email", "theNote", "papers", "city", "surname"}


def test_dataclass_bases(session: Session) -> None:
    """
    The type stands in ``mapped_column`` with the dataclass's own options.
    """

    class Own(MappedAsDataclass, DeclarativeBase):
        pass

    class Letter(Own):
        __tablename__ = "letter"
        id: Mapped[int] = mapped_column(primary_key=True, init=False)
        text: Mapped[str] = mapped_column(Encrypted(sa.Text, RING), repr=False)

    Own.metadata.create_all(session.connection())
    session.add(Letter("hello"))
    session.flush()
    session.expire_all()
    letter = session.scalars(sa.select(Letter)).one()
    assert letter.text == "hello"
    assert "hello" not in repr(letter)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"algorithm": "DES"}, "algorithm"),
        ({"padding": 1}, "padding"),
        ({"errors": "ignore"}, "errors"),
        ({"unique": True, "search": Prefix(2)}, "unique"),
        ({"context": (7,)}, "a column or its name"),
        ({"type_": sa.JSON, "search": Equality()}, "JSON"),
        ({"type_": sa.Integer, "search": Prefix(2)}, "for text"),
        ({"type_": sa.Integer, "search": Equality(normalize="casefold")}, "for text"),
    ],
)
def test_declarations_that_cannot_be(options: dict[str, Any], message: str) -> None:
    """
    Each raises when the type is made, with what to change.
    """
    with pytest.raises(DeclarationError, match=message):
        Encrypted(options.pop("type_", sa.String), RING, **options)


def test_a_type_on_no_column_needs_an_id(connection: sa.Connection) -> None:
    """
    Without a column there is nothing to derive a key for.
    """
    with pytest.raises(EncryptionError, match="id="):
        Encrypted(sa.String, RING).seal("x")
    type_ = Encrypted(sa.String, RING, id="free")
    assert connection.scalar(sa.select(sa.literal("x", type_))) == "x"
    assert repr(type_) == "Encrypted(String(), KeyRing('models'))"


def test_printed_statements_hold_ciphertexts() -> None:
    """
    ``literal_binds`` prints what would be stored.
    """
    table = Person.__table__
    for statement in (
        sa.insert(table).values(email="plainly", theNote="plainly"),
        sa.select(table.c.id).where(table.c.email == "plainly"),
    ):
        text = str(statement.compile(compile_kwargs={"literal_binds": True}))
        assert "plainly" not in text
        assert "'\\x" in text


def test_what_cannot_be_printed_is_not_told(connection: sa.Connection) -> None:
    """
    SQLAlchemy would put the value into its error; the text fails instead when it is run.
    """
    empty = KeyRing.from_env("test_model_unset", variable="PGULTRA_TEST_UNSET_KEYS")
    of = Encrypted(sa.String, empty, search=Equality(), id="any.value")
    table = sa.Table("unprinted", sa.MetaData(), sa.Column("value", of))
    for statement in (
        sa.insert(table).values(value="plainly"),
        sa.select(table.c.value).where(table.c.value == "plainly"),
        sa.select(table.c.value).where(table.c.value.in_(["plainly"])),
        sa.insert(Person).values(note=["plainly"]),
    ):
        text = str(statement.compile(connection, compile_kwargs={"literal_binds": True}))
        assert "plainly" not in text
        assert "pgultra_cannot_print('" in text
        assert "PGULTRA_TEST_UNSET_KEYS is not set" in text or "does not fit" in text


async def test_asyncpg(async_engine: AsyncEngine) -> None:
    """
    The same values, searches and contexts through asyncpg.
    """
    async with async_engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
        await connection.execute(sa.insert(Person), [{"email": "Ann@x"}, {"email": "Bob@x"}])
        await connection.execute(sa.insert(Account), [{"tenant": 1, "iban": "i"}])
        found = await connection.execute(
            sa.select(Person.email).where(Person.email.in_(["ann@x", "c"]))
        )
        assert found.scalars().all() == ["Ann@x"]
        others = sa.select(Person.email).where(Person.email.not_in([]), Person.email != "ann@x")
        assert (await connection.execute(others)).scalars().all() == ["Bob@x"]
        joined = sa.select(Person.id).join(Invitation, Person.email == Invitation.email)
        assert (await connection.execute(joined)).all() == []
        person = aliased(Person)
        assert len((await connection.execute(sa.select(person.email))).all()) == 2
        assert (await connection.execute(sa.select(Account.iban))).scalar_one() == "i"
