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

from pgultra.features.partitions.adoption import adopt
from pgultra.features.partitions.archive import Archived, read_archive
from pgultra.features.partitions.bounds import (
    Bound,
    DefaultBound,
    HashBound,
    ListBound,
    RangeBound,
)
from pgultra.features.partitions.calendar import Grid
from pgultra.features.partitions.conversion.convert import (
    Converted,
    convert,
    finish_conversion,
    plan_conversion,
    undo_conversion,
)
from pgultra.features.partitions.conversion.plan import ConversionPlan
from pgultra.features.partitions.cron import schedule_premake, unschedule_premake
from pgultra.features.partitions.defaults import drain_default
from pgultra.features.partitions.draining import Drained
from pgultra.features.partitions.model import PartitionedTable
from pgultra.features.partitions.partman import managed_by_partman
from pgultra.features.partitions.planning import Action, MaintenancePlan
from pgultra.features.partitions.pruning import assert_pruned, partitions_touched
from pgultra.features.partitions.rules import ByHash, ByList, ByRange, Rules
from pgultra.features.partitions.standing import PartitionStatus, TableStatus, status
from pgultra.features.partitions.upkeep import Maintained, Problem, maintain, plan

__all__ = [
    "Action",
    "Archived",
    "Bound",
    "ByHash",
    "ByList",
    "ByRange",
    "ConversionPlan",
    "Converted",
    "DefaultBound",
    "Drained",
    "Grid",
    "HashBound",
    "ListBound",
    "Maintained",
    "MaintenancePlan",
    "PartitionStatus",
    "PartitionedTable",
    "Problem",
    "RangeBound",
    "Rules",
    "TableStatus",
    "adopt",
    "assert_pruned",
    "convert",
    "drain_default",
    "finish_conversion",
    "maintain",
    "managed_by_partman",
    "partitions_touched",
    "plan",
    "plan_conversion",
    "read_archive",
    "schedule_premake",
    "status",
    "undo_conversion",
    "unschedule_premake",
]
