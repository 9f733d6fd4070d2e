"""
Questions that would find nothing: of what another tool encrypted, and inside a lambda.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from cryptography.fernet import Fernet
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session, with_loader_criteria

from pgultra import EncryptionError
from pgultra.features.encryption import Encrypted, FernetText, PgcryptoColumn, adopt, verify
from tests.features.encryption.models import RING, Base, Person

if TYPE_CHECKING:
    from collections.abc import Callable

KEY = Fernet.generate_key()
OLD = sa.Table(
    "phones",
    sa.MetaData(),
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("fernet", FernetText(lambda: [KEY])),
    sa.Column("token", FernetText(lambda: [KEY], binary=True)),
    sa.Column("pgcrypto", PgcryptoColumn(lambda: "a passphrase that is long")),
)
QUESTIONS: dict[str, Callable[[Any], Any]] = {
    "eq": lambda column: column == "555",
    "ne": lambda column: column != "555",
    "reversed": lambda column: "555" == column,  # noqa: SIM300  # the point
    "in": lambda column: column.in_(["555"]),
    "not in": lambda column: column.not_in(["555"]),
    "like": lambda column: column.like("5%"),
    "startswith": lambda column: column.startswith("5"),
    "less": lambda column: column < "6",
    "desc": lambda column: column.desc(),
    "plus": lambda column: "0" + column,
    "distinct from": lambda column: column.is_distinct_from("555"),
}


@pytest.mark.parametrize("name", ["fernet", "token", "pgcrypto"])
@pytest.mark.parametrize("question", QUESTIONS.values(), ids=QUESTIONS)
def test_what_another_tool_encrypted_is_asked_for_nothing_but_null(
    name: str, question: Callable[[Any], Any]
) -> None:
    """
    Every value is encrypted anew, so nothing would be found; the error names column and way out.
    """
    with pytest.raises(EncryptionError, match=rf"phones\.{name} of type .*adopt\(\)"):
        question(OLD.c[name])


def test_null_and_the_column_itself() -> None:
    """
    IS NULL works; two columns are compared in Python only, as SQLAlchemy does to find one.
    """
    column, other = OLD.c.fernet, OLD.c.token
    for asked in (column.is_(None), column == None):  # noqa: E711  # SQL
        assert str(asked) == "phones.fernet IS NULL"
    assert str(~column.is_(None)) == str(column != None) == "phones.fernet IS NOT NULL"  # noqa: E711
    assert column == column  # the point
    assert not column == other  # noqa: SIM201  # the point
    with pytest.raises(EncryptionError, match="cannot be asked for eq"):
        str(sa.select(OLD).where(column == other))


class Request:
    """
    Something that a lambda takes its value from.
    """

    email = "a@x"


@pytest.mark.parametrize("form", ["variable", "attribute", "list", "item", "left", "criteria"])
def test_a_variable_in_a_lambda_is_refused(engine: sa.Engine, form: str) -> None:
    """
    SQLAlchemy would put it in later as a plain parameter; the message says what to write.
    """
    Base.metadata.create_all(engine)
    wanted, request, several = "a@x", Request(), ["a@x"]
    statements: dict[str, Callable[[], Any]] = {
        "variable": lambda: sa.lambda_stmt(lambda: sa.select(Person).where(Person.email == wanted)),
        "attribute": lambda: sa.lambda_stmt(
            lambda: sa.select(Person).where(Person.email != request.email)
        ),
        "list": lambda: sa.lambda_stmt(
            lambda: sa.select(Person).where(Person.email.in_(several)),
        ),
        "item": lambda: sa.lambda_stmt(
            lambda: sa.select(Person).where(Person.email.in_([request.email, "b@x"]))
        ),
        "left": lambda: sa.lambda_stmt(lambda: sa.select(Person).where(wanted == Person.email)),
        "criteria": lambda: sa.select(Person).options(
            with_loader_criteria(Person, lambda cls: cls.email == wanted)
        ),
    }
    said = "cannot stand in a comparison" if form == "left" else r"lambda, or bindparam\(name\)"
    with Session(engine) as session, pytest.raises(EncryptionError, match=said):
        session.scalars(statements[form]()).all()


def test_what_the_message_tells_works_in_a_lambda(engine: sa.Engine) -> None:
    """
    bindparam() in the lambda, its value with the statement; and constants.
    """
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add_all(Person(id=n, email=f"{n}@x") for n in (1, 2))
        session.commit()
        for number in (1, 2, 1):
            found = sa.lambda_stmt(
                lambda: sa.select(Person.id).where(Person.email == sa.bindparam("wanted"))
            )
            assert session.scalars(found, {"wanted": f"{number}@x"}).all() == [number]
        for _ in range(2):
            found = sa.lambda_stmt(lambda: sa.select(Person.id).where(Person.email == "2@x"))
            assert session.scalars(found).all() == [2]
        plain = with_loader_criteria(Person, Person.email == "1@x")
        assert [each.id for each in session.scalars(sa.select(Person).options(plain))] == [1]


@pytest.mark.parametrize(
    ("type_", "literal"),
    [(JSONB(), "'null'"), (sa.Float(), "'NaN'"), (sa.Numeric(), "'NaN'")],
    ids=["json null", "float", "decimal"],
)
def test_what_equals_nothing_in_python_is_still_adopted_whole(
    engine: sa.Engine, type_: Any, literal: str
) -> None:
    """
    NaN and a JSON null; a NULL beside a sealed JSON null is different, and the remedy works.
    """
    table = sa.Table(
        "t", sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("old", type_), sa.Column("new", Encrypted(type_, RING)),
    )  # fmt: skip
    table.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql(f"INSERT INTO t (id, old) VALUES (1, {literal}), (2, NULL)")
    with engine.connect() as connection:
        assert adopt(connection, table.c.new, from_="old").complete
        found = verify(connection, table.c.new, from_="old")
        assert found.complete
        assert found.remedy == ""
        with connection.begin():
            connection.exec_driver_sql("UPDATE t SET old = NULL")
        found = verify(connection, table.c.new, from_="old")
        assert found.different == ((1,),)
        assert "set t.new to NULL in these rows and adopt again" in found.remedy
        with connection.begin():
            connection.exec_driver_sql("UPDATE t SET new = NULL WHERE id = 1")
        assert adopt(connection, table.c.new, from_="old").complete
        assert verify(connection, table.c.new, from_="old").complete
