"""
The kernel by the number of objects.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks import kernel
from benchmarks.measure import Curve, compare, grow

if TYPE_CHECKING:
    from collections.abc import Iterator

    import sqlalchemy as sa

OBJECTS = (35, 350, 1_050)


def curves(engine: sa.Engine) -> Iterator[Curve]:
    """
    Autogenerate and check with nothing to do.
    """
    generated, checked = {}, {}
    for size in OBJECTS:
        tables = size * 3 // 7
        bare, declared = kernel.bare(tables), kernel.declared(tables)
        bare.info["pgultra.app"] = "stranger"
        declared.create_all(engine)
        with engine.connect() as connection:
            generated[size] = compare(
                "",
                ours=("pgultra", lambda: kernel.differences(connection, declared)),  # noqa: B023  # called within the turn
                theirs=("Alembic, tables alone", lambda: kernel.without(connection, bare)),  # noqa: B023  # called within the turn
                rounds=5,
            )
            checked[size] = kernel.check(connection, declared)
        declared.drop_all(engine)
    yield grow("autogenerate with nothing to do", "objects", generated)
    yield grow("pgultra check with nothing to do", "objects", checked)
