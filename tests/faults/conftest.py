"""
What the tests of faults stand on: a cluster of their own, which they may kill.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from pgultra.integrations.embedded import wheel_binaries
from tests.faults.cluster import Cluster
from tests.fixtures.discovery import choose
from tests.fixtures.requirements import lacking

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


pytest.register_assert_rewrite("tests.faults.operations", "tests.faults.scene")


@pytest.fixture(scope="module")
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """
    A server for the module alone, from the programs that the other tests run.
    """
    choice = choose(docker=request.config.getoption("--docker"))
    if isinstance(choice, str):
        pytest.fail(choice, pytrace=False)
    if choice.binaries is None:
        lacking(
            request.config,
            "a server that is killed must be one that we start: no URL, no container",
        )
    if sys.platform == "win32":
        pytest.skip("signals as on Unix")
    binaries = None if choice.binaries == wheel_binaries() else choice.binaries
    with Cluster(binaries) as cluster:
        vector = "SELECT FROM pg_available_extensions WHERE name = 'vector'"
        engine = cluster.engine("postgres")
        with engine.connect() as connection:
            if connection.exec_driver_sql(vector).first() is None:
                lacking(request.config, "extension vector is not on this server")
        yield cluster


@pytest.fixture
def drop_later(cluster: Cluster) -> Iterator[Callable[[str], str]]:
    """
    Remember databases that are to go when the test ends.
    """
    names: list[str] = []

    def remember(name: str) -> str:
        names.append(name)
        return name

    if not cluster.runs:  # an earlier test failed in the middle
        cluster.again()
    yield remember
    if not cluster.runs:
        cluster.again()
    for name in names:
        cluster.drop(name)


@pytest.fixture(scope="module")
def migrations(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> None:
    """
    Autogenerate writes the migrations that are run.
    """
    from tests.faults import operations

    name = cluster.database("vector", operations.with_vector)
    operations.write_migrations(cluster.engine(name), tmp_path_factory.mktemp("written"))
    cluster.drop(name)
