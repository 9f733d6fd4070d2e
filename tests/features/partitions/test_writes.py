"""
Rows in partitioned tables: the ORM, upserts, bulk statements and COPY, as on any other table.
"""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    MappedAsDataclass,
    Session,
    mapped_column,
    registry,
    relationship,
)

from pgultra import (
    ByHash,
    ByList,
    ByRange,
    PartitionedTable,
    PgultraError,
    declare,
    partitions,
    plan,
    sql,
)
from pgultra.features.partitions import assert_pruned, partitions_touched

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.ext.asyncio import AsyncEngine

    from tests.fixtures.database import Database

JANUARY = datetime(2026, 1, 10, 12, tzinfo=UTC)
MARCH = datetime(2026, 3, 10, 12, tzinfo=UTC)
SCHEMA = 'Weird "Shop'


class Base(DeclarativeBase):
    """
    Tables with hostile names, in a schema of their own.
    """

    metadata = sa.MetaData(schema=SCHEMA)


class Author(Base):
    """
    Whom events refer to.
    """

    __tablename__ = "Author"
    id = mapped_column(sa.BigInteger, primary_key=True, autoincrement=False)
    events = relationship("Event", back_populates="author")


class Event(PartitionedTable, Base):
    """
    Divided by month and then by hash.
    """

    __tablename__ = "The Event's"
    __partition_by__ = ByRange(
        "at", every="1 month", start=JANUARY, premake=3, then=ByHash("id", modulus=2)
    )
    id = mapped_column("Id", sa.BigInteger, primary_key=True, autoincrement=False)
    at = mapped_column("occurred At", sa.DateTime(timezone=True), primary_key=True)
    action = mapped_column("Action%", sa.Text)
    author_id = mapped_column("author:id", sa.ForeignKey(Author.id), index=True)
    length = mapped_column(sa.Integer, sa.Computed('char_length("Action%")', persisted=True))
    author = relationship(Author, back_populates="events")
    notes = relationship("Note", back_populates="event", passive_deletes=True)


class Note(Base):
    """
    What refers to an event.
    """

    __tablename__ = "note"
    __table_args__ = (
        sa.ForeignKeyConstraint(
            ["event_id", "event_at"], [Event.id, Event.at], ondelete="CASCADE", onupdate="CASCADE"
        ),
    )
    id = mapped_column(sa.BigInteger, primary_key=True)
    event_id = mapped_column(sa.BigInteger)
    event_at = mapped_column(sa.DateTime(timezone=True))
    event = relationship(Event, back_populates="notes")


@pytest.fixture
def shop(owner_engine: sa.Engine) -> sa.Engine:
    """
    The tables, made by an owner who is no superuser.
    """
    with owner_engine.begin() as connection:
        connection.execute(sa.schema.CreateSchema(SCHEMA))
    Base.metadata.create_all(owner_engine)
    return owner_engine


def homes(session: Session) -> list[str]:
    """
    The partitions that hold rows, without the hash below.
    """
    place = sa.literal_column("tableoid::regclass::text")
    found = session.scalars(sa.select(place).select_from(Event.__table__).order_by(place))
    return [each.rpartition(".")[2].strip('"')[:-3] for each in found]


def test_an_object_moves_with_its_key(shop: sa.Engine) -> None:
    """
    The ORM changes the key: one UPDATE, another partition, and what refers to it comes along.
    """
    with Session(shop) as session:
        event = Event(id=1, at=JANUARY, action="IN", author=Author(id=1), notes=[Note(id=1)])
        session.add(event)
        session.commit()
        assert event.length == 2
        assert homes(session) == ["The Event's_2026_01"]
        event.at = MARCH
        session.commit()
        assert homes(session) == ["The Event's_2026_03"]
        assert session.get(Event, (1, MARCH)) is event
        assert session.get(Event, (1, JANUARY)) is None
        assert session.get_one(Note, 1).event is event
        assert session.get_one(Author, 1).events == [event]
        session.delete(event)
        session.commit()
        assert session.scalars(sa.select(Note)).all() == []


def test_a_row_without_a_home_is_refused(shop: sa.Engine) -> None:
    """
    A month that nobody wanted: an IntegrityError that names the key, also for an UPDATE.
    """
    with Session(shop) as session:
        session.add(Event(id=1, at=JANUARY - timedelta(days=400)))
        with pytest.raises(sa.exc.IntegrityError, match="no partition of relation") as caught:
            session.flush()
        assert getattr(caught.value.orig, "sqlstate", None) == "23514"
        session.rollback()
        session.add(event := Event(id=1, at=JANUARY))
        session.flush()
        event.at = JANUARY - timedelta(days=400)
        with pytest.raises(sa.exc.IntegrityError, match="no partition of relation"):
            session.flush()


def test_foreign_keys_hold_both_ways(shop: sa.Engine) -> None:
    """
    From every partition to another table, and from another table to all partitions.
    """
    with Session(shop) as session:
        for wrong in (
            Event(id=1, at=MARCH, author_id=7),
            Note(id=1, event_id=1, event_at=MARCH),
        ):
            session.add(wrong)
            with pytest.raises(sa.exc.IntegrityError, match="foreign key"):
                session.flush()
            session.rollback()


def test_upserts(shop: sa.Engine) -> None:
    """
    ON CONFLICT names the partition key, and updates or leaves rows in all partitions.
    """
    rows = [{"id": n, "at": at, "action": "A"} for n in range(50) for at in (JANUARY, MARCH)]
    with Session(shop) as session:
        session.execute(sa.insert(Event), rows[:40])
        upsert = insert(Event).values(rows)
        upsert = upsert.on_conflict_do_update(
            index_elements=[Event.id, Event.at], set_={"Action%": "again"}
        )
        session.execute(upsert)
        counts = (
            sa.select(Event.action, sa.func.count()).group_by(Event.action).order_by(Event.action)
        )
        assert [tuple(row) for row in session.execute(counts)] == [("A", 60), ("again", 40)]
        nothing = insert(Event).values(rows).on_conflict_do_nothing().returning(Event.id)
        assert session.scalars(nothing).all() == []
        with pytest.raises(sa.exc.ProgrammingError, match="no unique or exclusion constraint"):
            session.execute(
                insert(Event).values(rows[:1]).on_conflict_do_nothing(index_elements=[Event.id])
            )


def test_bulk_statements(shop: sa.Engine) -> None:
    """
    Bulk INSERT with RETURNING in order, bulk UPDATE that moves rows, UPDATE by key, DELETE.
    """
    with Session(shop) as session:
        rows = [
            {"id": n, "at": JANUARY + timedelta(days=n % 80), "action": "A"} for n in range(2_000)
        ]
        made = session.scalars(
            sa.insert(Event).returning(Event.id, sort_by_parameter_order=True), rows
        )
        assert made.all() == list(range(2_000))
        assert len(set(homes(session))) == 3
        session.execute(sa.update(Event).values(at=MARCH))
        assert set(homes(session)) == {"The Event's_2026_03"}
        keys = [{"id": n, "at": MARCH, "action": "B"} for n in range(1_000)]
        session.execute(sa.update(Event), keys)
        changed = sa.select(sa.func.count()).where(Event.action == "B")
        assert session.scalar(changed) == 1_000
        session.execute(sa.delete(Event).where(Event.action == "B"))
        assert session.scalar(sa.select(sa.func.count()).select_from(Event)) == 1_000


def test_what_the_orm_sends_is_pruned(shop: sa.Engine) -> None:
    """
    A look-up by primary key and a lazy load touch one partition; one without the key, all.
    """
    with shop.connect() as connection:
        by_key = sa.select(Event).where(Event.id == 1, Event.at == JANUARY)
        assert_pruned(connection, by_key)
        note = sa.select(Event).join(Note).where(Note.id == 1)
        assert_pruned(connection, note, at_most=100)
        (touched,) = partitions_touched(connection, sa.select(Event.id)).values()
        by_id = sa.select(Event).where(Event.id == 1)
        with pytest.raises(AssertionError, match=f"touches {len(touched) // 2} partitions"):
            assert_pruned(connection, by_id)
        assert_pruned(connection, sa.delete(Event).where(Event.id == 1, Event.at == JANUARY))


async def test_the_same_with_asyncpg(async_engine: AsyncEngine) -> None:
    """
    Made, filled, moved and upserted by an AsyncSession.
    """
    async with async_engine.begin() as connection:
        await connection.execute(sa.schema.CreateSchema(SCHEMA))
        await connection.run_sync(Base.metadata.create_all)
        found = await connection.run_sync(plan.check, Base.metadata)
        assert list(map(str, found)) == []
    async with AsyncSession(async_engine) as session:
        session.add(event := Event(id=1, at=JANUARY, action="IN"))
        await session.commit()
        await session.refresh(event)
        event.at = MARCH
        await session.commit()
        assert await session.run_sync(homes) == ["The Event's_2026_03"]
        rows = [{"id": n, "at": MARCH, "action": "x"} for n in range(20)]
        await session.execute(insert(Event).values(rows).on_conflict_do_nothing())
        await session.execute(sa.update(Event).values(at=JANUARY))
        assert set(await session.run_sync(homes)) == {"The Event's_2026_01"}


class DataBase(MappedAsDataclass, DeclarativeBase):
    """
    Dataclasses.
    """


class Audit(PartitionedTable, DataBase):
    """
    Divided by action, without a primary key in the database.
    """

    __tablename__ = "audit"
    __partition_by__ = ByList("action", {"auth": ("IN", "OUT"), "rest": (None,)}, default=True)
    __mapper_args__ = {"primary_key": ["id"]}  # noqa: RUF012  # as SQLAlchemy has it

    id: Mapped[int] = mapped_column(sa.BigInteger)
    action: Mapped[str | None] = mapped_column(sa.Text, default=None)


def test_dataclasses_and_imperative_classes(engine: sa.Engine) -> None:
    """
    Their objects are inserted, moved and found as those of other classes.
    """
    mapper = registry()

    class Message:
        id: int
        talk: int

    table = sa.Table(
        "message",
        mapper.metadata,
        sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("talk", sa.BigInteger, primary_key=True, autoincrement=False),
    )
    mapper.map_imperatively(Message, table)
    declare(Message, ByHash(table.c.talk, modulus=3))
    DataBase.metadata.create_all(engine)
    mapper.metadata.create_all(engine)
    with Session(engine) as session:
        audit = Audit(id=1, action="IN")
        message = Message()
        message.id, message.talk = 1, 1
        session.add_all([audit, message])
        session.commit()
        places = set()
        for action in ("IN", None, "else"):
            audit.action = action
            session.commit()
            places.add(session.scalar(sa.text("SELECT tableoid::regclass::text FROM audit")))
        assert places == {"audit_auth", "audit_rest", "audit_default"}
        message.talk = 2
        session.commit()
        assert session.get(Message, (1, 2)) is message


def test_identity_columns_count_through_the_parent(engine: sa.Engine) -> None:
    """
    One sequence for all partitions.
    """
    metadata = sa.MetaData()
    table = sa.Table(
        "counted",
        metadata,
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("at", sa.DateTime(timezone=True), primary_key=True),
    )
    declare(table, ByRange("at", every="1 month", start=JANUARY))
    metadata.create_all(engine)
    with engine.begin() as connection:
        rows = [{"at": JANUARY}, {"at": MARCH}, {"at": JANUARY}]
        connection.execute(table.insert(), rows)
        assert connection.scalars(sa.select(table.c.id).order_by(table.c.id)).all() == [1, 2, 3]
        assert not plan.check(connection, metadata)


def test_two_at_once_make_every_partition_once(
    new_database: Callable[[], Database],
) -> None:
    """
    Premake from several sessions: they wait for each other, and none fails.
    """
    engine = new_database().engine()
    metadata = sa.MetaData()
    table = sa.Table("t", metadata, sa.Column("at", sa.DateTime(timezone=True)))
    declare(table, ByRange("at", every="1 day", premake=0))
    metadata.create_all(engine)
    made: list[int] = []
    call = sa.text(
        "SELECT cardinality(pgultra_partitions_premake("
        "'t', t_partitions(), now() + interval '40 days'))"
    )

    def premake() -> None:
        with engine.begin() as connection:
            made.append(connection.scalar(call))

    threads = [threading.Thread(target=premake) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(made) == [0, 0, 0, 40]


def test_partitions_belong_to_the_owner_of_the_table(
    shop: sa.Engine, engine: sa.Engine, owner: tuple[str, str]
) -> None:
    """
    Also those that a superuser, or pg_cron in its name, makes at night.
    """
    place = sql.identifier(SCHEMA)
    call = (
        f"SELECT cardinality({place}.pgultra_partitions_premake("
        f"{sql.literal(sql.qualified(SCHEMA, Event.__tablename__))}, "
        f"{sql.qualified(SCHEMA, Event.__tablename__ + '_partitions')}(), "
        "now() + interval '1 year'))"
    )
    with engine.begin() as connection:
        assert connection.scalar(sa.text(call)) > 10
        owners = sa.text(
            "SELECT DISTINCT pg_get_userbyid(relowner) FROM pg_class "
            "WHERE relname LIKE 'The Event%' AND relkind IN ('r', 'p', 'i', 'I')"
        )
        assert connection.scalars(owners).all() == [owner[0]]


def test_rights_on_the_parent_are_enough(
    engine: sa.Engine, database: Database, owner: tuple[str, str]
) -> None:
    """
    Who may write to the table writes to every partition through it, and cannot make any.
    """
    metadata = sa.MetaData()
    table = sa.Table("t", metadata, sa.Column("k", sa.BigInteger), sa.Column("v", sa.Text))
    declare(table, ByHash("k", modulus=4))
    metadata.create_all(engine)
    name, password = owner
    with engine.begin() as connection:
        connection.exec_driver_sql(f"GRANT SELECT, INSERT, UPDATE, DELETE ON t TO {name}")
    other = database.engine(url=database.url.set(username=name, password=password))
    with other.begin() as connection:
        connection.execute(table.insert(), [{"k": number} for number in range(100)])
        connection.execute(table.update().values(k=table.c.k + 1))
        assert connection.scalar(sa.select(sa.func.count()).select_from(table)) == 100
        with pytest.raises(sa.exc.ProgrammingError, match="permission denied for table t_h0"):
            connection.execute(sa.text("SELECT * FROM t_h0"))


def test_a_schema_for_each_tenant(engine: sa.Engine) -> None:
    """
    ``schema_translate_map``: the same table, its rules and its partitions in another schema.
    """
    metadata = sa.MetaData()
    table = sa.Table("t", metadata, sa.Column("k", sa.BigInteger), sa.Column("at", sa.Date))
    declare(table, ByRange("at", every="1 month", premake=1, then=ByHash(table.c.k, modulus=2)))
    with engine.begin() as connection:
        for tenant in ("one", "Two"):
            connection.execute(sa.schema.CreateSchema(tenant))
            there = connection.execution_options(schema_translate_map={None: tenant})
            metadata.create_all(there)
            there.execute(table.insert(), {"k": 1, "at": datetime.now(UTC).date()})
    with engine.connect() as connection:
        found = connection.execute(
            sa.text(
                "SELECT relnamespace::regnamespace::text, count(*) FROM pg_class "
                "WHERE relispartition AND relkind IN ('r', 'p') GROUP BY 1 ORDER BY 1"
            )
        )
        assert [tuple(row) for row in found] == [('"Two"', 6), ("one", 6)]


def test_upkeep_is_where_the_tenant_is(engine: sa.Engine) -> None:
    """
    Each act finds the tables by ``schema_translate_map``, and those beside are left alone.

    A conversion is made by the search_path, and refuses it.
    """
    metadata = sa.MetaData()
    key = [
        sa.Column("k", sa.BigInteger, primary_key=True),
        sa.Column("at", sa.Date, primary_key=True),
    ]
    table = sa.Table("t", metadata, *key)
    declare(table, ByRange("at", every="1 month", premake=1, default=True))
    with engine.begin() as connection:
        connection.execute(sa.schema.CreateSchema("Two"))
    there = engine.execution_options(schema_translate_map={None: "Two"})
    for each in (engine, there):
        metadata.create_all(each)
    count = sa.text(
        "SELECT relnamespace::regnamespace::text, count(*) FROM pg_class"
        " WHERE relispartition AND relkind = 'r' GROUP BY 1 ORDER BY 1"
    )
    later = datetime.now(UTC) + timedelta(days=70)
    with there.connect() as connection:
        before = dict(map(tuple, connection.execute(count).all()))
        connection.rollback()
        partitions.maintain(connection, metadata, now=later)
        after = dict(map(tuple, connection.execute(count).all()))
        connection.rollback()
        assert after["public"] == before["public"]
        assert after['"Two"'] > before['"Two"']
        [found] = partitions.status(connection, metadata, now=later)
        connection.rollback()
        assert found.table == '"Two".t'
        far = {"k": 1, "at": (later + timedelta(days=400)).date()}
        connection.execute(table.insert(), far)
        connection.commit()
        [drained] = partitions.drain_default(connection, table, now=later)
        assert drained.rows == 1
        unmark = 'COMMENT ON TABLE "Two".t_default IS NULL'
        connection.exec_driver_sql(unmark)
        connection.exec_driver_sql(unmark.replace('"Two"', "public"))
        assert partitions.adopt(connection, table) == ('"Two".t_default',)
        connection.rollback()
        with pytest.raises(PgultraError, match="search_path"):
            partitions.convert(connection, table)
