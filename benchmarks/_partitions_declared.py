"""
The declared table: against one that is partitioned by hand, and against one that is not.

Three tables with the same columns, the same primary key and the same rows: 120 months of them,
made by our model; the same 120 bounds written out in SQL; and one plain table.
What is written is rolled back after each turn, so that all sides keep the same rows.
"""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Session, mapped_column

from benchmarks.kernel import database
from benchmarks.measure import Bar, Figure, compare
from pgultra import ByRange, PartitionedTable
from pgultra.features.partitions import partitions_touched

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import psycopg

    from tests.fixtures.server import Server

MONTHS = 120
ROWS = 120_000
CALLS = 20
BULK = 2_400
TURNS = 101
"""Short turns, and many: a busy machine disturbs some of them, and hardly the median."""
MORE_TURNS = 301
"""Where both sides do the same, and a hundredth is a third of what may be lost."""
EVEN = Bar("<=", 1.03)
BOUNDS = """
SELECT pg_get_expr(c.relpartbound, c.oid) FROM pg_inherits AS i
JOIN pg_class AS c ON c.oid = i.inhrelid WHERE i.inhparent = 'event'::regclass ORDER BY c.relname
"""
SPREAD = """
INSERT INTO {} SELECT g, timestamptz '{} 00:00+00' + g * interval '{} days' / {}, 'note ' || g
FROM generate_series({}, {}) AS g
"""
KEYLESS = "SELECT note FROM {} WHERE id = %s"


def figures(server: Server) -> Iterator[Figure]:
    """
    The room's rows about the declaration.
    """
    with database(server, "partitions_declared") as engine:
        event, by_hand, plain = tables = _models()
        first = _made(engine, tables)
        moments = _moments(first)
        with Session(engine) as session:
            yield from _by_hand(session, event, by_hand, moments)
        yield from _plain(engine, event, plain, moments, first)
        yield from _reads(engine, event, plain, moments)


def _models() -> tuple[Any, Any, Any]:
    class Base(DeclarativeBase):
        pass

    def columns(name: str) -> dict[str, Any]:
        return {
            "__tablename__": name,
            "id": mapped_column(sa.BigInteger, primary_key=True, autoincrement=False),
            "at": mapped_column(sa.DateTime(timezone=True), primary_key=True),
            "note": mapped_column(sa.Text),
        }

    rules = ByRange("at", every="1 month", premake=MONTHS - 1)
    event = type("Event", (PartitionedTable, Base), {**columns("event"), "__partition_by__": rules})
    divided = {**columns("by_hand"), "__table_args__": {"postgresql_partition_by": "RANGE (at)"}}
    by_hand = type("ByHand", (Base,), divided)
    plain = type("Plain", (Base,), columns("plain"))
    return event, by_hand, plain


def _made(engine: sa.Engine, tables: tuple[Any, Any, Any]) -> datetime:
    """
    The three tables with the same rows; tells where the first month begins.
    """
    first = datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    with engine.begin() as connection:
        tables[0].metadata.create_all(connection)
        connection.exec_driver_sql("SET LOCAL TimeZone = 'UTC'")
        bounds = connection.scalars(sa.text(BOUNDS)).all()
        assert len(bounds) == MONTHS
        for number, bound in enumerate(bounds):
            connection.exec_driver_sql(
                f"CREATE TABLE by_hand_{number} PARTITION OF by_hand {bound}"
            )
        for table in ("event", "by_hand", "plain"):
            connection.exec_driver_sql(_fill(table, first, 1, ROWS))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM ANALYZE")
    return first


def _fill(table: str, first: datetime, begin: int, end: int) -> str:
    days = 30.4 * MONTHS
    return SPREAD.format(table, first.date(), days, end - begin + 1, begin, end).replace(
        "+ g *", f"+ (g - {begin}) *"
    )


def _moments(first: datetime) -> list[tuple[int, datetime]]:
    """
    Keys of rows that are there, in an order that visits all months.
    """
    step = timedelta(days=30.4 * MONTHS) / ROWS
    numbers = random.Random(5).sample(range(1, ROWS + 1), 5_000)
    return [(number, first + (number - 1) * step) for number in numbers]


def _by_hand(
    session: Session, event: Any, by_hand: Any, moments: list[tuple[int, datetime]]
) -> Iterator[Figure]:
    """
    Every act of the ORM, on our table and on the one that is partitioned by hand.
    """
    acts: dict[str, tuple[Callable[[Any], None], int]] = {
        "INSERT of one object": (lambda model: _insert(session, model, moments[:CALLS]), CALLS),
        f"bulk INSERT of {BULK:,} rows": (lambda model: _bulk(session, model, moments), 1),
        "SELECT of one object by its key": (
            lambda model: _select(session, model, moments[:CALLS]),
            CALLS,
        ),
        "SELECT of one month": (lambda model: _month(session, model, moments[:CALLS]), CALLS),
        "UPDATE of one object": (lambda model: _update(session, model, moments[:CALLS]), CALLS),
        "UPDATE that moves a row to another month": (
            lambda model: _move(session, model, moments[:CALLS]),
            CALLS,
        ),
    }
    for name, (act, number) in acts.items():

        def turn(model: Any, act: Callable[[Any], None] = act) -> None:
            act(model)
            session.rollback()

        figure = compare(
            f"{name}, {MONTHS} partitions, ORM",
            ours=("PartitionedTable", lambda: turn(event)),
            theirs=("partitioned by hand", lambda: turn(by_hand)),
            bar=EVEN,
            rounds=MORE_TURNS,
        )
        yield _each(figure, number)


def _each(figure: Figure, number: int) -> Figure:
    """
    The same figure for one of so many acts.
    """
    figure.seconds = {label: value / number for label, value in figure.seconds.items()}
    figure.spread = {label: (a / number, b / number) for label, (a, b) in figure.spread.items()}
    figure.samples = {label: [v / number for v in each] for label, each in figure.samples.items()}
    return figure


def _insert(session: Session, model: Any, moments: list[tuple[int, datetime]]) -> None:
    for number, moment in moments:
        session.add(model(id=ROWS + number, at=moment, note="new"))
        session.flush()


def _bulk(session: Session, model: Any, moments: list[tuple[int, datetime]]) -> None:
    rows = [
        {"id": ROWS + at, "at": moments[at % len(moments)][1], "note": "new"} for at in range(BULK)
    ]
    session.execute(sa.insert(model), rows)


def _select(session: Session, model: Any, moments: list[tuple[int, datetime]]) -> None:
    for number, moment in moments:
        session.execute(sa.select(model).where(model.id == number, model.at == moment)).one()


def _month(session: Session, model: Any, moments: list[tuple[int, datetime]]) -> None:
    for _, moment in moments:
        month = sa.select(sa.func.count()).where(
            model.at >= moment, model.at < moment + timedelta(days=30)
        )
        session.scalar(month)


def _update(session: Session, model: Any, moments: list[tuple[int, datetime]]) -> None:
    for number, moment in moments:
        found = session.get_one(model, (number, moment))
        found.note = "changed"
        session.flush()


def _move(session: Session, model: Any, moments: list[tuple[int, datetime]]) -> None:
    for number, moment in moments:
        session.execute(
            sa.update(model)
            .where(model.id == number, model.at == moment)
            .values(at=moments[0][1] + timedelta(microseconds=number))
            .execution_options(synchronize_session=False)
        )


# -- against one plain table: what the driver sends, no ORM around it -----------------------------


def _plain(
    engine: sa.Engine,
    event: Any,
    plain: Any,
    moments: list[tuple[int, datetime]],
    first: datetime,
) -> Iterator[Figure]:
    with engine.connect() as connection:

        def single(model: Any) -> None:
            statement = sa.insert(model.__table__)
            for number, moment in moments[:CALLS]:
                connection.execute(statement, {"id": ROWS + number, "at": moment, "note": "new"})
            connection.rollback()

        figure = compare(
            f"INSERT of one row, {MONTHS} partitions",
            ours=("PartitionedTable", lambda: single(event)),
            theirs=("one plain table", lambda: single(plain)),
            bar=Bar("<=", 1.2),
            rounds=TURNS,
        )
        yield _each(figure, CALLS)

        def bulk(table: str) -> None:
            connection.exec_driver_sql(_fill(table, first, ROWS + 1, 2 * ROWS))
            connection.rollback()

        yield compare(
            f"INSERT … SELECT of {ROWS:,} rows over {MONTHS} months",
            ours=("PartitionedTable", lambda: bulk("event")),
            theirs=("one plain table", lambda: bulk("plain")),
            bar=Bar("<=", 1.7),
            rounds=11,
        )


def _reads(
    engine: sa.Engine, event: Any, plain: Any, moments: list[tuple[int, datetime]]
) -> Iterator[Figure]:
    """
    By the key and without it, prepared and not: as the application sends it, and bare.

    A plan that was prepared for any key names all partitions, and PostgreSQL locks each of them,
    once in a transaction. Of its own accord it plans anew for each key, while the table without
    partitions keeps its plan. Both are shown; what is planned anew has the bar of what was not
    prepared.
    """
    prepared: dict[str, tuple[int | None, str]] = {
        "prepared, plan_cache_mode = force_generic_plan": (0, "force_generic_plan"),
        "prepared, plan_cache_mode = auto": (0, "auto"),
        "unprepared": (None, "auto"),
    }
    limits = dict(zip(prepared, (1.2, 1.7, 1.7), strict=True))
    with engine.connect() as connection:
        driver: psycopg.Connection[Any] = connection.connection.driver_connection  # type: ignore[assignment]  # psycopg's, as the URL says
        number, moment = moments[0]
        by_key = sa.select(event.note).where(event.id == number, event.at == moment)
        (touched,) = partitions_touched(connection, by_key).values()
        assert len(touched) == 1, touched
        for way, (driver.prepare_threshold, mode) in prepared.items():
            driver.execute(f"SET plan_cache_mode = {mode}")

            def look_up(model: Any) -> None:
                table = model.__table__
                for number, moment in moments[:CALLS]:
                    statement = sa.select(table.c.note).where(
                        table.c.id == number, table.c.at == moment
                    )
                    connection.execute(statement).one()

            figure = compare(
                f"point query by the key, {MONTHS} partitions, {way}",
                ours=("PartitionedTable", lambda: look_up(event)),
                theirs=("one plain table", lambda: look_up(plain)),
                bar=Bar("<=", limits[way]),
                rounds=TURNS,
                note="one partition is touched",
            )
            yield _each(figure, CALLS)
        connection.rollback()
        for way, (driver.prepare_threshold, mode) in prepared.items():
            driver.execute(f"SET plan_cache_mode = {mode}")
            for query in ("SELECT note FROM {} WHERE id = %s AND at = %s", KEYLESS):
                yield _bare(driver, query, moments, way)
        driver.rollback()


def _bare(
    driver: psycopg.Connection[Any], query: str, moments: list[tuple[int, datetime]], way: str
) -> Figure:
    """
    Nothing but the driver and the server: shown, without a bar.
    """
    has_key = query != KEYLESS
    keys: list[tuple[Any, ...]] = [key if has_key else key[:1] for key in moments[:CALLS]]

    def look_up(table: str) -> None:
        statement = query.format(table)
        with driver.cursor() as cursor:
            for key in keys:
                cursor.execute(statement, key).fetchone()

    figure = compare(
        f"point query {'by' if has_key else 'without'} the key, {MONTHS} partitions, {way}, "
        "driver alone",
        ours=("PartitionedTable", lambda: look_up("event")),
        theirs=("one plain table", lambda: look_up("plain")),
        rounds=TURNS,
        note="one partition is touched" if has_key else f"all {MONTHS} partitions are touched",
    )
    return _each(figure, CALLS)
