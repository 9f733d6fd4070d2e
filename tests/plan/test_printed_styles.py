"""
What is printed for a migration reads the same on a server of other settings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from pgultra import Check, Function, Trigger, View, declare, plan
from tests.fixtures.alembic import MigrationEnvironment

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fixtures.database import Database

STYLES = "-c datestyle=SQL,DMY -c intervalstyle=sql_standard -c extra_float_digits=-3"
LATE = (
    "\"Due\" > date '2024-01-02' AND length < interval '1 day 2 hours' AND share < 0.1::float8 / 3"
)


def loans(query: str, condition: str) -> sa.MetaData:
    """
    A table in a schema, with a view, a check and a trigger whose texts hold values.
    """
    metadata = sa.MetaData()
    table = sa.Table(
        "Loan",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("Due", sa.Date),
        sa.Column("length", sa.Interval),
        sa.Column("share", sa.Double),
    )
    declare(
        table,
        View(name="late", query=query),
        Check(name="soon", table="Loan", condition=condition),
        Function(name="touch", body="begin return new; end"),
        Trigger(
            name="t",
            table="Loan",
            timing="BEFORE",
            events=("INSERT",),
            function="touch",
            when=f"new.{condition}",
        ),
    )
    return metadata


def test_a_downgrade_means_the_same_under_another_date_style(
    engine: sa.Engine, database: Database, tmp_path: Path
) -> None:
    """
    The text of what was is printed as pg_dump prints it, whatever the session's styles.
    """
    old = loans(f'SELECT id FROM "Loan" WHERE {LATE}', "\"Due\" > date '2024-01-02'")
    new = loans(f'SELECT id, "Due" FROM "Loan" WHERE {LATE}', "\"Due\" > date '2023-04-05'")
    other = database.engine(connect_args={"options": STYLES})
    author = MigrationEnvironment(tmp_path / "m", other)
    author.autogenerate("one", metadata=old)
    author.upgrade()
    revision = author.autogenerate("two", metadata=new)
    assert "2024-01-02" in revision.text
    assert "02/01/2024" not in revision.text

    server = MigrationEnvironment(tmp_path / "m", engine)
    server.upgrade()
    server.downgrade("-1")
    with engine.begin() as connection:
        connection.exec_driver_sql(
            """INSERT INTO "Loan" ("Due", length, share) VALUES
            ('2024-01-15', '1 day 1 hour', 0.03333), ('2024-01-15', '1 day 3 hours', 0)"""
        )
        assert connection.exec_driver_sql("SELECT id FROM late").scalars().all() == [1]
        assert not plan.check(connection, old)


def test_the_session_keeps_its_styles(database: Database) -> None:
    """
    A check gives them back, and sees no drift because of them.
    """
    metadata = loans(f'SELECT id FROM "Loan" WHERE {LATE}', "\"Due\" > date '2024-01-02'")
    engine = database.engine(connect_args={"options": STYLES})
    metadata.create_all(engine)
    with engine.connect() as connection:
        assert not plan.check(connection, metadata)
        show = "SELECT current_setting('DateStyle'), current_setting('IntervalStyle')"
        assert tuple(connection.exec_driver_sql(show).one()) == ("SQL, DMY", "sql_standard")
        assert connection.exec_driver_sql("SELECT date '2024-01-02'::text").scalar() == "02/01/2024"
