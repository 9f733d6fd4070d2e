from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from pgultra.features import search
from pgultra.features.search import SearchVector, Source, TSVector

if TYPE_CHECKING:
    from collections.abc import Iterator


class Base(DeclarativeBase):
    pass


class Moment(sa.TypeDecorator[datetime]):
    """
    A host's own type.
    """

    impl = sa.DateTime(timezone=True)
    cache_ok = True


class Noted(sa.TypeDecorator[datetime]):
    """
    One on top of it.
    """

    impl = Moment
    cache_ok = True


class Reading(Base):
    __tablename__ = "reading"
    at: Mapped[datetime] = mapped_column(Noted, primary_key=True)
    text: Mapped[str]
    search: Mapped[TSVector] = SearchVector({"text": "A"})


class Diary(Base):
    __tablename__ = "diary"
    day: Mapped[date] = mapped_column(primary_key=True)
    local: Mapped[datetime] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True), primary_key=True)
    text: Mapped[str]
    search: Mapped[TSVector] = SearchVector({"text": "A"})


class Day(Base):
    __tablename__ = "day"
    day: Mapped[date] = mapped_column(primary_key=True)
    text: Mapped[str]
    search: Mapped[TSVector] = SearchVector({"text": "A"})


FIRST = datetime(2026, 1, 1, 20, tzinfo=UTC)
MOMENTS = [FIRST + timedelta(hours=7 * n, microseconds=n) for n in range(12)]


@pytest.fixture
def session(connection: sa.Connection) -> Iterator[Session]:
    """
    Equal ranks throughout: only the keys order these rows.
    """
    Base.metadata.create_all(connection)
    with Session(connection) as session:
        for at in MOMENTS:
            local = at.replace(tzinfo=None)
            session.add(Reading(at=at, text="fox"))
            session.add(Diary(day=at.date(), local=local, at=at, text="fox"))
        session.add_all([Day(day=day, text="fox") for day in {at.date() for at in MOMENTS}])
        session.flush()
        yield session


@pytest.mark.parametrize("model", [Reading, Diary, Day])
def test_pages_do_not_depend_on_a_sessions_settings(session: Session, model: Any) -> None:
    """
    Each page is asked for by a session elsewhere: a pool has such sessions.
    """
    settings = [("UTC", "ISO, YMD"), ("Asia/Tokyo", "German"), ("America/Lima", "SQL, MDY")]
    seen: list[str] = []
    after = None
    for turn in range(40):
        zone, style = settings[turn % 3]
        session.execute(sa.text(f"SET LOCAL TimeZone = '{zone}'"))
        session.execute(sa.text(f"SET LOCAL DateStyle = '{style}'"))
        page = session.execute(search.federated([Source(model)], "fox", limit=2, after=after)).all()
        seen += [row.key for row in page]
        if len(page) < 2:
            break
        after = page[-1]
    assert (
        len(seen) == len(set(seen)) == session.scalar(sa.select(sa.func.count()).select_from(model))
    )


def test_a_key_can_be_read(session: Session) -> None:
    """
    It is what Python's fromisoformat takes.
    """
    session.execute(sa.text("SET LOCAL TimeZone = 'Asia/Tokyo'"))
    rows = session.execute(search.federated([Source(Reading)], "fox")).all()
    assert sorted(datetime.fromisoformat(row.key) for row in rows) == MOMENTS
    rows = session.execute(search.federated([Source(Day)], "fox")).all()
    assert {date.fromisoformat(row.key) for row in rows} == {at.date() for at in MOMENTS}
