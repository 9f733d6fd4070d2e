"""
The weather service's tables.
"""

from __future__ import annotations

import os

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from pgultra import (
    ByRange,
    Encrypted,
    Equality,
    KeyRing,
    TSVectorType,
    VectorType,
    declare,
    embeddings,
    soft_delete,
)

EMBEDDER = embeddings.HashingEmbedder(32)
CONTACTS = KeyRing.from_env("sensor-contacts", variable="APP_PII_KEYS")
metadata = sa.MetaData()

station = sa.Table(
    "station",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("code", sa.Text, nullable=False),
    sa.Column("description", sa.Text, nullable=False, server_default=""),
    sa.Column("words", TSVectorType({"code": "A", "description": "B"}, config="simple")),
)
sensor = sa.Table(
    "sensor",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("station_id", sa.ForeignKey("station.id"), nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
)

operator = sa.Table(
    "operator",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("station_id", sa.ForeignKey("station.id"), nullable=False),
    sa.Column("email", Encrypted(sa.Text, CONTACTS, search=Equality(normalize="casefold"))),
    sa.Column("phone", Encrypted(sa.Text, CONTACTS, context="station_id")),
)

measurement = sa.Table(
    "measurement",
    metadata,
    sa.Column("sensor_id", sa.ForeignKey("sensor.id"), primary_key=True),
    sa.Column("at", sa.DateTime(timezone=True), primary_key=True),
    sa.Column("reading", JSONB, nullable=False),
)

declare(station, soft_delete.Rules(cascade=("sensor.station_id",)), soft_delete.unique_live("code"))
declare(sensor, soft_delete.Rules())
declare(measurement, ByRange("at", every="1 day", premake=2, retain="30 days"))

if os.environ.get("SEMANTIC_SEARCH") != "off":
    station.append_column(
        sa.Column("embedding", VectorType(32, source="description", model=EMBEDDER.model))
    )
    declare(station, embeddings.Rules("embedding"))
