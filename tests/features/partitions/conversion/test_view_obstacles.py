from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pgultra.errors import PgultraError
from pgultra.features.partitions import convert, finish_conversion, plan_conversion, undo_conversion
from pgultra.sql import qualified
from tests.features.partitions.conversion import views
from tests.features.partitions.conversion.test_materialized import PATH, run, seen

if TYPE_CHECKING:
    from collections.abc import Sequence

    import sqlalchemy as sa

pytestmark = pytest.mark.slow

DAILY = qualified(views.ELSEWHERE, views.DAILY)
TABLE = qualified(views.SCHEMA, views.TABLE)
CASES: dict[str, tuple[Sequence[str], Sequence[str]]] = {
    "of another role": (
        ("ALTER MATERIALIZED VIEW monthly OWNER TO CURRENT_USER",),
        ("monthly must be made again for the new table, and belongs to", "give_up=['monthly']"),
    ),
    "a view of another role": (
        ("ALTER VIEW seen OWNER TO CURRENT_USER",),
        ("seen reads materialized view", "belongs to another role"),
    ),
    "no right to make one": (
        (f"ALTER SCHEMA {qualified(None, views.ELSEWHERE)} OWNER TO CURRENT_USER",),
        (f"GRANT CREATE ON SCHEMA {qualified(None, views.ELSEWHERE)}",),
    ),
    "a function": (
        ("CREATE FUNCTION f(monthly) RETURNS int LANGUAGE sql AS 'SELECT 1'",),
        (".monthly) stands on materialized view", "give_up=['monthly']"),
    ),
    "a rule": (
        (
            "CREATE TABLE n (v int)",
            "CREATE RULE along AS ON DELETE TO n DO ALSO DELETE FROM n WHERE v IN (SELECT rows FROM monthly)",
        ),
        ("rule along on table", "stands on materialized view"),
    ),
    "nothing to be filled from": (
        (f"REFRESH MATERIALIZED VIEW {DAILY} WITH NO DATA",),
        ("monthly has rows, and cannot be filled again", "REFRESH that first"),
    ),
    "of an extension": (
        ("ALTER INDEX monthly_month_idx DEPENDS ON EXTENSION plpgsql",),
        ("monthly or an index of it is tied to plpgsql",),
    ),
    "grouped by the key": (
        (
            f'CREATE MATERIALIZED VIEW grouped AS SELECT "I d", amount FROM {TABLE} GROUP BY "I d"',
            "ALTER MATERIALIZED VIEW grouped OWNER TO {owner}",
        ),
        ("materialized view", ".grouped groups by the primary key"),
    ),
    "of its row type": (
        (f"CREATE MATERIALIZED VIEW whole AS SELECT t FROM {TABLE} AS t",),
        ("column t of materialized view", "stands on the table or its row type"),
    ),
}


@pytest.fixture
def made(owner_engine: sa.Engine) -> sa.Engine:
    """
    The table and its views, made and owned by a role that may nothing else.
    """
    with owner_engine.begin() as connection:
        views.make(connection)
    return owner_engine


@pytest.mark.parametrize("case", CASES)
def test_what_keeps_a_view_from_coming_along_is_said(
    made: sa.Engine, engine: sa.Engine, owner: tuple[str, str], case: str
) -> None:
    """
    Each is an error that names it and the way out, before anything starts.
    """
    statements, words = CASES[case]
    with engine.begin() as connection:
        run(connection, PATH, *(each.replace("{owner}", owner[0]) for each in statements))
    _, visit = views.models()
    for act in (plan_conversion, convert):
        with made.connect() as connection, pytest.raises(PgultraError) as caught:
            act(connection, visit)
        assert "nothing was changed" in str(caught.value)
        assert [word for word in words if word not in str(caught.value)] == []


def test_a_view_may_be_left_with_the_old_table(made: sa.Engine) -> None:
    """
    It goes on reading that, and so do those on it; the others are turned; finish waits for it.
    """
    _, visit = views.models()
    before = seen(made)
    with made.connect() as connection:
        with pytest.raises(PgultraError, match="a second is given up, but reads materialized"):
            convert(connection, visit, give_up=[views.SECOND])
        convert(connection, visit, give_up=[views.DAILY])
        assert seen(made)[1:] == before[1:]
        run(connection, PATH, f"INSERT INTO {TABLE} VALUES (9001, '2026-02-02Z', 'new', 1)")
        run(connection, f"REFRESH MATERIALIZED VIEW {DAILY}", "REFRESH MATERIALIZED VIEW monthly")
        assert run(connection, 'SELECT max(rows), sum("Numb er") FROM monthly').one() == (
            1001,
            1001,
        )
        connection.commit()
        with pytest.raises(PgultraError, match=r"(?s)cannot be dropped.*Day.*depends on"):
            finish_conversion(connection, visit)
        undo_conversion(connection, visit)
        run(connection, f'DELETE FROM {TABLE} WHERE "I d" = 9001')
        run(connection, f"REFRESH MATERIALIZED VIEW {DAILY}", "REFRESH MATERIALIZED VIEW monthly")
        connection.commit()
        assert seen(made) == before
