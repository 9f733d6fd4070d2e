from __future__ import annotations

import re
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from pgultra import SoftDelete, plan, soft_delete
from pgultra.features.partitions import (
    ByHash,
    ByList,
    ByRange,
    PartitionedTable,
    convert,
    finish_conversion,
    plan_conversion,
    undo_conversion,
)
from pgultra.features.partitions.conversion import ending, run
from pgultra.features.partitions.conversion.locks import lock_of
from pgultra.features.search import SearchVector, TSVector
from pgultra.plan import declare
from pgultra.sql import statement
from tests.features.partitions.conversion.apart import apart
from tests.features.partitions.conversion.belongings import run as sent_one_by_one

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from tests.fixtures.alembic import MigrationEnvironment

PLAIN = """CREATE TABLE thing (
    id bigint NOT NULL, at timestamptz NOT NULL, kind text NOT NULL, word text, PRIMARY KEY ({primary})
)"""
MOMENT = sa.DateTime(timezone=True)
RULES = {
    "list": ByList("kind", {"one": ("a", "b"), "two": ("c",)}, default=True),
    "hash": ByHash("id", modulus=3),
    "integer": ByRange("id", every=1000),
    "zone": ByRange("at", every="week", time_zone="Europe/Berlin"),
    "borders": ByRange("id", bounds=(None, 100, 2000, None)),
    "two levels": ByRange("at", every="1 month", then=ByHash("id", modulus=2)),
    "list of lists": ByList(
        "kind", {"ab": ("a", "b"), "c": ("c",)}, then=ByRange("at", every="quarter")
    ),
}


def table(name: str) -> sa.Table:
    """
    A table whose primary key holds everything that it could be divided by.
    """
    found = sa.Table(
        "thing",
        sa.MetaData(),
        sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("at", MOMENT, primary_key=True),
        sa.Column("kind", sa.Text, primary_key=True),
        sa.Column("word", sa.Text),
    )
    declare(found, RULES[name])
    return found


def rows(connection: sa.Connection) -> Any:
    """
    All of them.
    """
    return connection.exec_driver_sql("SELECT * FROM thing ORDER BY id, at").all()


def fill(engine: sa.Engine, primary: str) -> None:
    """
    The plain table, with its own key.
    """
    with engine.begin() as connection:
        for text in (
            PLAIN.format(primary=primary),
            "INSERT INTO thing SELECT g, '2026-03-20Z'::timestamptz + g * interval '1 hour', chr(97 + g % 3), 'w' || g FROM generate_series(1, 3000) AS g",
        ):
            connection.execute(statement(text))


@pytest.mark.slow
@pytest.mark.parametrize("primary", ["id", "at, id"])
@pytest.mark.parametrize("name", RULES)
def test_every_way_to_divide(engine: sa.Engine, name: str, primary: str) -> None:
    """
    By list, hash, range of times and numbers, and on two levels: there, back, there for good.
    """
    fill(engine, primary)
    thing = table(name)
    with engine.connect() as connection:
        before = rows(connection)
        connection.rollback()
        assert convert(connection, thing).rows == 3000
        connection.exec_driver_sql("UPDATE thing SET word = 'x', kind = 'b' WHERE id = 7")
        connection.exec_driver_sql("UPDATE thing SET word = 'w7' WHERE id = 7")
        connection.commit()
        assert undo_conversion(connection, thing).repaired == 0
        assert rows(connection) == before
        connection.rollback()
        convert(connection, thing)
        finish_conversion(connection, thing)
        assert rows(connection) == before
        assert plan.check(connection, thing.metadata).steps == ()
        strategy = connection.exec_driver_sql("SELECT pg_get_partkeydef('thing'::regclass)")
        assert strategy.scalar_one().split()[0].lower() == RULES[name].strategy


@pytest.mark.parametrize("way", ["copy", "attach"])
def test_the_greatest_number_is_no_text(engine: sa.Engine, way: str) -> None:
    """
    The partitions are there for 3000, and not only for 999; nothing has to be caught.
    """
    fill(engine, "id")
    thing = table("integer")
    with engine.connect() as connection:
        planned = str(plan_conversion(connection, thing, way=way))
        assert ("FROM (MINVALUE) TO ('5000')" if way == "attach" else "FROM ('6000') TO") in planned
        convert(connection, thing, way=way)
        finish_conversion(connection, thing)
        assert len(rows(connection)) == 3000


@pytest.mark.slow
async def test_async_connections(async_engine: AsyncEngine) -> None:
    """
    The same functions are awaited with an AsyncConnection, and asyncpg.
    """
    async with async_engine.connect() as connection:
        await connection.exec_driver_sql(
            "CREATE TABLE thing (id bigint PRIMARY KEY, at timestamptz NOT NULL, kind text NOT NULL, word text)"
        )
        await connection.exec_driver_sql(
            "INSERT INTO thing SELECT g, '2026-03-20Z', 'a', 'b' FROM generate_series(1, 2000) AS g"
        )
        await connection.commit()
        thing = table("zone")
        assert "ATTACH PARTITION" in str(await plan_conversion(connection, thing))
        assert (await convert(connection, thing, batch=300)).copied == 2000
        assert (await undo_conversion(connection, thing)).rows == 2000
        await convert(connection, thing, way="attach")
        assert (await finish_conversion(connection, thing)).outcome == "finished"


def models(*, divided: bool) -> Any:
    """
    A model with the features of other rooms, before and after it is declared as partitioned.
    """

    class Base(DeclarativeBase):
        pass

    parents: Any = (PartitionedTable, SoftDelete, Base) if divided else (SoftDelete, Base)

    class Post(*parents):  # type: ignore[misc]
        __tablename__ = "post"
        __table_args__ = (soft_delete.unique_live("slug", "at"),)
        if divided:
            __partition_by__ = ByRange("at", every="1 month")

        id: Mapped[int] = mapped_column(sa.BigInteger, sa.Identity(), primary_key=True)
        at: Mapped[sa.DateTime] = mapped_column(MOMENT, primary_key=divided, nullable=False)
        slug: Mapped[str]
        title: Mapped[str]
        search: Mapped[TSVector] = SearchVector({"title": "A", "slug": "B"}, config="english")

    return Base, Post


@pytest.mark.parametrize("way", ["copy", "attach"])
def test_features_of_other_rooms_come_along(engine: sa.Engine, way: str) -> None:
    """
    Soft deletion and search work as before, and nothing has drifted from the models.
    """
    before, post = models(divided=False)
    with engine.begin() as connection:
        before.metadata.create_all(connection)
        connection.execute(
            sa.insert(post).values(slug=sa.bindparam("s"), title="a big table", at=sa.func.now()),
            [{"s": f"slug {number}"} for number in range(100)],
        )
        connection.execute(
            sa.update(post.__table__).values(deleted_at=sa.func.now()).where(post.id < 5)
        )
    after, divided = models(divided=True)
    with engine.connect() as connection:
        convert(connection, divided, way=way)
        assert plan.check(connection, after.metadata).steps == ()
        connection.rollback()
        finish_conversion(connection, divided)
        assert plan.check(connection, after.metadata).steps == ()
        found = connection.exec_driver_sql(
            "SELECT count(*) FILTER (WHERE deleted_at IS NULL), count(*) FROM post"
            " WHERE search @@ to_tsquery('english', 'tables')"
        )
        assert tuple(found.one()) == (96, 100)
        connection.rollback()
        with pytest.raises(sa.exc.DBAPIError):  # the guard against a real DELETE
            connection.exec_driver_sql("DELETE FROM post WHERE id = 50")


BEFORE = """
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from pgultra.features.partitions import ByHash, ByRange, PartitionedTable

class Base(DeclarativeBase):
    pass

class Visit(Base):
    __tablename__ = "visit"
    __table_args__ = (
        sa.UniqueConstraint("at", "word"),
        sa.Index("visit_word", "word"),
        sa.UniqueConstraint("id", "at"),
        sa.ForeignKeyConstraint(["up", "up_at"], ["visit.id", "visit.at"], ondelete="CASCADE"),
    )
    up: Mapped[int | None] = mapped_column(sa.BigInteger)
    up_at: Mapped[sa.DateTime | None] = mapped_column(sa.DateTime(timezone=True), nullable=True)
    id: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True)
    at: Mapped[sa.DateTime] = mapped_column(sa.DateTime(timezone=True))
    word: Mapped[str]

class Reply(PartitionedTable, Base):
    __tablename__ = "reply"
    __partition_by__ = ByHash("id", modulus=3)
    __table_args__ = (sa.ForeignKeyConstraint(["of", "of_at"], ["visit.id", "visit.at"]),)
    id: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True)
    of: Mapped[int] = mapped_column(sa.BigInteger)
    of_at: Mapped[sa.DateTime] = mapped_column(sa.DateTime(timezone=True), nullable=False)
"""


@pytest.mark.slow
def test_autogenerate_is_empty_after_a_conversion(
    alembic_env: MigrationEnvironment, engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A migrated table that was converted is what Alembic expects of the new models.
    """
    alembic_env.write_models(BEFORE)
    alembic_env.autogenerate("before")
    alembic_env.upgrade()
    with engine.begin() as connection:
        connection.exec_driver_sql("INSERT INTO visit (at, word) VALUES ('2026-05-05Z', 'a')")
    changed = BEFORE.replace("class Visit(Base)", "class Visit(PartitionedTable, Base)")
    changed = changed.replace("(timezone=True))\n", "(timezone=True), primary_key=True)\n")
    changed = changed.replace(
        '    __tablename__ = "visit"\n',
        '    __tablename__ = "visit"\n    __partition_by__ = ByRange("at", every="1 month")\n',
    )
    module: Any = ModuleType("visits_after")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(changed, module.__dict__)
    with engine.connect() as connection:
        convert(connection, module.Visit)
        finish_conversion(connection, module.Visit)
    alembic_env.write_models(changed)
    assert alembic_env.check() == []


def test_a_plan_says_every_statement(engine: sa.Engine) -> None:
    """
    What was planned is what is run, in that order; nothing is run by planning.
    """
    fill(engine, "id")
    thing = table("list")
    sent: list[str] = []
    with engine.connect() as connection:
        planned = plan_conversion(connection, thing)
        kinds = connection.exec_driver_sql("SELECT count(*) FROM pg_class WHERE relname ~ 'thing_'")
        assert kinds.scalar_one() == 1  # its primary key
        connection.rollback()

        @sa.event.listens_for(engine, "before_cursor_execute")
        def note(connection: Any, cursor: Any, text: str, *rest: Any) -> None:
            sent.extend(apart(text))

        convert(connection, thing)
    fixed = [act.text for step in planned.steps if step.how != "pages" for act in step.acts]
    assert [text for text in fixed if text not in sent] == []
    unplanned = [
        text
        for text in sent
        if text.split()[0] in ("ALTER", "CREATE", "DROP", "GRANT", "LOCK", "COMMENT", "TRUNCATE")
        and text not in planned.statements()
    ]
    assert unplanned == []
    script = str(planned)
    assert "-- ACCESS EXCLUSIVE\nLOCK TABLE public.thing" in script
    assert "-- note: (id) alone will not be unique any more" in script


MODES = """
SELECT c.relname, regexp_replace(upper(regexp_replace(l.mode, '([a-z])([A-Z])', '\\1 \\2', 'g')),
    ' LOCK$', '')
FROM pg_locks AS l JOIN pg_class AS c ON c.oid = l.relation
WHERE l.pid = :pid AND c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
"""
STRENGTH = (
    *("ACCESS SHARE", "ROW SHARE", "ROW EXCLUSIVE", "SHARE UPDATE EXCLUSIVE", "SHARE"),
    *("SHARE ROW EXCLUSIVE", "EXCLUSIVE", "ACCESS EXCLUSIVE"),
)


@pytest.mark.slow
@pytest.mark.parametrize("way", ["copy", "attach"])
def test_the_locks_of_a_plan_are_those_that_are_taken(
    engine: sa.Engine, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    After each statement the server is asked what it locked: no table of the host's more than said.
    """
    fill(engine, "id")
    with engine.begin() as connection:
        for each in (
            "CREATE TABLE kind (kind text PRIMARY KEY)",
            "INSERT INTO kind VALUES ('a'), ('b'), ('c')",
            "ALTER TABLE thing ADD FOREIGN KEY (kind) REFERENCES kind",
            "ALTER TABLE thing ADD UNIQUE (id, at, kind)",
            "ALTER TABLE thing ADD FOREIGN KEY (id, at, kind) REFERENCES thing (id, at, kind)",
            "CREATE TABLE remark (id bigint, at timestamptz, kind text) PARTITION BY HASH (id)",
            "CREATE TABLE remark_0 PARTITION OF remark FOR VALUES WITH (MODULUS 1, REMAINDER 0)",
            "ALTER TABLE remark ADD FOREIGN KEY (id, at, kind) REFERENCES thing (id, at, kind)",
            """CREATE TRIGGER same BEFORE UPDATE ON thing FOR EACH ROW
            EXECUTE FUNCTION suppress_redundant_updates_trigger()""",
        ):
            connection.exec_driver_sql(each)
    for module in (run, ending):
        monkeypatch.setattr(module, "together", lambda c, texts: sent_one_by_one(c, *texts))
    thing = table("integer")
    held: set[tuple[str, str]] = set()
    seen: dict[str, set[str]] = {}
    wrong: list[str] = []
    with engine.connect() as connection, engine.connect() as watcher:
        pid = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
        connection.rollback()
        watcher = watcher.execution_options(isolation_level="AUTOCOMMIT")

        def judge(conn: Any, cursor: Any, text: str, *rest: Any) -> None:
            if conn is not connection:
                return
            now = {tuple(row) for row in watcher.execute(sa.text(MODES), {"pid": pid})}
            new, said = now - held, None
            held.clear()
            held.update(now)
            for name, mode in new:
                if name not in ("thing", "kind", "remark") or mode == "ACCESS SHARE":
                    continue
                said = lock_of(text.replace("%%", "%"))
                seen.setdefault(mode, set()).add(text.split()[0])
                listed = [each for each in STRENGTH if re.search(rf"(?<!SHARE ){each}\b", said)]
                strongest = max(map(STRENGTH.index, listed), default=-1)
                if STRENGTH.index(mode) > strongest:
                    wrong.append(f"{name}: {mode}, not {said}: {text}")

        sa.event.listen(engine, "after_cursor_execute", judge)
        convert(connection, thing, way=way)
        if way == "copy":
            undo_conversion(connection, thing)
            convert(connection, thing)
        finish_conversion(connection, thing)
        sa.event.remove(engine, "after_cursor_execute", judge)
    assert wrong == []
    assert {"ACCESS EXCLUSIVE", "SHARE ROW EXCLUSIVE"} <= set(seen)


@pytest.mark.parametrize("shared", [False, True])
def test_undoing_takes_back_the_functions(engine: sa.Engine, shared: bool) -> None:
    """
    Those that the conversion made; the one that makes partitions stays if another table uses it.
    """
    fill(engine, "id")
    thing = table("list")
    functions = sa.text(
        "SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace ORDER BY 1"
    )
    with engine.connect() as connection:
        convert(connection, thing)
        assert len(connection.execute(functions).all()) == 4  # two keep the old table the same
        connection.commit()
        if shared:
            other = sa.Table("other", sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True))
            declare(other, ByHash("id", modulus=2))
            with connection.begin():
                other.metadata.create_all(connection)
        undo_conversion(connection, thing)
        left = connection.execute(functions).scalars().all()
    assert left == (["other_partitions", "pgultra_partitions_premake"] if shared else [])
