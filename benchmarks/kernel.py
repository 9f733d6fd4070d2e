"""
The kernel: autogenerate and check on an unchanged database, and the time to import.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from alembic.autogenerate import produce_migrations
from alembic.migration import MigrationContext

import pgultra.integrations.alembic
from benchmarks.measure import Bar, Figure, compare
from pgultra import Function, Trigger, View, declare, plan

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fixtures.server import Server

OBJECTS = 150
VIEWS = 50
BODY = "BEGIN NEW.note := coalesce(NEW.note, '{number}'); RETURN NEW; END"


def figures(server: Server) -> Iterator[Figure]:
    """
    All figures of the kernel.
    """
    with database(server, "kernel") as engine:
        tables, all_of_it = bare(), declared()
        all_of_it.create_all(engine)
        with engine.connect() as connection:
            yield from _autogenerate(connection, tables, all_of_it)
            yield check(connection, all_of_it)
    yield _imports()


@contextmanager
def database(server: Server, name: str) -> Iterator[sa.Engine]:
    database = f"{server.prefix}_{name}"
    server.execute(f'CREATE DATABASE "{database}"')
    engine = sa.create_engine(server.url(database))
    try:
        yield engine
    finally:
        engine.dispose()
        server.execute(f'DROP DATABASE "{database}" WITH (FORCE)')


def bare(tables: int = OBJECTS) -> sa.MetaData:
    """
    Tables alone.
    """
    metadata = sa.MetaData()
    for number in range(tables):
        sa.Table(
            f"item_{number}",
            metadata,
            sa.Column("id", sa.Integer, primary_key=True),
            sa.Column("note", sa.Text),
            sa.Column("price", sa.Numeric(12, 2)),
            sa.Column("seen_at", sa.DateTime(timezone=True)),
        )
    return metadata


def declared(tables: int = OBJECTS) -> sa.MetaData:
    """
    The same with a function and a trigger on each, and a view on every third.
    """
    metadata = bare(tables)
    for number, table in enumerate(metadata.tables.values()):
        declare(
            table,
            Function(name=f"touch_{number}", body=BODY.format(number=number)),
            Trigger(
                name="touch",
                table=table.name,
                timing="BEFORE",
                events=("INSERT", "UPDATE"),
                function=f"touch_{number}",
            ),
        )
        if number < tables * VIEWS // OBJECTS:
            query = sa.select(table.c.id, table.c.note).where(table.c.price > 10)
            declare(metadata, View(name=f"dear_{number}", query=query))
    return metadata


def differences(connection: sa.Connection, metadata: sa.MetaData, **options: Any) -> int:
    """
    Run autogenerate; give the number of operations.
    """
    context = MigrationContext.configure(connection, opts=options)
    upgrade = produce_migrations(context, metadata).upgrade_ops
    assert upgrade is not None
    return len(upgrade.ops)


def _autogenerate(
    connection: sa.Connection, tables: sa.MetaData, all_of_it: sa.MetaData
) -> Iterator[Figure]:
    assert differences(connection, all_of_it) == 0
    ours = ("pgultra", lambda: differences(connection, all_of_it))
    # the marked objects belong to this application; to the bare tables they are a stranger's
    tables.info["pgultra.app"] = "stranger"
    with without_door():
        assert differences(connection, tables) == 0
    yield compare(
        f"autogenerate, {OBJECTS} functions, {OBJECTS} triggers, {VIEWS} views unchanged",
        ours=ours,
        theirs=("Alembic, tables alone", lambda: without(connection, tables)),
        bar=Bar("<=", 1.15),
        rounds=25,
    )
    for peer in _peers(connection):
        label, call, bar, rounds = peer
        yield compare(
            f"autogenerate against {label}",
            ours=ours,
            theirs=(label, call),
            bar=bar,
            rounds=rounds,
            warm_up=1 if rounds > 3 else 0,
            inverse=True,
        )


@contextmanager
def without_door() -> Iterator[None]:
    """
    Take pgultra's comparator out of Alembic for a while.
    """
    from alembic.autogenerate import comparators

    registry = comparators._registry
    saved = dict(registry)
    for key, functions in saved.items():
        ours = ("pgultra", "partitions")
        registry[key] = [entry for entry in functions if entry[1] not in ours]
    try:
        yield
    finally:
        registry.clear()
        registry.update(saved)


def without(connection: sa.Connection, metadata: sa.MetaData) -> None:
    """
    Run autogenerate as if pgultra were not there.
    """
    with without_door():
        differences(connection, metadata)


def _peers(connection: sa.Connection) -> Iterator[tuple[str, Any, Bar, int]]:
    """
    The same objects, declared with each peer, in a process of its own.

    Both register themselves in Alembic when they are imported, so they are timed by
    benchmarks/_peer.py, which prints the seconds of each round.
    """
    url = connection.engine.url.render_as_string(hide_password=False)
    for label, bar, rounds in (
        ("alembic_utils", Bar(">=", 100), 3),
        ("declarative_extensions", Bar(">=", 1.0), 5),
    ):
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks._peer", label, url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        if process.stdout.readline().strip() != "ready":
            print(f"{label} is not installed: pip install -r benchmarks/requirements.txt")
            continue

        def once(process: Any = process) -> None:
            connection.rollback()  # its locks would keep a peer that makes objects waiting
            process.stdin.write("go\n")
            process.stdin.flush()
            assert process.stdout.readline() == "done 0\n"

        try:
            yield label, once, bar, rounds
        finally:
            process.stdin.close()
            process.wait(timeout=600)


def check(connection: sa.Connection, all_of_it: sa.MetaData) -> Figure:
    """
    Beside its own catalog queries, which are sent again without it.
    """
    statements: list[tuple[str, Any]] = []

    def record(_c: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        statements.append((statement, parameters))

    sa.event.listen(connection, "before_cursor_execute", record)
    assert not plan.check(connection, all_of_it)
    sa.event.remove(connection, "before_cursor_execute", record)

    def replay() -> None:
        with connection.begin_nested() as savepoint:
            for statement, parameters in statements:
                if not statement.startswith(("SAVEPOINT", "ROLLBACK TO", "RELEASE")):
                    cursor = connection.exec_driver_sql(statement, parameters)
                    if cursor.returns_rows:
                        cursor.all()
            savepoint.rollback()

    figure = compare(
        "pgultra check against its own catalog queries",
        ours=("check", lambda: plan.check(connection, all_of_it)),
        theirs=("the queries alone", replay),
        rounds=25,
    )
    beyond = figure.seconds["check"] - figure.seconds["the queries alone"]
    figure.bar = Bar("<=", 0.1)
    figure.ratio = beyond
    figure.note = "seconds beyond the queries"
    return figure


def _imports() -> Figure:
    """
    As the second start of an application does it: compiled, whatever this process may write.

    And without the garbage collector: SQLAlchemy leaves it just before its first full pass,
    which any next import would bring, of whatever size.
    """
    with TemporaryDirectory() as folder:
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": folder, "PYTHONDONTWRITEBYTECODE": ""}

        def run(*modules: str) -> None:
            program = f"import gc; gc.disable(); import {', '.join(modules)}"
            subprocess.run([sys.executable, "-c", program], check=True, env=environment)

        figure = compare(
            "import pgultra beyond import sqlalchemy.orm",
            ours=("with pgultra", lambda: run("sqlalchemy.orm", "pgultra")),
            theirs=("sqlalchemy.orm", lambda: run("sqlalchemy.orm")),
            rounds=15,
        )
    rounds = zip(figure.samples["with pgultra"], figure.samples["sqlalchemy.orm"], strict=True)
    figure.ratio = statistics.median(one - other for one, other in rounds)
    figure.bar = Bar("<=", 0.06)
    figure.note = (
        "seconds beyond, the garbage collector aside: its first full pass, some 0.015 s, falls "
        "to whatever is imported after SQLAlchemy"
    )
    return figure


__all__ = ["check", "database", "figures", "without_door"]
assert pgultra.integrations.alembic  # the door is open
