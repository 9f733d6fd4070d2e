"""
Tables, keys and columns whose names PL/pgSQL reserves, and SQL does not.
"""

from __future__ import annotations

import datetime as dt

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

from pgultra import plan
from pgultra.features import embeddings, encryption, partitions, search, soft_delete

KEYS = encryption.KeyRing("test_words_of_plpgsql", {1: bytes(range(32))})

pytestmark = pytest.mark.needs("vector")


class Base(DeclarativeBase):
    """
    The models of this module.
    """


class While(soft_delete.SoftDelete, Base):
    """
    The parent, whose children follow it into the bin.
    """

    __tablename__ = "while"
    __soft_delete__ = soft_delete.SoftDeleteOptions(cascade=("loops",))
    loop: Mapped[int] = mapped_column(primary_key=True)
    loops: Mapped[list[Loop]] = relationship(back_populates="parent")


class Loop(soft_delete.SoftDelete, Base):
    """
    Texts under such names: searched, embedded, and sealed beside their plain form.
    """

    __tablename__ = "loop"
    by: Mapped[int] = mapped_column(primary_key=True)
    foreach: Mapped[int] = mapped_column(sa.ForeignKey(While.loop))
    execute: Mapped[str] = mapped_column("if")
    begin: Mapped[str]
    strict: Mapped[str | None]
    declare: Mapped[str | None] = encryption.EncryptedColumn(sa.Text, keys=KEYS, dual="strict")
    search: Mapped[search.TSVector] = search.SearchVector({"if": "A", "begin": "B"}, mode="trigger")
    meaning: Mapped[embeddings.Vector | None] = embeddings.Embedding(8, source=["if", "begin"])
    parent: Mapped[While] = relationship(back_populates="loops")


class Execute(partitions.PartitionedTable, Base):
    """
    Partitions by such a column.
    """

    __tablename__ = "execute"
    __partition_by__ = partitions.ByRange("begin", every="1 month", premake=1)
    loop: Mapped[int] = mapped_column(primary_key=True)
    begin: Mapped[dt.datetime] = mapped_column(sa.DateTime(timezone=True), primary_key=True)


def test_every_room(engine: sa.Engine) -> None:
    """
    Their functions read ``NEW."if"``.
    """
    Base.metadata.create_all(engine)
    with engine.connect() as connection:
        assert not plan.check(connection, Base.metadata)
        connection.rollback()
        assert partitions.maintain(connection, Execute).complete
    with Session(engine) as session:
        parent = While(loop=1)
        session.add(Loop(by=1, execute="fox", begin="hare", strict="x", parent=parent))
        session.add(Execute(loop=1, begin=dt.datetime.now(dt.UTC)))
        session.commit()
        session.execute(sa.update(Loop).values(execute="wolf"))
        session.commit()
        assert session.scalars(search.top(Loop, Loop.search, "wolf hare")).one().begin == "hare"
        assert embeddings.queue_status(session.connection(), Loop.meaning).waiting == 1
        session.delete(parent)
        session.commit()
        assert session.scalars(sa.select(Loop)).all() == []
        soft_delete.restore(session, parent)
        session.commit()
        assert session.scalars(sa.select(Loop)).one().parent.loop == 1
