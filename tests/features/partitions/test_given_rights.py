"""
A partition that is made in the database shows nobody more than its table does.
"""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from pgultra.features.partitions import ByRange, PartitionedTable, maintain
from tests.features.partitions.conversion.orders import role


def model() -> sa.MetaData:
    class Base(DeclarativeBase):
        metadata = sa.MetaData(schema="Shop")

    class Event(PartitionedTable, Base):
        __tablename__ = "Event"
        __partition_by__ = ByRange("id", every=100, premake=1)

        id: Mapped[int] = mapped_column(primary_key=True)

    return Base.metadata


@pytest.mark.parametrize("revoked", [True, False])
def test_default_privileges_and_policies(engine: sa.Engine, revoked: bool) -> None:
    """
    Made by create_all and by maintain, which both call the function.
    """
    metadata = model()
    with role(engine, "Reader") as name:
        with engine.begin() as connection:
            for statement in (
                'CREATE SCHEMA "Shop"',
                f'GRANT USAGE ON SCHEMA "Shop" TO {name}',
                f'ALTER DEFAULT PRIVILEGES IN SCHEMA "Shop" GRANT SELECT ON TABLES TO {name}',
            ):
                connection.exec_driver_sql(statement)
            metadata.create_all(connection)
            table = metadata.tables["Shop.Event"]
            connection.execute(table.insert(), [{"id": 7}])
            if revoked:
                connection.exec_driver_sql(f'REVOKE ALL ON "Shop"."Event" FROM {name}')
            else:
                connection.exec_driver_sql('ALTER TABLE "Shop"."Event" ENABLE ROW LEVEL SECURITY')
            connection.execute(table.insert(), [{"id": 150}])
        with engine.connect() as connection:
            maintain(connection, metadata)
        with engine.begin() as connection:
            connection.execute(table.insert(), [{"id": 250}])
            newest = connection.scalar(
                sa.text('SELECT tableoid::regclass::text FROM "Shop"."Event" WHERE id = 250')
            )
            connection.exec_driver_sql(f"SET LOCAL ROLE {name}")
            count = f"SELECT count(*) FROM {newest}"
            if revoked:
                with pytest.raises(ProgrammingError, match="permission denied"):
                    connection.exec_driver_sql(count)
            else:
                assert connection.exec_driver_sql(count).scalar_one() == 0
