"""
The clinic's models.

No ``from __future__ import annotations`` here: SQLModel reads relationships from live types.
"""

import os
from datetime import date, datetime
from typing import Any, ClassVar, Optional

from sqlalchemy import BigInteger, Column, Date, DateTime, String
from sqlmodel import Field, Relationship, SQLModel

from pgultra import (
    ByRange,
    Encrypted,
    Equality,
    KeyRing,
    PartitionedTable,
    SoftDelete,
    SoftDeleteOptions,
    TSVectorType,
    VectorType,
    embeddings,
    soft_delete,
)

EMBEDDER = embeddings.HashingEmbedder(32)
PATIENTS = KeyRing.from_env("clinic-patients", variable="APP_PII_KEYS")


class Patient(SoftDelete, SQLModel, table=True):
    __table_args__ = (soft_delete.unique_live("number"),)

    id: int | None = Field(default=None, primary_key=True)
    number: str = Field(max_length=12)
    name: str
    insurance: str | None = Field(
        default=None,
        sa_type=Encrypted(
            String, PATIENTS, id="patient.insurance", search=Equality(normalize="strip")
        ),
    )
    born: date | None = Field(
        default=None, sa_type=Encrypted(Date, PATIENTS, id="patient.born", padding=16)
    )
    notes: list["Note"] = Relationship(
        back_populates="patient", sa_relationship_kwargs={"cascade": "all, delete-orphan"}
    )


class Note(SoftDelete, SQLModel, table=True):
    __soft_delete__: ClassVar = SoftDeleteOptions(refuse_orphans=True)

    id: int | None = Field(default=None, primary_key=True)
    patient_id: int = Field(foreign_key="patient.id")
    title: str
    text: str = ""
    words: Any = Field(
        default=None,
        sa_column=Column(TSVectorType({"title": "A", "text": "B"}, config="english")),
    )
    if os.environ.get("SEMANTIC_SEARCH") != "off":
        embedding: Any = Field(
            default=None,
            sa_column=Column(VectorType(32, source=("title", "text"), model=EMBEDDER.model)),
        )
    patient: Optional["Patient"] = Relationship(back_populates="notes")


class Reading(PartitionedTable, SQLModel, table=True):
    __partition_by__: ClassVar = ByRange("taken_at", every="1 week", premake=1)

    id: int = Field(primary_key=True, sa_type=BigInteger)
    taken_at: datetime = Field(primary_key=True, sa_type=DateTime(timezone=True))
    patient_id: int = Field(foreign_key="patient.id")
    pulse: int
