"""
The job of pg_cron does not wait for a lock without end, with all writers behind it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from pgultra.features.partitions.children import parents_of
from pgultra.features.partitions.cron import command_of
from tests.features.partitions.upkeep_stage import children, event_table

if TYPE_CHECKING:
    from sqlalchemy import Engine


@pytest.mark.slow
def test_the_job_gives_way_to_who_has_the_lock(engine: Engine) -> None:
    """
    After two seconds it ends with an error, and leaves the session's own patience alone.
    """
    metadata = sa.MetaData()
    sa.Table("Author", metadata, sa.Column("id", sa.Integer, primary_key=True))
    table = event_table(metadata, premake=3)
    table.append_column(sa.Column("author_id", sa.ForeignKey("Author.id")))
    with engine.begin() as connection:
        metadata.create_all(connection)
        (parent,) = parents_of(connection, metadata)
        connection.exec_driver_sql(f"DROP TABLE {children(connection, 'event')[-1]}")
    command = command_of(parent)
    with engine.connect() as writer, engine.connect() as job:
        writer.exec_driver_sql('INSERT INTO "Author" VALUES (1)')
        with pytest.raises(sa.exc.OperationalError, match="lock timeout"):
            job.exec_driver_sql(command)
        job.rollback()
        writer.rollback()
        assert len(job.exec_driver_sql(command).scalar_one()) == 1
        job.commit()
        assert job.exec_driver_sql("SHOW lock_timeout").scalar_one() == "0"
