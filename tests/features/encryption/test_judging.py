"""
Declarations whose values would not open, or would not be what they seem.
"""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from cryptography.fernet import Fernet
from sqlalchemy.dialects.postgresql import CITEXT

from pgultra import Index, declare, plan, soft_delete
from pgultra.errors import DeclarationError
from pgultra.features.encryption import (
    Encrypted,
    Equality,
    FernetText,
    PgcryptoColumn,
    blind_index,
)
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


def rule(name: str, tenant: Any, iban: Any) -> Any:
    """
    One of the ways to say that something is unique.
    """
    ways: dict[str, Any] = {
        "constraint": lambda: sa.UniqueConstraint(tenant, iban),
        "index": lambda: sa.Index("one", tenant, iban, unique=True),
        "key": lambda: sa.PrimaryKeyConstraint(tenant, iban),
        "live": lambda: soft_delete.unique_live("tenant", "iban"),
    }
    return ways[name]()


@pytest.mark.parametrize("way", ["constraint", "index", "key", "live"])
def test_unique_rules_over_ciphertexts(way: str) -> None:
    """
    Each would be made, and refuse nothing: equal values have different ciphertexts.
    """
    tenant = sa.Column("tenant", sa.Integer)
    iban = sa.Column("iban", Encrypted(sa.String, RING, search=Equality()))
    made = sa.Table("account", sa.MetaData(), tenant, iban)
    if way == "live":
        made.append_column(sa.Column("id", sa.Integer, primary_key=True))
        declare(made, soft_delete.Rules(), rule(way, tenant, iban))
    elif way != "index":  # which finds its table by itself
        made.append_constraint(rule(way, tenant, iban))
    else:
        rule(way, tenant, iban)
    with pytest.raises(DeclarationError, match=r"account\.iban stands in .*Equality\(unique=True"):
        made.metadata.create_all(_mock())


def test_a_plain_column_with_unique() -> None:
    """
    ``unique=True`` of ``mapped_column`` is the same rule, without a name.
    """
    sealed = sa.Column("iban", Encrypted(sa.String, RING), unique=True)
    made = sa.Table("account", sa.MetaData(), sealed)
    with pytest.raises(DeclarationError, match="stands in the unique rule, which would"):
        made.metadata.create_all(_mock())


def test_unique_within_a_tenant(engine: sa.Engine) -> None:
    """
    An index over the tenant and the blind index keeps a value unique for each tenant.
    """
    tenant = sa.Column("tenant", sa.Integer)
    iban = sa.Column("iban", Encrypted(sa.String, RING, search=Equality()))
    made = sa.Table("account", sa.MetaData(), tenant, iban)
    declare(made, Index.of(sa.Index("one", tenant, blind_index(iban), unique=True)))
    made.metadata.create_all(engine)
    with engine.begin() as connection:
        assert not plan.check(connection, made.metadata)
        row = {"tenant": 1, "iban": "DE1"}
        connection.execute(made.insert(), [row, row | {"tenant": 2}, row | {"iban": "DE2"}])
        with pytest.raises(sa.exc.IntegrityError, match="one"):
            connection.execute(made.insert(), row)


def _mock() -> Any:
    """
    What DDL is given to, and forgotten.
    """
    engine: Any = sa.create_mock_engine("postgresql+psycopg://", lambda *_given, **_more: None)
    return engine
