"""
What the application declares; ``pgultra check models:Base`` compares it with a database.
"""

from models.base import EMBEDDER, VECTORS, Base
from models.clients import Account, Client
from models.documents import Document
from models.ledger import AuditLog, Transaction, TransactionType
from models.sensitive import CLIENTS, PII, SensitiveData
from models.views import clients_summary, transactions_summary

__all__ = [
    "CLIENTS",
    "EMBEDDER",
    "PII",
    "VECTORS",
    "Account",
    "AuditLog",
    "Base",
    "Client",
    "Document",
    "SensitiveData",
    "Transaction",
    "TransactionType",
    "clients_summary",
    "transactions_summary",
]
