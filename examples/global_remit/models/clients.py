"""
Clients and their accounts: searched by words, compared by vectors, closed together.
"""

from __future__ import annotations

from decimal import Decimal  # noqa: TC003  # Mapped[Decimal] is evaluated
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from sqlalchemy import ForeignKey, Numeric, String, func
from sqlalchemy.orm import Mapped, mapped_column, relationship

from models.base import EMBEDDER, VECTORS, Base, Timed, touched
from pgultra import (
    Check,
    Embedding,
    SearchVector,
    SoftDelete,
    TSVector,
    Vector,
    declare,
    soft_delete,
)

if TYPE_CHECKING:
    from models.sensitive import SensitiveData


class Client(SoftDelete, Timed, Base):
    """
    Who sends money. Accounts and sensitive data go with a client, and come back with it.
    """

    __tablename__ = "clients"
    __table_args__ = (soft_delete.unique_live("email"),)  # free again when a client is closed

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    first_name: Mapped[str]
    last_name: Mapped[str | None]
    email: Mapped[str] = mapped_column()
    phone: Mapped[str | None] = mapped_column(String(16))
    status: Mapped[str] = mapped_column(default="active")
    # Names have no grammar: under "english", Will and An would be stop words. An address is
    # one word to PostgreSQL; with its marks taken out, each part of it can be found too.
    search_vector: Mapped[TSVector] = SearchVector(
        {
            "first_name": "A",
            "last_name": "A",
            "email": "B",
            func.translate(email, "@._+-", "     "): "B",
            "phone": "C",
        },
        config="simple",
    )
    if VECTORS:
        embedding: Mapped[Vector | None] = Embedding(
            EMBEDDER.dimensions,
            source=("first_name", "last_name", "email", "phone"),
            model=EMBEDDER.model,
            deferred=True,
        )
    accounts: Mapped[list[Account]] = relationship(back_populates="client", cascade="all")
    sensitive_data: Mapped[list[SensitiveData]] = relationship(cascade="all")


class Account(SoftDelete, Base):
    """
    In one currency.
    """

    __tablename__ = "accounts"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    client_id: Mapped[UUID] = mapped_column(ForeignKey("clients.id"), index=True)
    currency_code: Mapped[str] = mapped_column(String(3))
    balance: Mapped[Decimal] = mapped_column(Numeric(18, 2), default=0)
    client: Mapped[Client] = relationship(back_populates="accounts")


touched(Client, "first_name", "last_name", "email", "phone", "status")

# What test_factor_validate_email and _phone were to say, kept by the database for every
# writer: added NOT VALID and validated without stopping writes.
declare(
    Client,
    Check(
        name="clients_email_valid",
        table="clients",
        condition=r"length(email) <= 254 AND email ~ '^[^@\s]+@[^@\s]+\.[^@\s.]+$'",
    ),
    Check(name="clients_phone_valid", table="clients", condition=r"phone ~ '^\+[1-9]\d{6,14}$'"),
)
