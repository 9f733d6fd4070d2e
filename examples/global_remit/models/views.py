"""
The two views of the REST layer, with the rights of whoever reads them.
"""

from __future__ import annotations

from sqlalchemy import func, select

from models.base import Base
from models.clients import Client
from models.ledger import Transaction, TransactionType
from pgultra import View, declare, soft_delete

clients_summary = View(
    name="clients_summary",
    security_invoker=True,
    query=select(
        Client.id,
        Client.first_name,
        Client.last_name,
        Client.email,
        Client.phone,
        Client.status,
        Client.created_at,
        Client.updated_at,
    ).where(soft_delete.alive(Client)),
)

# The ledger names closed clients too. concat_ws leaves a missing last name out; with || the
# whole name would be NULL.
transactions_summary = View(
    name="transactions_summary",
    security_invoker=True,
    query=select(
        Transaction.id,
        Transaction.transaction_reference,
        Transaction.amount,
        Transaction.currency_code,
        Transaction.status,
        Transaction.created_at,
        func.concat_ws(" ", Client.first_name, Client.last_name).label("customer_name"),
        Client.email.label("customer_email"),
        TransactionType.name.label("transaction_type"),
    )
    .join(Client, Transaction.client_id == Client.id)
    .join(TransactionType, Transaction.transaction_type_id == TransactionType.id),
)

declare(Base, clients_summary, transactions_summary)
