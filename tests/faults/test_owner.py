from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from pgultra import plan
from pgultra.features import embeddings, encryption, partitions, search, soft_delete
from tests.faults import annex, library, operations
from tests.faults.operations import OPERATIONS
from tests.faults.promises import keeps
from tests.faults.reads import OF_THE_OWNER, READS
from tests.fixtures.alembic import MigrationEnvironment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.faults.cluster import Cluster

pytestmark = [pytest.mark.slow, pytest.mark.once]


@pytest.fixture(scope="module", autouse=True)
def roles(cluster: Cluster) -> None:
    """
    One who owns, one who reads and writes, one who only looks.
    """
    for role in ("keeper", "writer", "looker"):
        cluster.execute(f"CREATE ROLE {role} LOGIN")


@pytest.fixture
def name(cluster: Cluster) -> Iterator[str]:
    """
    A database with what docs/reference/rights.md grants, and nothing more.
    """
    name = cluster.database()
    for statement in (
        f"REVOKE ALL ON DATABASE {name} FROM PUBLIC",
        f"GRANT CONNECT, TEMPORARY ON DATABASE {name} TO keeper, looker",
        f"GRANT CONNECT ON DATABASE {name} TO writer",
    ):
        cluster.execute(statement)
    for statement in (
        "CREATE EXTENSION vector",
        "REVOKE ALL ON SCHEMA public FROM PUBLIC",
        "GRANT USAGE, CREATE ON SCHEMA public TO keeper",
        "GRANT USAGE ON SCHEMA public TO writer, looker",
        (
            "ALTER DEFAULT PRIVILEGES FOR ROLE keeper IN SCHEMA public "
            "GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO writer"
        ),
    ):
        cluster.execute(statement, name)
    yield name
    cluster.drop(name)


def as_role(cluster: Cluster, name: str, role: str) -> sa.Engine:
    """
    An engine of a role.
    """
    engine = sa.create_engine(cluster.url(name).set(username=role), poolclass=sa.NullPool)
    with engine.connect() as connection:
        superuser = connection.exec_driver_sql("SHOW is_superuser").scalar_one()
        assert superuser == "off"
    return engine


@keeps("owner", "the owner of the tables")
@pytest.mark.parametrize("operation", [name for name in OPERATIONS if "upgrade" not in name])
def test_an_owner_without_privileges(
    cluster: Cluster, name: str, tmp_path: Path, operation: str
) -> None:
    """
    All rooms made, filled, kept up and dropped by a role with the rights of the page.
    """
    work = OPERATIONS[operation]
    engine = as_role(cluster, name, "keeper")
    if work.template == "deleted":  # its preparation sets old dates, which a superuser may
        with engine.begin() as connection:
            library.library().metadata.create_all(connection)
        fill_again(cluster, engine, name)
    elif work.template == "unfilled":
        library.filled(engine)
        cluster.execute(
            "SET session_replication_role = replica; UPDATE book SET search = NULL", name
        )
    else:
        work.prepare(engine)
    work.act(engine, tmp_path)
    work.finished(engine)
    with engine.begin() as connection:
        library.library().metadata.drop_all(connection)
        left = sa.inspect(connection).get_table_names()
    assert set(left) <= {"pgultra_partitions_run"} | {
        each for each in left if each.startswith("loan_2")
    }


def fill_again(cluster: Cluster, engine: sa.Engine, name: str) -> None:
    """
    Rows of the owner, some of them deleted long ago.
    """
    lib = library.library()
    with Session(engine) as session:
        session.add_all(lib.Shelf(id=n, name=f"shelf {n}") for n in range(library.SHELVES))
        session.flush()
        session.add_all(lib.Book(**library.book(n)) for n in range(library.BOOKS))
        session.commit()
        for number in (*operations.OLD, 5):
            session.delete(session.get_one(lib.Shelf, number))
        session.commit()
    old = ", ".join(map(str, operations.OLD))
    for table, column in (("shelf", "id"), ("book", "shelf_id")):
        cluster.execute(
            "SET session_replication_role = replica; "
            f"UPDATE {table} SET deleted_at = deleted_at - interval '90 days' "
            f"WHERE {column} IN ({old})",
            name,
        )


@keeps("owner", "the owner of the tables")
def test_migrations_of_an_owner_without_privileges(
    cluster: Cluster, name: str, tmp_path: Path
) -> None:
    """
    Up, down and up again; the check is empty.
    """
    engine = as_role(cluster, name, "keeper")
    env = MigrationEnvironment(tmp_path / "m", engine)
    env.autogenerate(metadata=library.library().metadata)
    env.upgrade()
    assert env.check(metadata=library.library().metadata) == []
    env.downgrade()
    env.upgrade()
    operations.unchanged(engine)


@keeps("owner", "who reads and writes")
def test_a_writer_of_the_application(
    cluster: Cluster, name: str, drop_later: Callable[[str], str]
) -> None:
    """
    Writes, deletes, restores, embeds, rotates, purges and reads, and owns nothing.
    """
    owner = as_role(cluster, name, "keeper")
    with owner.begin() as connection:
        library.library().metadata.create_all(connection)
    engine = as_role(cluster, name, "writer")
    lib, sealed = library.library(), library.library(2).Reader.email
    with Session(engine) as session:
        session.add_all(lib.Shelf(id=n, name=f"shelf {n}") for n in range(library.SHELVES))
        session.flush()
        session.add_all(lib.Book(**library.book(n)) for n in range(library.BOOKS))
        session.add_all(lib.Reader(id=n, email=library.email(n)) for n in range(9))
        session.commit()
        shelf = session.get_one(lib.Shelf, 4)
        session.delete(shelf)
        session.commit()
        assert len(soft_delete.restore(session, shelf)) == 1 + library.BOOKS // library.SHELVES
        session.commit()
        session.delete(session.get_one(lib.Shelf, 2))
        session.commit()
    with engine.begin() as connection:
        now = connection.exec_driver_sql("SELECT clock_timestamp()").scalar_one()
        connection.execute(sa.insert(lib.Loan.__table__).values(id=1, at=now, note="mine"))
        connection.execute(sa.insert(lib.Visit.__table__).values(id=1, at=now))
    assert operations.worker(engine).work().embedded == library.BOOKS
    with engine.connect() as connection:
        assert encryption.rotate(connection, sealed).done == 9
        assert search.backfill(connection, lib.Book.search).seen == library.BOOKS
        assert soft_delete.purge(connection, lib.Shelf, older_than=now).removed == 11
    with engine.begin() as connection:
        search.roll_up(connection, lib.Book.search)
    annex.filled(owner)
    with Session(engine) as session, Session(owner) as owning:
        for name, read in READS.items():
            read(owning if name in OF_THE_OWNER else session)
    with (
        engine.connect() as connection,
        pytest.raises(sa.exc.DBAPIError, match=r"must be owner|permission denied"),
    ):
        embeddings.build_index(connection, lib.Book.embedding)


@keeps("owner", "who only looks")
def test_who_only_looks(cluster: Cluster, name: str) -> None:
    """
    The check needs no right on any table; a look at partitions those that the page names.
    """
    owner = as_role(cluster, name, "keeper")
    metadata = library.library().metadata
    with owner.begin() as connection:
        metadata.create_all(connection)
    engine = as_role(cluster, name, "looker")
    with engine.connect() as connection:
        assert not plan.check(connection, metadata)
    with owner.begin() as connection:
        connection.exec_driver_sql("GRANT SELECT ON visit_default TO looker")
    with engine.connect() as connection:
        assert len(partitions.status(connection, metadata)) == 2
        assert not partitions.plan(connection, metadata)
