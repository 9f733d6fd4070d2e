from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

import pgultra
from pgultra.features.embeddings import HNSW, IVFFlat, Rules, VectorType, nearest

if TYPE_CHECKING:
    from tests.fixtures.database import Database

pytestmark = [pytest.mark.needs("vector"), pytest.mark.once]

NAMES = {
    "hnsw": ("hnsw.ef_search", "hnsw.scan_mem_multiplier", "hnsw.iterative_scan"),
    "ivfflat": ("ivfflat.probes", "ivfflat.iterative_scan"),
}


def table_with(index: Any) -> sa.Table:
    """
    A declared table.
    """
    table = sa.Table(
        f"note_{index.method}",
        sa.MetaData(),
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("embedding", VectorType(3, index=index, metric="l2")),
    )
    pgultra.declare(table, Rules("embedding"))
    return table


def settings(connection: sa.Connection, table: sa.Table) -> list[str]:
    """
    What is set now, the effort first.
    """
    names = NAMES[table.name.removeprefix("note_")]
    return [str(connection.scalar(sa.text(f"SHOW {name}"))) for name in names]


@pytest.fixture
def tables(engine: sa.Engine) -> dict[str, sa.Table]:
    """
    One with each kind of index, and connections that loaded nothing yet.
    """
    made = {index.method: table_with(index) for index in (HNSW(), IVFFlat())}
    for table in made.values():
        table.metadata.create_all(engine)
        with engine.begin() as connection:
            connection.execute(table.insert(), {"id": 1, "embedding": [1, 2, 3]})
    engine.dispose()
    return made


@pytest.mark.parametrize(
    ("method", "before", "options", "after"),
    [
        ("hnsw", None, {}, ["40", "4", "relaxed_order"]),
        ("hnsw", "20", {}, ["40", "4", "relaxed_order"]),
        ("hnsw", "200", {}, ["200", "4", "relaxed_order"]),
        ("hnsw", "200", {"k": 300}, ["300", "4", "relaxed_order"]),
        ("hnsw", "200", {"effort": 60}, ["60", "4", "relaxed_order"]),
        ("hnsw", "200", {"effort": 60, "k": 70}, ["70", "4", "relaxed_order"]),
        ("hnsw", None, {"effort": 5000}, ["1000", "4", "relaxed_order"]),
        ("ivfflat", None, {}, ["10", "relaxed_order"]),
        ("ivfflat", "3", {}, ["10", "relaxed_order"]),
        ("ivfflat", "32", {}, ["32", "relaxed_order"]),
        ("ivfflat", "32", {"effort": 5}, ["5", "relaxed_order"]),
    ],
)
def test_what_the_session_set_higher_stays(
    engine: sa.Engine,
    tables: dict[str, sa.Table],
    method: str,
    before: str | None,
    options: dict[str, Any],
    after: list[str],
) -> None:
    """
    Unless an effort is said; and afterwards all is as it was.
    """
    table = tables[method]
    with engine.connect() as connection:
        if before is not None:
            connection.execute(sa.text(f"SET {NAMES[method][0]} = {before}"))
            connection.commit()
        connection.execute(nearest(table, table.c.embedding, [1, 2, 3], plan="index", **options))
        assert settings(connection, table) == after
        connection.rollback()
        least = {"hnsw": "40", "ivfflat": "1"}[method]
        assert settings(connection, table)[0] == (before or least)


def test_what_the_role_has_set_higher_stays(
    engine: sa.Engine, database: Database, tables: dict[str, sa.Table]
) -> None:
    """
    Also where the very first statement of a connection is a search.
    """
    alter = f'ALTER ROLE CURRENT_USER IN DATABASE "{database.name}" SET'
    higher = {"hnsw.ef_search": "200", "hnsw.scan_mem_multiplier": "7.5", "ivfflat.probes": "25"}
    with engine.begin() as connection:
        for name, value in higher.items():
            connection.execute(sa.text(f"{alter} {name} = '{value}'"))
    for method, after in (
        ("hnsw", ["200", "7.5", "relaxed_order"]),
        ("ivfflat", ["25", "relaxed_order"]),
    ):
        engine.dispose()
        table = tables[method]
        with engine.connect() as connection:
            connection.execute(nearest(table, table.c.embedding, [1, 2, 3], plan="index"))
            assert settings(connection, table) == after


def test_a_greater_effort_stays_until_the_transaction_ends(
    engine: sa.Engine, tables: dict[str, sa.Table]
) -> None:
    """
    As the reference says; the next transaction has none of it.
    """
    table = tables["hnsw"]
    plain = nearest(table, table.c.embedding, [1, 2, 3], plan="index")
    harder = nearest(table, table.c.embedding, [1, 2, 3], plan="index", effort=300)
    with engine.connect() as connection:
        connection.execute(harder)
        connection.execute(plain)
        assert settings(connection, table)[0] == "300"
        connection.commit()
        connection.execute(plain)
        assert settings(connection, table)[0] == "40"
