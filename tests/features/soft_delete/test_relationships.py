"""
Relationships that lead to soft-deletable classes: rows do not vanish, keys do not get lost.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    configure_mappers,
    joinedload,
    mapped_column,
    relationship,
)

from pgultra import SoftDelete

if TYPE_CHECKING:
    from tests.fixtures.database import Database


def models() -> SimpleNamespace:
    """
    A team with members, and somebody who coaches them; members are not soft-deletable.
    """

    class Base(DeclarativeBase):
        metadata = sa.MetaData(schema="Club")

    class Team(SoftDelete, Base):
        __tablename__ = "Team"

        id: Mapped[int] = mapped_column(primary_key=True)

    class Member(Base):
        __tablename__ = "Member"

        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = mapped_column(default="x")
        team_id: Mapped[int | None] = mapped_column("Team", sa.ForeignKey(Team.id))
        team: Mapped[Team | None] = relationship(Team)

    return SimpleNamespace(Base=Base, Team=Team, Member=Member)


@pytest.fixture
def club(database: Database) -> SimpleNamespace:
    """
    Member 1 of the deleted team 1, member 2 of team 2.
    """
    made = models()
    made.engine = database.engine()
    made.database = database
    with made.engine.begin() as connection:
        connection.execute(sa.schema.CreateSchema("Club"))
        made.Base.metadata.create_all(connection)
    with Session(made.engine) as session:
        session.add_all([made.Team(id=1), made.Team(id=2)])
        session.flush()
        session.add_all([made.Member(id=1, team_id=1), made.Member(id=2, team_id=2)])
        session.commit()
        session.delete(session.get_one(made.Team, 1))
        session.commit()
    return made


def keys(club: SimpleNamespace) -> dict[int, int | None]:
    """
    The team of each member, as the database has it.
    """
    with Session(club.engine) as session:
        return dict(session.execute(select(club.Member.id, club.Member.team_id)).all())


@pytest.mark.parametrize("joined", [True, False])
def test_merging_keeps_the_key_to_a_deleted_parent(club: SimpleNamespace, joined: bool) -> None:
    """
    An object whose deleted parent was read as None is merged: its row still refers to it.
    """
    options = [joinedload(club.Member.team)] if joined else []
    with Session(club.engine) as session:
        members = list(session.scalars(select(club.Member).options(*options)))
        assert {member.id: member.team is None for member in members} == {1: True, 2: False}
    for member in members:
        member.name = "new"
    with Session(club.engine) as session:
        for member in members:
            session.merge(member)
        session.commit()
        assert set(session.scalars(select(club.Member.name))) == {"new"}
    assert keys(club) == {1: 1, 2: 2}


def test_none_takes_a_member_out_of_a_live_team_only(club: SimpleNamespace) -> None:
    """
    Where the relationship reads None already, None changes nothing; the key is written itself.
    """
    with Session(club.engine) as session:
        for member in session.scalars(select(club.Member)):
            member.team = None
        session.commit()
    assert keys(club) == {1: 1, 2: None}
    with Session(club.engine) as session:
        session.get_one(club.Member, 1).team_id = None
        session.get_one(club.Member, 2).team = session.get_one(club.Team, 2)
        session.commit()
    assert keys(club) == {1: None, 2: 2}


def test_another_parent_is_set_without_a_question(club: SimpleNamespace) -> None:
    """
    Assigning an object loads nothing, in pending objects and persistent ones.
    """
    with Session(club.engine) as session:
        member, team = session.get_one(club.Member, 1), session.get_one(club.Team, 2)
        asked: list[Any] = []
        event.listen(session, "do_orm_execute", asked.append)
        member.team = team
        new = club.Member(id=3, team=None)
        session.add(new)
        new.team = None
        assert asked == []
        session.commit()
    assert keys(club) == {1: 2, 2: 2, 3: None}


async def test_async(club: SimpleNamespace) -> None:
    """
    Merging keeps the key; an assignment, which may not ask the database, does as it ever did.
    """
    async with AsyncSession(club.database.async_engine()) as session:
        statement = select(club.Member).options(joinedload(club.Member.team))
        members = list(await session.scalars(statement))
    async with AsyncSession(club.database.async_engine()) as session:
        for member in members:
            await session.merge(member)
        await session.commit()
    assert keys(club) == {1: 1, 2: 2}
    async with AsyncSession(club.database.async_engine()) as session:
        for number in (1, 2):
            (await session.get_one(club.Member, number)).team = None
        await session.commit()
    assert keys(club) == {1: None, 2: None}


def test_an_inner_join_that_comes_late(club: SimpleNamespace) -> None:
    """
    A relationship that is added to a configured class is loaded with an outer join too.
    """
    configure_mappers()
    for name, target in (("again", club.Team), ("once_more", lambda: club.Team)):
        late = relationship(target, lazy="joined", innerjoin=True, viewonly=True)
        setattr(club.Member, name, late)
        with Session(club.engine) as session:
            found = session.scalars(select(club.Member).order_by(club.Member.id)).all()
            assert [getattr(member, name) is None for member in found] == [True, False]


def test_an_inner_join_to_somebody_else_stays(club: SimpleNamespace) -> None:
    """
    Only relationships to soft-deletable classes are changed.
    """

    class Badge(club.Base):  # type: ignore[misc,name-defined]  # a base made by a function
        __tablename__ = "Badge"

        id = mapped_column(sa.Integer, primary_key=True)
        member_id = mapped_column(sa.ForeignKey(club.Member.id))
        member = relationship(club.Member, lazy="joined", innerjoin=True)

    configure_mappers()
    assert Badge.member.property.innerjoin is True
