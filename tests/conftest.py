"""
The fixtures live in named plugins; this list is all there is here.
"""

from hypothesis import settings

settings.register_profile("pgultra", deadline=None)  # a busy machine is no fault of the code
settings.load_profile("pgultra")

pytest_plugins = [
    "pytester",
    "tests.fixtures.server",
    "tests.fixtures.requirements",
    "tests.fixtures.database",
    "tests.fixtures.programs",
    "tests.fixtures.alembic",
    "tests.fixtures.strangers",
    "tests.fixtures.witness",
]
