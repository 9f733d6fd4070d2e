"""
Every host's migrations: the rooms come, nothing is left to do, and they go again.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from tests.hosts.stage import APPLICATIONS, FIRST, staged

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.fixtures.database import Database
    from tests.fixtures.server import Server
    from tests.hosts.stage import Host


def contents(host: Host) -> dict[str, int]:
    """
    How many rows each table has.
    """
    counts = {}
    with host.engine().connect() as connection:
        tables = connection.execute(
            sa.text(
                "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables "
                "WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
            )
        )
        for (name,) in tables.all():
            counts[name] = connection.exec_driver_sql(f"SELECT count(*) FROM {name}").scalar_one()
    return counts


@pytest.mark.slow
@pytest.mark.parametrize("name", APPLICATIONS)
def test_rooms_come_and_go(
    name: str,
    pytestconfig: pytest.Config,
    server: Server,
    template: str,
    tmp_path: Path,
    dump: Callable[[Database], str],
) -> None:
    """
    One migration adds the rooms beside the old rows; checks are clean; down, and up again.
    """
    with staged(name, pytestconfig, server, template, tmp_path) as host:
        host.upgrade(FIRST)
        host.old_rows()
        before, rows = dump(host.database), contents(host)
        script = host.revision("rooms")
        assert not re.search(r"^(import|from) pgultra", script, re.MULTILINE)
        host.upgrade()
        after = dump(host.database)
        host.check()
        found = host.pgultra_check()
        assert (found.exit_code, after != before) == (0, True), found.output

        host.downgrade(FIRST)
        assert dump(host.database) == before
        assert contents(host) == rows
        host.downgrade("base")
        host.upgrade()
        assert dump(host.database) == after
        assert host.pgultra_check().exit_code == 0
