from __future__ import annotations

import subprocess
import sys

ASK = """
import sys
import sqlalchemy.ext.asyncio, sqlalchemy.orm, sqlalchemy.dialects.postgresql
before = set(sys.modules)
import pgultra
print(*{name.partition(".")[0] for name in set(sys.modules) - before})
"""


def test_importing_pgultra_imports_sqlalchemy_and_nothing_else() -> None:
    """
    No driver, no Alembic, no numpy is loaded by the package itself.
    """
    done = subprocess.run([sys.executable, "-c", ASK], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.split()) - sys.stdlib_module_names
    assert loaded <= {"pgultra", "sqlalchemy"}
