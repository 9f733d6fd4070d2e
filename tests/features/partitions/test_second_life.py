"""
What was taken away once: attached again, archived beside another, and asked for by a Session.
"""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from pgultra import PgultraError
from pgultra.features import partitions
from pgultra.features.partitions import archive
from tests.features.partitions.test_retention import LATER, comment_of, filled
from tests.features.partitions.upkeep_stage import MOMENT, children, event_table, made, tables

if TYPE_CHECKING:
    from pathlib import Path

MARCH = "FOR VALUES FROM ('2026-03-01 00:00:00+00') TO ('2026-04-01 00:00:00+00')"


def broken_off(engine: sa.Engine, monkeypatch: pytest.MonkeyPatch) -> sa.Table:
    """
    A partition that was detached to be dropped, when the run was killed.
    """
    table = filled(engine, on_expire="drop")

    def killed(*_arguments: Any) -> None:
        raise OSError("killed")

    with monkeypatch.context() as patch, engine.connect() as connection:
        patch.setattr("pgultra.features.partitions.upkeep.dispose", killed)
        done = partitions.maintain(connection, table.metadata, now=LATER)
    assert not done.complete
    return table


def run(engine: sa.Engine, *statements: str) -> None:
    """
    SQL as a person would send it.
    """
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def test_a_partition_that_was_attached_again_forgets_what_should_become_of_it(
    engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Detached by hand later on, it is the person's, and no run drops it for an old reason.
    """
    table = broken_off(engine, monkeypatch)
    run(
        engine,
        "COMMENT ON TABLE event_2026_03 IS E'retired employees, do not bill\\n"
        + "\\n".join(_lines(engine, "event_2026_03"))
        + "'",
        f"ALTER TABLE event ATTACH PARTITION event_2026_03 {MARCH}",
    )
    keeping = event_table(retain="10 years", on_expire="drop")
    with engine.connect() as connection:
        plan = partitions.plan(connection, keeping.metadata, now=LATER)
        assert "clear" in {action.verb for action in plan.actions}
        assert partitions.maintain(connection, keeping.metadata, now=LATER).complete
        assert comment_of(connection, "event_2026_03").split("\n") == [
            "retired employees, do not bill",
            "pgultra:default:partitions",
        ]
        connection.rollback()
        assert not partitions.plan(connection, keeping.metadata, now=LATER).actions
    run(engine, "ALTER TABLE event DETACH PARTITION event_2026_03")
    with engine.connect() as connection:
        assert partitions.maintain(connection, table.metadata, now=LATER).complete
        assert "public.event_2026_03" in tables(connection)
        assert connection.exec_driver_sql("SELECT count(*) FROM event_2026_03").scalar_one() == 101


def test_one_that_is_too_old_is_still_taken_away_after_it_was_attached_again(
    engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    The rules say so, and the same run that forgets the old reason writes the new one.
    """
    table = broken_off(engine, monkeypatch)
    run(engine, f"ALTER TABLE event ATTACH PARTITION event_2026_03 {MARCH}")
    with engine.connect() as connection:
        assert partitions.maintain(connection, table.metadata, now=LATER).complete
        assert "public.event_2026_03" not in tables(connection)
        assert "event_2026_03" not in children(connection, "event")


def _lines(engine: sa.Engine, table: str) -> list[str]:
    with engine.connect() as connection:
        return comment_of(connection, table).replace("'", "''").split("\n")


def test_two_schemas_archive_into_one_and_neither_is_lost(engine: sa.Engine) -> None:
    """
    The second one stays where it is, and the problem says what to do.
    """
    metadata = sa.MetaData()
    rules = {"retain": "1 month", "on_expire": "archive", "archive": "attic"}
    run(engine, "CREATE SCHEMA one", "CREATE SCHEMA two")
    both = [event_table(metadata, schema=each, **rules) for each in ("one", "two")]
    made(engine, both[0])
    run(
        engine,
        *(
            f"INSERT INTO {each} SELECT g, '2026-03-10' FROM generate_series(1, {n}) AS g"
            for each, n in (("one.event", 3), ("two.event", 5))
        ),
    )
    with engine.connect() as connection:
        done = partitions.maintain(connection, metadata, now=LATER)
        assert len(done.problems) == 1
        assert "attic.event_2026_03" in str(done.problems[0])
        assert "archive=" in str(done.problems[0])
        connection.rollback()
        counts = {
            each: connection.exec_driver_sql(f"SELECT count(*) FROM {each}").scalar_one()
            for each in tables(connection)
            if each.endswith("event_2026_03")
        }
    assert sorted(counts.values()) == [3, 5]


def test_two_databases_that_archive_into_one_folder_at_once_lose_nothing(
    engine: sa.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Whoever comes second is refused, although there was no file when it looked.
    """
    table = filled(engine, on_expire="archive")
    theirs = tmp_path / "public.event_2026_03.tsv.gz"
    compare = archive._compare

    def meanwhile(*arguments: Any) -> None:
        compare(*arguments)
        if not theirs.exists():  # another database's run, between our look and our rename
            theirs.write_bytes(gzip.compress(b"their only copy\n"))
            theirs.with_name("public.event_2026_03.json").write_text("{}")

    monkeypatch.setattr(archive, "_compare", meanwhile)
    with engine.connect() as connection:
        done = partitions.maintain(connection, table.metadata, now=LATER, archive_to=tmp_path)
    assert gzip.decompress(theirs.read_bytes()) == b"their only copy\n"
    assert "holds something else" in str(done.problems[0])
    assert sorted(each.name for each in tmp_path.iterdir()) == [
        "public.event_2026_03.json",
        "public.event_2026_03.tsv.gz",
    ]
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM event_2026_03").scalar_one() == 101


def test_a_run_that_was_killed_between_file_and_record_is_done_again(
    engine: sa.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    What it left is its own, and the next run finishes.
    """
    table = filled(engine, on_expire="archive")
    sync = archive._sync

    def killed(folder: Path) -> None:
        raise OSError("killed")

    with engine.connect() as connection:
        with monkeypatch.context() as patch:
            patch.setattr(archive, "_sync", killed)
            assert not partitions.maintain(
                connection, table.metadata, now=LATER, archive_to=tmp_path
            ).complete
        assert archive._sync is sync
        done = partitions.maintain(connection, table.metadata, now=LATER, archive_to=tmp_path)
    assert done.complete, str(done)
    assert partitions.read_archive(tmp_path / "public.event_2026_03.json").rows == 101


def test_a_session_stands_for_the_connection_of_its_transaction(engine: sa.Engine) -> None:
    """
    What only looks works; what needs transactions of its own says so.
    """
    table = made(engine, event_table())
    with Session(engine) as session:
        assert str(partitions.plan(session, table.metadata, now=MOMENT)) == "nothing to do"
        (found,) = partitions.status(session, table.metadata, now=MOMENT)
        assert len(found.partitions) == 2
        with pytest.raises(PgultraError, match="transaction"):
            partitions.maintain(session, table.metadata)
