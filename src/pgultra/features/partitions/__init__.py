"""
Partitioned tables: declared on the model, made and kept ready, moved over while in use.

>>> from sqlalchemy import BigInteger, DateTime
>>> from sqlalchemy.orm import DeclarativeBase, mapped_column
>>> from pgultra.features.partitions import ByRange, PartitionedTable

>>> class Base(DeclarativeBase):
...     pass

>>> class Event(PartitionedTable, Base):
...     __tablename__ = "event"
...     __partition_by__ = ByRange("occurred_at", every="1 month", premake=3, retain="12 months")
...
...     id = mapped_column(BigInteger, primary_key=True)
...     occurred_at = mapped_column(DateTime(timezone=True), primary_key=True)

``create_all`` and migrations make the table, the partition of the present month and three
more. Borders are moments, so no session's time zone moves them:

>>> from datetime import datetime, timezone
>>> from pgultra.features.partitions import Grid
>>> str(Grid.of("1 month").cell(datetime(2026, 2, 3, tzinfo=timezone.utc)))
"from ('2026-02-01 00:00:00+00') to ('2026-03-01 00:00:00+00')"
"""

from __future__ import annotations

from pgultra.features.partitions.bounds import (
    Bound,
    DefaultBound,
    HashBound,
    ListBound,
    RangeBound,
)
from pgultra.features.partitions.calendar import Grid
from pgultra.features.partitions.model import PartitionedTable
from pgultra.features.partitions.rules import ByHash, ByList, ByRange, Rules

__all__ = [
    "Bound",
    "ByHash",
    "ByList",
    "ByRange",
    "DefaultBound",
    "Grid",
    "HashBound",
    "ListBound",
    "PartitionedTable",
    "RangeBound",
    "Rules",
]
