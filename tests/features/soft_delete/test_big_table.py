"""
SoftDelete on a table that has a million rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

if TYPE_CHECKING:
    from tests.fixtures.alembic import MigrationEnvironment

BEFORE = """
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

class Base(DeclarativeBase):
    pass

class Reading(Base):
    __tablename__ = "reading"
    id: Mapped[int] = mapped_column(primary_key=True)
    sensor: Mapped[str]
"""
AFTER = """
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from pgultra import SoftDelete, SoftDeleteOptions, soft_delete

class Base(DeclarativeBase):
    pass

class Reading(SoftDelete, Base):
    __tablename__ = "reading"
    __soft_delete__ = SoftDeleteOptions({options})
    __table_args__ = (soft_delete.unique_live("sensor"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    sensor: Mapped[str]
"""
FILL = "INSERT INTO reading SELECT n, 'sensor ' || n FROM generate_series(1, 1000000) AS n"
FILE = "SELECT pg_relation_filenode('reading')"


@pytest.fixture
def million(alembic_env: MigrationEnvironment, engine: sa.Engine) -> MigrationEnvironment:
    """
    A migrated table with a million rows.
    """
    alembic_env.write_models(BEFORE)
    alembic_env.autogenerate("before")
    alembic_env.upgrade()
    with engine.begin() as connection:
        connection.execute(sa.text(FILL))
    return alembic_env


@pytest.mark.slow
@pytest.mark.parametrize("options", ["", "flag='is_deleted'"])
def test_the_migration_rewrites_nothing(
    million: MigrationEnvironment, engine: sa.Engine, options: str
) -> None:
    """
    Columns, flag and triggers come without a new file for the table, and go without one.
    """
    with engine.connect() as connection:
        file = connection.scalar(sa.text(FILE))
    million.write_models(AFTER.format(options=options))
    million.autogenerate("after")
    million.upgrade()
    assert million.check() == []
    with engine.begin() as connection:
        assert connection.scalar(sa.text(FILE)) == file
        connection.execute(sa.text("UPDATE reading SET deleted_at = now() WHERE id <= 10"))
    million.downgrade("-1")
    with engine.connect() as connection:
        assert connection.scalar(sa.text(FILE)) == file
        assert connection.scalar(sa.text("SELECT count(*) FROM reading")) == 1_000_000


@pytest.mark.slow
def test_indexes_are_built_beside_the_writers(
    million: MigrationEnvironment, engine: sa.Engine
) -> None:
    """
    With ``concurrently=True`` both indexes are built so; an INVALID leftover is replaced.
    """
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE reading SET sensor = 'sensor 1' WHERE id = 2"))
    million.write_models(AFTER.format(options="concurrently=True"))
    broken = million.autogenerate("after")
    assert broken.text.count("INDEX CONCURRENTLY IF NOT EXISTS") == 2
    with pytest.raises(sa.exc.IntegrityError, match="reading_live_sensor_key"):
        million.upgrade()
    invalid = "SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid"
    with engine.begin() as connection:
        assert connection.scalars(sa.text(invalid)).all() == ["reading_live_sensor_key"]
        connection.execute(sa.text("UPDATE reading SET sensor = 'sensor 2' WHERE id = 2"))
    # as the script says: stamp the revision that broke off, and let the next one finish it
    million.stamp(broken.identifier)
    million.autogenerate("the rest")
    million.upgrade()
    assert million.check() == []
    with engine.connect() as connection:
        assert connection.scalars(sa.text(invalid)).all() == []
