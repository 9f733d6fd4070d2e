"""
Encryption: what a sealed value costs beside the raw call, beside plain text, and beside others.
"""

from __future__ import annotations

import itertools
import os
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy_utils.types.encrypted.encrypted_type import AesGcmEngine, StringEncryptedType

from benchmarks.kernel import database
from benchmarks.measure import Bar, Figure, compare
from pgultra.features.encryption import (
    Encrypted,
    EncryptedColumn,
    Equality,
    KeyRing,
    binary_results,
    rotate,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.fixtures.server import Server

ROWS = 10_000
ROTATED = 50_000
ROOTS = {1: os.urandom(32), 2: os.urandom(32)}
ONE = KeyRing("bench_one", {1: ROOTS[1]})
RING = KeyRing("bench", ROOTS)


class Base(DeclarativeBase):
    pass


class Plain(Base):
    __tablename__ = "plain"
    id: Mapped[int] = mapped_column(primary_key=True)
    value: Mapped[str] = mapped_column(sa.Text)


class Sealed(Base):
    __tablename__ = "sealed"
    id: Mapped[int] = mapped_column(primary_key=True)
    value: Mapped[str] = EncryptedColumn(sa.Text, keys=RING)


class PlainIndexed(Base):
    __tablename__ = "plain_indexed"
    id: Mapped[int] = mapped_column(primary_key=True)
    value: Mapped[str] = mapped_column(sa.Text, index=True)


class Searched(Base):
    __tablename__ = "searched"
    id: Mapped[int] = mapped_column(primary_key=True)
    value: Mapped[str] = EncryptedColumn(sa.Text, keys=RING, search=Equality())


def figures(server: Server) -> Iterator[Figure]:
    """
    All figures of the room.
    """
    yield from _values()
    with database(server, "encryption") as engine:
        binary_results(engine)
        Base.metadata.create_all(engine)
        yield from _selects(engine)
        yield from _inserts(engine)
        yield _lookup(engine)
        yield from _rotation(engine)


def _values() -> Iterator[Figure]:
    dialect = sa.create_engine("postgresql+psycopg://").dialect
    value = "x" * 32
    ours = Encrypted(sa.Text, RING, id="bench.value")
    theirs = StringEncryptedType(sa.Text, "a passphrase", AesGcmEngine)
    aead, nonce = AESGCM(ROOTS[1]), os.urandom(12)
    raw, head = value.encode(), b"associated data as ours, 20 bytes"
    sealed = aead.encrypt(nonce, raw, head)
    bind, result = ours.bind_processor(dialect), ours.result_processor(dialect, None)
    their_bind, their_result = (
        theirs.bind_processor(dialect),
        theirs.result_processor(dialect, None),
    )
    our_value, their_value = bind(value), their_bind(value)
    calls: list[tuple[str, Callable[[], Any], Callable[[], Any], Callable[[], Any]]] = [
        ("bind", lambda: bind(value), lambda: their_bind(value),
         lambda: aead.encrypt(nonce, raw, head)),
        ("result", lambda: result(our_value), lambda: their_result(their_value),
         lambda: aead.decrypt(nonce, sealed, head)),
    ]  # fmt: skip
    for word, our_call, their_call, floor in calls:
        yield compare(
            f"one value of 32 bytes, {word}, against sqlalchemy-utils (times faster)",
            ours=("Encrypted", our_call), theirs=("AesGcmEngine", their_call),
            bar=Bar(">=", 10), inner=1000, rounds=75, inverse=True,
        )  # fmt: skip
        yield compare(
            f"one value of 32 bytes, {word}, against the raw call",
            ours=("Encrypted", our_call), theirs=("AESGCM", floor),
            bar=Bar("<=", 2), inner=4000, rounds=75,
        )  # fmt: skip


def fill(engine: sa.Engine, model: Any, size: int, numbers: range = range(ROWS)) -> None:
    """
    Write so many values of one size, into an empty table unless the numbers go on.
    """
    with engine.begin() as connection:
        if numbers.start == 0:
            connection.execute(sa.delete(model))
        rows = [{"value": f"{n:x<{size}}"} for n in numbers]
        connection.execute(sa.insert(model), rows)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql(f"VACUUM ANALYZE {model.__tablename__}")


def _selects(engine: sa.Engine) -> Iterator[Figure]:
    for size, bar in ((32, 1.1), (1024, 1.25)):
        for model in (Plain, Sealed):
            fill(engine, model, size)

        def read(model: Any) -> Callable[[], int]:
            statement = sa.select(model)

            def call() -> int:
                with Session(engine) as session:
                    return len(session.scalars(statement).all())

            return call

        yield compare(
            f"ORM SELECT of {ROWS:,} rows of {size} bytes",
            ours=("Encrypted", read(Sealed)), theirs=("Text", read(Plain)), bar=Bar("<=", bar),
            rounds=41, note="binary_results(engine)",
        )  # fmt: skip


def _inserts(engine: sa.Engine) -> Iterator[Figure]:
    def write(model: Any) -> Callable[[], None]:
        def call() -> None:
            with Session(engine) as session:
                session.add_all([model(value=f"{n:x<32}") for n in range(ROWS)])
                session.flush()
                session.rollback()

        return call

    yield compare(
        f"ORM INSERT of {ROWS:,} rows with equality search",
        ours=("Encrypted", write(Searched)), theirs=("Text", write(Plain)), bar=Bar("<=", 1.3),
        rounds=11, note="two indexes more than Text: tags and key numbers",
    )  # fmt: skip
    yield compare(
        f"ORM INSERT of {ROWS:,} rows with equality search, against indexed Text",
        ours=("Encrypted", write(Searched)), theirs=("Text", write(PlainIndexed)), rounds=11,
    )  # fmt: skip


def _lookup(engine: sa.Engine) -> Figure:
    for model in (PlainIndexed, Searched):
        fill(engine, model, 32)
    session = Session(engine)
    with session:
        return compare(
            "equality lookup",
            ours=("blind index", finder(session, Searched, ROWS)),
            theirs=("index on Text", finder(session, PlainIndexed, ROWS)),
            bar=Bar("<=", 1.15), inner=50, rounds=81, note="short turns: the machine drifts",
        )  # fmt: skip


def finder(session: Session, model: Any, rows: int) -> Callable[[], Any]:
    """
    Look for one value after the other, far apart.
    """
    numbers = itertools.cycle(n * 7919 % rows for n in range(10_000))

    def call() -> Any:
        wanted = f"{next(numbers):x<32}"
        return session.scalars(sa.select(model.id).where(model.value == wanted)).one()

    return call


def _rotation(engine: sa.Engine) -> Iterator[Figure]:
    rings = (ONE, RING, KeyRing("bench_back", {2: ROOTS[2], 1: ROOTS[1]}))
    tables = {
        ring.name: sa.Table(
            "turning", sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True),
            sa.Column("value", Encrypted(sa.Text, ring)),
        )
        for ring in rings
    }  # fmt: skip
    table = tables["bench_one"]
    table.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(sa.insert(table), [{"value": f"{n:x<100}"} for n in range(ROTATED)])
        for statement in (
            "CREATE TABLE turning_too AS SELECT * FROM turning",
            "ALTER TABLE turning_too ADD PRIMARY KEY (id)",
            "CREATE INDEX ON turning_too (substr(value, 3, 4))",
        ):
            connection.exec_driver_sql(statement)
    turns = itertools.cycle(["bench", "bench_back"])

    def ours() -> None:
        target = tables[next(turns)]
        with engine.connect() as connection:
            assert rotate(connection, target.c.value).done == ROTATED

    figure = compare(
        f"rotation of {ROTATED:,} rows of 100 bytes",
        ours=("rotate", ours), theirs=("the same batches without crypto", _update(engine)),
        bar=Bar("<=", 2), rounds=5, warm_up=2,
    )  # fmt: skip
    figure.extra["rows_per_second"] = round(ROTATED / figure.seconds["rotate"])
    yield figure


def _update(engine: sa.Engine) -> Callable[[], None]:
    """
    Batches by hand with psycopg, that turn the bytes around.
    """

    def call() -> None:
        last: int | None = 0
        with engine.connect() as connection:
            while last is not None:
                rows = connection.exec_driver_sql(
                    "SELECT id, value FROM turning_too WHERE id > %s ORDER BY id LIMIT 1000 "
                    "FOR NO KEY UPDATE SKIP LOCKED",
                    (last,),
                ).all()
                connection.exec_driver_sql(
                    "UPDATE turning_too SET value = v.new FROM unnest(%s::int[], %s::bytea[]) "
                    "AS v(id, new) WHERE turning_too.id = v.id",
                    ([row[0] for row in rows], [row[1][::-1] for row in rows]),
                )
                connection.commit()
                last = rows[-1][0] if rows else None

    return call
