"""
An index that is declared CONCURRENTLY never keeps a table's readers and writers waiting.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from pgultra import Index, View, declare, plan
from pgultra.sql import statement

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.fixtures.alembic import MigrationEnvironment

NAMES = """
SELECT indexrelid::regclass::text, indisvalid FROM pg_index
WHERE indrelid = 't'::regclass AND NOT indisprimary
"""
BUILDING = "SELECT count(*) FROM pg_stat_progress_create_index WHERE datname = current_database()"
IN_LEFTOVER = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
    "AND query ~ 'pg_stat_progress_create_index' AND wait_event = 'PgSleep'"
)
WAITING = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
    "AND query ~ 'DROP INDEX CONCURRENTLY' AND wait_event_type = 'Lock'"
)


def models(*columns: str, concurrently: bool = True) -> sa.MetaData:
    metadata = sa.MetaData()
    table = sa.Table(
        "t",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("a", sa.Text),
        sa.Column("b", sa.Text),
    )
    if columns:
        index = sa.Index("U", *(table.c[name] for name in columns), unique=True)
        declare(table, Index.of(index, concurrently=concurrently))
    else:
        declare(metadata, View(name="v", query="SELECT 1 AS a"))
    return metadata


def index_of(metadata: sa.MetaData) -> Index:
    """
    With its mark, as a migration makes it.
    """
    (index,) = (each for each in plan.collect(metadata).values() if isinstance(each, Index))
    return index


def alone(engine: sa.Engine, statements: Sequence[str], errors: list[Exception]) -> None:
    """
    Each statement for itself.
    """
    try:
        with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            for text in statements:
                connection.execute(statement(text))
    except Exception as error:  # told to the test
        errors.append(error)


def broken(engine: sa.Engine) -> None:
    """
    Leave an INVALID index behind, as a build does that finds duplicates.
    """
    with engine.begin() as connection:
        connection.exec_driver_sql('DROP INDEX "U"')
        connection.exec_driver_sql("INSERT INTO t (a) VALUES ('x'), ('x')")
    errors: list[Exception] = []
    alone(engine, ['CREATE UNIQUE INDEX CONCURRENTLY "U" ON t (a)'], errors)
    assert len(errors) == 1
    with engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM t")


def wait_for(engine: sa.Engine, query: str) -> None:
    for _ in range(300):
        with engine.connect() as connection:
            if connection.exec_driver_sql(query).scalar_one():
                return
        time.sleep(0.05)  # the other thread is on its way to where it waits
    pytest.fail(f"nobody came to: {query}")


def read(engine: sa.Engine) -> Any:
    with engine.begin() as connection:
        connection.exec_driver_sql("SET LOCAL lock_timeout = '2s'")
        return connection.exec_driver_sql("SELECT count(*) FROM t").scalar_one()


def test_readers_pass_while_a_leftover_waits_to_go(engine: sa.Engine) -> None:
    """
    A report is open on the table; nobody queues behind the removal.
    """
    metadata = models("a")
    metadata.create_all(engine)
    broken(engine)
    errors: list[Exception] = []
    with engine.connect() as report:
        report.exec_driver_sql("SELECT * FROM t")
        build = threading.Thread(target=alone, args=(engine, index_of(metadata).create(), errors))
        build.start()
        wait_for(engine, WAITING)
        assert read(engine) == 0
    build.join(60)
    assert not errors
    with engine.connect() as connection:
        assert connection.exec_driver_sql(NAMES).all() == [('"U"', True)]
        assert not plan.check(connection, metadata)


def test_two_deploys_at_once_build_one_index(engine: sa.Engine) -> None:
    """
    The second waits for the first, whose unfinished index is no leftover.
    """
    metadata = models("a")
    metadata.create_all(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql('DROP INDEX "U"')
    errors: list[Exception] = []
    with engine.connect() as writer:
        writer.exec_driver_sql("INSERT INTO t (a) VALUES ('open')")
        deploys = []
        for arrived in (BUILDING, IN_LEFTOVER):
            deploy = threading.Thread(
                target=alone, args=(engine, index_of(metadata).create(), errors)
            )
            deploy.start()
            deploys.append(deploy)
            wait_for(engine, arrived)
        assert read(engine) == 0
    for deploy in deploys:
        deploy.join(60)
    assert not errors
    with engine.connect() as connection:
        assert connection.exec_driver_sql(NAMES).all() == [('"U"', True)]
        assert not plan.check(connection, metadata)


def test_a_unique_index_is_replaced_without_a_gap(
    engine: sa.Engine, alembic_env: MigrationEnvironment
) -> None:
    """
    The new one stands before the old one goes, there and back.
    """
    alembic_env.autogenerate(metadata=models("a"))
    alembic_env.upgrade()
    changed = models("a", "b")
    revision = alembic_env.autogenerate("wider", metadata=changed)
    steps = [
        line for line in revision.text.splitlines() if "op.execute" in line or "RENAME" in line
    ]
    there = "\n".join(steps)
    assert there.index("CREATE UNIQUE INDEX CONCURRENTLY") < there.index("RENAME")
    assert 'DROP INDEX "U"' not in revision.text
    alembic_env.upgrade()
    assert alembic_env.autogenerate("again", metadata=changed).empty
    with engine.connect() as connection:
        assert connection.exec_driver_sql(NAMES).all() == [('"U"', True)]
    alembic_env.downgrade("-1")
    with engine.connect() as connection:
        assert connection.exec_driver_sql(NAMES).all() == [('"U"', True)]
        assert not plan.check(connection, models("a"))


def test_what_a_broken_replacement_left_is_dropped_by_the_next(engine: sa.Engine) -> None:
    """
    A valid new one that did not take its place, and an old one that did not go.
    """
    metadata = models("a")
    metadata.create_all(engine)
    with engine.begin() as connection:
        for word in ("new", "leftover"):
            connection.exec_driver_sql(f'CREATE INDEX "U_pgultra_{word}" ON t (b)')
    old, new = index_of(metadata), index_of(models("b"))
    errors: list[Exception] = []
    alone(engine, new.replace(old), errors)
    assert not errors
    with engine.connect() as connection:
        assert connection.exec_driver_sql(NAMES).all() == [('"U"', True)]


@pytest.mark.parametrize("left", [False, True])
def test_a_removed_or_invalid_one_goes_concurrently(
    engine: sa.Engine, alembic_env: MigrationEnvironment, left: bool
) -> None:
    """
    Its mark without a fingerprint says how it was built.
    """
    alembic_env.autogenerate(metadata=models("a"))
    alembic_env.upgrade()
    if left:
        broken(engine)
    after = models("a") if left else models()
    revision = alembic_env.autogenerate("next", metadata=after)
    assert "DROP INDEX CONCURRENTLY" in revision.text
    assert 'DROP INDEX "U"' not in revision.text.partition("def downgrade")[0]
    alembic_env.upgrade()
    assert alembic_env.autogenerate("again", metadata=after).empty
    with engine.connect() as connection:
        assert connection.exec_driver_sql(NAMES).all() == ([('"U"', True)] if left else [])


def test_inside_a_transaction_it_is_replaced_plainly(engine: sa.Engine) -> None:
    """
    There is no gap either: all of it or nothing.
    """
    models("a").create_all(engine)
    with engine.begin() as connection:
        found = plan.check(connection, models("b"))
        plan.apply(found, connection)
        assert not plan.check(connection, models("b"))


def test_one_that_is_plain_from_now_on_is_replaced_in_one_transaction(
    engine: sa.Engine, alembic_env: MigrationEnvironment
) -> None:
    """
    There and back; a drop outside of it would leave a gap.
    """
    alembic_env.autogenerate(metadata=models("a"))
    alembic_env.upgrade()
    changed = models("b", concurrently=False)
    revision = alembic_env.autogenerate("plain", metadata=changed)
    assert "CONCURRENTLY" not in revision.text
    alembic_env.upgrade()
    assert alembic_env.autogenerate("again", metadata=changed).empty
    alembic_env.downgrade("-1")
    with engine.connect() as connection:
        assert not plan.check(connection, models("a"))
