from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from pgultra import sql
from pgultra.errors import PgultraError
from pgultra.features.partitions import (
    ByHash,
    ByRange,
    PartitionedTable,
    convert,
    finish_conversion,
    maintain,
    plan_conversion,
    undo_conversion,
)
from pgultra.sql import qualified, statement
from tests.features.partitions.conversion.apart import apart

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.fixtures.server import Server


SCHEMA = 'Odd "Schema: 100%'
NAME = 'Tree "Table: %'
TREE, TWIN = qualified(SCHEMA, NAME), qualified(SCHEMA, "twin")
NOTE, TWIN_NOTE = qualified(SCHEMA, "Re mark"), qualified(SCHEMA, "twin note")
UP, OF = '"Up: %"', '"Of: %"'
RULES = {
    "plain": "",
    "cascade": "ON DELETE CASCADE",
    "restrict": "ON UPDATE RESTRICT ON DELETE RESTRICT",
    "set null": "ON DELETE SET NULL (up)",
    "update cascade": "ON UPDATE CASCADE ON DELETE CASCADE",
    "deferred": "DEFERRABLE INITIALLY DEFERRED",
}
FORMS = {
    "hash": ByHash("id", modulus=3),
    "numbers": ByRange("id", bounds=(None, 12, 100, None)),
    "two levels": ByRange("at", every="1 month", premake=1, then=ByHash("id", modulus=2)),
}
SELF = 'FOREIGN KEY (up, up_at) REFERENCES {} ("I d", at) {}'
WRITES = """
INSERT INTO {t} VALUES (1, '{a}', NULL, NULL), (2, '{b}', 1, '{a}'), (3, '{c}', 2, '{b}')
INSERT INTO {t} VALUES (11, '{a}', 12, '{b}'), (12, '{b}', NULL, NULL)
INSERT INTO {t} VALUES (13, '{a}', 13, '{a}'), (14, '{a}', 15, '{c}'), (15, '{c}', 14, '{a}')
INSERT INTO {t} VALUES (16, '{b}', NULL, NULL), (17, '{c}', 16, '{b}'), (18, '{a}', NULL, '{b}')
INSERT INTO {t} VALUES (21, '{a}', 99, '{b}')
INSERT INTO {t} VALUES (22, '{a}', 1, '{b}')
UPDATE {t} SET up = 99 WHERE "I d" = 2
UPDATE {t} SET at = '{c}' WHERE "I d" = 11
UPDATE {t} SET at = '{b}', up_at = '{b}' WHERE "I d" = 13
UPDATE {t} SET "I d" = "I d" + 100, up = up + 100 WHERE "I d" IN (14, 15)
UPDATE {t} SET at = '{b}' WHERE "I d" = 1
UPDATE {t} SET "I d" = 111 WHERE "I d" = 12
UPDATE {t} SET at = CASE "I d" WHEN 1 THEN '{c}' ELSE at END, up_at = CASE "I d" WHEN 2 THEN '{c}'::timestamptz ELSE up_at END WHERE "I d" IN (1, 2)
DELETE FROM {t} WHERE "I d" = 16
DELETE FROM {t} WHERE "I d" IN (16, 17)
WITH g AS (DELETE FROM {t} WHERE "I d" = 3 RETURNING *) INSERT INTO {t} SELECT "I d" + 300, '{a}', up, up_at FROM g
INSERT INTO {t} VALUES (31, '{a}', 32, '{b}'); INSERT INTO {t} VALUES (32, '{b}')
DELETE FROM {t} WHERE "I d" = 2; DELETE FROM {t} WHERE up = 2
DELETE FROM {t} WHERE "I d" IN (114, 115)
MERGE INTO {t} AS t USING (VALUES (41), (11)) AS v (id) ON t."I d" = v.id WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT VALUES (v.id, '{c}', v.id, '{c}')
"""
MONTHS = {"a": "2026-03-03Z", "b": "2026-04-04Z", "c": "2026-05-05Z"}
KEYS = sa.text(
    "SELECT r.relname, k.conname, pg_get_constraintdef(k.oid), k.convalidated,"
    " obj_description(k.oid, 'pg_constraint')"
    " FROM pg_constraint AS k JOIN pg_class AS r ON r.oid = k.conrelid"
    " WHERE k.contype = 'f' AND k.conparentid = 0 ORDER BY 1, 2"
)
BELOW = sa.text(
    "SELECT count(*) FROM pg_constraint AS k WHERE k.contype = 'f' AND k.conname = :name"
    " AND k.conparentid <> 0 AND k.convalidated AND k.conrelid IN"
    " (SELECT t.relid FROM pg_partition_tree(CAST(:table AS regclass)) AS t WHERE t.isleaf)"
)


def models(rules: Any = None) -> Any:
    """
    The model that the table shall fit, of its own metadata.
    """

    class Base(DeclarativeBase):
        pass

    class Tree(PartitionedTable, Base):
        __tablename__ = NAME
        __partition_by__ = rules or ByRange("at", every="1 month", premake=1)
        __table_args__ = (
            sa.UniqueConstraint("I d", "at", name="Ke y"),
            {"schema": SCHEMA},
        )

        id: Mapped[int] = mapped_column("I d", primary_key=True, autoincrement=False)
        at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True), primary_key=True)
        up: Mapped[int | None]
        up_at: Mapped[datetime | None] = mapped_column(sa.DateTime(timezone=True))

    return Tree


def run(engine: sa.Engine, *texts: str) -> None:
    """
    Run statements in one transaction.
    """
    with engine.begin() as connection:
        for text in texts:
            connection.execute(statement(text))


def prepare(engine: sa.Engine, rule: str) -> None:
    """
    The plain table that refers to itself, with rows in three months; and its twin.
    """
    run(engine, f'CREATE SCHEMA "{SCHEMA.replace(chr(34), chr(34) * 2)}"')
    for table, key in ((TREE, "Ke y"), (TWIN, "twin key")):
        run(
            engine,
            f'CREATE TABLE {table} ("I d" int PRIMARY KEY, at timestamptz NOT NULL, up int,'
            f' up_at timestamptz, CONSTRAINT "{key}" UNIQUE ("I d", at))',
            f"ALTER TABLE {table} ADD CONSTRAINT {UP} {SELF.format(table, RULES[rule])}",
            f"COMMENT ON CONSTRAINT {UP} ON {table} IS 'it''s: 100%'",
            f"INSERT INTO {table} SELECT g, timestamptz '2026-03-01Z' + (g % 3) * interval '1 month'"
            " FROM generate_series(5000, 5100) AS g",
        )


class Twins:
    """
    Every write is done to the table and to its plain twin, and must have the same outcome.
    """

    def __init__(self, engine: sa.Engine, **tables: tuple[str, str]) -> None:
        self.engine = engine
        self.tables = tables
        self.steps: list[str] = []

    def write(self, step: str, writes: str = WRITES) -> None:
        """
        All writes, one transaction each; then all rows go, so that they can be done again.
        """
        self.steps.append(step)
        for line in writes.strip().splitlines():
            outcomes = [self.outcome(line, side) for side in (0, 1)]
            assert outcomes[0] == outcomes[1], (step, line)
            assert self.rows(0) == self.rows(1), (step, line)
        for table, column in zip("tn", ('"I d"', "id"), strict=True):
            if table in self.tables:
                line = f"DELETE FROM {{{table}}} WHERE {column} < 5000"
                outcomes = [self.outcome(line, side) for side in (0, 1)]
                assert outcomes == [None, None]

    def outcome(self, line: str, side: int) -> str | None:
        """
        The SQLSTATE of what one side says.
        """
        words = {each: names[side] for each, names in self.tables.items()}
        try:
            run(self.engine, *(part.format(**words, **MONTHS) for part in line.split("; ")))
        except sa.exc.DBAPIError as error:
            return str(error.orig.sqlstate)  # type: ignore[union-attr]  # psycopg's has it
        return None

    def rows(self, side: int) -> Any:
        """
        All rows of one side.
        """
        with self.engine.connect() as connection:
            return [
                connection.execute(statement(f"SELECT t::text FROM {names[side]} AS t ORDER BY 1"))
                .scalars()
                .all()
                for names in self.tables.values()
            ]


def keys(engine: sa.Engine) -> list[tuple[Any, ...]]:
    """
    All foreign keys that do not belong to another one.
    """
    with engine.connect() as connection:
        connection.exec_driver_sql("SET LOCAL search_path = pg_catalog")
        return [tuple(row) for row in connection.execute(KEYS) if "twin" not in row[0]]


def below(engine: sa.Engine, name: str, table: str) -> int:
    """
    On how many partitions a foreign key is there, checked, as a part of the table's own.
    """
    with engine.connect() as connection:
        asked = {"name": name.strip('"'), "table": table}
        return int(connection.execute(BELOW, asked).scalar_one())


def leaves(engine: sa.Engine, table: str) -> int:
    """
    How many partitions hold rows.
    """
    text = sa.text("SELECT count(*) FROM pg_partition_tree(CAST(:table AS regclass)) WHERE isleaf")
    with engine.connect() as connection:
        return int(connection.execute(text, {"table": table}).scalar_one())


@pytest.fixture
def told(owner_engine: sa.Engine) -> Iterator[Callable[[], list[str]]]:
    """
    A function that gives the statements sent since it was called last.
    """
    sent: list[str] = []

    @sa.event.listens_for(owner_engine, "before_cursor_execute")
    def note(connection: Any, cursor: Any, text: str, *rest: Any) -> None:
        sent.extend(apart(text))

    def since() -> list[str]:
        found = list(sent)
        sent.clear()
        return found

    yield since
    sa.event.remove(owner_engine, "before_cursor_execute", note)


@pytest.mark.slow
@pytest.mark.parametrize("way", ["copy", "attach"])
@pytest.mark.parametrize("rule", RULES)
def test_a_table_that_refers_to_itself(owner_engine: sa.Engine, rule: str, way: str) -> None:
    """
    At every step it takes and refuses what its plain twin does; the foreign key stays what it is.
    """
    engine = owner_engine
    prepare(engine, rule)
    before, tree = keys(engine), models()
    twins = Twins(engine, t=(TREE, TWIN))
    with engine.connect() as connection:
        convert(connection, tree, way=way, announce=twins.write)
        assert twins.steps == list(
            ("build", "mirror", "copy", "compare", "constrain", "exchange", "settle")
            if way == "copy"
            else ("build", "index", "check", "exchange", "settle")
        )
        twins.write("converted")
        assert keys(engine) == before
        assert below(engine, UP, TREE) == leaves(engine, TREE)
        maintain(connection, tree.metadata, now=datetime(2027, 9, 9, tzinfo=UTC))
        wrong = "INSERT INTO {t} VALUES (1, '2027-09-09Z', 2, '2027-09-09Z')"
        assert twins.outcome(wrong, 0) == "23503"
        assert below(engine, UP, TREE) == leaves(engine, TREE)
        if way == "copy":
            assert undo_conversion(connection, tree, announce=twins.write).repaired == 0
            assert keys(engine) == before
            twins.write("undone")
            convert(connection, tree)
        finish_conversion(connection, tree)
        twins.write("finished")
        assert keys(engine) == before


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_however_it_is_divided(owner_engine: sa.Engine, form: str) -> None:
    """
    By hash, by numbers and on two levels, a table that refers to itself is converted and undone.
    """
    engine = owner_engine
    prepare(engine, "update cascade")
    before, tree = keys(engine), models(FORMS[form])
    twins = Twins(engine, t=(TREE, TWIN))
    with engine.connect() as connection:
        convert(connection, tree, announce=twins.write)
        assert keys(engine) == before
        assert below(engine, UP, TREE) == leaves(engine, TREE) > 1
        twins.write("converted")
        assert undo_conversion(connection, tree, announce=twins.write).repaired == 0
        assert keys(engine) == before
        twins.write("undone")


NOTES = {
    "range with a default": (
        "RANGE (id)",
        "CREATE TABLE {0}.n1 PARTITION OF {1} FOR VALUES FROM (0) TO (3)",
        "CREATE TABLE {0}.n2 PARTITION OF {1} FOR VALUES FROM (3) TO (5)",
        "CREATE TABLE {0}.n3 PARTITION OF {1} DEFAULT",
    ),
    "hash": (
        "HASH (id)",
        "CREATE TABLE {0}.n1 PARTITION OF {1} FOR VALUES WITH (MODULUS 2, REMAINDER 0)",
        "CREATE TABLE {0}.n2 PARTITION OF {1} FOR VALUES WITH (MODULUS 2, REMAINDER 1)",
    ),
    "two levels": (
        "LIST ((id % 2))",
        "CREATE TABLE {0}.n1 PARTITION OF {1} FOR VALUES IN (0)",
        "CREATE TABLE {0}.mid PARTITION OF {1} FOR VALUES IN (1) PARTITION BY RANGE (id)",
        "CREATE TABLE {0}.n2 PARTITION OF {0}.mid FOR VALUES FROM (0) TO (5)",
        "CREATE TABLE {0}.n3 PARTITION OF {0}.mid FOR VALUES FROM (5) TO (100)",
        "CREATE TABLE {0}.n4 PARTITION OF {0}.mid FOR VALUES FROM (5000) TO (9000)",
    ),
}
NOTE_WRITES = """
INSERT INTO {t} VALUES (1, '{a}'), (2, '{b}'), (3, '{c}')
INSERT INTO {n} VALUES (1, 1, '{a}'), (2, 1, '{a}'), (3, 2, '{b}'), (4, 3, '{c}'), (6, NULL, '{a}'), (7, 3, '{c}')
INSERT INTO {n} VALUES (8, 1, '{b}')
INSERT INTO {n} VALUES (9, 4, '{a}'); INSERT INTO {t} VALUES (4, '{a}')
INSERT INTO {n} VALUES (9, 5, '{a}')
UPDATE {n} SET of_id = 99 WHERE id = 1
UPDATE {n} SET id = 5 WHERE id = 4
UPDATE {t} SET at = '{c}' WHERE "I d" = 1
UPDATE {t} SET "I d" = 77, at = '{a}' WHERE "I d" = 2
DELETE FROM {t} WHERE "I d" = 3
WITH g AS (DELETE FROM {t} WHERE "I d" = 77 RETURNING *) DELETE FROM {n} USING g WHERE of_id = g."I d"
"""
REFERS = (
    f'ALTER TABLE {{}} ADD CONSTRAINT {OF} FOREIGN KEY (of_id, of_at) REFERENCES {{}} ("I d", at)'
    " ON UPDATE CASCADE ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED"
)


def annotate(engine: sa.Engine, by: str, *partitions: str) -> None:
    """
    A partitioned table that refers to the tree, and its plain twin.
    """
    prepare(engine, "plain")
    columns = "(id int NOT NULL, of_id int, of_at timestamptz)"
    place = sql.identifier(SCHEMA)
    run(engine, f"CREATE TABLE {NOTE} {columns} PARTITION BY {by}")
    run(engine, *(each.format(place, NOTE) for each in partitions))
    run(engine, f"CREATE TABLE {TWIN_NOTE} {columns}")
    for note, tree in ((NOTE, TREE), (TWIN_NOTE, TWIN)):
        run(engine, f'INSERT INTO {note} SELECT "I d", "I d", at FROM {tree}')
        run(engine, REFERS.format(note, tree))
        run(engine, f"COMMENT ON CONSTRAINT {OF} ON {note} IS 'of: 100%'")


@pytest.mark.slow
@pytest.mark.parametrize("way", ["copy", "attach"])
@pytest.mark.parametrize("form", NOTES)
def test_a_partitioned_table_that_refers_to_it(
    owner_engine: sa.Engine, form: str, way: str
) -> None:
    """
    Its foreign key holds at every step as a plain table's does, also on partitions made meanwhile.
    """
    engine = owner_engine
    annotate(engine, *NOTES[form])
    before, tree = keys(engine), models()
    twins = Twins(engine, t=(TREE, TWIN), n=(NOTE, TWIN_NOTE))
    mid = qualified(SCHEMA, "mid")

    def write(step: str) -> None:
        if form == "two levels" and step in ("exchange", "settle", "clean_up"):
            number = 10_000 + 1000 * len(twins.steps)
            place, upper = qualified(SCHEMA, f"by hand {step}"), number + 1000
            run(
                engine,
                f"CREATE TABLE {place} PARTITION OF {mid} FOR VALUES FROM ({number}) TO ({upper})",
                f"INSERT INTO {NOTE} VALUES ({number + 1}, 5000, (SELECT at FROM {TREE}"
                ' WHERE "I d" = 5000))',
            )
            run(engine, f"DELETE FROM {NOTE} WHERE id = {number + 1}")
        twins.write(step, NOTE_WRITES)

    with engine.connect() as connection:
        convert(connection, tree, way=way, announce=write)
        write("converted")
        assert keys(engine) == before
        assert below(engine, OF, NOTE) == leaves(engine, NOTE)
        maintain(connection, tree.metadata, now=datetime(2027, 9, 9, tzinfo=UTC))
        run(engine, f"INSERT INTO {TREE} VALUES (1, '2027-09-09Z')")
        run(engine, f"INSERT INTO {NOTE} VALUES (2, 1, '2027-09-09Z')")
        assert twins.outcome("INSERT INTO {n} VALUES (3, 2, '2027-09-09Z')", 0) == "23503"
        run(engine, f'DELETE FROM {TREE} WHERE "I d" = 1')
        if way == "copy":
            assert undo_conversion(connection, tree, announce=write).repaired == 0
            write("undone")
            assert keys(engine) == before
            assert below(engine, OF, NOTE) == leaves(engine, NOTE)
            convert(connection, tree)
        finish_conversion(connection, tree)
        write("finished")
        assert keys(engine) == before


def test_what_a_foreign_key_cannot_move_before_it_is_checked(
    owner_engine: sa.Engine, server: Server
) -> None:
    """
    Before PostgreSQL 18 a row that ON UPDATE CASCADE would move is refused until then; it is said.
    """
    engine = owner_engine
    annotate(engine, "RANGE (of_at)", "CREATE TABLE {0}.n1 PARTITION OF {1} DEFAULT")
    april = "FOR VALUES FROM ('2026-04-01Z') TO ('2026-05-01Z')"
    march = "FOR VALUES FROM ('2026-03-01Z') TO ('2026-04-01Z')"
    run(engine, f"TRUNCATE {NOTE}, {TWIN_NOTE}")
    for number, bound in ((2, march), (3, april)):
        run(engine, f"CREATE TABLE {qualified(SCHEMA, f'n{number}')} PARTITION OF {NOTE} {bound}")
    move = "UPDATE {t} SET at = '2026-04-20Z' WHERE \"I d\" = 5001"
    for table, note in ((TREE, NOTE), (TWIN, TWIN_NOTE)):
        run(
            engine,
            f"UPDATE {table} SET at = '2026-03-20Z' WHERE \"I d\" = 5001",
            f"INSERT INTO {note} VALUES (1, 5001, '2026-03-20Z')",
        )
    twins = Twins(engine, t=(TREE, TWIN), n=(NOTE, TWIN_NOTE))
    outcomes: dict[str, str | None] = {}

    def write(step: str) -> None:
        if step in ("exchange", "settle"):
            outcomes[step] = twins.outcome(f"SELECT 1; {move}; SELECT 1 / 0", 0)

    tree = models()
    with engine.connect() as connection:
        planned = plan_conversion(connection, tree)
        convert(connection, tree, announce=write)
    noted = [each for each in planned.notes if "cannot move a row to another partition" in each]
    leafwise = server.version < 18
    assert len(noted) == leafwise
    assert outcomes == {"exchange": "22012", "settle": "23514" if leafwise else "22012"}
    assert twins.outcome(move, 0) is None


def test_more_than_the_server_has_room_for(owner_engine: sa.Engine, server: Server) -> None:
    """
    Before PostgreSQL 18 too many partitions are refused before anything starts; attaching is not.
    """
    engine = owner_engine
    prepare(engine, "cascade")
    run(
        engine,
        f"INSERT INTO {TREE} VALUES (1, '2021-01-01Z', NULL, NULL), (2, '2026-05-05Z', 1, '2021-01-01Z')",
    )
    before, tree, way = keys(engine), models(), "copy"
    with engine.connect() as connection:
        if server.version < 18:
            way = "attach"
            for act in (plan_conversion, convert):
                with pytest.raises(PgultraError, match="more than 1,500") as caught:
                    act(connection, tree)
            assert f"give_up=[{UP[1:-1]!r}]" in str(caught.value)
            assert not connection.execute(
                sa.text("SELECT count(*) FROM pg_class WHERE relname ~ 'partitions'")
            ).scalar_one()
            connection.rollback()
        convert(connection, tree, way=way)
        assert keys(engine) == before
        finish_conversion(connection, tree)
    run(engine, f'DELETE FROM {TREE} WHERE "I d" = 1')
    with engine.connect() as connection:
        left = statement(f'SELECT count(*) FROM {TREE} WHERE "I d" < 5000')
        assert connection.execute(left).scalar_one() == 0


def test_whom_the_partitions_belong_to(engine: sa.Engine, owner_engine: sa.Engine) -> None:
    """
    A partition of another role, or with a constraint of that name, is said before anything starts.
    """
    annotate(owner_engine, *NOTES["hash"])
    tree, leaf = models(), qualified(SCHEMA, "n2")
    with owner_engine.connect() as connection:
        owner = connection.exec_driver_sql("SELECT current_user").scalar_one()
        connection.rollback()
        run(engine, f"ALTER TABLE {leaf} OWNER TO CURRENT_USER")
        with pytest.raises(PgultraError, match="belongs to another role"):
            convert(connection, tree)
        run(engine, f"ALTER TABLE {leaf} OWNER TO {owner}")
        convert(connection, tree)
        undo_conversion(connection, tree)


def test_a_name_that_a_partition_has_already(owner_engine: sa.Engine, server: Server) -> None:
    """
    Where each partition must have the foreign key under its name, another of that name is said.
    """
    annotate(owner_engine, *NOTES["hash"])
    run(
        owner_engine,
        f"ALTER TABLE {NOTE} DROP CONSTRAINT {OF}",
        f"ALTER TABLE {qualified(SCHEMA, 'n2')} ADD CONSTRAINT {OF} CHECK (id > 0)",
        REFERS.format(NOTE, TREE),
    )
    before, tree = keys(owner_engine), models()
    with owner_engine.connect() as connection:
        if server.version < 18:
            with pytest.raises(PgultraError, match="has a constraint of that name: rename"):
                convert(connection, tree)
        else:
            convert(connection, tree)
            assert keys(owner_engine) == before


def test_what_is_not_checked_stays_so(owner_engine: sa.Engine, server: Server) -> None:
    """
    From PostgreSQL 18 on a partitioned table has a foreign key NOT VALID too, there and back.
    """
    engine = owner_engine
    annotate(engine, *NOTES["hash"])
    for table, key in ((TREE, UP), (NOTE, OF)):
        run(engine, f"ALTER TABLE {table} DROP CONSTRAINT {key}")
    run(engine, f"INSERT INTO {TREE} VALUES (1, '2026-05-05Z', 7, '2026-05-05Z')")
    key = SELF.format(TREE, RULES["cascade"])
    run(engine, f"ALTER TABLE {TREE} ADD CONSTRAINT {UP} {key} NOT VALID")
    tree = models()
    with engine.connect() as connection:
        if server.version < 18:
            with pytest.raises(PgultraError, match="is not validated"):
                convert(connection, tree)
            return
        run(engine, f"INSERT INTO {NOTE} VALUES (1, 7, '2026-05-05Z')")
        run(engine, REFERS.format(NOTE, TREE) + " NOT VALID")
        before = keys(engine)
        assert [each[3] for each in before] == [False, False]
        convert(connection, tree)
        assert keys(engine) == before
        undo_conversion(connection, tree)
        assert keys(engine) == before


@pytest.mark.slow
def test_the_plan_says_it(owner_engine: sa.Engine, told: Callable[[], list[str]]) -> None:
    """
    Every statement about a foreign key was planned, with its lock, there and back.
    """
    annotate(owner_engine, *NOTES["two levels"])
    tree = models()
    words = ("FOREIGN KEY", "VALIDATE CONSTRAINT", "DROP CONSTRAINT", "COMMENT ON CONSTRAINT")
    for way in ("copy", "attach"):
        with owner_engine.connect() as connection:
            planned = plan_conversion(connection, tree, way=way)
            assert "LOCK TABLE" in str(planned)
            locks = {act.lock for step in planned.steps for act in step.acts if OF in act.text}
            assert any("SHARE ROW EXCLUSIVE on both tables" in each for each in locks)
            told()
            convert(connection, tree, way=way)
            sent = told()
            statements = planned.statements()
            assert [
                each for each in sent if any(w in each for w in words) and each not in statements
            ] == []
            assert [each for each in statements if OF in each and each not in sent] == []
            if way == "copy":
                undo_conversion(connection, tree)
                sent = told()
                undone = [act.text for step in planned.undo for act in step.acts]
                assert [each for each in undone if OF in each and each not in sent] == []
                assert [each for each in sent if OF in each and each not in undone] == []
            else:
                finish_conversion(connection, tree)


@pytest.mark.parametrize("broken", [False, True])
def test_one_to_itself_that_is_given_up(owner_engine: sa.Engine, broken: bool) -> None:
    """
    The old table has it no more while it is kept the same; undone, it is checked if it can be.
    """
    engine = owner_engine
    prepare(engine, "plain")
    before, tree = keys(engine), models()
    given = [UP.strip('"')]
    both = (
        f"INSERT INTO {TREE} VALUES (1, '2026-03-03Z', 2, '2026-05-05Z'),"
        " (2, '2026-05-05Z', NULL, NULL)"
    )
    wrong = f"INSERT INTO {TREE} VALUES (3, '2026-03-03Z', 4, '2026-05-05Z')"
    with engine.connect() as connection:
        convert(connection, tree, give_up=given)
        run(engine, both, *[wrong] * broken)
        undo_conversion(connection, tree)
        after = keys(engine)
        assert [each[3] for each in after] == [not broken]
        ended = " NOT VALID" if broken else ""
        assert [each[2].removesuffix(ended) for each in after] == [each[2] for each in before]
        run(engine, f'DELETE FROM {TREE} WHERE "I d" = 3')
        convert(connection, tree, give_up=given)
        finish_conversion(connection, tree)
    assert keys(engine) == []
    run(engine, wrong)


def test_what_is_given_up_does_not_refer_to_a_partition(owner_engine: sa.Engine) -> None:
    """
    Attached, the old table is referred to by nothing, so that its key can get the partition key.
    """
    engine = owner_engine
    prepare(engine, "plain")
    run(
        engine,
        f"ALTER TABLE {TREE} DROP CONSTRAINT {UP}",
        f"ALTER TABLE {TREE} ADD CONSTRAINT {UP} FOREIGN KEY (up) REFERENCES {TREE}",
        f"CREATE TABLE {NOTE} (of_id int CONSTRAINT {OF} REFERENCES {TREE})",
    )
    tree = models()
    with engine.connect() as connection:
        convert(connection, tree, way="attach", give_up=[UP.strip('"'), OF.strip('"')])
        finish_conversion(connection, tree)
    assert keys(engine) == []
    run(engine, f"INSERT INTO {TREE} VALUES (1, '2026-03-03Z', 2, NULL)")
