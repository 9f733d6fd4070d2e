from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, registry

from pgultra import DeclarationError, View, declare
from pgultra.plan import application_of, declarations, facts_of, function_name
from pgultra.plan.declare import Declaration, entries, is_declared
from pgultra.plan.facts import Facts, Live

ONE = View(name="one", query="SELECT 1 AS one")


@dataclass(frozen=True)
class Rule:
    """
    A declaration as a room has them.
    """

    room: str = "rules"
    column: str | None = None

    def objects(self, table: sa.Table) -> list[Any]:
        return []

    def facts(self, table: sa.Table) -> Facts:
        return Facts(live=Live(self.column) if self.column else None)


@dataclass(frozen=True)
class Attaching(Rule):
    def attached(self, table: sa.Table) -> None:
        sa.Index(f"ix_{table.name}", *table.primary_key)


def test_every_kind_of_target_leads_to_the_same_ledger() -> None:
    """
    A table, a mapped class, an imperatively mapped class; a base, a MetaData.
    """

    class Base(DeclarativeBase):
        pass

    class Item(Base):
        __tablename__ = "item"
        id: Mapped[int] = mapped_column(primary_key=True)

    class Plain:
        pass

    plain = sa.Table("plain", Base.metadata, sa.Column("id", sa.Integer, primary_key=True))
    registry(metadata=Base.metadata).map_imperatively(Plain, plain)
    declare(Item, Rule())
    declare(Item.__table__, Rule(column="x"))
    declare(Plain, Rule())
    declare(Base, ONE)
    declare(Base.metadata, dataclasses.replace(ONE, name="two"))
    assert declarations(Item.__table__) == (Rule(), Rule(column="x"))
    assert declarations(plain) == (Rule(),)
    assert [target for target, _ in entries(Base.metadata)][-2:] == [Base.metadata] * 2


def test_declaring_twice_is_declaring_once() -> None:
    """
    Equal declarations are one, so that a hook may run again.
    """
    table = sa.Table("t", sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True))
    declare(table, Rule(), Rule())
    declare(table, Rule())
    assert declarations(table) == (Rule(),)


def test_a_declaration_may_add_to_its_table_once() -> None:
    """
    attached() is called when it is declared, and not again for an equal one.
    """
    table = sa.Table("t", sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True))
    declare(table, Attaching())
    declare(table, Attaching())
    assert [index.name for index in table.indexes] == ["ix_t"]


@pytest.mark.parametrize("wrong", [object(), "View", View])
def test_what_is_no_declaration_is_refused(wrong: object) -> None:
    """
    The error says what can be declared.
    """
    with pytest.raises(DeclarationError, match="give an object such as View"):
        declare(sa.MetaData(), wrong)


@pytest.mark.parametrize("wrong", [object(), "item", int, None])
def test_what_is_no_target_is_refused(wrong: object) -> None:
    """
    The error says what can be declared on.
    """
    with pytest.raises(DeclarationError, match="is not a Table, a mapped class"):
        declare(wrong, ONE)


def test_nothing_is_declared_on_an_empty_metadata() -> None:
    """
    The doors can tell at once.
    """
    metadata = sa.MetaData()
    assert not is_declared(metadata)
    declare(metadata, ONE)
    assert is_declared(metadata)


def test_a_table_that_is_removed_takes_its_declarations_along() -> None:
    """
    Another table of the same name does not inherit them.
    """
    metadata = sa.MetaData()
    old = sa.Table("t", metadata, sa.Column("id", sa.Integer))
    declare(old, Rule())
    metadata.remove(old)
    assert list(entries(metadata)) == []
    new = sa.Table("t", metadata, sa.Column("id", sa.Integer))
    assert declarations(new) == ()
    assert list(entries(metadata)) == []
    declare(new, Rule(column="x"))
    assert declarations(new) == (Rule(column="x"),)
    metadata.clear()
    assert list(entries(metadata)) == []


def test_the_ledger_is_not_printed_into_migrations() -> None:
    """
    Neither Table.info nor its repr knows of it.
    """
    table = sa.Table("t", sa.MetaData(), sa.Column("id", sa.Integer))
    declare(table, Rule())
    assert table.info == {}
    assert "Rule" not in repr(table)


def test_names_of_shared_functions_tell_applications_apart() -> None:
    """
    The default application is not named; long names are cut.
    """
    shop = sa.MetaData(info={"pgultra.app": "shop"})
    assert application_of(shop) == "shop"
    assert application_of(sa.MetaData()) == "default"
    assert function_name(sa.MetaData(), "audit", "log") == "pgultra_audit_log"
    assert function_name(shop, "audit", "log") == "pgultra_shop_audit_log"
    assert len(function_name(shop, "audit" * 20, "log")) == 63


def test_facts_are_merged_whatever_the_order() -> None:
    """
    Rooms learn of each other only through them.
    """
    table = sa.Table("t", sa.MetaData(), sa.Column("id", sa.Integer))
    assert facts_of(table) == Facts()
    declare(table, Rule(), Rule(column="gone"), ONE)
    assert facts_of(table).live == Live("gone")
    declare(table, Rule(column="other"))
    with pytest.raises(DeclarationError, match="table t: two declarations disagree on live"):
        facts_of(table)


def test_a_room_need_not_inherit() -> None:
    """
    A declaration is a protocol.
    """
    assert isinstance(Rule(), Declaration)
    assert not isinstance(object(), Declaration)
