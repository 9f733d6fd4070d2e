"""
Types of keys that give back another value, and types that the room's columns cannot have.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy import ForeignKey, select, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

from pgultra.errors import DeclarationError
from pgultra.features.soft_delete import SoftDelete, only_deleted

if TYPE_CHECKING:
    from tests.fixtures.database import Database


class Lower(sa.TypeDecorator[str]):
    """
    Text that is stored in lower case.
    """

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Any) -> str | None:
        """
        Lower it.
        """
        return value and value.lower()


def tree(type_: Any) -> Any:
    """
    A class with such a key, and a child of it.
    """

    class Base(DeclarativeBase):
        pass

    class Node(SoftDelete, Base):
        __tablename__ = "Node"

        id = mapped_column(type_, primary_key=True)
        number: Mapped[int] = mapped_column(primary_key=True)
        leaves: Mapped[list[Any]] = relationship("Leaf", cascade="all")

    class Leaf(SoftDelete, Base):
        __tablename__ = "leaf"
        __table_args__ = (
            sa.ForeignKeyConstraint(["node_id", "node_number"], ["Node.id", "Node.number"]),
        )

        id = mapped_column(type_, primary_key=True)
        node_id = mapped_column(type_)
        node_number: Mapped[int | None]

    return Base, Node, Leaf


@pytest.mark.parametrize("type_", [Lower(), sa.CHAR(3)])
def test_keys_that_come_back_as_others(engine: sa.Engine, type_: Any) -> None:
    """
    Objects whose key is not what the row says are deleted, several at once, with their children.
    """
    base, node, leaf = tree(type_)
    base.metadata.create_all(engine)
    with Session(engine) as session:
        nodes = [node(id=name, number=1, leaves=[leaf(id=name)]) for name in ("Ab", "Cd", "Ef")]
        session.add_all(nodes)
        session.flush()
        loose = leaf(id="Gh")
        session.add(loose)
        session.flush()
        for each in (*nodes, loose):
            session.delete(each)
        session.flush()
        assert len({each.deletion_id for each in nodes}) == 3
        assert [each.leaves[0].deletion_id for each in nodes] == [
            each.deletion_id for each in nodes
        ]
        assert not any(each in session for each in (*nodes, loose))
        session.commit()
        assert session.scalars(select(node)).all() == session.scalars(select(leaf)).all() == []
        assert len(session.scalars(only_deleted(select(leaf))).all()) == 4


async def test_keys_that_come_back_as_others_async(database: Database) -> None:
    """
    So with asyncpg.
    """
    base, node, leaf = tree(sa.CHAR(3))
    async with AsyncSession(database.async_engine()) as session:
        await (await session.connection()).run_sync(base.metadata.create_all)
        nodes = [node(id=name, number=1, leaves=[leaf(id=name)]) for name in ("Ab", "Cd")]
        session.add_all(nodes)
        await session.flush()
        for each in nodes:
            await session.delete(each)
        await session.flush()
        assert await session.scalar(text("SELECT count(deleted_at) FROM leaf")) == 2


@pytest.mark.parametrize(
    "type_", [sa.Uuid(native_uuid=False), sa.Uuid(as_uuid=False), sa.UUID(as_uuid=False)]
)
def test_a_deletion_id_that_is_no_uuid(type_: Any) -> None:
    """
    A deletion_id is a uuid in the database and in Python.
    """

    class Base(DeclarativeBase):
        pass

    with pytest.raises(DeclarationError, match="not uuid on both sides"):

        class Node(SoftDelete, Base):
            __tablename__ = "node"

            id: Mapped[int] = mapped_column(primary_key=True)
            deletion_id = mapped_column(type_)


@pytest.mark.parametrize(
    ("above", "below", "refused"),
    [
        (sa.Text, sa.Integer, True),
        (sa.Integer, sa.Text, False),
        (sa.Integer, sa.BigInteger, False),
        (sa.Text, sa.String(40), False),
    ],
)
def test_who_deleted_goes_down(engine: sa.Engine, above: Any, below: Any, refused: bool) -> None:
    """
    A child whose deleted_by cannot take its parent's is refused; one that can says the same.
    """

    class Base(DeclarativeBase):
        pass

    class Node(SoftDelete, Base):
        __tablename__ = "node"

        id: Mapped[int] = mapped_column(primary_key=True)
        deleted_by = mapped_column(above)
        leaves: Mapped[list[Any]] = relationship("Leaf", cascade="all")

    class Leaf(SoftDelete, Base):
        __tablename__ = "leaf"

        id: Mapped[int] = mapped_column(primary_key=True)
        node_id = mapped_column(ForeignKey("node.id"))
        deleted_by = mapped_column(below)

    if refused:
        with pytest.raises(DeclarationError, match="table leaf, whose deleted_by has the type"):
            Base.metadata.create_all(engine)
        return
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add(Node(id=1, leaves=[Leaf(id=1)]))
        session.commit()
        session.execute(text("SET LOCAL pgultra.actor = '7'"))
        session.delete(session.get(Node, 1))
        session.commit()
        assert str(session.scalar(text("SELECT deleted_by FROM leaf"))) == "7"
