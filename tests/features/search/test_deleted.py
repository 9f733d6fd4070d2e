"""
Deleted rows in searches: what the statement asks for counts, when it is given to `top`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy import select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from pgultra import soft_delete
from pgultra.features import search
from pgultra.features.search import SearchVector, TSVector

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

OPTION = "pgultra.deleted"


class Base(DeclarativeBase):
    """
    The models of this module.
    """


class Memo(soft_delete.SoftDelete, Base):
    """
    A row that can be deleted softly.
    """

    __tablename__ = "memo"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    search: Mapped[TSVector] = SearchVector({"name": "A"})


class Draft(soft_delete.SoftDelete, Base):
    """
    One whose vector says nothing of deleted rows.
    """

    __tablename__ = "draft"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    search: Mapped[TSVector] = SearchVector({"name": "A"}, filter_live=False)


@pytest.fixture
def session(connection: Connection) -> Iterator[Session]:
    """
    Two rows of each class, the first one deleted.
    """
    Base.metadata.create_all(connection)
    with Session(connection) as session:
        for model in (Memo, Draft):
            session.add_all([model(id=1, name="fox"), model(id=2, name="fox")])
        session.flush()
        for model in (Memo, Draft):
            session.delete(session.get_one(model, 1))
        session.flush()
        session.expunge_all()
        yield session


def asked(session: Session, model: Any, mode: str) -> list[int]:
    """
    The best rows of a statement with an option, in a session.
    """
    statement = select(model).execution_options(**{OPTION: mode})
    return sorted(each.id for each in session.scalars(search.top(statement, model.search, "fox")))


@pytest.mark.parametrize("model", [Memo, Draft])
def test_the_statement_asks(session: Session, model: Any) -> None:
    """
    The option of the statement that `top` is given says which rows there are.
    """
    assert asked(session, model, "exclude") == [2]
    assert asked(session, model, "include") == [1, 2]
    assert asked(session, model, "only") == [1]
    bin_ = search.top(soft_delete.only_deleted(select(model)), model.search, "fox")
    assert [each.id for each in session.scalars(bin_)] == [1]


def test_deleted_rows_alone_are_ranked(session: Session) -> None:
    """
    With "only", live rows take no place among the candidates; without a session neither.
    """
    statement = select(Memo.id).execution_options(**{OPTION: "only"})
    for candidates in (1, None):
        found = search.top(statement, Memo.search, "fox", candidates=candidates)
        assert session.scalars(found).all() == [1]
        assert session.connection().scalars(found).all() == [1]


def test_what_is_said_later_only_narrows(session: Session) -> None:
    """
    Options of the execution or the session bring back no deleted row, nor raise.
    """
    live = search.top(select(Memo.id), Memo.search, "fox")
    fused = search.hybrid(Memo, text="fox")
    assert session.scalars(live, execution_options={OPTION: "include"}).all() == [2]
    assert session.scalars(live, execution_options={OPTION: "only"}).all() == []
    assert [each.id for each in session.scalars(soft_delete.with_deleted(fused))] == [2]
    session.info[OPTION] = "include"
    assert session.scalars(live).all() == [2]
    assert [each.id for each in session.scalars(fused)] == [2]


def test_lists_of_several_kinds_are_of_live_rows(session: Session) -> None:
    """
    A vector with filter_live=False is one of `top`: `hybrid` and `federated` find live rows.
    """
    connection = session.connection()
    drafts: Any = Draft.__table__
    assert len(connection.execute(search.top(sa.select(drafts), drafts.c.search, "fox")).all()) == 2
    assert [row.id for row in connection.execute(search.hybrid(drafts, text="fox"))] == [2]
    found = connection.execute(search.federated([search.Source(drafts)], "fox"))
    assert [row.key for row in found] == ["2"]
