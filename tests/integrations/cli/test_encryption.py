from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.fixtures.database import Database

MODELS = """
import sqlalchemy as sa
from pgultra.features.encryption import Encrypted, Equality, KeyRing

RING = KeyRing("cli", {1: bytes(range(32)), 2: bytes(range(50, 82))})
OLD = KeyRing("cli_old", {1: bytes(range(32))})
metadata, before = sa.MetaData(), sa.MetaData()
for target, ring in ((metadata, RING), (before, OLD)):
    sa.Table(
        "person", target, sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("phone", sa.Text),
        sa.Column("email", Encrypted(sa.Text, ring, search=Equality())),
        sa.Column("sealed", Encrypted(sa.Text, ring, dual="phone")),
    )
"""


@pytest.fixture
def models(tmp_path: Path, database: Database) -> str:
    """
    A file of models, and their table with two rows under the old key.
    """
    path = tmp_path / "secret_models.py"
    path.write_text(MODELS)
    names: dict[str, Any] = {}
    exec(MODELS, names)
    before = names["before"]
    with database.engine().begin() as connection:
        before.create_all(connection)
        rows = [{"id": n, "phone": f"55{n}", "email": f"{n}@x"} for n in range(2)]
        connection.execute(sa.insert(before.tables["person"]), rows)
    return f"{path}:metadata"


def test_rotation_from_the_command_line(
    run: Callable[..., Any], models: str, database: Database
) -> None:
    """
    Counted first, then done, then nothing is left; usage says which key may go.
    """
    url = ["--url", database.dsn]
    dry = run("encryption", "rotate", models, "person.email", "--dry-run", *url)
    assert (dry.exit_code, dry.output.split("\n")[-2]) == (
        0,
        "person.email: 2 to do, 0 done, 2 remaining",
    )
    done = run("encryption", "rotate", models, "person.email", *url)
    assert "person.email: 2 to do, 2 done, 0 remaining" in done.output
    used = run("encryption", "usage", models, *url)
    assert "person.email key 1: 0 rows, needed by the blind index" in used.output
    assert "person.email key 2: 2 rows, active" in used.output
    assert run("encryption", "rekey", models, "person.email", *url).exit_code == 0


def test_adoption_from_the_command_line(
    run: Callable[..., Any], models: str, database: Database
) -> None:
    """
    Sealed and compared; a difference is exit code 1 and names the row.
    """
    url = ["--url", database.dsn]
    done = run("encryption", "adopt", models, "person.sealed", *url)
    assert done.exit_code == 0
    assert "person.sealed: 2 rows, 2 sealed, 0 remaining" in done.output
    with database.engine().begin() as connection:
        connection.exec_driver_sql("ALTER TABLE person DISABLE TRIGGER USER")
        connection.exec_driver_sql("UPDATE person SET phone = 'other' WHERE id = 1")
    again = run("encryption", "adopt", models, "person.sealed", *url)
    assert again.exit_code == 1
    assert "different: 1" in again.output


def test_what_the_command_line_refuses(
    run: Callable[..., Any], models: str, database: Database
) -> None:
    """
    A column that is not there, or is not encrypted, ends in words and exit code 2.
    """
    for column in ("person.nothing", "nobody.email", "person.phone"):
        done = run("encryption", "rotate", models, column, "--url", database.dsn)
        assert done.exit_code == 2


def test_a_new_key(run: Callable[..., Any]) -> None:
    """
    It is printed as a ring reads it.
    """
    assert run("encryption", "key", "3").output.startswith("3:")
