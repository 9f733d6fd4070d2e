"""
Declarations whose values would not open, or would not be what they seem.
"""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from cryptography.fernet import Fernet
from sqlalchemy.dialects.postgresql import CITEXT

from pgultra.errors import DeclarationError
from pgultra.features.encryption import Encrypted, FernetText, PgcryptoColumn
from tests.features.encryption.models import RING


def table(*columns: sa.Column[Any], **options: Any) -> sa.Table:
    """
    A table with an encrypted column of these options.
    """
    metadata = sa.MetaData(schema="Sales")
    sa.Table("tenant", metadata, sa.Column("id", sa.Integer, primary_key=True))
    given = {"inner": sa.String, "default": None} | options
    sealed = Encrypted(
        given["inner"], RING, context=given.get("context", ()), dual=given.get("dual")
    )
    return sa.Table(
        "Account",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        *columns,
        sa.Column("iban", sealed, default=given["default"]),
    )


@pytest.mark.parametrize(
    "type_", [CITEXT(), sa.CHAR(8), sa.NCHAR(8), sa.String(collation="case_insensitive")]
)
def test_contexts_of_texts_that_are_equal_and_not_the_same(type_: Any) -> None:
    """
    ``WHERE tenant = 'ACME'`` would seal for a text that the row does not have.
    """
    with pytest.raises(DeclarationError, match="unequal texts may be equal"):
        table(sa.Column("tenant", type_), context="tenant").metadata.create_all(_mock())


@pytest.mark.parametrize("collation", ["C", "de-AT-x-icu", "en_US.utf8", "ucs_basic"])
def test_contexts_of_texts_with_a_collation_of_postgresql(collation: str) -> None:
    """
    PostgreSQL's own collations compare bytes in the end.
    """
    tenant = sa.Column("tenant", sa.String(collation=collation))
    table(tenant, context="tenant").metadata.create_all(_mock())


@pytest.mark.parametrize(
    ("rules", "allowed"),
    [
        ({"onupdate": "CASCADE"}, False),
        ({"onupdate": "set null"}, False),
        ({"ondelete": "SET NULL"}, False),
        ({"ondelete": "SET  DEFAULT"}, False),
        ({"ondelete": "SET NULL (tenant_id)"}, False),
        ({"ondelete": "CASCADE"}, True),
        ({"onupdate": "RESTRICT", "ondelete": "NO ACTION"}, True),
    ],
)
@pytest.mark.parametrize("composite", [False, True])
def test_contexts_that_the_database_changes(
    rules: dict[str, Any], allowed: bool, composite: bool
) -> None:
    """
    A foreign key that changes the context would leave values that do not open.
    """
    own = () if composite else (sa.ForeignKey("Sales.tenant.id", **rules),)
    made = table(sa.Column("tenant_id", sa.Integer, *own), context="tenant_id")
    if composite:
        made.append_constraint(sa.ForeignKeyConstraint(["tenant_id"], ["Sales.tenant.id"], **rules))
    if allowed:
        made.metadata.create_all(_mock())
        return
    with pytest.raises(DeclarationError, match=r"context column tenant_id has ON (UPDATE|DELETE)"):
        made.metadata.create_all(_mock())


class Doubling(sa.TypeDecorator[str]):
    """
    A type that changes what it stores.
    """

    impl = sa.String
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: object) -> Any:
        return None if value is None else value * 2

    def process_result_value(self, value: Any, dialect: object) -> Any:
        return None if value is None else value[: len(value) // 2]


class Named(sa.TypeDecorator[str]):
    """
    A type that changes nothing.
    """

    impl = sa.String
    cache_ok = True


@pytest.mark.parametrize(
    "type_",
    [
        FernetText(lambda: [Fernet.generate_key()]),
        FernetText(lambda: [Fernet.generate_key()], binary=True),
        PgcryptoColumn(lambda: "a long passphrase 123"),
        Encrypted(sa.String, RING),
        Doubling(),
        sa.LargeBinary(),
    ],
)
def test_dual_of_a_column_that_only_python_reads(type_: Any) -> None:
    """
    What stands there is no plaintext, and would be given as the value.
    """
    made = table(sa.Column("old", type_), dual="old")
    with pytest.raises(DeclarationError, match=r"read in Python.*adopt"):
        made.metadata.create_all(_mock())


def test_dual_of_a_column_of_the_same_type() -> None:
    """
    A type of one's own is for both columns, and one that changes nothing for either.
    """
    table(sa.Column("old", Doubling()), dual="old", inner=Doubling).metadata.create_all(_mock())
    table(sa.Column("old", Named()), dual="old").metadata.create_all(_mock())


@pytest.mark.parametrize("type_", [sa.Interval(), sa.LargeBinary()])
def test_dual_of_types_without_a_fixed_text(type_: Any) -> None:
    """
    Said when tables are made, and not when a row is read.
    """
    made = table(sa.Column("old", type_), dual="old", inner=type_)
    with pytest.raises(DeclarationError, match="dual is not for"):
        made.metadata.create_all(_mock())


def test_dual_with_a_default() -> None:
    """
    A default of the encrypted column would hide the plaintext of rows that give no other.
    """
    made = table(sa.Column("old", sa.Text), dual="old", default="none")
    with pytest.raises(DeclarationError, match="would hide the plaintext"):
        made.metadata.create_all(_mock())


def _mock() -> Any:
    """
    What DDL is given to, and forgotten.
    """
    engine: Any = sa.create_mock_engine("postgresql+psycopg://", lambda *_given, **_more: None)
    return engine
