"""
Unique indexes that are built while everybody goes on writing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text

from pgultra import sql

if TYPE_CHECKING:
    from pgultra.features.partitions.conversion.patience import Patience

__all__ = ["INDEX_STATE", "concurrently"]

INDEX_STATE = text(
    "SELECT x.indisvalid FROM pg_catalog.pg_index AS x "
    "JOIN pg_catalog.pg_class AS i ON i.oid = x.indexrelid "
    "JOIN pg_catalog.pg_namespace AS n ON n.oid = i.relnamespace "
    "WHERE n.nspname = CAST(:schema AS name) AND i.relname = CAST(:name AS name)"
)


def concurrently(patience: Patience, schema: str, name: str, statement: str) -> None:
    """
    Build an index, unless an earlier run did; what a broken one left is dropped before.

    Args:
        patience: its connection is in no transaction, and READ COMMITTED.
        schema: of the table.
        name: of the index.
        statement: CREATE UNIQUE INDEX CONCURRENTLY.
    """
    connection = patience.connection
    with patience.transaction():
        valid = connection.execute(INDEX_STATE, {"schema": schema, "name": name}).scalar()
    if valid:
        return
    connection.execution_options(isolation_level="AUTOCOMMIT")
    try:
        with connection.begin():  # SQLAlchemy's own word; nothing is sent
            if valid is not None:
                drop = f"DROP INDEX CONCURRENTLY {sql.qualified(schema, name)}"
                connection.execute(sql.statement(drop))
            connection.execute(sql.statement(statement))
    finally:
        if not (connection.closed or connection.invalidated):
            connection.execution_options(isolation_level="READ COMMITTED")
