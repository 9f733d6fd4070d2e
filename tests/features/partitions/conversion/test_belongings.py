from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from pgultra import plan
from pgultra.features.partitions import convert, finish_conversion, undo_conversion
from pgultra.sql import qualified
from tests.features.partitions.conversion.belongings import (
    NAME,
    SCHEMA,
    models,
    picture,
    run,
    script,
)
from tests.features.partitions.conversion.storm import LONGEST
from tests.fixtures.bystander import bystander

if TYPE_CHECKING:
    from tests.fixtures.database import Database

TABLE = qualified(SCHEMA, NAME)
numbers = itertools.count()


@pytest.fixture
def engine(owner_engine: sa.Engine) -> sa.Engine:
    """
    The table that has everything, made and owned by a role that may nothing else.
    """
    with owner_engine.begin() as connection:
        for text in script(next(numbers)):
            run(connection, text)
    return owner_engine


def seen(engine: sa.Engine) -> dict[str, Any]:
    """
    Everything that can be told of the table.
    """
    with engine.begin() as connection:
        return picture(connection)


def contents(engine: sa.Engine) -> Any:
    """
    All rows, in their order.
    """
    with engine.begin() as connection:
        return run(connection, f'SELECT t::text FROM {TABLE} AS t ORDER BY "I d"').scalars().all()


@pytest.mark.slow
@pytest.mark.parametrize("way", ["copy", "attach"])
def test_everything_comes_along(engine: sa.Engine, database: Database, way: str) -> None:
    """
    Columns, defaults, indexes, triggers, grants, policies, views, comments: the same afterwards.
    """
    base, everything = models()
    before, rows = seen(engine), contents(engine)
    assert len(rows) == 1000
    with engine.connect() as connection:
        with bystander(database.dsn) as someone:
            done = convert(connection, everything, way=way)
        assert done.longest_wait < LONGEST + someone.longest
        assert plan.check(connection, base.metadata).steps == ()
    after = seen(engine)
    for word, value in before.items():
        assert after[word] == value, word
    assert contents(engine) == rows
    with engine.connect() as connection:
        finish_conversion(connection, everything)
        assert plan.check(connection, base.metadata).steps == ()
    assert seen(engine) == after
    assert contents(engine) == rows


@pytest.mark.slow
def test_everything_comes_back(engine: sa.Engine) -> None:
    """
    Undone, the table is exactly what it was, triggers that fire and publications included.
    """
    _, everything = models()
    before, rows = seen(engine), contents(engine)
    with engine.connect() as connection:
        convert(connection, everything)
        undo_conversion(connection, everything)
    assert seen(engine) == before
    assert contents(engine) == rows


@pytest.mark.slow
def test_what_came_along_works(engine: sa.Engine) -> None:
    """
    Triggers fire once, numbers go on, foreign keys hold in both directions, views can be written.
    """
    _, everything = models()
    heard = qualified(SCHEMA, "heard")
    with engine.connect() as connection:
        convert(connection, everything)
    with engine.begin() as connection:
        run(connection, f"TRUNCATE {heard}")
        column = '"at", "select", email'
        number = run(
            connection,
            f"INSERT INTO {TABLE} ({column}) VALUES ('2026-02-02Z', 1, 'new') RETURNING \"I d\", serial",
        ).one()
        assert tuple(number) == (5 + 3 * 1000, 1001)
        run(connection, f"UPDATE {TABLE} SET email = 'newer' WHERE email = 'new'")
        run(connection, f"DELETE FROM {TABLE} WHERE email = 'newer'")
    with engine.begin() as connection:
        words = sorted(run(connection, f"SELECT what FROM {heard}").scalars())
        assert words == sorted(
            ["Each: % INSERT", "always INSERT", "Each: % UPDATE", "late UPDATE", "whole DELETE"]
        )
        note = qualified(SCHEMA, "note")
        run(connection, f"UPDATE {TABLE} SET \"at\" = '2026-03-03Z' WHERE email = 'e1'")
        where = "\"at\" = '2026-03-03Z'"
        assert run(connection, f"SELECT count(*) FROM {note} WHERE {where}").scalar_one() == 1
        run(connection, f"DELETE FROM {TABLE} WHERE email = 'e1'")
        assert run(connection, f"SELECT count(*) FROM {note} WHERE email IS NULL").scalar_one() == 1
        run(connection, f"DELETE FROM {qualified(SCHEMA, 'or' + chr(34) + 'g')} WHERE id = 2")
        assert run(connection, f"SELECT count(*) FROM {TABLE}").scalar_one() == 500
        run(connection, f"UPDATE {qualified(SCHEMA, 'seen')} SET email = 'z' WHERE email = 'e2'")
    for wrong in (
        f"INSERT INTO {TABLE} ({column}) VALUES ('2026-02-02Z', 7, 'no org')",
        f"INSERT INTO {note} VALUES (1000, 'nobody', '2026-02-02Z')",
        f"INSERT INTO {TABLE} ({column}) VALUES ('2026-02-02Z', 1, ':x %s')",
    ):
        with pytest.raises(sa.exc.IntegrityError), engine.begin() as connection:
            run(connection, wrong)
    with engine.connect() as connection:
        undo_conversion(connection, everything)
    with engine.begin() as connection:
        assert run(connection, f"SELECT count(*) FROM {TABLE}").scalar_one() == 500
        text = f"INSERT INTO {TABLE} ({column}) VALUES ('2026-02-02Z', 1, 'y') RETURNING \"I d\""
        assert run(connection, text).scalar_one() > 5 + 3 * 1000


def test_indexes_stay_in_their_tablespaces(database: Database) -> None:
    """
    The primary key's, a constraint's and a plain index, on each partition that is made later too.
    """
    number, everything = next(numbers), models()[1]
    place, admin = f'"Disk: {number}"', database.engine()
    with admin.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        run(connection, "SET allow_in_place_tablespaces = on")
        run(connection, f"CREATE TABLESPACE {place} LOCATION ''")
    try:
        with admin.begin() as connection:
            for text in script(number):
                run(connection, text)
            for name in (f"{NAME[:20]}%_pkey", "eMail", "gin"):
                found = run(
                    connection,
                    "SELECT indexrelid::regclass::text FROM pg_index AS i JOIN pg_class AS c "
                    f"ON c.oid = indexrelid WHERE indrelid = '{TABLE}'::regclass "
                    f"AND (relname = '{name}' OR indisprimary AND '{name}' LIKE '%pkey')",
                ).scalar_one()
                run(connection, f"ALTER INDEX {found} SET TABLESPACE {place}")
        with admin.connect() as connection:
            convert(connection, everything)
            finish_conversion(connection, everything)
        with admin.begin() as connection:
            counted = run(
                connection,
                "SELECT count(*) FILTER (WHERE s.spcname IS NOT NULL), count(*) FROM pg_inherits "
                "AS i JOIN pg_index AS x ON x.indrelid = i.inhrelid JOIN pg_class AS c ON c.oid = "
                "x.indexrelid LEFT JOIN pg_tablespace AS s ON s.oid = c.reltablespace "
                f"WHERE i.inhparent = '{TABLE}'::regclass",
            ).one()
            assert counted[0] * 4 == counted[1] * 3 > 0
            run(connection, f'DROP SCHEMA "{SCHEMA.replace(chr(34), chr(34) * 2)}" CASCADE')
    finally:
        with admin.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            run(connection, f"DROP TABLESPACE {place}")
