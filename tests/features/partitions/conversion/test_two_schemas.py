"""
Tables of one name in two schemas refer to the converted one, each with triggers of its own.
"""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from pgultra.errors import PgultraError
from pgultra.features.partitions import convert, finish_conversion, plan_conversion
from pgultra.sql import qualified
from tests.features.partitions.conversion.orders import OLD, ORDER, SCHEMA, asked, do, order, orders

PLACES = (qualified(SCHEMA, "Remark"), 'archive."Remark"')


def referring(engine: sa.Engine, *more: str) -> None:
    """
    Two tables of remarks, whose foreign keys have one name too.
    """
    orders(engine, "CREATE SCHEMA archive")
    for place in PLACES:
        do(
            engine,
            f"CREATE TABLE {place} (id int PRIMARY KEY, on_id bigint "
            f'CONSTRAINT "to" REFERENCES {ORDER} (id) ON DELETE SET NULL '
            "DEFERRABLE INITIALLY DEFERRED)",
            f"INSERT INTO {place} SELECT n, n FROM generate_series(1, 20) AS n",
        )
    do(engine, *more)


def remark(metadata: sa.MetaData, schema: str | None, **options: str) -> None:
    """
    The model of one.
    """
    target = metadata.tables[f"{SCHEMA}.Order"]
    sa.Table(
        "Remark",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("on_id", sa.BigInteger),
        sa.Column("on_at", sa.DateTime(timezone=True)),
        sa.ForeignKeyConstraint(
            ["on_id", "on_at"],
            [target.c.id, target.c.at],
            onupdate="CASCADE",
            ondelete="SET NULL",
            **options,
        ),
        schema=schema,
    )


def test_each_is_filled_by_its_own_triggers(engine: sa.Engine) -> None:
    """
    Rows that follow, that come before the order, and that refer to nothing any more.
    """
    metadata = sa.MetaData()
    referring(engine)
    model = order(metadata=metadata)
    for schema in (SCHEMA, "archive"):
        remark(metadata, schema, match="FULL")

    def write(step: str) -> None:
        if step != "exchange":
            return
        do(
            engine,
            f"UPDATE {ORDER} SET at = at + interval '1 hour' WHERE id < 10",
            f"DELETE FROM {ORDER} WHERE id = 11",
            *(f"UPDATE {place} SET on_id = NULL WHERE id = 12" for place in PLACES),
        )
        for number, place in enumerate(PLACES, 1000):
            do(
                engine,
                f"INSERT INTO {place} VALUES (100, {number})",
                f"INSERT INTO {ORDER} VALUES ({number}, '2026-02-02Z', 'later')",
            )

    with engine.connect() as connection:
        convert(connection, model, announce=write)
        finish_conversion(connection, model)
    for place in PLACES:
        wrong = (
            f"SELECT count(*) FROM {place} AS r LEFT JOIN {ORDER} AS o ON o.id = r.on_id "
            "WHERE r.on_at IS DISTINCT FROM o.at"
        )
        assert asked(engine, wrong) == 0
        assert asked(engine, f"SELECT count(*) FROM {place} WHERE on_at IS NOT NULL") == 19


def test_a_model_without_a_schema_is_not_of_another_one(engine: sa.Engine) -> None:
    """
    A table that only has the name of a mapped one gets no columns: its foreign key is an obstacle.
    """
    metadata = sa.MetaData()
    referring(engine, f"DROP TABLE {PLACES[0]}")
    model = order(metadata=metadata)
    remark(metadata, None)
    told = r"foreign key to of archive.Remark refers to \(id\)"
    with engine.connect() as connection, pytest.raises(PgultraError, match=told):
        plan_conversion(connection, model)


def test_a_trigger_of_the_host_that_changes_the_reference(engine: sa.Engine) -> None:
    """
    Ours comes after it, whatever its name is.
    """
    metadata = sa.MetaData()
    referring(
        engine,
        f"DROP TABLE {PLACES[1]}",
        "CREATE FUNCTION redirect() RETURNS trigger LANGUAGE plpgsql AS "
        "$$BEGIN NEW.on_id := NEW.on_id - 100; RETURN NEW; END$$",
        f"CREATE TRIGGER zzz BEFORE INSERT ON {PLACES[0]} FOR EACH ROW EXECUTE FUNCTION redirect()",
    )
    model = order(metadata=metadata)
    remark(metadata, SCHEMA)

    def write(step: str) -> None:
        if step == "exchange":
            do(engine, f"INSERT INTO {PLACES[0]} VALUES (100, 250)")

    with engine.connect() as connection:
        convert(connection, model, announce=write)
        finish_conversion(connection, model)
    same = f"SELECT r.on_at = o.at FROM {PLACES[0]} AS r JOIN {ORDER} AS o ON o.id = r.on_id"
    assert asked(engine, f"{same} WHERE r.id = 100 AND o.id = 150") is True


def test_an_end_that_is_refused_leaves_nothing_behind(engine: sa.Engine) -> None:
    """
    The column may be NULL as before, for the conversion is not finished.
    """
    metadata = sa.MetaData()
    referring(engine, f"DROP TABLE {PLACES[1]}")
    model = order(metadata=metadata)
    remark(metadata, SCHEMA)
    metadata.tables[f"{SCHEMA}.Remark"].c.on_at.nullable = False
    with engine.connect() as connection:
        convert(connection, model)
        do(engine, f"CREATE VIEW on_old AS SELECT * FROM {OLD}")
        with pytest.raises(PgultraError, match="cannot be dropped"):
            finish_conversion(connection, model)
    do(engine, f"INSERT INTO {PLACES[0]} VALUES (100, NULL)")
