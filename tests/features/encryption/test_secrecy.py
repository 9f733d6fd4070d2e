from __future__ import annotations

import logging
import subprocess
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from pgultra.features.encryption import Equality, find, rekey, rotate
from tests.features.encryption.models import CUSTOMERS, ROOTS, Account, Base, Parcel, Person

if TYPE_CHECKING:
    from tests.fixtures.database import Database
    from tests.fixtures.server import Server

SECRETS = ["Topsecret", "topsecret", "TOPSECRET"]
SECRET = SECRETS[0]
"""For statements that fail: a traceback prints lines of the source (all of them, since 3.13)."""


def assert_clean(text: str | bytes) -> None:
    """
    Look for the plaintext and the keys in every spelling they could have.
    """
    raw = text if isinstance(text, bytes) else text.encode()
    forbidden = [secret.encode() for secret in SECRETS]
    forbidden += [secret.encode().hex().encode() for secret in SECRETS]
    for root in ROOTS.values():
        forbidden += [root, root.hex().encode(), repr(root)[2:-1].encode()]
    for each in forbidden:
        assert each not in raw


def use(engine: sa.Engine) -> None:
    """
    Everything that a host does with encrypted columns, failures included.
    """
    with Session(engine) as session:
        CUSTOMERS.ensure(session.connection(), 7)
        person = Person(
            email="topsecret@example.com", note="Topsecret", papers={"Topsecret": "TOPSECRET"},
            city="Topsecret", surname="Topsecret",
        )  # fmt: skip
        session.add_all([person, Account(tenant=1, iban="Topsecret")])
        session.add(Parcel(customer=7, address="Topsecret"))
        session.commit()
        session.execute(sa.select(Person).where(Person.email == "TOPSECRET@example.com")).all()
        session.execute(sa.select(Person).where(Person.email.in_(["Topsecret@a", "b"]))).all()
        find(session, sa.select(Person), Person.surname, starts_with="topsecret")
        find(session, sa.select(Person), Person.city, "Topsecret")
        for asked in (Person.email == "topsecret@example.com", Person.email.in_(["Topsecret", ""])):
            printed = sa.select(Person).where(asked).compile(compile_kwargs={"literal_binds": True})
            explain = sa.text(f"EXPLAIN (ANALYZE, VERBOSE) {printed}".replace(":", "\\:"))
            assert_clean("\n".join(session.execute(explain).scalars()))
        person.note = "Topsecret again"
        session.commit()
        for account in session.scalars(sa.select(Account)):
            account.tenant = 2
        session.commit()
        session.add(Person(email="Topsecret@example.com"))
        with pytest.raises(sa.exc.IntegrityError) as caught:
            session.commit()
        assert_clean("".join(traceback.format_exception(caught.value)))
        session.rollback()
        with pytest.raises(sa.exc.DBAPIError) as failed:
            session.execute(sa.insert(Person).values(id=sa.text("1/0"), email="a@x", note=SECRET))
        assert_clean("".join(traceback.format_exception(failed.value)))
    with engine.connect() as connection:
        rotate(connection, Person.note)
        rekey(connection, Person.email)


@pytest.fixture
def logged(database: Database, server: Server) -> sa.Engine:
    """
    An engine on a database whose sessions log everything, with parameters.
    """
    if not server.superuser:
        pytest.skip("sets log_statement: connect as a superuser")
    for setting in (
        "log_statement = 'all'",
        "log_min_duration_statement = 0",
        "log_parameter_max_length = -1",
        "log_parameter_max_length_on_error = -1",
        "log_min_messages = 'debug1'",
    ):
        server.execute(f"ALTER DATABASE {database.name} SET {setting}")
    engine = database.engine()
    Base.metadata.create_all(engine)
    return engine


def test_the_server_log_holds_neither_plaintext_nor_key(logged: sa.Engine, server: Server) -> None:
    """
    With ``log_statement=all`` and parameters, failures included.
    """
    with logged.connect() as connection:
        folder = connection.scalar(sa.text("SHOW data_directory"))
    use(logged)
    files = [*Path(folder).parent.glob("*log*"), *Path(folder).glob("log/*")]
    texts = [file.read_bytes() for file in files if file.is_file()]
    if not any(b"INSERT INTO person" in text for text in texts):
        pytest.skip("cannot read this server's log")
    for text in texts:
        assert_clean(text)


def test_statistics_and_catalogs_hold_neither(logged: sa.Engine, server: Server) -> None:
    """
    Neither ``pg_stat_statements`` nor ``pg_stats`` nor the definitions of objects.
    """
    loaded = "pg_stat_statements" in server.preloaded
    with logged.begin() as connection:
        if loaded:
            connection.execute(sa.text("CREATE EXTENSION pg_stat_statements"))
    use(logged)
    with logged.begin() as connection:
        connection.execute(sa.text("ANALYZE"))
        questions = [
            "SELECT most_common_vals::text, histogram_bounds::text FROM pg_stats",
            "SELECT indexdef FROM pg_indexes",
            "SELECT query FROM pg_stat_activity",
            "SELECT description FROM pg_description",
        ]
        if loaded:
            questions.append("SELECT query FROM pg_stat_statements")
        for question in questions:
            assert_clean(str(connection.execute(sa.text(question)).all()))


def test_a_dump_holds_neither(logged: sa.Engine, server: Server) -> None:
    """
    A backup is as unreadable as the tables, whatever its format.
    """
    if server.binaries is None or not (server.binaries / "pg_dump").exists():
        pytest.skip("no pg_dump")
    use(logged)
    url = logged.url.set(drivername="postgresql").render_as_string(hide_password=False)
    for options in ([], ["--inserts"], ["--format=custom", "--compress=0"]):
        done = subprocess.run(
            [server.binaries / "pg_dump", *options, url], capture_output=True, check=True
        )
        assert b"person_email_eq_1" in done.stdout
        assert_clean(done.stdout)


def test_what_the_client_logs_and_raises(
    engine: sa.Engine, caplog: pytest.LogCaptureFixture
) -> None:
    """
    SQLAlchemy's echo (not ``echo="debug"``, which prints what results hold), and exceptions that are raised before a statement is sent.
    """
    caplog.set_level(logging.INFO)
    engine.echo = True
    Base.metadata.create_all(engine)
    use(engine)
    assert "INSERT INTO person" in caplog.text
    assert_clean(caplog.text)

    class Stubborn(sa.TypeDecorator[Any]):
        impl = sa.Integer
        cache_ok = True

        def process_bind_param(self, value: Any, dialect: Any) -> Any:
            raise ZeroDivisionError("no")

    table = sa.Table("stubborn", sa.MetaData(), sa.Column("n", Stubborn), sa.Column("id"))
    account = sa.insert(Account.__table__)
    bad: list[Any] = [
        lambda c: c.execute(sa.insert(Person), {"email": "a@x", "theNote": [SECRET]}),
        lambda c: c.execute(sa.insert(Person), {"email": "a@x", "theNote": SECRET + "\ud800"}),
        lambda c: c.execute(sa.select(Person.id).where(Person.email == [SECRET])),
        lambda c: c.execute(account, {"tenant": "x", "iban": SECRET}),
        lambda c: c.execute(sa.insert(table), {"n": 1, "id": SECRET}),
    ]
    for attempt in bad:
        with engine.connect() as connection, pytest.raises(Exception) as caught:
            attempt(connection)
        assert_clean("".join(traceback.format_exception(caught.value)))


def test_reprs_of_what_a_host_prints() -> None:
    """
    Types, columns, searches and expressions show names only.
    """
    for each in (Person.email.type, Person.__table__.c.email, Equality(), Account.iban.type):
        assert_clean(repr(each))
    assert_clean(str(Person.email == "Topsecret"))
