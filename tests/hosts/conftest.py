"""
The fixture ``host``: the application in whose folder a test stands, with its rooms added.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.hosts.stage import FIRST, staged

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fixtures.server import Server
    from tests.hosts.stage import Host


@pytest.fixture(scope="module")
def host(
    request: pytest.FixtureRequest,
    server: Server,
    template: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Host]:
    """
    The application with its old rows, after the migration that adds the rooms.
    """
    name = request.path.parent.name
    folder = tmp_path_factory.mktemp(name)
    with staged(name, request.config, server, template, folder) as host:
        host.upgrade(FIRST)
        host.old_rows()
        host.revision("rooms")
        host.upgrade()
        host.fill()
        yield host
