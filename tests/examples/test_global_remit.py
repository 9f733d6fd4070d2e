"""
The example ``global_remit``: each query of the plan, against the rows that it is about.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from pgultra import (
    DecryptionError,
    EncryptionError,
    KeyRing,
    embeddings,
    encryption,
    partitions,
    plan,
)
from pgultra.integrations.embedded import wheel_binaries
from tests.fixtures.alembic import MigrationEnvironment
from tests.fixtures.database import clone
from tests.fixtures.requirements import has

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from types import ModuleType

    from tests.fixtures.database import Database
    from tests.fixtures.server import Server

EXAMPLE = Path(__file__).parents[2] / "examples" / "global_remit"
NAMES = {path.stem for path in EXAMPLE.iterdir()}
PASSPHRASE = "correct horse battery staple"
NUMBERS = ("ssn", "credit_card", "passport_number")


@dataclass(frozen=True)
class Remit:
    """
    The example on a database of its own.

    Attributes:
        database: where its rows are.
        models: what it declares.
        month: the first day that anything was sent on.
    """

    database: Database
    models: ModuleType
    month: datetime

    def queries(self, name: str) -> Any:  # a module, whose functions have types of their own
        """
        One of the example's modules of queries.
        """
        return importlib.import_module(f"queries.{name}")


@contextmanager
def importable() -> Iterator[None]:
    """
    The example's folder in front of the path; what others call ``models`` is put aside.
    """

    def named() -> dict[str, ModuleType]:
        return {name: each for name, each in sys.modules.items() if name.split(".")[0] in NAMES}

    others = named()
    for name in others:
        del sys.modules[name]
    sys.path.insert(0, str(EXAMPLE))
    try:
        yield
    finally:
        sys.path.remove(str(EXAMPLE))
        for name in named():
            del sys.modules[name]
        sys.modules.update(others)


@pytest.fixture(scope="module")
def remit(server: Server, template: str) -> Iterator[Remit]:
    """
    The example, made and loaded, with every embedding where there can be any.
    """
    vectors = has(server, "vector")
    with pytest.MonkeyPatch.context() as patch, importable(), clone(server, template) as database:
        patch.setenv("GLOBAL_REMIT_VECTORS", "on" if vectors else "off")
        patch.setenv("GLOBAL_REMIT_KEYS", KeyRing.generate(1))
        patch.setenv("GLOBAL_REMIT_PASSPHRASE", PASSPHRASE)
        models, load = map(importlib.import_module, ("models", "load"))
        engine = database.engine()
        models.Base.metadata.create_all(engine)
        remit = Remit(database, models, load.this_month())
        with Session(engine) as session, session.begin():
            load.load(session, remit.month)
        if vectors:
            assert remit.queries("similar").update_embeddings(engine) == 97 + 970
        yield remit


@pytest.fixture
def session(remit: Remit) -> Iterator[Session]:
    """
    A session whose work is rolled back, so that each test finds the rows as they were loaded.
    """
    with Session(remit.database.engine()) as session:
        yield session
        session.rollback()


def client(remit: Remit, session: Session, email: str) -> Any:  # a Client of the example
    """
    Somebody by e-mail address.
    """
    found = sa.select(remit.models.Client).where(remit.models.Client.email == email)
    return session.scalars(found).one()


# -- 1.1, JSON --------------------------------------------------------------------------------


def test_json_by_what_it_holds(remit: Remit, session: Session) -> None:
    """
    The plan's INSERT and its containment query, answered by the index.
    """
    documents = remit.queries("documents")
    for data in ({"name": "John", "age": 30, "skills": ["SQL", "Python"]}, {"name": "Ann"}):
        session.add(remit.models.Document(data=data))
    session.flush()
    assert documents.containing(session, {"age": 30}) == [("John", ["SQL", "Python"])]
    assert documents.containing(session, {"age": 31}) == []
    assert documents.explained(session) == {"jsonb_storage_data"}


def test_updated_at_moves_with_a_change_only(remit: Remit, session: Session) -> None:
    """
    The plan's trigger moved it when the same values were written again.
    """
    document = remit.models.Document(data={"age": 30})
    session.add(document)
    session.flush()
    table = remit.models.Document.__table__
    when = sa.select(table.c.updated_at)
    first = session.scalar(when)
    session.execute(sa.update(table).values(data=table.c.data))
    assert session.scalar(when) == first
    session.execute(sa.update(table).values(data={"age": 31}))
    assert session.scalar(when) > first  # the clock's time, within one transaction too


# -- 1.2 and soft delete ----------------------------------------------------------------------


def test_a_client_is_closed_and_comes_back(remit: Remit, session: Session) -> None:
    """
    Accounts and numbers go along, transfers stay, no search finds the client; all come back.
    """
    closing, words, ledger = map(remit.queries, ("closing", "words", "ledger"))
    models = remit.models
    john = client(remit, session, "john@example.com")
    of_john = [
        sa.select(sa.func.count()).select_from(model).where(model.client_id == john.id)
        for model in (models.Account, models.SensitiveData, models.Transaction)
    ]
    assert [session.scalar(each) for each in of_john] == [1, 1, 10]
    closed = closing.close(session, "john@example.com", by="ann")
    assert [session.scalar(each) for each in of_john] == [0, 0, 10]
    assert words.search_clients(session, "john doe") == []
    assert remit.queries("sensitive").find_by_ssn(session, "123-45-6789") is None
    assert len(ledger.clients_summary(session, 100)) == 96
    assert ledger.transactions_summary(session, "GR-000000").customer_name == "John Doe"
    session.add(models.Client(first_name="J", last_name="D", email="john@example.com"))
    session.flush()  # the address is free meanwhile
    session.execute(sa.delete(models.Client).where(models.Client.first_name == "J"))
    assert closing.reopen(session, closed) == 3
    assert [session.scalar(each) for each in of_john] == [1, 1, 10]
    assert [row.last_name for row in words.search_clients(session, "john doe")] == ["Doe"]


def test_a_purge_leaves_whom_the_ledger_names(remit: Remit) -> None:
    """
    What nobody refers to is gone; a client with transfers is skipped, and said to be.
    """
    closing, models = remit.queries("closing"), remit.models
    engine = remit.database.engine()
    with Session(engine) as session, session.begin():
        session.add(models.Client(first_name="New", email="new@example.com"))
        session.flush()
        for email in ("new@example.com", "madonna@example.net"):
            closing.close(session, email, by="ann")
    try:
        with engine.connect() as connection:
            assert closing.purge(connection).removed == 0  # not yet 30 days
        with engine.connect() as connection:
            done = closing.purge(connection, days=0)
        assert (done.removed, done.skipped) == (1, 1)
    finally:
        with Session(engine) as session, session.begin():
            asked = sa.select(models.Client).where(models.Client.first_name == "Madonna")
            madonna = session.scalars(asked, execution_options={"pgultra.deleted": "only"}).one()
            assert closing.reopen(session, madonna) == 3


# -- 1.3, audit log ---------------------------------------------------------------------------


@pytest.mark.slow
def test_nights_of_the_audit_log(database: Database, remit: Remit, tmp_path: Path) -> None:
    """
    Ten days of 1,000 rows: seven stay, three are files whose checksums hold, none is lost.
    """
    load, nights = map(importlib.import_module, ("load", "nights"))
    models, ledger = remit.models, remit.queries("ledger")
    engine = database.engine()
    models.AuditLog.metadata.create_all(engine)
    begin = load.today()
    assert nights.nights(engine, begin, 10, tmp_path) == (3, 7_000, 3_000)
    with engine.connect() as connection:  # once more: the plan's function lost all here
        assert ledger.nightly(connection, begin + timedelta(days=10), tmp_path).done == []
    log = models.AuditLog.__table__
    logged = (
        "SELECT count(*) FROM pg_class WHERE relname LIKE 'audit_log%' AND relpersistence <> 'p'"
    )
    with engine.connect() as connection:
        days = sa.select(sa.func.min(log.c.timestamp), sa.func.count())
        assert connection.execute(days).one() == (begin + timedelta(days=3), 7_000)
        assert connection.scalar(sa.text(logged)) == 0  # a crash keeps it
        week = sa.select(log).where(log.c.timestamp >= begin + timedelta(days=9, hours=1))
        (touched,) = partitions.partitions_touched(connection, week).values()
        assert len(touched) == 5  # that day and those ahead, of 11


# -- 2.1, words -------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("john", ["Doe", "Smith"]),
        ("JOHN", ["Doe", "Smith"]),
        ("ann bee", ["Bee"]),
        ("ann & ", ["Bee"]),
        ("'; (john | ", ["Doe", "Smith"]),
        ("john -smith", ["Doe"]),
        ("john example", ["Doe", "Smith"]),
        ("john.smith@example.com", ["Smith"]),
        ("+442079460102", ["Bee"]),
        ("will an", ["An"]),
        ("o'brien", ["O'Brien"]),
        ("john & email", []),
        ("nobody", []),
    ],
)
def test_clients_by_words(remit: Remit, session: Session, typed: str, found: list[str]) -> None:
    """
    What was a syntax error, a stop word or a word within an address finds whom it names.
    """
    rows = remit.queries("words").search_clients(session, typed)
    assert sorted(row.last_name for row in rows) == found
    ranks = [row.rank for row in rows]
    assert ranks == sorted(ranks, reverse=True)
    assert all(isinstance(rank, float) and rank > 0 for rank in ranks)


def test_a_name_counts_more_than_an_address(remit: Remit, session: Session) -> None:
    """
    The weights: A for the names, B for the address.
    """
    session.add(remit.models.Client(first_name="Eve", last_name="X", email="madonna@x.example"))
    session.flush()
    rows = remit.queries("words").search_clients(session, "madonna")
    assert [row.first_name for row in rows] == ["Madonna", "Eve"]
    assert rows[0].rank > rows[1].rank


def test_the_vector_follows_its_row(remit: Remit, session: Session) -> None:
    """
    Whoever writes, by raw SQL too.
    """
    words = remit.queries("words")
    session.execute(sa.text("UPDATE clients SET last_name = 'Roe' WHERE last_name = 'Doe'"))
    assert words.search_clients(session, "john doe") == []
    assert [row.email for row in words.search_clients(session, "roe")] == ["john@example.com"]


def test_rows_from_before_are_filled(remit: Remit, database: Database) -> None:
    """
    Rows that no trigger saw, as those from before the column, are found after a backfill.
    """
    words, models = remit.queries("words"), remit.models
    engine = database.engine()
    models.Base.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(sa.text("SET LOCAL session_replication_role = replica"))
        rows = [
            {"first_name": "Old", "last_name": f"Row{number}", "email": f"{number}@old.example"}
            for number in range(7)
        ]
        connection.execute(sa.insert(models.Client.__table__), rows)
    with Session(engine) as session:
        assert words.search_clients(session, "old") == []
    with engine.connect() as connection:
        assert words.fill(connection) == 7
        assert words.fill(connection) == 0
    with Session(engine) as session:
        assert len(words.search_clients(session, "old")) == 7


def test_transactions_by_words(remit: Remit, session: Session) -> None:
    """
    The vector that the plan never filled: English, so that one sister has schools too.
    """
    words = remit.queries("words")
    (row,) = words.search_transactions(session, "schools sisters", 1)
    assert row.description == "<mark>School</mark> fees of my <mark>sister</mark>"
    assert len(words.search_transactions(session, "schools sisters", 1_000)) == 162
    assert words.search_as_you_type(session, "mad") == ["Madonna"]
    assert words.search_as_you_type(session, "john smi") == ["John Smith"]


def test_words_are_found_by_the_index(remit: Remit, session: Session) -> None:
    """
    The plan's EXPLAIN ANALYZE of a search for john.
    """
    assert remit.queries("words").explained(session) == {"clients_search_vector_gin"}


# -- 2.2 and 2.3, vectors ---------------------------------------------------------------------


@pytest.mark.needs("vector")
def test_an_embedding_is_of_its_text(remit: Remit) -> None:
    """
    1,536 numbers, the same for the same text, and not for another: the plan's were random.
    """
    generate = remit.queries("similar").generate_embedding
    one = generate("John Doe john@example.com +1234567890")
    assert len(one) == 1536
    assert one == generate("John Doe john@example.com +1234567890")
    assert one != generate("Ann Bee")


@pytest.mark.needs("vector")
def test_similar_clients(remit: Remit, session: Session) -> None:
    """
    Nearest first, above the threshold, ``count`` at most, with similarity and distance.
    """
    similar = remit.queries("similar")
    asked = similar.generate_embedding("John Smith john.smith@example.com +442079460101")
    (one,) = similar.find_similar_clients(session, asked, 0.8, 5)
    assert (one.first_name, one.last_name, one.email) == ("John", "Smith", "john.smith@example.com")
    assert one.similarity == pytest.approx(1)
    three = similar.find_similar_clients(session, asked, 0.5, 10)
    assert [row.email.partition("@")[0] for row in three] == ["john.smith", "jon.smith", "john"]
    assert all(row.similarity > 0.5 for row in three)
    assert all(row.similarity == pytest.approx(1 - row.distance) for row in three)
    assert len(similar.find_similar_clients(session, asked, -1, 50)) == 50


@pytest.mark.needs("vector")
def test_a_wrong_vector_is_refused(remit: Remit, session: Session) -> None:
    """
    Of three dimensions, or of zeros, whose cosine is no number: said before it is sent.
    """
    similar = remit.queries("similar")
    for vector in ([0.1, 0.2, 0.3], [0.0] * 1536):
        with pytest.raises(embeddings.InvalidVector):
            similar.find_similar_clients(session, vector)


@pytest.mark.needs("vector")
def test_the_same_person_twice(remit: Remit, session: Session) -> None:
    """
    John Smith is also a client as Jon; who has no last name has an embedding all the same.
    """
    similar, models = remit.queries("similar"), remit.models
    john = client(remit, session, "john.smith@example.com")
    assert [row.first_name for row in similar.twins(session, john)] == ["Jon"]
    remit.queries("closing").close(session, "jon.smith@example.com", by="ann")
    assert similar.twins(session, john) == []
    empty = sa.select(sa.func.count()).where(models.Client.embedding.is_(None))
    assert session.scalar(empty) == 0


@pytest.mark.needs("vector")
def test_embeddings_follow_their_rows(remit: Remit) -> None:
    """
    A change of the text waits for a vector, another change does not; ``updated_at`` is left.
    """
    similar, models = remit.queries("similar"), remit.models
    engine = remit.database.engine()
    asked = sa.select(models.Client.updated_at).where(models.Client.email == "siobhan@example.ie")
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE clients SET status = 'active' WHERE phone IS NULL"))
    assert similar.update_embeddings(engine) == 0
    with engine.begin() as connection:
        change = "UPDATE clients SET phone = '+353155501031' WHERE email = 'siobhan@example.ie'"
        connection.execute(sa.text(change))
        changed = connection.scalar(asked)
        assert embeddings.queue_status(connection, models.Client.embedding).waiting == 1
    assert similar.update_embeddings(engine) == 1
    with engine.connect() as connection:
        assert connection.scalar(asked) == changed  # the worker changed nothing of hers


@pytest.mark.needs("vector")
def test_words_and_vectors_together(remit: Remit, session: Session) -> None:
    """
    Both ways agree on Jon Smith; filtered transfers come in full however rare they are.
    """
    similar = remit.queries("similar")
    best = similar.words_and_meaning(session, "jon smith")[0]
    assert (best[0].email, best.text_rank, best.vector_rank) == ("jon.smith@example.com", 1, 1)
    rows = similar.similar_transactions(session, "fees for a school", "failed")
    assert len(rows) == 10
    assert {(row[0].status, row[0].description) for row in rows} == {
        ("failed", "School fees of my sister")
    }
    assert "clients_embedding_hnsw" in similar.explained(session)


# -- 3.1, views; the indexes of the second plan -----------------------------------------------


def test_the_views(remit: Remit, session: Session) -> None:
    """
    As the REST layer reads them, with the rights of the reader.
    """
    ledger = remit.queries("ledger")
    assert len(ledger.clients_summary(session)) == 5
    assert {"first_name", "status", "updated_at"} <= set(ledger.clients_summary(session)[0]._fields)
    row = ledger.transactions_summary(session, "GR-000005")
    assert (row.amount, row.currency_code, row.status) == (Decimal(205), "NGN", "completed")
    assert (row.customer_name, row.customer_email) == ("Madonna", "madonna@example.net")
    assert row.transaction_type == "fee"
    options = "SELECT reloptions FROM pg_class WHERE relname = ANY (:names)"
    names = {"names": ["clients_summary", "transactions_summary"]}
    found = session.scalars(sa.text(options), names).all()
    assert found == [["security_invoker=true"]] * 2


def test_the_indexes_are_on_every_partition(remit: Remit, session: Session) -> None:
    """
    Client and status find ten rows in all months; some days read one month only.
    """
    ledger = remit.queries("ledger")
    john = client(remit, session, "john@example.com")
    statement = ledger.transactions_of(john, "completed")
    assert len(session.scalars(statement).all()) == 6
    indexes = remit.queries("explained").indexes_used(session, statement)
    assert len(indexes) == 4  # the months that there are
    assert all(name.endswith("client_id_status_idx") for name in indexes)
    week = ledger.transactions_in(remit.month, days=7)
    partitions.assert_pruned(session.connection(), week, at_most=1)
    rows = session.scalars(week).all()
    assert len(rows) == 84
    assert rows[0].created_at > rows[-1].created_at == remit.month


def test_an_address_has_one_index(remit: Remit, session: Session) -> None:
    """
    That which makes it unique among live clients finds it too.
    """
    one = remit.queries("ledger").client_of("john@example.com")
    assert len(session.execute(one).all()) == 1
    assert remit.queries("explained").indexes_used(session, one) == {"clients_live_email_key"}
    of_email = (
        "SELECT count(*) FROM pg_indexes WHERE tablename = 'clients' AND indexdef ~ '[(]email'"
    )
    assert session.scalar(sa.text(of_email)) == 1
    session.add(remit.models.Client(first_name="J", email="john@example.com"))
    with pytest.raises(IntegrityError, match="clients_live_email_key"):
        session.flush()


@pytest.mark.parametrize(
    ("email", "phone"),
    [("no-at.example.com", None), ("a b@example.com", None), ("a@b", None), ("a@b.c", "12345")],
)
def test_addresses_are_checked(
    remit: Remit, session: Session, email: str, phone: str | None
) -> None:
    """
    What ``test_factor_validate_email`` and ``_phone`` were to refuse, the table refuses.
    """
    good = remit.models.Client(first_name="A", email="user@example.com", phone="+1234567890")
    session.add(good)
    session.flush()
    session.add(remit.models.Client(first_name="B", email=email, phone=phone))
    with pytest.raises(IntegrityError, match=r"clients_(email|phone)_valid"):
        session.flush()


# -- 4.2, sensitive data ----------------------------------------------------------------------


def test_text_is_sealed_and_opened(remit: Remit, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The plan's round trip; a changed byte does not open, and a missing key is named.
    """
    sensitive = remit.queries("sensitive")
    sealed = sensitive.encrypt_sensitive_data("123-45-6789")
    assert b"123-45" not in sealed
    assert sealed != sensitive.encrypt_sensitive_data("123-45-6789")
    assert sensitive.decrypt_sensitive_data(sealed) == "123-45-6789"
    with pytest.raises(DecryptionError):
        sensitive.decrypt_sensitive_data(sealed[:-1] + bytes([sealed[-1] ^ 1]))
    monkeypatch.setenv("GLOBAL_REMIT_KEYS", "")  # the plan took '' for a key
    with pytest.raises(EncryptionError, match="GLOBAL_REMIT_KEYS is not set"):
        remit.models.PII.prefetch()


def test_sensitive_data_is_stored_and_read(remit: Remit, session: Session) -> None:
    """
    The plan's INSERT; the database holds no readable byte of it, and finds it by number.
    """
    sensitive = remit.queries("sensitive")
    hana = client(remit, session, "hana.gupta@example.com")
    assert sensitive.get_sensitive_data(session, hana.id) is None
    numbers = ("987-65-4321", "4111-1111-1111-1111", "A12345678")
    stored = sensitive.store_sensitive_data(session, hana, *numbers)
    assert session.get(remit.models.SensitiveData, stored) is not None
    assert sensitive.get_sensitive_data(session, hana.id) == numbers
    kept = sa.text("SELECT ssn, credit_card, passport_number FROM sensitive_data WHERE id = :id")
    for raw, number in zip(session.execute(kept, {"id": stored}).one(), numbers, strict=True):
        assert isinstance(raw, bytes)
        assert number.encode() not in raw
    assert sensitive.find_by_ssn(session, "987-65-4321") is hana
    assert sensitive.find_by_ssn(session, "987-65-4322") is None
    assert sensitive.find_by_passport(session, " a12345678 ") is hana


def test_a_number_is_one_persons(remit: Remit, session: Session) -> None:
    """
    Two clients with one number are refused, and a value does not open in another's row.
    """
    sensitive, models = remit.queries("sensitive"), remit.models
    john, ann, hana = (
        client(remit, session, email)
        for email in ("john@example.com", "ann.bee@example.org", "hana.gupta@example.com")
    )
    with pytest.raises(IntegrityError, match="ssn"), session.begin_nested():
        sensitive.store_sensitive_data(session, hana, "123-45-6789", "4", "B")
    table = models.SensitiveData.__table__.name
    copy = (
        f"UPDATE {table} SET credit_card = (SELECT credit_card FROM {table} WHERE client_id = :a)"
    )
    session.execute(sa.text(f"{copy} WHERE client_id = :b"), {"a": john.id, "b": ann.id})
    found = sensitive.get_sensitive_data(session, ann.id)
    assert found.ssn == "423-45-6789"
    assert isinstance(found.credit_card, encryption.Quarantined)


def test_keys_rotate(remit: Remit) -> None:
    """
    All is sealed by the new key, reads as before, and the old one may go where no index is.
    """
    sensitive = remit.queries("sensitive")
    engine = remit.database.engine()
    with engine.connect() as connection:
        usage = {(each.column, each.key): each for each in sensitive.rotate(connection)}
    for column in ("client_keys.key", *(f"sensitive_data.{name}" for name in NUMBERS)):
        assert (usage[column, 1].rows, usage[column, 2].rows) == (0, 6)
        assert usage[column, 2].active
    assert usage["sensitive_data.credit_card", 1].retirable
    assert not usage["sensitive_data.ssn", 1].retirable  # the blind index has it still
    with Session(engine) as session:
        john = sensitive.find_by_ssn(session, "123-45-6789")
        assert john.email == "john@example.com"
        assert sensitive.get_sensitive_data(session, john.id).credit_card == "4111-1111-1111-1111"


@pytest.mark.slow
def test_a_client_is_forgotten(remit: Remit, session: Session) -> None:
    """
    Without the client's own key the numbers do not open; those of others do.
    """
    sensitive = remit.queries("sensitive")
    john, ann = (
        client(remit, session, each) for each in ("john@example.com", "ann.bee@example.org")
    )
    assert sensitive.forget(session, john.id)
    assert not sensitive.forget(session, john.id)
    gone = sensitive.get_sensitive_data(session, john.id)
    assert all(isinstance(value, encryption.Quarantined) for value in gone)
    assert sensitive.get_sensitive_data(session, ann.id).passport_number == "A4"


@pytest.mark.needs("pgcrypto")
def test_what_pgcrypto_sealed_is_taken_over(remit: Remit) -> None:
    """
    The plan's own statement wrote it; it is sealed anew, and read without pgcrypto.
    """
    pgcrypto = remit.queries("pgcrypto")
    engine = remit.database.engine()
    with Session(engine) as session, session.begin():
        pgcrypto.as_the_plan_wrote(session)
        assert session.scalar(sa.select(pgcrypto.old_data.c.ssn)) == "123-45-6789"
    with engine.connect() as connection:
        assert pgcrypto.take_over(connection) == "123-45-6789"


def test_a_backup_has_no_number(remit: Remit, session: Session) -> None:
    """
    "Encrypted backups": what COPY writes of the tables, as pg_dump does, is sealed.
    """
    numbers = ("987-65-4321", "4111-1111-1111-1111", "A12345678")
    hana = client(remit, session, "hana.gupta@example.com")
    remit.queries("sensitive").store_sensitive_data(session, hana, *numbers)
    cursor = session.connection().connection.cursor()
    dump = b""
    for table in ("sensitive_data", "client_keys"):
        with cursor.copy(f"COPY {table} TO STDOUT") as copy:
            dump += b"".join(map(bytes, copy))
    assert dump.count(b"\n") >= 12  # six clients and more have numbers, and a key
    for number in (*numbers, "23-45-6789", "4111-1111"):  # a shorter one may be there by chance
        assert number.encode() not in dump
        assert number.encode().hex().encode() not in dump


# -- as a whole -------------------------------------------------------------------------------


@pytest.mark.slow
def test_one_migration_makes_it_all(remit: Remit, database: Database, tmp_path: Path) -> None:
    """
    Autogenerate writes all of it without pgultra, finds nothing more to do, and goes back.
    """
    environment = MigrationEnvironment(tmp_path / "migrations", database.engine())
    metadata = remit.models.Base.metadata
    first = environment.autogenerate("all of it", metadata=metadata)
    assert "import pgultra" not in first.text
    environment.upgrade()
    assert environment.check(metadata=metadata) == []
    assert environment.autogenerate("again", metadata=metadata).empty
    with database.engine().connect() as connection:
        assert plan.check(connection, metadata).steps == ()
    environment.downgrade()
    with database.engine().connect() as connection:
        assert sa.inspect(connection).get_table_names() == ["alembic_version"]


async def test_the_same_queries_on_asyncpg(remit: Remit) -> None:
    """
    An asynchronous session answers as the other does.
    """
    words, sensitive = map(remit.queries, ("words", "sensitive"))
    async with AsyncSession(remit.database.async_engine()) as session:
        (ann,) = await session.run_sync(words.search_clients, "ann bee")
        assert ann.email == "ann.bee@example.org"
        found = await session.run_sync(sensitive.find_by_ssn, "423-45-6789")
        assert found.email == ann.email
        numbers = await session.run_sync(sensitive.get_sensitive_data, found.id)
        assert numbers == ("423-45-6789", "4111-1111-1111-4111", "A4")
        if has(remit.database.server, "vector"):
            similar = remit.queries("similar")
            asked = similar.generate_embedding("Ann Bee ann.bee@example.org +442079460102")
            (row,) = await session.run_sync(similar.find_similar_clients, asked)
            assert (row.email, row.similarity) == (ann.email, pytest.approx(1))


@pytest.mark.slow
def test_pgultra_check_is_quiet(remit: Remit) -> None:
    """
    The command of the README, in the example's folder, on the database that the tests used.
    """
    program = "from pgultra.integrations.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, "check", "models:Base", "--url", remit.database.dsn],
        capture_output=True,
        text=True,
        check=False,
        cwd=EXAMPLE,
    )
    assert (done.returncode, "no drift" in done.stdout) == (0, True), done.stdout + done.stderr


def run(*arguments: str, **variables: str) -> str:
    """
    The example as its README runs it; what it printed.
    """
    done = subprocess.run(
        [sys.executable, str(EXAMPLE / "app.py"), *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={
            **{name: each for name, each in os.environ.items() if "GLOBAL_REMIT" not in name},
            "PYTHONWARNINGS": "error,ignore:extension vector",
            **variables,
        },
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    assert max(map(len, done.stdout.splitlines())) < 90
    return done.stdout


def judge(text: str) -> None:
    """
    Every scene told what it has to tell.
    """
    for line in (
        "clients: 97",
        "transactions: 970",
        "rows that came back: 3",
        "7,000 kept, 3,000 in 3 files with checksums",
        "Ann   Bee   ann.bee@example.org",
        "Will   An   will.an@example.org",
        "205.00   NGN   Madonna   fee",
        "transactions of a week: 84, in one partition",
        "523-45-6789   4111-1111-1111-5111   A5",
        "sensitive_data.credit_card key 1: 0 rows, may be retired",
        "<quarantined value of sensitive_data.ssn, key 2>",
        "drift between the models and the database: none",
    ):
        assert line in text


@pytest.mark.slow
def test_one_command_on_a_server(server: Server, database: Database) -> None:
    """
    On yours: what it cannot have is said in a sentence, and nothing is left behind.
    """
    hidden = "vector" in os.environ.get("PGULTRA_TEST_WITHOUT", "")
    text = run("--url", database.dsn, **({"GLOBAL_REMIT_VECTORS": "off"} if hidden else {}))
    judge(text)
    assert ("rows that had no vector yet: 1067" in text) == has(server, "vector")
    assert ("has no pgvector: what is similar is left out" in text) != has(server, "vector")
    assert ("read without pgcrypto: 123-45-6789" in text) == has(server, "pgcrypto")
    assert ("has no pgcrypto: that is left out" in text) != has(server, "pgcrypto")
    with database.engine().connect() as connection:
        left = "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'global_remit%'"
        assert connection.execute(sa.text(left)).scalar_one() == 0


@pytest.mark.slow
@pytest.mark.needs("vector")
def test_extensions_of_the_server_are_used_where_they_are(database: Database) -> None:
    """
    pgvector stands in a schema of its own on some servers; the example finds and leaves it.
    """
    with database.engine().begin() as connection:
        connection.exec_driver_sql('CREATE SCHEMA "My types"')
        connection.exec_driver_sql('CREATE EXTENSION vector SCHEMA "My types"')
    assert "rows that had no vector yet: 1067" in run("--url", database.dsn)
    with database.engine().connect() as connection:
        where = "SELECT extnamespace::regnamespace FROM pg_extension WHERE extname = 'vector'"
        assert connection.scalar(sa.text(where)) == '"My types"'


@pytest.mark.slow
@pytest.mark.once
@pytest.mark.skipif(wheel_binaries() is None, reason="pip install 'pgultra[embedded]'")
def test_one_command_on_the_embedded_server() -> None:
    """
    Without an argument, a PostgreSQL with pgvector comes along.
    """
    text = run()
    judge(text)
    assert "rows that had no vector yet: 1067" in text
