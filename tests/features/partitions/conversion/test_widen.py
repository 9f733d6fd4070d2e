"""
Foreign keys to ``(id)`` alone: the conversion gives them the partition key, as the model says.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from pgultra.errors import PgultraError
from pgultra.features.partitions import (
    ByRange,
    PartitionedTable,
    convert,
    finish_conversion,
    plan_conversion,
    undo_conversion,
)
from pgultra.features.partitions.conversion.concurrent import concurrently
from pgultra.features.partitions.conversion.patience import Patience
from pgultra.sql import identifier, qualified
from tests.features.partitions.conversion.belongings import run
from tests.features.partitions.conversion.storm import LONGEST
from tests.fixtures.bystander import bystander

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fixtures.database import Database

pytestmark = pytest.mark.slow

SCHEMA = 'Shop "A": 100%'
POST = qualified(SCHEMA, 'The "Post')
NOTE = qualified(SCHEMA, "Note: %")
SCRIPT = f"""
CREATE SCHEMA "{SCHEMA.replace('"', '""')}";
CREATE TABLE {POST} ("I d" int PRIMARY KEY, "a t" timestamptz NOT NULL, body text);
CREATE TABLE {NOTE} (id int PRIMARY KEY, "on" int CONSTRAINT "to: %" REFERENCES {POST}
    ON DELETE CASCADE, said text);
INSERT INTO {POST} SELECT n, '2026-01-01Z'::timestamptz + n * interval '5 hours', 'body'
    FROM generate_series(1, 1000) AS n;
INSERT INTO {NOTE} SELECT n, nullif(n % 500, 0), 'said' FROM generate_series(1, 3000) AS n
"""
SHAPE = """
SELECT attname::text, format_type(atttypid, atttypmod), attnotnull FROM pg_attribute
    WHERE attrelid = {note}::regclass AND attnum > 0 AND NOT attisdropped;
SELECT conname::text, pg_get_constraintdef(oid), convalidated FROM pg_constraint
    WHERE conrelid = {note}::regclass AND conparentid = 0 AND contype <> 'n';
SELECT indexrelid::regclass::text, indisprimary, indisunique FROM pg_index
    WHERE indrelid = {note}::regclass;
SELECT tgname::text, '', '' FROM pg_trigger
    WHERE tgrelid = {note}::regclass AND NOT tgisinternal;
SELECT proname::text, '', '' FROM pg_proc
    WHERE pronamespace = (SELECT oid FROM pg_namespace WHERE nspname = {schema})
"""


def models(*, required: bool = False, cascade: bool = False, keyed: bool = False) -> Any:
    """
    A post, divided by month, and notes that refer to it by both columns.
    """

    class Base(DeclarativeBase):
        pass

    class Post(PartitionedTable, Base):
        __tablename__ = 'The "Post'
        __table_args__ = {"schema": SCHEMA}  # noqa: RUF012  # SQLAlchemy's form
        __partition_by__ = ByRange("at", every="1 month")

        id: Mapped[int] = mapped_column("I d", primary_key=True, autoincrement=False)
        at: Mapped[datetime] = mapped_column("a t", sa.DateTime(timezone=True), primary_key=True)
        body: Mapped[str | None]

    class Note(Base):
        __tablename__ = "Note: %"
        __table_args__ = (
            sa.ForeignKeyConstraint(
                ["on", "on: at"],
                [Post.__table__.c["I d"], Post.__table__.c["a t"]],
                ondelete="CASCADE",
                onupdate="CASCADE" if cascade else None,
            ),
            {"schema": SCHEMA},
        )

        id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
        on: Mapped[int | None]
        on_at: Mapped[datetime | None] = mapped_column(
            "on: at", sa.DateTime(timezone=True), nullable=not required, primary_key=keyed
        )
        said: Mapped[str | None]

    return Post, Note


def asked(engine: sa.Engine, text: str) -> Any:
    """
    One value.
    """
    with engine.begin() as connection:
        return run(connection, text).scalar()


@pytest.fixture
def engine(owner_engine: sa.Engine) -> sa.Engine:
    """
    Posts and notes, owned by a role that may nothing else.
    """
    with owner_engine.begin() as connection:
        run(connection, *filter(str.strip, SCRIPT.split(";\n")))
    return owner_engine


def shape(engine: sa.Engine) -> list[tuple[Any, ...]]:
    """
    The notes' columns, constraints, indexes and triggers.
    """
    texts = SHAPE.format(note=quoted(NOTE), schema=quoted(SCHEMA)).split(";")
    with engine.begin() as connection:
        return sorted(tuple(row) for text in texts for row in run(connection, text))


def quoted(text: str) -> str:
    """
    As a literal.
    """
    return "'" + text.replace("'", "''") + "'"


def unfilled(engine: sa.Engine) -> int:
    """
    Notes whose added column is not that of their post.
    """
    found = asked(
        engine,
        f'SELECT count(*) FROM {NOTE} AS n LEFT JOIN {POST} AS p ON p."I d" = n."on" '
        'WHERE n."on" IS NOT NULL AND n."on: at" IS DISTINCT FROM p."a t"',
    )
    assert isinstance(found, int)
    return found


def test_filling_that_takes_long_is_taken_back(engine: sa.Engine, database: Database) -> None:
    """
    And tried again in fewer blocks: a writer of one of their rows waits for all of them.
    """
    post, _ = models()
    with engine.begin() as connection:
        run(
            connection,
            f"DELETE FROM {NOTE} WHERE id > 1500",
            f"CREATE FUNCTION {qualified(SCHEMA, 'slow')}(said text) RETURNS boolean IMMUTABLE "
            "LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.002); RETURN true; END $$",
            f"ALTER TABLE {NOTE} ADD CHECK ({qualified(SCHEMA, 'slow')}(said)) NOT VALID",
        )
    with engine.connect() as connection, bystander(database.dsn) as someone:
        done = convert(connection, post)
    assert unfilled(engine) == 0
    assert done.longest_wait < LONGEST + someone.longest, done


@pytest.mark.parametrize("way", ["copy", "attach"])
@pytest.mark.parametrize("required", [False, True])
def test_the_column_comes_and_is_filled(engine: sa.Engine, way: str, required: bool) -> None:
    """
    Rows there are and rows that come get it, and the foreign key holds on both columns.
    """
    post, _ = models(required=required)
    with engine.begin() as connection:
        run(connection, f'DELETE FROM {NOTE} WHERE "on" IS NULL')
    with engine.connect() as connection:
        convert(connection, post, way=way)
    assert unfilled(engine) == 0
    definition = asked(
        engine, "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'to: %'"
    )
    assert definition == (
        f'FOREIGN KEY ("on", "on: at") REFERENCES {POST}("I d", "a t") ON DELETE CASCADE'
    )
    assert asked(engine, "SELECT convalidated FROM pg_constraint WHERE conname = 'to: %'")
    with engine.begin() as connection:  # by a writer who knows nothing of the column
        run(connection, f"INSERT INTO {NOTE} VALUES (9001, 7, 'later')")
        run(connection, f'UPDATE {NOTE} SET "on" = 9 WHERE id = 8')
        run(connection, f"INSERT INTO {NOTE} VALUES (9003, 8, 'wrong', '1999-09-09Z')")
    with engine.connect() as connection, pytest.raises(sa.exc.IntegrityError, match="to: %"):
        run(connection, f"INSERT INTO {NOTE} VALUES (9999, 77777)")
    assert unfilled(engine) == 0
    with engine.connect() as connection:
        finish_conversion(connection, post)
    names = [row[0] for row in shape(engine)]
    assert not [name for name in names if "_partitions_" in name and "premake" not in name]
    assert ("on: at", "timestamp with time zone", required) in shape(engine)
    with engine.begin() as connection:  # by a writer who knows it
        run(connection, f'DELETE FROM {POST} WHERE "I d" = 9')
        text = f'INSERT INTO {NOTE} SELECT 9002, "I d", \'n\', "a t" FROM {POST} WHERE "I d" = 3'
        run(connection, text)
    assert asked(engine, f'SELECT count(*) FROM {NOTE} WHERE "on" = 9') == 0
    assert unfilled(engine) == 0


def test_undone_the_column_is_gone(engine: sa.Engine) -> None:
    """
    From every step the table that refers is what it was, and what was written stays.
    """
    post, _ = models()
    before = shape(engine)

    def stop_at(last: str) -> Callable[[str], None]:
        def announce(step: str) -> None:
            if step == last:
                raise RuntimeError

        return announce

    with engine.connect() as connection:
        for step in ("constrain", "exchange", "settle", ""):
            if step:
                with pytest.raises(RuntimeError):
                    convert(connection, post, announce=stop_at(step))
            else:
                convert(connection, post)
            with connection.begin():
                run(connection, f"INSERT INTO {NOTE} SELECT max(id) + 1, 5, 'x' FROM {NOTE}")
            undo_conversion(connection, post)
            assert shape(engine) == before, step
    assert asked(engine, f"SELECT count(*) FROM {NOTE}") == 3004


def test_a_key_that_moves_takes_notes_along(engine: sa.Engine) -> None:
    """
    Before the exchange a trigger moves them; afterwards ON UPDATE CASCADE, if the model says so.
    """
    post, _ = models(cascade=True)
    move = f'UPDATE {POST} SET "a t" = "a t" + interval \'40 days\' WHERE "I d" % 100 = 7'

    def announce(step: str) -> None:
        if step in {"exchange", "settle"}:
            with engine.begin() as other:
                run(other, move)
            assert unfilled(engine) == 0

    with engine.connect() as connection:
        convert(connection, post, announce=announce)
    with engine.begin() as connection:
        run(connection, move)
    assert unfilled(engine) == 0
    with engine.connect() as connection:
        finish_conversion(connection, post)
    with engine.begin() as connection:
        run(connection, move)
    assert unfilled(engine) == 0


def test_what_is_not_null_by_the_model_alone(engine: sa.Engine) -> None:
    """
    Rows that refer to nothing: the end is refused while it can be undone, and then done.
    """
    post, _ = models(required=True)
    before = shape(engine)
    with engine.connect() as connection:
        convert(connection, post)
        with pytest.raises(PgultraError, match="says that on: at is NOT NULL, and there are rows"):
            finish_conversion(connection, post)
        with connection.begin():
            run(connection, f"INSERT INTO {NOTE} VALUES (9001, NULL)")
        undo_conversion(connection, post)
        assert shape(engine) == before
        convert(connection, post)
        with pytest.raises(PgultraError, match="Nothing was changed"):
            finish_conversion(connection, post)
        with connection.begin():
            run(connection, f'DELETE FROM {NOTE} WHERE "on" IS NULL')
        finish_conversion(connection, post)
    assert ("on: at", "timestamp with time zone", True) in shape(engine)


@pytest.mark.parametrize("deferred", [False, True])
def test_who_is_referred_to_may_come_later(engine: sa.Engine, deferred: bool) -> None:
    """
    In one statement, or under a deferred foreign key in one transaction: filled at its end.
    """
    post, _ = models()
    if deferred:
        with engine.begin() as connection:
            run(
                connection,
                f'ALTER TABLE {NOTE} ALTER CONSTRAINT "to: %" DEFERRABLE INITIALLY DEFERRED',
            )
    number = iter(range(5000, 6000))

    def write() -> None:
        each = next(number)
        moment = "'2026-03-03Z'"
        with engine.begin() as other:
            if deferred:
                run(other, f"INSERT INTO {NOTE} VALUES ({each}, {each})")
                run(other, f"INSERT INTO {POST} VALUES ({each}, {moment})")
            else:
                run(
                    other,
                    f"WITH p AS (INSERT INTO {POST} VALUES ({each}, {moment})) "
                    f"INSERT INTO {NOTE} VALUES ({each}, {each})",
                )
        assert asked(engine, f'SELECT "on: at" FROM {NOTE} WHERE id = {each}') is not None

    def announce(step: str) -> None:
        if step == "exchange":
            write()

    with engine.connect() as connection:
        convert(connection, post, announce=announce)
    write()
    assert unfilled(engine) == 0
    with engine.connect() as connection:
        undo_conversion(connection, post)
    with engine.begin() as connection:
        run(connection, f"INSERT INTO {NOTE} VALUES (7001, 7)")


def test_two_sessions_at_once(engine: sa.Engine) -> None:
    """
    A note that comes while its post is moved waits for the end of that, and has the new moment.
    """
    post, _ = models(cascade=True)
    seen: list[int] = []

    def announce(step: str) -> None:
        if step != "exchange":
            return
        with engine.connect() as mover, engine.connect() as writer:
            run(mover, f'UPDATE {POST} SET "a t" = \'2026-09-09Z\' WHERE "I d" = 11')
            run(writer, "SET lock_timeout = '100ms'")
            with pytest.raises(sa.exc.OperationalError):
                run(writer, f"INSERT INTO {NOTE} VALUES (8001, 11)")
            writer.rollback()
            mover.commit()
            run(writer, f"INSERT INTO {NOTE} VALUES (8001, 11)")
            writer.commit()
        seen.append(unfilled(engine))

    with engine.connect() as connection:
        convert(connection, post, announce=announce)
    assert seen == [0]
    moment = asked(engine, f'SELECT "on: at" FROM {NOTE} WHERE id = 8001')
    assert moment == datetime(2026, 9, 9, tzinfo=UTC)


def test_a_partitioned_table_gets_the_column(engine: sa.Engine) -> None:
    """
    In all of its partitions; but not within its primary key, for which no index can be built.
    """
    post, _ = models()
    with engine.begin() as connection:
        run(
            connection,
            f"CREATE TABLE parts (LIKE {NOTE} INCLUDING ALL) PARTITION BY HASH (id)",
            "CREATE TABLE part_0 PARTITION OF parts FOR VALUES WITH (modulus 2, remainder 0)",
            "CREATE TABLE part_1 PARTITION OF parts FOR VALUES WITH (modulus 2, remainder 1)",
            f"INSERT INTO parts SELECT * FROM {NOTE}",
            f"DROP TABLE {NOTE}",
            f'ALTER TABLE parts ADD CONSTRAINT "to: %" FOREIGN KEY ("on") REFERENCES {POST}',
            f"ALTER TABLE parts SET SCHEMA {identifier(SCHEMA)}",
            f"ALTER TABLE {qualified(SCHEMA, 'parts')} RENAME TO {identifier('Note: %')}",
        )
    with engine.connect() as connection:
        convert(connection, post)
        with connection.begin():
            run(connection, f"INSERT INTO {NOTE} VALUES (9001, 7, 'later')")
        assert unfilled(engine) == 0
        undo_conversion(connection, post)
        convert(connection, post)
        finish_conversion(connection, post)
    assert unfilled(engine) == 0
    assert asked(
        engine,
        "SELECT bool_and(convalidated) FROM pg_constraint WHERE contype = 'f' AND conparentid = 0",
    )
    with engine.connect() as connection, pytest.raises(sa.exc.IntegrityError, match="to: %"):
        run(connection, f"INSERT INTO {NOTE} VALUES (9999, 7, 'x', now())")


def test_the_plan_says_so(engine: sa.Engine) -> None:
    """
    A note, the statements with their locks, and the ends.
    """
    post, _ = models(required=True)
    with engine.connect() as connection:
        text = str(plan_conversion(connection, post))
    for words in (
        f'foreign key to: % of {NOTE} refers to (I d) no more, but becomes FOREIGN KEY ("on", ',
        f'-- ACCESS EXCLUSIVE\nALTER TABLE {NOTE} ADD COLUMN IF NOT EXISTS "on: at" timestamp',
        'ADD CONSTRAINT "to: %" FOREIGN KEY ("on", "on: at")',
        f'ALTER TABLE {NOTE} DROP COLUMN IF EXISTS "on: at"',
        f'ALTER TABLE {NOTE} ALTER COLUMN "on: at" SET NOT NULL',
    ):
        assert words in text, words


def test_without_a_model_it_is_refused(engine: sa.Engine) -> None:
    """
    Nothing tells which column it would be; what to declare is said.
    """
    post, _ = models()
    post.metadata.remove(post.metadata.tables[f"{SCHEMA}.Note: %"])
    with engine.connect() as connection, pytest.raises(PgultraError) as refused:
        convert(connection, post)
    assert "a ForeignKeyConstraint that refers to both" in str(refused.value)


def test_what_cannot_be_filled_is_refused(engine: sa.Engine, database: Database) -> None:
    """
    Rows that row security hides from their owner, and tables of somebody else.
    """
    post, _ = models()
    with engine.begin() as connection:
        run(connection, f"ALTER TABLE {NOTE} FORCE ROW LEVEL SECURITY")
    with engine.connect() as connection, pytest.raises(PgultraError, match="NO FORCE ROW LEVEL"):
        convert(connection, post)
    with database.engine().connect() as connection:
        run(connection, f"ALTER TABLE {NOTE} NO FORCE ROW LEVEL SECURITY")
        run(connection, f"ALTER TABLE {NOTE} OWNER TO CURRENT_USER")
        connection.commit()
        with pytest.raises(PgultraError, match="OWNER TO meanwhile"):
            convert(connection, post)
        keyed, _ = models(keyed=True, required=True)
        for kind, text in (
            ("TABLE", f"CREATE TABLE beside (note int REFERENCES {NOTE})"),
            ("VIEW", f"CREATE VIEW beside AS SELECT id, said FROM {NOTE} GROUP BY id"),
        ):
            run(connection, text)
            connection.commit()
            with pytest.raises(PgultraError, match="stand on that: drop them before"):
                convert(connection, keyed)
            run(connection, f"DROP {kind} beside")
            connection.commit()


def test_an_invalid_index_is_built_anew(engine: sa.Engine) -> None:
    """
    What CREATE INDEX CONCURRENTLY leaves behind when it breaks off is not taken for the index.
    """
    name = 'Only "one'
    build = f'CREATE UNIQUE INDEX CONCURRENTLY "Only ""one" ON {NOTE} ("on", "said")'
    with engine.connect() as connection:
        patience = Patience(connection)
        with pytest.raises(sa.exc.IntegrityError):
            concurrently(patience, SCHEMA, name, build)
        with connection.begin():
            run(connection, f'DELETE FROM {NOTE} WHERE "on" IS NULL OR id > 499')
        for _ in range(2):
            concurrently(patience, SCHEMA, name, build)
    valid = f"SELECT bool_and(indisvalid) FROM pg_index WHERE indrelid = {quoted(NOTE)}::regclass"
    assert asked(engine, valid) is True
    assert ('"Shop ""A"": 100%"."Only ""one"', False, True) in shape(engine)


def answers() -> Any:
    """
    An answer to another one, of which the table knows the number alone; and its model.
    """

    class Base(DeclarativeBase):
        pass

    class Answer(PartitionedTable, Base):
        __tablename__ = "Answer"
        __partition_by__ = ByRange("at", every="1 month")
        __table_args__ = (
            sa.ForeignKeyConstraint(
                ["to", "to_at"],
                ["Answer.id", "Answer.at"],
                ondelete="CASCADE",
                onupdate="CASCADE",
            ),
        )

        id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
        at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True), primary_key=True)
        to: Mapped[int | None]
        to_at: Mapped[datetime | None] = mapped_column(sa.DateTime(timezone=True))

    return Answer


ANSWERS = """
CREATE TABLE "Answer" (id int PRIMARY KEY, at timestamptz NOT NULL,
    "to" int CONSTRAINT upwards REFERENCES "Answer" ON DELETE CASCADE);
INSERT INTO "Answer" SELECT n, '2026-01-01Z'::timestamptz + n * interval '9 hours',
    nullif((n * 7) % 500, 0) FROM generate_series(1, 1000) AS n
"""
LOOSE = """
SELECT count(*) FROM "Answer" AS a LEFT JOIN "Answer" AS b ON b.id = a."to"
WHERE a."to" IS NOT NULL AND a.to_at IS DISTINCT FROM b.at
"""


@pytest.mark.parametrize("way", ["copy", "attach"])
def test_a_table_that_refers_to_itself(engine: sa.Engine, database: Database, way: str) -> None:
    """
    It gets the column first of all; children before parents, and moved and deleted parents, too.
    """
    with engine.begin() as connection:
        run(connection, *ANSWERS.split(";"))
    answer = answers()
    number = iter(range(2000, 9000, 10))

    def write(*, moves: bool) -> None:
        each = next(number)
        with engine.begin() as other:
            columns = '"Answer" (id, at, "to")'
            moment = "'2026-04-04Z'::timestamptz"
            run(
                other,
                f"INSERT INTO {columns} VALUES ({each}, {moment}, {each + 1}), "
                f"({each + 1}, {moment}, NULL), ({each + 2}, {moment}, {each + 2})",
                f'DELETE FROM "Answer" WHERE id = {each - 1950}',
            )
            if moves:
                run(
                    other,
                    "UPDATE \"Answer\" SET at = at + interval '40 days' "
                    f"WHERE id IN ({each + 1}, {each - 1960})",
                )
        assert asked(engine, LOOSE) == 0

    def announce(step: str) -> None:
        if step not in {"build", "index"}:
            write(moves=True)

    before = rows(engine)
    with engine.connect() as connection:
        plan = plan_conversion(connection, answer, way=way)
        assert any("ADD COLUMN" in each for each in plan.statements()[:1])
        assert rows(engine) == before

        def stop(step: str) -> None:
            if step in {"mirror", "index"}:
                raise RuntimeError

        with pytest.raises(RuntimeError):
            convert(connection, answer, way=way, announce=stop)
        undo_conversion(connection, answer)
        assert rows(engine) == before
        with bystander(database.dsn) as someone:
            done = convert(connection, answer, way=way, announce=announce)
        assert done.longest_wait < LONGEST + someone.longest
        write(moves=True)
        if way == "copy":
            undo_conversion(connection, answer)
            assert asked(engine, 'SELECT count(*) FROM "Answer" WHERE id >= 2000') > 10
            convert(connection, answer)
        finish_conversion(connection, answer)
    assert asked(engine, LOOSE) == 0
    assert asked(
        engine,
        "SELECT pg_get_constraintdef(oid) || convalidated FROM pg_constraint "
        "WHERE conname = 'upwards' AND conparentid = 0",
    ) == (
        'FOREIGN KEY ("to", to_at) REFERENCES "Answer"(id, at) ON UPDATE CASCADE ON DELETE '
        "CASCADEtrue"
    )
    names = "SELECT string_agg(tgname, ' ') FROM pg_trigger WHERE NOT tgisinternal"
    assert "_partitions_" not in (asked(engine, names) or "").replace("_partitions_premake", "")
    with engine.connect() as connection, pytest.raises(sa.exc.IntegrityError, match="upwards"):
        run(connection, "INSERT INTO \"Answer\" VALUES (1, now(), 7, '1999-01-01Z')")


@pytest.mark.parametrize(
    "fragment", ["_partitions_follow", "FOR NO KEY UPDATE OF r", "PARTITION BY"]
)
@pytest.mark.parametrize("back", [False, True])
def test_broken_off_before_anything_is_made(engine: sa.Engine, fragment: str, back: bool) -> None:
    """
    The column is there, or not even that: it goes on from there, or the column goes again.
    """
    with engine.begin() as connection:
        run(connection, *ANSWERS.split(";"))
    before, answer, left = rows(engine), answers(), [1]

    def stop(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        if fragment in statement and left:
            left.pop()
            raise RuntimeError

    sa.event.listen(engine, "before_cursor_execute", stop)
    with engine.connect() as connection:
        with pytest.raises(RuntimeError):
            convert(connection, answer)
        if back and fragment != "_partitions_follow":
            undo_conversion(connection, answer)
        elif back:  # it was all one transaction
            with pytest.raises(PgultraError, match="no conversion of Answer is under way"):
                undo_conversion(connection, answer)
        else:
            convert(connection, answer)
            assert asked(engine, LOOSE) == 0
            undo_conversion(connection, answer)
    assert rows(engine) == before


def rows(engine: sa.Engine) -> Any:
    """
    What the table of answers has and holds.
    """
    with engine.begin() as connection:
        found = run(connection, 'SELECT a::text FROM "Answer" AS a ORDER BY id').scalars().all()
        more = run(
            connection,
            "SELECT pg_get_constraintdef(oid) || convalidated FROM pg_constraint WHERE "
            "conrelid = '\"Answer\"'::regclass AND contype <> 'n' ORDER BY 1",
        ).scalars()
        return found, list(more)
