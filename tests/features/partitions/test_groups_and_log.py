"""
What is the same in every process, and what two processes do at the same moment.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from pgultra import ByList
from pgultra.features import partitions
from pgultra.features.partitions import runs
from tests.features.partitions.upkeep_stage import MOMENT, event_table, made

if TYPE_CHECKING:
    import sqlalchemy as sa

PRINTED = """
from pgultra import ByList
print(ByList("k", {"a": {"LOGIN", "LOGOUT", "RESET", None}}).groups)
"""


@pytest.mark.slow
def test_a_set_of_values_has_one_order() -> None:
    """
    Whatever the seed of its hashes; a tuple keeps its own order.
    """
    printed = {
        subprocess.run(
            [sys.executable, "-c", PRINTED],
            env={"PYTHONHASHSEED": str(seed), "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in range(4)
    }
    assert len(printed) == 1
    assert ByList("k", {"a": ("Z", "A")}).groups == {"a": ("Z", "A")}


def test_two_first_runs_make_one_log(engine: sa.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The second one, which saw no table, writes its line into that of the first.
    """
    table = made(engine, event_table())
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE pgultra_partitions_run")
    looked, first = threading.Barrier(2, timeout=30), runs.rows

    def together(connection: sa.Connection, query: str, **values: object) -> object:
        found = first(connection, query, **values)
        if query == runs.EXISTS and not found:
            looked.wait()
        return found

    monkeypatch.setattr(runs, "rows", together)
    done: list[partitions.Maintained | Exception] = []

    def work() -> None:
        try:
            with engine.connect() as connection:
                done.append(partitions.maintain(connection, table.metadata, now=MOMENT))
        except Exception as error:  # it is what the test looks at
            done.append(error)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [isinstance(each, partitions.Maintained) for each in done] == [True, True]
    with engine.connect() as connection:
        counted = connection.exec_driver_sql("SELECT count(*) FROM pgultra_partitions_run")
        assert counted.scalar_one() == 1
