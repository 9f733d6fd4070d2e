"""
Migrations that move functions and columns at once, there and back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from pgultra import Function, declare, plan

if TYPE_CHECKING:
    from tests.fixtures.alembic import MigrationEnvironment


def counted(column: str, **options: Any) -> sa.MetaData:
    """
    A table with one column, and a function that reads it.
    """
    metadata = sa.MetaData()
    sa.Table("Item", metadata, sa.Column("id", sa.Integer), sa.Column(column, sa.Integer))
    body = f'select count("{column}") from "Item"'
    if options["language"] == "plpgsql":
        body = f'declare x "Item"."{column}"%type; begin return 1; end'
    declare(metadata, Function(name="f", returns="bigint", body=body, **options))
    return metadata


@pytest.mark.parametrize("language", ["sql", "plpgsql"])
def test_a_function_moves_to_another_column(
    engine: sa.Engine, alembic_env: MigrationEnvironment, language: str
) -> None:
    """
    The old one is dropped in the same migration, and comes back after the function does.
    """
    old, new = counted("Old", language=language), counted("New", language=language)
    alembic_env.autogenerate("one", metadata=old)
    alembic_env.upgrade()
    alembic_env.autogenerate("two", metadata=new)
    alembic_env.upgrade()
    with engine.connect() as connection:
        assert not plan.check(connection, new)
    alembic_env.downgrade("-1")
    with engine.connect() as connection:
        assert not plan.check(connection, old)
        assert connection.exec_driver_sql("SHOW check_function_bodies").scalar() == "on"
    alembic_env.upgrade()


@pytest.mark.parametrize("language", ["sql", "plpgsql"])
def test_a_function_goes_with_its_table(
    engine: sa.Engine, alembic_env: MigrationEnvironment, language: str
) -> None:
    """
    And comes back with it.
    """
    metadata = counted("Old", language=language)
    alembic_env.autogenerate("one", metadata=metadata)
    alembic_env.upgrade()
    alembic_env.autogenerate("two", metadata=sa.MetaData())
    alembic_env.upgrade()
    assert alembic_env.check(metadata=sa.MetaData()) == []
    alembic_env.downgrade("-1")
    with engine.connect() as connection:
        assert not plan.check(connection, metadata)


@pytest.mark.slow
@pytest.mark.parametrize("language", ["sql", "plpgsql"])
def test_a_default_lets_a_function_go(alembic_env: MigrationEnvironment, language: str) -> None:
    """
    The function is dropped after the default that called it is.
    """

    def numbered(default: str | None) -> sa.MetaData:
        metadata = sa.MetaData()
        column = sa.Column("n", sa.Integer, server_default=default and sa.text(default))
        sa.Table("item", metadata, column)
        if default:
            body = "select 1" if language == "sql" else "begin return 1; end"
            declare(metadata, Function(name="f", returns="int", language=language, body=body))
        return metadata

    alembic_env.configure(compare_server_default=True)
    alembic_env.autogenerate("one", metadata=numbered("f()"))
    alembic_env.upgrade()
    alembic_env.autogenerate("two", metadata=numbered(None))
    alembic_env.upgrade()
    alembic_env.downgrade()
