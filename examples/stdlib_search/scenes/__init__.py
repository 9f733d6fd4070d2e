"""
The scenes, in order: each is a function that gets the stage and an engine.

A new one is a file here and a line in the list.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scenes.delete import delete
from scenes.drift import drift
from scenes.objects import objects
from scenes.raw_sql import raw_sql
from scenes.restore import restore

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Engine

    from stage import Stage

SCENES: tuple[Callable[[Stage, Engine], None], ...] = (
    objects,
    delete,
    restore,
    raw_sql,
    drift,
)
