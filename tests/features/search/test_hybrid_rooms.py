from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, aliased, mapped_column

from pgultra import plan
from pgultra.features import embeddings, search
from pgultra.features.embeddings import Embedding
from pgultra.features.search import SearchVector, TSVector

if TYPE_CHECKING:
    import sqlalchemy as sa

pytestmark = pytest.mark.needs("vector")


class Base(DeclarativeBase):
    pass


class Article(Base):
    __tablename__ = "article"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    search: Mapped[TSVector] = SearchVector({"title": "A"}, config="english")
    embedding: Mapped[embeddings.Vector | None] = Embedding(3)


def test_the_rankers_of_both_rooms_are_fused(engine: sa.Engine) -> None:
    """
    Words and a real vector in one statement, with filters and on an alias.
    """
    Base.metadata.create_all(engine)
    with engine.connect() as connection:
        assert list(plan.check(connection, Base.metadata)) == []
    with Session(engine) as session:
        session.add_all(
            Article(id=n, title="fox" if n % 2 else "dog", embedding=[n, 1, 0])
            for n in range(1, 50)
        )
        session.commit()
        for entity in (Article, aliased(Article)):
            statement = search.hybrid(
                entity, text="fox", vector=[7, 1, 0], limit=3, filters=[entity.id > 2]
            )
            rows = session.execute(statement).all()
            assert [row[0].id for row in rows] == [7, 9, 5]
            assert (rows[0].text_rank, rows[0].vector_rank) == (3, 1)
