"""
The how-to pages, followed to the letter.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from cryptography.fernet import Fernet
from sqlalchemy.orm import Session

from pgultra import plan
from pgultra.errors import DecryptionError
from pgultra.features.encryption import KeyRing, Quarantined

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGES = Path(__file__).parents[3] / "docs" / "how-to"
PRELUDE = """
import os
from uuid import UUID, uuid4
from sqlalchemy import Column, Integer, MetaData, String, Table, Text, create_engine, func
from sqlalchemy import insert, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

class Base(DeclarativeBase):
    pass
"""


def blocks(page: str) -> Iterator[str]:
    """
    Give the Python of a page.
    """
    text = (PAGES / page).read_text()
    yield from re.findall(r"```python\n(.*?)```", text, re.DOTALL)


def run(code: str, names: dict[str, Any]) -> None:
    """
    Run code as the module of a host, without this module's annotations from the future.
    """
    exec(compile(code, "host", "exec", dont_inherit=True), names)


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """
    What a host has imported, and its key.
    """
    monkeypatch.setenv("APP_PII_KEYS", KeyRing.generate(1))
    given: dict[str, Any] = {"__name__": "host"}
    run(PRELUDE, given)
    return given


def test_encrypt_a_column(
    engine: sa.Engine, names: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """
    Every block runs, and does what the words around it say.
    """
    page = list(blocks("encrypt-a-column.md"))
    for block in page:
        if "class " in block:
            run(block, names)
    names["Base"].metadata.create_all(engine)
    with Session(engine) as session:
        names |= {"session": session, "url": engine.url}
        person = names["Person"]
        ann = person(email="Ann@Example.com", city="Paris", surname="Miller", iban="GB33")
        session.add_all([ann, person(email="b@x", city="Rome", surname="Milne")])
        session.add(names["Invitation"](email="ANN@example.com"))
        session.add(names["Account"](tenant_id=4, iban="GB33"))
        session.add(names["Report"](id=1, text="fine"))
        member = names["Member"]
        session.add_all([member(tenant_id=n, email="ann@example.com") for n in (1, 2)])
        session.commit()
        for block in page:
            if "class " not in block:
                run(block, names)
                session.flush()
        found = sa.select(person.email).where(person.email == "Carl@example.com")
        assert session.scalars(found).all() == ["carl@example.com"]
        copies = sa.select(names["PersonArchive"].iban).order_by(names["PersonArchive"].id)
        assert session.scalars(copies).all()[:1] == ["GB33"]
        assert names["ann"] is ann
        assert len(names["some"]) == 2
        assert names["parisians"] == names["millers"] == [ann]
        assert session.scalars(names["invited"]).all() == [ann]
        assert session.scalars(names["counts"]).all() == [1]
        session.commit()
        with pytest.raises(DecryptionError):
            session.scalars(sa.select(names["Order"].address)).all()
        session.execute(sa.text("UPDATE report SET text = 'x'"))
        report = session.get_one(names["Report"], 1, populate_existing=True)
        assert isinstance(report.text, Quarantined)
        assert names["damaged"](report)
        with pytest.raises(sa.exc.IntegrityError):
            session.execute(sa.insert(person).values(email="ann@EXAMPLE.com"))
    names["engine"].dispose()
    printed = capsys.readouterr().out.strip()
    assert f"# {printed}\n" in (PAGES / "encrypt-a-column.md").read_text()


def test_encrypt_existing_data(engine: sa.Engine, names: dict[str, Any]) -> None:
    """
    From the plain column to the encrypted one, by the page's own code.
    """
    page = list(blocks("encrypt-existing-data.md"))
    run("from pgultra import EncryptedColumn, Equality, KeyRing, encryption", names)
    run('PII = KeyRing.from_env("pii", variable="APP_PII_KEYS")', names)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE person (id serial PRIMARY KEY, email text)")
        connection.exec_driver_sql("INSERT INTO person (email) VALUES ('ann@x'), (NULL)")
        connection.exec_driver_sql("ALTER TABLE person ADD email_sealed bytea")
    run(page[0], names)
    person = names["Person"]
    with engine.begin() as connection:
        plan.apply(plan.check(connection, person.metadata), connection)
    with Session(engine) as session:
        assert session.scalars(sa.select(person.email).order_by(person.id)).all() == ["ann@x", None]
    with engine.connect() as connection:
        names["connection"] = connection
        run(page[1], names)
    with Session(engine) as session:
        assert session.scalars(sa.select(person.id).where(person.email == "ann@x")).all() == [1]


def test_data_of_other_tools(
    engine: sa.Engine, names: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    The old column with a type that reads it, and ``from_=``.
    """
    pytest.importorskip("sqlalchemy_utils")
    monkeypatch.setenv("OLD_KEY", "a passphrase")
    monkeypatch.setenv("FERNET_KEYS", Fernet.generate_key().decode())
    monkeypatch.setenv("PGCRYPTO_PASSPHRASE", "a passphrase that is long")
    run("from pgultra import Encrypted, KeyRing, encryption", names)
    run('PII = KeyRing.from_env("pii", variable="APP_PII_KEYS")', names)
    run(list(blocks("encrypt-existing-data.md"))[2], names)
    phones = names["phones"]
    with engine.connect() as connection:
        old = ["utils", "fernet"]
        with connection.begin():
            available = sa.text("SELECT 1 FROM pg_available_extensions WHERE name = 'pgcrypto'")
            if connection.scalar(available):
                connection.exec_driver_sql("CREATE EXTENSION pgcrypto")
                old.append("pgcrypto")
            phones.metadata.create_all(connection)
            connection.execute(sa.insert(phones), {"id": 1, **dict.fromkeys(old, "555")})
        for each in old:
            names |= {"connection": connection, "old": each}
            with connection.begin():
                connection.execute(sa.update(phones).values(phone=None))
            run(list(blocks("encrypt-existing-data.md"))[3], names)
            assert connection.scalar(sa.select(phones.c.phone)) == "555"
            connection.rollback()
