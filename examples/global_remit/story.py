"""
The plan's steps, one after the other: what was asked, and what comes.
"""

from __future__ import annotations

import os
import secrets
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from database import offers
from load import load, this_month, today
from models import VECTORS, Account, Base, Client, Document, Transaction
from nights import nights
from pgultra import partitions, plan
from queries import closing, documents, ledger, pgcrypto, sensitive, similar, words
from stage import ask, say, scene, told

if TYPE_CHECKING:
    from sqlalchemy import Engine


def tell(engine: Engine) -> None:
    """
    Create, load, and go through the plan, on an empty database or schema.
    """
    Base.metadata.create_all(engine)
    with Session(engine) as session, session.begin():
        load(session, this_month())
        for each in (Client, Transaction):
            told(each.__tablename__, session.scalar(select(func.count()).select_from(each)))
    for part in (json, closed, audit, full_text, vectors, rest, sealed, taken_over):
        part(engine)
    with engine.connect() as connection:
        drift = plan.check(connection, Base.metadata).steps
    print(f"\ndrift between the models and the database: {drift or 'none'}")


def json(engine: Engine) -> None:
    """
    Step 1.1.
    """
    scene("1.1", "JSON, by what it holds", "One index, of the kind that containment is asked of.")
    with Session(engine) as session, session.begin():
        session.add(Document(data={"name": "John", "age": 30, "skills": ["SQL", "Python"]}))
        session.add(Document(data={"name": "Ann", "age": 41}))
        session.flush()
        ask('data @> {"age": 30}', documents.containing(session, {"age": 30}))
        told("by the index", ", ".join(documents.explained(session)))


def closed(engine: Engine) -> None:
    """
    Step 1.2: what its jobs do with old rows, and DELETE with any.
    """
    scene(
        "1.2",
        "A client is closed, and comes back",
        "The plan knew DELETE only. Here a client goes with accounts and sensitive data, is "
        "found by no query, and is not gone.",
    )
    with Session(engine) as session, session.begin():
        client = closing.close(session, "john@example.com", by="Ann of compliance")
        accounts = select(func.count()).select_from(Account)
        ask("john doe", words.search_clients(session, "john doe"))
        told("accounts of others", session.scalar(accounts))
        told("rows that came back", closing.reopen(session, client))
        told("accounts", session.scalar(accounts))


def audit(engine: Engine) -> None:
    """
    Step 1.3.
    """
    scene(
        "1.3",
        "An audit log of seven days",
        "The plan's was unlogged, so that a crash emptied it, and the second run of its clean-up "
        "lost a week. Here each day is a partition; an old one goes whole, into a file.",
    )
    with tempfile.TemporaryDirectory() as folder:
        files, kept, archived = nights(engine, today(), 10, Path(folder))
    told("10 days of 1,000 rows", f"{kept:,} kept, {archived:,} in {files} files with checksums")


def full_text(engine: Engine) -> None:
    """
    Step 2.1, and the search function of step 3.1.
    """
    scene(
        "2.1",
        "Clients and transactions by words",
        "Two words were a syntax error in the plan, and Will An has a name of stop words. "
        "Here any text is a question.",
    )
    with Session(engine) as session:
        for typed in ("john", "ann bee", "will an", "john example", "o'brien & ("):
            ask(typed, words.search_clients(session, typed))
        ask("school sister", words.search_transactions(session, "school sister", 2))
        told("by the index", ", ".join(words.explained(session)))


def vectors(engine: Engine) -> None:
    """
    Steps 2.2 and 2.3.
    """
    scene(
        "2.2",
        "Similar clients",
        "The plan's vectors were random numbers, made by hand. Here triggers note whose text "
        "is new, and a worker makes a vector of it.",
    )
    if not VECTORS:
        say("This database has no pgvector: what is similar is left out.")
        return
    told("rows that had no vector yet", similar.update_embeddings(engine))
    with Session(engine) as session:
        john = session.scalars(select(Client).where(Client.email == "john.smith@example.com")).one()
        ask("the same person, twice? (distance)", similar.twins(session, john))
        asked = similar.generate_embedding("Jon Smyth, jon.smith@example.com")
        found = similar.find_similar_clients(session, asked, 0.5)
        ask("find_similar_clients(…, 0.5)", [row[1:5] for row in found])
        fused = similar.words_and_meaning(session, "jon smith", 2)
        ask("by words and meaning", [(row[0].email, row.score) for row in fused])


def rest(engine: Engine) -> None:
    """
    Step 3.1, and the indexes of the second document.
    """
    scene(
        "3.1",
        "The views of the REST layer",
        "With the rights of who reads them. A missing last name is no missing name.",
    )
    with Session(engine) as session:
        row = ledger.transactions_summary(session, "GR-000005")
        ask("GR-000005", [(row.amount, row.currency_code, row.customer_name, row.transaction_type)])
        week = ledger.transactions_in(this_month(), days=7)
        partitions.assert_pruned(session.connection(), week, at_most=1)
        told("transactions of a week", f"{len(session.scalars(week).all())}, in one partition")


def sealed(engine: Engine) -> None:
    """
    Step 4.2, and the rotation that the second document promises.
    """
    scene(
        "4.2",
        "Sensitive data",
        "The plan gave the key to the database, could find nobody by a number, and could not "
        "change the key. Here the database sees neither key nor number.",
    )
    message = sensitive.encrypt_sensitive_data("123-45-6789")
    opened = sensitive.decrypt_sensitive_data(message)
    told("123-45-6789", f"{len(message)} bytes, which open as {opened}")
    with Session(engine) as session:
        found = sensitive.find_by_ssn(session, "523-45-6789")
        assert found is not None
        ask("who has 523-45-6789?", [(found.first_name, found.last_name)])
        ask("and what else is known?", [sensitive.get_sensitive_data(session, found.id) or ()])
    with engine.connect() as connection:
        ask("after a rotation", [[use] for use in sensitive.rotate(connection)])
    with Session(engine) as session, session.begin():
        sensitive.forget(session, found.id)
        numbers = sensitive.get_sensitive_data(session, found.id)
        ask("forgotten, in backups too", [[value] for value in numbers or ()])


def taken_over(engine: Engine) -> None:
    """
    Step 4.2, for whoever has data by the plan already.
    """
    scene("4.2", "From pgcrypto", "What pgp_sym_encrypt sealed is sealed anew and compared.")
    if not offers(engine, "pgcrypto"):
        say("This server has no pgcrypto: that is left out.")
        return
    os.environ.setdefault("GLOBAL_REMIT_PASSPHRASE", secrets.token_hex())
    with Session(engine) as session, session.begin():
        pgcrypto.as_the_plan_wrote(session)
    with engine.connect() as connection:
        told("read without pgcrypto", pgcrypto.take_over(connection))
