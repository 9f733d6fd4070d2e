"""
What purge counts, and what it cannot purge.
"""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy import ForeignKey, delete, text
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

from pgultra import declare
from pgultra.errors import DeclarationError
from pgultra.features.soft_delete import Purged, Rules, SoftDelete, purge


def test_each_row_is_counted_once(engine: sa.Engine) -> None:
    """
    A row that went below another, in a batch that had to be halved, is one row.
    """

    class Base(DeclarativeBase):
        pass

    class Node(SoftDelete, Base):
        __tablename__ = "Node"

        id: Mapped[int] = mapped_column(primary_key=True)
        up: Mapped[int | None] = mapped_column(ForeignKey("Node.id"))
        nodes: Mapped[list[Node]] = relationship(cascade="all")

    class Reader(Base):
        __tablename__ = "reader"

        id: Mapped[int] = mapped_column(primary_key=True)
        node_id: Mapped[int] = mapped_column(ForeignKey("Node.id"))

    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add_all([Node(id=1, nodes=[Node(id=3)]), Node(id=2), Node(id=4)])
        session.flush()
        session.add(Reader(id=1, node_id=4))
        session.execute(delete(Node))
        session.commit()
    with engine.connect() as connection:
        done = purge(connection, Node, older_than=timedelta(0))
        assert done == Purged(removed=3, skipped=1)
        assert connection.scalar(text('SELECT id FROM "Node"')) == 4


def test_no_primary_key(engine: sa.Engine) -> None:
    """
    A table without a primary key is refused with a reason.
    """
    table = sa.Table("loose", sa.MetaData(), sa.Column("x", sa.Integer))
    declare(table, Rules())
    table.metadata.create_all(engine)
    with engine.connect() as connection, pytest.raises(DeclarationError, match="no primary key"):
        purge(connection, table, older_than=timedelta(0))


@pytest.mark.parametrize(
    "change", ["INSERT INTO c (id, raw) VALUES (2, 1)", "UPDATE c SET raw = 1"]
)
def test_a_generated_key(engine: sa.Engine, change: str) -> None:
    """
    A live row whose key is generated is refused below a deleted parent.
    """
    metadata = sa.MetaData()
    parent = sa.Table("p", metadata, sa.Column("id", sa.Integer, primary_key=True))
    child = sa.Table(
        "c",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("raw", sa.Integer),
        sa.Column("p_id", sa.Integer, sa.Computed("raw", persisted=True), ForeignKey("p.id")),
    )
    declare(parent, Rules(cascade=("c.p_id",)))
    declare(child, Rules(refuse_orphans=True))
    metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO p VALUES (1), (2); INSERT INTO c (id, raw) VALUES (1, 2);"
                "UPDATE p SET deleted_at = now() WHERE id = 1"
            )
        )
    with (
        pytest.raises(sa.exc.IntegrityError, match="cannot stand below row"),
        engine.begin() as connection,
    ):
        connection.execute(text(change))
