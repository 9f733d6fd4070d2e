"""
A converter in a process of its own, which can be killed at any statement.

``python converter.py URL VERB WAY FRAGMENT COUNT`` kills itself with SIGKILL when it is about to
send a statement that holds the fragment, for the so-manieth time; statements that are sent as
one are counted one by one.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

import sqlalchemy as sa

from pgultra.features import partitions
from tests.features.partitions.conversion.apart import apart
from tests.features.partitions.conversion.storm import Event


def main(url: str, verb: str, way: str, fragment: str, count: str) -> None:
    """
    Convert, undo or finish; until the kill.
    """
    engine = sa.create_engine(url)
    left = int(count)

    @sa.event.listens_for(engine, "before_cursor_execute")
    def kill(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        nonlocal left
        left -= sum(fragment in each for each in apart(statement))
        if left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)

    with engine.connect() as connection:
        if verb == "convert":
            partitions.convert(connection, Event, way=way, batch=500)
        elif verb == "undo":
            partitions.undo_conversion(connection, Event)
        else:
            partitions.finish_conversion(connection, Event)
    engine.dispose()


if __name__ == "__main__":
    main(*sys.argv[1:])
