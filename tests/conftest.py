"""
The fixtures live in named plugins; this list is all there is here.
"""

pytest_plugins = [
    "pytester",
    "tests.fixtures.server",
    "tests.fixtures.requirements",
    "tests.fixtures.database",
    "tests.fixtures.programs",
    "tests.fixtures.alembic",
    "tests.fixtures.strangers",
]
