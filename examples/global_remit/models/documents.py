"""
The generic JSON store: PostgreSQL's own index, and a trigger that is told the truth.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Index
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, Timed, touched


class Document(Timed, Base):
    """
    Any JSON.
    """

    __tablename__ = "jsonb_storage"
    __table_args__ = (
        Index(
            "jsonb_storage_data",
            "data",
            postgresql_using="gin",
            postgresql_ops={"data": "jsonb_path_ops"},
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    data: Mapped[dict[str, Any]] = mapped_column(JSONB)
    about: Mapped[dict[str, Any]] = mapped_column("metadata", JSONB, server_default="{}")


touched(Document, "data", "metadata")
