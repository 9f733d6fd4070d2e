"""
A view over a soft-deletable class is raw SQL, unless its query says what is alive.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from pgultra import View, declare, soft_delete
from pgultra.features.soft_delete import SoftDelete


def test_a_view_shows_deleted_rows_unless_its_query_leaves_them_out(engine: sa.Engine) -> None:
    """
    The filter is the session's, and a view is made without one.
    """

    class Base(DeclarativeBase):
        pass

    class Post(SoftDelete, Base):
        __tablename__ = "Post"
        id: Mapped[int] = mapped_column(primary_key=True)

    declare(
        Base,
        View(name="every", query=sa.select(Post.id)),
        View(name="living", query=sa.select(Post.id).where(soft_delete.alive(Post))),
    )
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add_all([Post(id=1), Post(id=2)])
        session.commit()
        session.delete(session.get_one(Post, 1))
        session.commit()
        ids = {
            name: session.scalars(sa.text(f"SELECT id FROM {name} ORDER BY id")).all()
            for name in ("every", "living")
        }
    assert ids == {"every": [1, 2], "living": [2]}
