from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import sqlalchemy as sa

from tests.features.encryption.models import ROOTS

if TYPE_CHECKING:
    import pytest

    from tests.fixtures.alembic import MigrationEnvironment

MODELS = """
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from pgultra.features.encryption import EncryptedColumn, Equality, KeyRing

PII = KeyRing.from_env("migrated", variable="MIGRATED_KEYS")


class Base(DeclarativeBase):
    pass


class Person(Base):
    __tablename__ = "person"
    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = EncryptedColumn(sa.String, keys=PII, search=Equality(unique=True))
"""
MORE = (
    MODELS
    + """
    note: Mapped[str | None] = EncryptedColumn(sa.Text, keys=PII)
"""
)


def test_a_migration_knows_no_key_and_no_pgultra(
    alembic_env: MigrationEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    The script is plain SQLAlchemy, runs up and down, and the next one is empty.
    """
    text = ",".join(f"{n}:{base64.b64encode(root).decode()}" for n, root in ROOTS.items())
    monkeypatch.setenv("MIGRATED_KEYS", text)
    for models in (MODELS, MORE):
        alembic_env.write_models(models)
        revision = alembic_env.autogenerate()
        assert "pgultra" not in revision.text.replace("COMMENT ON INDEX", "").replace(
            "pgultra:default:encryption", ""
        )
        assert "sa.LargeBinary()" in revision.text
        for root in ROOTS.values():
            assert base64.b64encode(root).decode() not in revision.text
            assert root.hex() not in revision.text
        alembic_env.upgrade()
        assert alembic_env.check() == []
    with alembic_env.engine.begin() as connection:
        names = sa.inspect(connection).get_columns("person")
        assert [str(column["type"]) for column in names] == ["INTEGER", "BYTEA", "BYTEA"]
    alembic_env.downgrade()
    assert "CREATE UNIQUE INDEX person_email_eq_1" in alembic_env.offline_sql()


def test_keys_are_not_needed_to_migrate(alembic_env: MigrationEnvironment) -> None:
    """
    Whoever migrates the database need not hold its keys.
    """
    alembic_env.write_models(MODELS)
    assert not alembic_env.autogenerate().empty
    alembic_env.upgrade()
    assert alembic_env.check() == []
