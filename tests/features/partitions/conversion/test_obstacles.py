from __future__ import annotations

import threading
from datetime import datetime  # noqa: TC003  # Mapped[datetime] is evaluated
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from pgultra.errors import DeclarationError, PgultraError
from pgultra.features.partitions import (
    ByHash,
    ByRange,
    PartitionedTable,
    convert,
    finish_conversion,
    plan_conversion,
    undo_conversion,
)

if TYPE_CHECKING:
    from collections.abc import Sequence


def model(*arguments: Any, **options: Any) -> Any:
    """
    The model of a visit, divided by month.
    """

    class Base(DeclarativeBase):
        pass

    class Visit(PartitionedTable, Base):
        __tablename__ = "visit"
        __partition_by__ = options.get("rules", ByRange("at", every="1 month"))
        __table_args__ = arguments

        id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
        at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True), primary_key=True)
        slug: Mapped[str | None]

    return Visit


PLAIN = "CREATE TABLE visit (id int PRIMARY KEY, at timestamptz NOT NULL, slug text)"
CASES: dict[str, tuple[Sequence[str], str]] = {
    "a nullable key": (
        ("CREATE TABLE visit (id int PRIMARY KEY, at timestamptz, slug text)",),
        "column at may be NULL",
    ),
    "no column": (("CREATE TABLE visit (id int PRIMARY KEY)",), "has no column at"),
    "no key": (
        ("CREATE TABLE visit (id int NOT NULL, at timestamptz NOT NULL)",),
        "rows cannot be told apart",
    ),
    "another key": (
        ("CREATE TABLE visit (id int NOT NULL, at timestamptz NOT NULL, slug text PRIMARY KEY)",),
        "no unique key of the table lies within the model's primary key",
    ),
    "unlogged": ((PLAIN.replace("CREATE", "CREATE UNLOGGED"),), "SET LOGGED"),
    "heirs": ((PLAIN, "CREATE TABLE heir () INHERITS (visit)"), "NO INHERIT"),
    "unique": ((PLAIN, "CREATE UNIQUE INDEX one ON visit (slug)"), "give_up=['one']"),
    "reference": (
        (PLAIN, "CREATE TABLE n (v int CONSTRAINT to_visit REFERENCES visit)"),
        "foreign key to_visit of public.n refers to (id), which will not be unique without",
    ),
    "itself": (
        (PLAIN, "ALTER TABLE visit ADD up int CONSTRAINT up_key REFERENCES visit"),
        "foreign key up_key of public.visit refers to (id), which will not be unique",
    ),
    "not valid": (
        (PLAIN, "ALTER TABLE visit ADD CONSTRAINT later CHECK (id > 0) NOT VALID"),
        "VALIDATE CONSTRAINT",
    ),
    "no inherit": (
        (PLAIN, "ALTER TABLE visit ADD CONSTRAINT own CHECK (id > 0) NO INHERIT"),
        "NO INHERIT",
    ),
    "exclusion": (
        (PLAIN, "ALTER TABLE visit ADD CONSTRAINT apart EXCLUDE (slug WITH =)"),
        "give_up=['apart']",
    ),
    "rule": ((PLAIN, "CREATE RULE r AS ON UPDATE TO visit DO ALSO NOTHING"), "rules"),
    "matview": (
        (
            PLAIN,
            "CREATE MATERIALIZED VIEW m AS SELECT count(*) FROM visit",
            "CREATE FUNCTION g(m) RETURNS int LANGUAGE sql AS 'SELECT 1'",
        ),
        "function public.g(public.m) stands on materialized view public.m or its row type",
    ),
    "row type": (
        (PLAIN, "CREATE FUNCTION f(visit) RETURNS int LANGUAGE sql AS 'SELECT 1'"),
        "function public.f(public.visit)",
    ),
    "rule elsewhere": (
        (
            PLAIN,
            "CREATE TABLE n (v int)",
            "CREATE RULE along AS ON DELETE TO n DO ALSO DELETE FROM visit",
        ),
        "rule along on table public.n uses the table",
    ),
    "grouped view": (
        (PLAIN, "CREATE VIEW g AS SELECT id, slug FROM visit GROUP BY id"),
        "view public.g groups by the primary key",
    ),
    "transition tables": (
        (
            PLAIN,
            "CREATE FUNCTION t() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
            "CREATE TRIGGER t AFTER UPDATE ON visit REFERENCING NEW TABLE AS n FOR EACH ROW EXECUTE FUNCTION t()",
        ),
        "trigger t is FOR EACH ROW with transition tables",
    ),
    "all tables": (
        (PLAIN, "CREATE PUBLICATION everything FOR ALL TABLES"),
        "publication everything",
    ),
    "replica identity": (
        (
            PLAIN,
            "ALTER TABLE visit ADD UNIQUE (at, id)",
            "ALTER TABLE visit REPLICA IDENTITY USING INDEX visit_at_id_key",
        ),
        "REPLICA IDENTITY",
    ),
    "partitioned": (
        ("CREATE TABLE visit (id int, at timestamptz) PARTITION BY RANGE (at)",),
        "is partitioned already",
    ),
    "a view": (("CREATE VIEW visit AS SELECT 1 AS id",), "is not a table"),
    "no table": ((), "there is no table"),
    "a strange date": (
        (PLAIN, "INSERT INTO visit VALUES (1, '0001-01-01'), (2, '2026-01-01')"),
        "would be more than 2000 partitions",
    ),
    "infinity": ((PLAIN, "INSERT INTO visit VALUES (1, 'infinity')"), "correct these rows first"),
}


def tables(engine: sa.Engine) -> list[str]:
    """
    Everything that looks like a table.
    """
    with engine.connect() as connection:
        found = connection.exec_driver_sql(
            "SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY 1"
        )
        return list(found.scalars())


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("act", [convert, plan_conversion])
def test_what_cannot_be_is_said_before_anything_starts(
    engine: sa.Engine, case: str, act: Any
) -> None:
    """
    Each obstacle is an error that names it and the way out, and nothing is changed.
    """
    statements, words = CASES[case]
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
    before = tables(engine)
    with engine.connect() as connection, pytest.raises(PgultraError) as caught:
        act(connection, model())
    assert words in str(caught.value)
    assert tables(engine) == before


def test_all_obstacles_are_said_at_once(engine: sa.Engine) -> None:
    """
    Nobody has to try again for each of them.
    """
    with engine.begin() as connection:
        for case in ("unique", "reference", "matview", "rule"):
            for statement in CASES[case][0][case != "unique" :]:
                connection.exec_driver_sql(statement)
    with engine.connect() as connection, pytest.raises(PgultraError) as caught:
        convert(connection, model())
    for case in ("unique", "reference", "matview", "rule"):
        assert CASES[case][1] in str(caught.value)


@pytest.mark.slow
def test_what_is_given_up_is_no_obstacle(engine: sa.Engine) -> None:
    """
    A unique rule, a foreign key and a materialized view may be left behind, by name.
    """
    given = ("one", "to_visit", "m")
    with engine.begin() as connection:
        for case in ("unique", "reference", "matview"):
            for statement in CASES[case][0][case != "unique" :]:
                connection.exec_driver_sql(statement)
        connection.exec_driver_sql("INSERT INTO visit SELECT 1, '2026-01-01', 'a'")
        connection.exec_driver_sql("INSERT INTO n VALUES (1)")
    visit = model()
    with engine.connect() as connection:
        plan = plan_conversion(connection, visit, give_up=given)
        assert [note for note in plan.notes if "given up" in note] == [
            f"{name} is given up" for name in sorted(given)
        ]
        convert(connection, visit, give_up=given)
        connection.exec_driver_sql("DELETE FROM n")
        connection.exec_driver_sql("DROP MATERIALIZED VIEW m CASCADE")
        connection.exec_driver_sql("ALTER TABLE n DROP CONSTRAINT to_visit")
        connection.commit()
        finish_conversion(connection, visit)
        connection.exec_driver_sql("INSERT INTO visit VALUES (1, '2026-01-02', 'a')")
        connection.commit()


def test_a_unique_rule_may_get_the_key(engine: sa.Engine) -> None:
    """
    What the model declares instead, with the key, takes the place of the rule without it.
    """
    with engine.begin() as connection:
        for statement in CASES["unique"][0]:
            connection.exec_driver_sql(statement)
        connection.exec_driver_sql("CREATE TABLE n (v int, slug text, at timestamptz)")
    visit = model(sa.Index("one", "slug", "at", unique=True))
    for way in ("copy", "attach"):
        with engine.connect() as connection:
            if way == "copy":
                convert(connection, visit)
                undo_conversion(connection, visit)
                continue
            convert(connection, visit, way=way)
            finish_conversion(connection, visit)
            found = connection.exec_driver_sql("SELECT pg_get_indexdef('one'::regclass)")
            assert found.scalar_one().endswith("USING btree (slug, at)")


@pytest.mark.slow
def test_a_table_that_was_altered_meanwhile(engine: sa.Engine) -> None:
    """
    A column that came during the conversion stops it, and it can be undone.
    """
    with engine.begin() as connection:
        connection.exec_driver_sql(PLAIN)
    visit = model()

    def alter(step: str) -> None:
        if step == "compare":
            with engine.begin() as other:
                other.exec_driver_sql("ALTER TABLE visit ADD COLUMN more int")

    with engine.connect() as connection:
        with pytest.raises(PgultraError, match="was altered since"):
            convert(connection, visit, announce=alter)
        undo_conversion(connection, visit)
        convert(connection, visit)


@pytest.mark.slow
def test_what_stands_on_the_old_table_is_not_lost(engine: sa.Engine) -> None:
    """
    It is finished when that is gone; until then the way back is open.
    """
    with engine.begin() as connection:
        connection.exec_driver_sql(PLAIN)
    visit = model()
    with engine.connect() as connection:
        convert(connection, visit)
        connection.exec_driver_sql("CREATE VIEW mine AS SELECT * FROM visit_partitions_old")
        connection.commit()
        with pytest.raises(PgultraError, match=r"(?s)cannot be dropped.*view public.mine depends"):
            finish_conversion(connection, visit)
        connection.exec_driver_sql("INSERT INTO visit VALUES (1, now(), 'kept the same')")
        connection.commit()
        assert connection.exec_driver_sql("SELECT slug FROM mine").all() == [("kept the same",)]
        connection.rollback()
        undo_conversion(connection, visit)
        assert connection.exec_driver_sql("SELECT slug FROM visit").all() == [("kept the same",)]
        connection.rollback()
        connection.exec_driver_sql("DROP VIEW mine")
        connection.commit()
        convert(connection, visit)
        assert finish_conversion(connection, visit).outcome == "finished"


@pytest.mark.slow
def test_a_converter_gives_way(engine: sa.Engine) -> None:
    """
    Behind a long transaction it tries again and again, and says so at the end; then it goes on.
    """
    with engine.begin() as connection:
        connection.exec_driver_sql(PLAIN)
    visit = model()
    with engine.connect() as connection:
        with engine.connect() as other:
            other.exec_driver_sql("INSERT INTO visit VALUES (1, '2026-01-01', 'slow')")
            with pytest.raises(PgultraError, match="a lock was not to be had for 1 seconds"):
                convert(connection, visit, patience=1, lock_timeout=0.05)
            other.commit()
        done = convert(connection, visit, resume=True)
        assert (done.rows, done.outcome) == (1, "converted")


@pytest.mark.slow
@pytest.mark.parametrize(
    "lock", ["visit_partitions_new IN SHARE UPDATE EXCLUSIVE", "visit IN ACCESS EXCLUSIVE"]
)
def test_it_gives_way_while_it_compares(engine: sa.Engine, lock: str) -> None:
    """
    As to an autovacuum of the new table, or a migration of the old one: it tries again.
    """
    with engine.begin() as connection:
        connection.exec_driver_sql(PLAIN)
        connection.exec_driver_sql("INSERT INTO visit VALUES (1, '2026-01-01', 'one')")
    visit = model()
    with engine.connect() as connection, engine.connect() as other:
        timer = threading.Timer(1, other.rollback)

        def hold(step: str) -> None:
            if step == "compare":
                other.exec_driver_sql(f"LOCK TABLE {lock} MODE")
                timer.start()

        done = convert(connection, visit, announce=hold, lock_timeout=0.1)
        timer.join()
    assert done.rows == 1
    assert done.given_way > 0


@pytest.mark.slow
def test_one_converter_at_a_time(engine: sa.Engine) -> None:
    """
    A second one is told that the first is at it.
    """
    with engine.begin() as connection:
        connection.exec_driver_sql(PLAIN)
    visit = model()
    said: list[str] = []

    def second(step: str) -> None:
        if step == "compare":
            with engine.connect() as other, pytest.raises(PgultraError) as caught:
                convert(other, visit)
            said.append(str(caught.value))

    with engine.connect() as connection:
        convert(connection, visit, announce=second)
    assert said == ["visit is being converted by another session just now"]


def test_calls_that_make_no_sense(engine: sa.Engine) -> None:
    """
    No declaration, no conversion, another way, a transaction: each is an error that says so.
    """
    with engine.begin() as connection:
        connection.exec_driver_sql(PLAIN)
    visit = model()
    with engine.connect() as connection:
        for act in (undo_conversion, finish_conversion):
            with pytest.raises(PgultraError, match="no conversion of visit is under way"):
                act(connection, visit)
        with pytest.raises(PgultraError, match="has broken off"):
            convert(connection, visit, resume=True)
        with pytest.raises(PgultraError, match="way='move' is not one of 'copy', 'attach'"):
            convert(connection, visit, way="move")
        with pytest.raises(DeclarationError, match="not declared as partitioned"):
            convert(connection, sa.Table("visit", sa.MetaData(), sa.Column("id", sa.Integer)))
        with pytest.raises(DeclarationError, match="is not a mapped class"):
            convert(connection, 5)
        with pytest.raises(PgultraError, match="needs ByRange with every="):
            convert(connection, model(rules=ByHash("id", modulus=2)), way="attach")
        with connection.begin(), pytest.raises(PgultraError, match="in none"):
            convert(connection, visit)

        def stop(step: str) -> None:
            if step == "copy":
                raise RuntimeError

        with pytest.raises(RuntimeError):
            convert(connection, visit, announce=stop)
        with pytest.raises(PgultraError, match="has not come to its end"):
            finish_conversion(connection, visit)
        with pytest.raises(PgultraError, match="with way='copy' is under way"):
            convert(connection, visit, way="attach")
        convert(connection, visit)
        finish_conversion(connection, visit)
        with pytest.raises(PgultraError, match="is partitioned already"):
            convert(connection, visit)
