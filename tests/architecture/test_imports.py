from __future__ import annotations

import subprocess
import sys

import pytest

ASK = """
import sys
import sqlalchemy.ext.asyncio, sqlalchemy.orm, sqlalchemy.dialects.postgresql
before = set(sys.modules)
import pgultra
print(*{name.partition(".")[0] for name in set(sys.modules) - before})
"""


WITHOUT_GREENLET = """
import sys
sys.modules["greenlet"] = None  # SQLAlchemy 2.1 brings it with its extra "asyncio" alone
import pgultra, pgultra.integrations.alembic, pgultra.integrations.cli
import pgultra.integrations.embedded, pgultra.integrations.pytest
from pgultra import embeddings, encryption, partitions, search, soft_delete
import sqlalchemy
engine = sqlalchemy.create_engine("postgresql+psycopg://")
try:
    pgultra.integrations.pytest.assert_no_drift(engine, "models")
except pgultra.DeclarationError:
    print("works")
"""


@pytest.mark.slow
def test_a_synchronous_application_needs_no_greenlet() -> None:
    """
    Every door and every room opens without it, as in an environment by the tutorial's first line.
    """
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_GREENLET], capture_output=True, text=True, check=False
    )
    assert done.stdout == "works\n", done.stderr


def test_importing_pgultra_imports_sqlalchemy_and_nothing_else() -> None:
    """
    No driver, no Alembic, no numpy is loaded by the package itself.
    """
    done = subprocess.run([sys.executable, "-c", ASK], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.split()) - sys.stdlib_module_names
    assert loaded <= {"pgultra", "sqlalchemy"}
