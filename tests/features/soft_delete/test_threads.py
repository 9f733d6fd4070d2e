"""
Sixteen threads that delete and restore the same tree, through ORM sessions.
"""

from __future__ import annotations

import random
import threading
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy import delete, select, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

from pgultra import RestoreConflict
from pgultra.features.soft_delete import SoftDelete, audit, restore, with_deleted

if TYPE_CHECKING:
    from tests.fixtures.database import Database

THREADS = 16
ROUNDS = 12


class Base(DeclarativeBase):
    """
    The tree: nodes below nodes, with leaves.
    """


class Node(SoftDelete, Base):
    """
    Below another node, and above nodes and leaves.
    """

    __tablename__ = "node"
    id: Mapped[int] = mapped_column(primary_key=True)
    parent_id: Mapped[int | None] = mapped_column(sa.ForeignKey("node.id"), index=True)
    nodes: Mapped[list[Node]] = relationship(cascade="all", passive_deletes=True)
    leaves: Mapped[list[Leaf]] = relationship(cascade="all", passive_deletes=True)


class Leaf(SoftDelete, Base):
    """
    Below a node.
    """

    __tablename__ = "leaf"
    id: Mapped[int] = mapped_column(primary_key=True)
    node_id: Mapped[int] = mapped_column(sa.ForeignKey("node.id"), index=True)


Base.registry.configure()


def grow(session: Session) -> list[int]:
    """
    Plant a root with three branches of three twigs each, four leaves on every twig.
    """
    session.add(Node(id=1))
    session.flush()
    branches = [Node(id=10 * each, parent_id=1) for each in (1, 2, 3)]
    session.add_all(branches)
    session.flush()
    twigs = [
        Node(id=branch.id + each, parent_id=branch.id) for branch in branches for each in (1, 2, 3)
    ]
    session.add_all(twigs)
    session.flush()
    session.add_all(
        Leaf(id=10 * twig.id + each, node_id=twig.id) for twig in twigs for each in range(4)
    )
    session.commit()
    return [1, *(each.id for each in branches), *(each.id for each in twigs)]


def act(session: Session, nodes: list[int], chance: random.Random) -> None:
    """
    Do one operation, in one transaction.
    """
    which = chance.choice(nodes)
    what = chance.random()
    if what < 0.3:
        node = session.get(Node, which)
        if node is not None:
            session.delete(node)
    elif what < 0.45:
        some = session.scalars(select(Node).where(Node.id.in_(chance.sample(nodes, 3)))).all()
        for each in some:
            session.delete(each)
    elif what < 0.6:
        session.execute(delete(Node).where(Node.id.in_(chance.sample(nodes, 2))))
    else:
        dead = session.scalars(with_deleted(select(Node).where(Node.id == which))).one()
        try:
            restore(session, dead)
        except RestoreConflict:
            session.rollback()
            return
    session.commit()


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_sixteen_threads(database: Database, seed: int) -> None:
    """
    No deadlock, no live row below a dead one, and no deletion that is restored by halves.
    """
    engine = database.engine(pool_size=THREADS, max_overflow=0)
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        nodes = grow(session)
    errors: list[Any] = []
    start = threading.Barrier(THREADS)

    def work(number: int) -> None:
        chance = random.Random(seed * 100 + number)
        start.wait()
        for _ in range(ROUNDS):
            try:
                with Session(engine) as session:
                    act(session, nodes, chance)
            except OperationalError as error:  # deadlock detected
                errors.append(error)
            except Exception as error:  # told below
                errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert [str(each).splitlines()[0] for each in errors] == []
    with engine.connect() as connection:
        assert audit(connection, Base) == []
        halves = connection.execute(
            text(
                "SELECT child.id FROM leaf AS child JOIN node AS parent ON parent.id = child.node_id "
                "WHERE child.deletion_id IS NOT NULL AND child.deletion_id <> ALL "
                "(SELECT deletion_id FROM node WHERE deletion_id IS NOT NULL)"
            )
        ).all()
        assert halves == []  # leaves are never deleted by themselves


@pytest.mark.slow
def test_all_comes_back(database: Database) -> None:
    """
    After the storm every deletion can be restored, and the tree is whole.
    """
    engine = database.engine(pool_size=4)
    Base.metadata.create_all(engine)
    chance = random.Random(7)
    with Session(engine) as session:
        nodes = grow(session)
        for _ in range(40):
            act(session, nodes, chance)
        for _ in nodes:
            statement = with_deleted(select(Node).where(Node.deleted_at.is_not(None)))
            for each in session.scalars(statement.order_by(Node.id)).all():
                try:
                    restore(session, each)
                except RestoreConflict:
                    continue
            session.commit()
        assert len(session.scalars(select(Node)).all()) == len(nodes)
        assert len(session.scalars(select(Leaf)).all()) == 36
