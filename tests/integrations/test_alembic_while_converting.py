"""
Autogenerate leaves the other table of a conversion alone, as long as both ways are open.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING

from pgultra.features.partitions import convert, finish_conversion

if TYPE_CHECKING:
    import pytest
    import sqlalchemy as sa

    from tests.fixtures.alembic import MigrationEnvironment

HEAD = """
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from pgultra.features.partitions import ByRange, PartitionedTable

class Base(DeclarativeBase):
    pass

"""
PLAIN = """
class Visit(Base):
    __tablename__ = "Visit"
    id: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True)
    at: Mapped[sa.DateTime] = mapped_column(sa.DateTime(timezone=True))
"""
DIVIDED = """
class Visit(PartitionedTable, Base):
    __tablename__ = "Visit"
    __partition_by__ = ByRange("at", every="1 month")
    id: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True)
    at: Mapped[sa.DateTime] = mapped_column(sa.DateTime(timezone=True), primary_key=True)
"""


def test_autogenerate_finds_nothing_to_do(
    alembic_env: MigrationEnvironment, engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Neither with the old models while rows are copied, nor with the new ones until the end.
    """
    alembic_env.write_models(HEAD + PLAIN)
    alembic_env.autogenerate("before")
    alembic_env.upgrade()
    with engine.begin() as connection:
        connection.exec_driver_sql("""INSERT INTO "Visit" (at) VALUES ('2026-05-05Z')""")
    module = ModuleType("divided")
    monkeypatch.setitem(sys.modules, "divided", module)
    exec(HEAD + DIVIDED, module.__dict__)  # the same text that Alembic gets
    found = []

    def look(step: str) -> None:
        if step == "compare":
            found.append(alembic_env.check())

    with engine.connect() as connection:
        convert(connection, module.Visit, announce=look)
        alembic_env.write_models(HEAD + DIVIDED)
        found.append(alembic_env.check())
        finish_conversion(connection, module.Visit)
        found.append(alembic_env.check())
        connection.exec_driver_sql('CREATE TABLE "Visit_partitions_old" (id int)')
        connection.commit()
        assert found == [[], [], []]
        (left,) = alembic_env.check()
    assert "Visit_partitions_old" in str(left)  # no journal: it merely looks like one of ours
