"""
What all tables share: the base, the columns of a deletion, and when a row was changed.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ARRAY, DateTime, MetaData, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase

from pgultra import Function, SoftDelete, Trigger, declare, soft_delete


class Base(DeclarativeBase):
    """
    The application's name is in the mark of all that it makes, partitions included.
    """

    metadata = MetaData(info={"pgultra.app": "sparkle_universe"})
    type_annotation_map = {  # noqa: RUF012  # read once, by SQLAlchemy
        datetime: DateTime(timezone=True),
        dict[str, Any]: JSONB,
        list[str]: ARRAY(Text),
    }


class Deletable(SoftDelete):
    """
    The seed's columns of a deletion, kept by the database, and a view of the live rows.

    The seed writes a trigger for each of nineteen tables; here they inherit this.
    """

    __soft_delete__ = soft_delete.SoftDeleteOptions(
        flag="deleted",
        deleted_at="deletedAt",
        deleted_by="deletedBy",
        deletion_id="deletionId",
        view=True,
    )


STAMP = Function(
    name="update_updated_at_column",
    returns="trigger",
    body="""BEGIN
    NEW."updatedAt" := clock_timestamp();
    RETURN NEW;
END""",
    settings=(("search_path", "pg_catalog, pg_temp"),),
)


def stamp_changes() -> None:
    """
    Declare the seed's ``updatedAt`` trigger on every table with such a column.

    The seed's fires for an UPDATE that changes nothing too, and ends with "continue for
    all tables with updatedAt".
    """
    declare(Base, STAMP)
    for table in Base.metadata.sorted_tables:
        if "updatedAt" in table.c:
            stamp = Trigger(
                name=f"update_updated_at_{table.name}",
                table=table.name,
                timing="BEFORE",
                events=("UPDATE",),
                when="OLD.* IS DISTINCT FROM NEW.*",
                function=STAMP.name,
            )
            declare(table, stamp)
