"""
A small application for the tests of plan and doors: a table, a function, a trigger, a view.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from pgultra import Function, PgultraWarning, Trigger, View, declare
from pgultra.plan import collect, sorted_plan
from pgultra.plan.compare import Plan, Step

if TYPE_CHECKING:
    from sqlalchemy import Connection, MetaData

BODY = """begin
  -- the last one counts
  new.name := lower(new.name);
  return new;
end"""


def visits(application: str | None = None) -> MetaData:
    """
    Make it anew, so that a test may change it.
    """
    metadata = sa.MetaData(info={"pgultra.app": application} if application else {})
    visit = sa.Table(
        "visit",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.Text),
        sa.Column("place", sa.Enum("home", "abroad", name="place"), server_default="home"),
    )
    declare(
        metadata,
        Function(name="touch", body=BODY),
        Trigger(
            name="seen",
            table="visit",
            timing="BEFORE",
            events=("INSERT", "UPDATE"),
            columns=("name",),
            function="touch",
        ),
    )
    declare(
        visit,
        View(
            name="far",
            query=sa.select(visit.c.id, visit.c.name).where(visit.c.name.like("50%")),
        ),
    )
    return metadata


def make_by_hand(connection: Connection, metadata: MetaData) -> None:
    """
    Make everything as another tool would have made it: without marks.
    """
    bare = sa.MetaData()
    for table in metadata.tables.values():
        table.to_metadata(bare)
    with pytest.warns(PgultraWarning, match="is a copy"):
        bare.create_all(connection)
    unmarked = (dataclasses.replace(each, mark=None) for each in collect(metadata).values())
    for text in sorted_plan(Plan(tuple(Step(None, each) for each in unmarked))).statements():
        connection.exec_driver_sql(text.replace("%", "%%"))
