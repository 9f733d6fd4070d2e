"""
Made-up people and what they sent: the same on every run.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import product
from typing import TYPE_CHECKING

from sqlalchemy import insert

from models import CLIENTS, Account, Client, SensitiveData, Transaction, TransactionType

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

FIRST = ("Amara", "Bruno", "Chidi", "Dalia", "Emre", "Farah", "Goran", "Hana", "Jasmin", "Kofi")
LAST = ("Adeyemi", "Baptiste", "Costa", "Diallo", "Eriksen", "Gupta", "Haddad", "Ivanov", "Jensen")

# Each of them is somebody whom one of the plan's queries does wrong.
PEOPLE = (
    ("John", "Doe", "john@example.com", "+12025550101"),
    ("John", "Smith", "john.smith@example.com", "+442079460101"),
    ("Jon", "Smith", "jon.smith@example.com", "+442079460101"),  # the same man, once more
    ("Ann", "Bee", "ann.bee@example.org", "+442079460102"),  # two words: a syntax error
    ("Will", "An", "will.an@example.org", None),  # stop words of English, all of them
    ("Madonna", None, "madonna@example.net", "+12025550102"),  # no last name: no embedding
    ("Siobhán", "O'Brien", "siobhan@example.ie", "+353155501030"),
)
TYPES = ("remittance", "fee", "refund")
DESCRIPTIONS = (
    "Rent for the flat in Lagos",
    "School fees of my sister",
    "Hospital bill, second payment",
    "Wedding present for Dalia",
    "Seeds and tools for the farm",
    "Monthly support of my parents",
)
STATUSES = ("completed", "completed", "completed", "pending", "failed")


def load(session: Session, begin: datetime) -> None:
    """
    97 clients with an account each, six with sensitive data, and 970 transactions.

    Args:
        session: is flushed, and not committed.
        begin: the first day of the quarter that they are sent in.
    """
    clients = [
        Client(first_name=first, last_name=last, email=email, phone=phone)
        for first, last, email, phone in PEOPLE
    ]
    clients += [
        Client(
            first_name=first,
            last_name=last,
            email=f"{first}.{last}@example.com".lower(),
            phone=f"+2348{number:09}",
        )
        for number, (first, last) in enumerate(product(FIRST, LAST))
    ]
    for number, client in enumerate(clients):
        client.accounts = [Account(currency_code=("USD", "EUR", "NGN")[number % 3])]
    session.add_all(clients)
    types = [TransactionType(name=name) for name in TYPES]
    session.add_all(types)
    session.flush()
    for number, client in enumerate(clients[:6], 1):
        store(session, client, f"{number}23-45-6789", f"4111-1111-1111-{number}111", f"A{number}")
    rows = [
        {
            "created_at": begin + timedelta(hours=2 * number),
            "client_id": clients[number % len(clients)].id,
            "transaction_type_id": types[number % 7 // 5].id,
            "transaction_reference": f"GR-{number:06}",
            "amount": Decimal(20 + number * 37 % 480),
            "currency_code": ("USD", "EUR", "NGN")[number % 3],
            "status": STATUSES[number % len(STATUSES)],
            "description": DESCRIPTIONS[number % len(DESCRIPTIONS)],
        }
        for number in range(10 * len(clients))
    ]
    session.execute(insert(Transaction), rows)


def store(session: Session, client: Client, ssn: str, card: str, passport: str) -> SensitiveData:
    """
    Seal a client's numbers, with the client's own key.
    """
    CLIENTS.ensure(session.connection(), client.id)
    row = SensitiveData(client_id=client.id, ssn=ssn, credit_card=card, passport_number=passport)
    session.add(row)
    session.flush()
    return row


def this_month() -> datetime:
    """
    When the quarter begins.
    """
    return datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def today() -> datetime:
    """
    When the audit log begins.
    """
    return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
