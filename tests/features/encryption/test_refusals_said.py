"""
Questions that cannot be answered, each with its reason: nothing of a database is needed.
"""

from __future__ import annotations

import uuid
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.sql import operators

from pgultra import DeclarationError, EncryptionError
from pgultra.features.encryption import (
    Encrypted,
    Equality,
    KeyRing,
    Prefix,
    adopt,
    blind_index,
    rekey,
    rotate,
)
from pgultra.features.encryption.comparator import candidates
from pgultra.features.encryption.context import plain_reader
from pgultra.features.encryption.format import associated, part, split_parts
from pgultra.features.encryption.usage import encrypted_column, encrypted_columns

ONE = KeyRing("words", {1: bytes(range(32))})
TWO = KeyRing("words_two", {1: bytes(range(32)), 2: bytes(range(32, 64))})


class Wrapped(sa.types.TypeDecorator[bool]):
    """
    A host's type.
    """

    impl = sa.Boolean
    cache_ok = True


PERSON = sa.Table(
    "person",
    sa.MetaData(),
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("email", Encrypted(sa.String, ONE, search=Equality())),
    sa.Column("name", Encrypted(sa.String, ONE)),
    sa.Column("city", Encrypted(sa.String, ONE, search=Prefix(3))),
    sa.Column("paper", Encrypted(sa.JSON, ONE)),
)
KEYLESS = sa.Table("keyless", sa.MetaData(), sa.Column("name", Encrypted(sa.String, ONE)))


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda c: "x" + c.email, "cannot be asked for add: the database sees a ciphertext"),
        (lambda c: c.email < "x", "cannot be asked for lt: ciphertexts have no order"),
        (lambda c: c.email.desc(), "sort at random"),
        (lambda c: c.email.startswith("x"), r"declare search=Prefix\(n\)"),
        (lambda c: c.paper["key"], "the document is opened in Python only"),
        (lambda c: c.name == "x", r"declare search=Equality\(\)"),
        (lambda c: c.city == "x", r"use find\(\)"),
        (lambda c: c.email.in_("ann"), "in_ takes a list of values, not str"),
        (lambda c: c.email.in_(7), "in_ takes a list of values, not int"),
        (lambda c: c.email == sa.select(c.id).scalar_subquery(), "compared with a query"),
        (lambda c: blind_index(c.name), r"declare search=Equality\(\)"),
    ],
)
def test_what_a_ciphertext_cannot_tell(ask: Any, words: str) -> None:
    """
    Said where it is asked, with the column's name.
    """
    with pytest.raises(EncryptionError, match=words) as caught:
        ask(PERSON.c)
    assert "person." in str(caught.value)


def test_two_index_keys() -> None:
    """
    While an index is re-keyed both keys are asked; columns too are compared by both.
    """
    both = sa.Table(
        "both",
        sa.MetaData(),
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("a", Encrypted(sa.String, TWO, id="x", search=Equality(keys=(1, 2)))),
    )
    found = str(both.c.a == "ann")
    assert found.count("coalesce") == 1
    assert " OR " in found
    assert "NOT" in str(both.c.a != "ann")


def test_columns_of_two_keys_are_compared_by_both() -> None:
    """
    A join finds rows that have the old tag, the new one, or both.
    """
    metadata = sa.MetaData()
    one, other = (
        sa.Table(
            name,
            metadata,
            sa.Column("id", sa.Integer, primary_key=True),
            sa.Column("a", Encrypted(sa.String, TWO, id="x", search=Equality(keys=(1, 2)))),
        )
        for name in ("one", "other")
    )
    same, unlike = str(one.c.a == other.c.a), str(one.c.a != other.c.a)
    assert same.count(" OR ") == 1
    assert same.endswith("= true")
    assert unlike.endswith("!= false") or "NOT" in unlike


def test_a_column_on_the_right() -> None:
    """
    Whichever side it stands on; what it has no index for is said there, too.
    """
    left, right = PERSON.c.email == "ann", PERSON.c.email.reverse_operate(operators.eq, "ann")
    assert str(left) == str(right)
    with pytest.raises(EncryptionError, match=r"declare search=Equality\(\) or Prefix\(n\)"):
        candidates(PERSON.c.name, "ann")


@pytest.mark.parametrize(
    ("type_", "printed", "value"),
    [
        (sa.Uuid(), b"00000000-0000-0000-0000-000000000007", uuid.UUID(int=7)),
        (sa.Boolean(), b"true", True),
        (sa.Boolean(), b"false", False),
        (sa.Integer(), b"7", 7),
        (Wrapped(), b"true", True),
    ],
)
def test_what_postgresql_prints_is_read(type_: Any, printed: bytes, value: Any) -> None:
    """
    Rules of a context see the plaintext as the database prints it.
    """
    assert plain_reader(Encrypted(type_, ONE))(printed) == value


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (lambda c: rekey(c, PERSON.c.name), r"person\.name.* has no blind index"),
        (lambda c: adopt(c, PERSON.c.name), r"say from_= or declare dual="),
        (lambda c: rotate(c, KEYLESS.c.name), "keyless has no primary key"),
        (lambda c: adopt(c, KEYLESS.c.name, from_="old"), "keyless has no primary key|no column"),
        (lambda c: rekey(c, PERSON), "has several encrypted columns: give email, name, city"),
        (lambda c: rekey(c, PERSON.c.id), "encrypted"),
    ],
)
@pytest.mark.once
def test_work_that_cannot_begin(engine: sa.Engine, act: Any, words: str) -> None:
    """
    Before anything is asked of the database, which has no such tables.
    """
    with (
        engine.connect() as connection,
        pytest.raises((EncryptionError, DeclarationError), match=words),
    ):
        act(connection)


def test_what_encrypted_columns_are_found_in() -> None:
    """
    A column, a table, a MetaData, an attribute, a class, a base: all of them in their order.
    """

    class Base(DeclarativeBase):
        pass

    class Note(Base):
        __tablename__ = "note"
        id: Mapped[int] = mapped_column(primary_key=True)
        text: Mapped[str] = mapped_column(Encrypted(sa.String, ONE))

    column = Note.__table__.c.text
    for given in (column, Note.__table__, Base.metadata, Note.text, Note, Base):
        assert encrypted_columns(given) == [column]
        assert encrypted_column(given) is column
    assert [each.key for each in encrypted_columns(PERSON)] == ["email", "name", "city", "paper"]


def test_a_context_that_was_cut_short() -> None:
    """
    Every length of it but the whole one.
    """
    whole = b"\x01" + part(b"ab") + part(None) + part(b"")
    assert split_parts(whole, 3) == len(whole)
    for end in range(1, len(whole)):
        with pytest.raises(ValueError, match="context cut short"):
            split_parts(whole[:end], 3)
    assert associated("person.name", (b"ab",)) != associated("person.name", (b"a", b"b"))
