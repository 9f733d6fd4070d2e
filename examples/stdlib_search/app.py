"""
Run it: `pgultra demo`, or `python app.py [--url URL] [--keep]`.
"""

from __future__ import annotations

import argparse
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import URL, make_url, text

from database import opened
from load import load
from models import Base
from scenes import SCENES
from stage import Stage

if TYPE_CHECKING:
    from types import FrameType


def main(address: URL | None = None, *, keep: bool = False) -> None:
    """
    Create, load, and show the scenes.

    Args:
        address: your server; None starts an embedded one.
        keep: leave the schema on your server.
    """
    signal.signal(signal.SIGTERM, interrupt)
    stage = Stage()
    start = time.perf_counter()
    stage.say("[bold]pgultra[/]: PostgreSQL's power, declared on SQLAlchemy models")
    try:
        with opened(address, keep=keep) as (engine, where):
            with engine.connect() as connection:
                version = connection.scalar(text("SHOW server_version"))
            stage.say(f"PostgreSQL {version}, {where} ({time.perf_counter() - start:.1f} s)")

            stage.scene("Three models, one create_all, real text")
            stage.code("Base.metadata.create_all(engine)")
            with stage.timed("tables, functions, triggers, indexes, views"):
                Base.metadata.create_all(engine)
            count = load(engine, stage)
            stage.say(f"    {count:,} docstrings of Python's standard library are the articles")

            for scene in SCENES:
                scene(stage, engine)
    except KeyboardInterrupt:
        stage.say("\ninterrupted; everything was cleaned up")
        raise SystemExit(130) from None
    stage.console.rule(style="blue")
    stage.say(f"All of it took {time.perf_counter() - start:.0f} s. The code of this demo:")
    stage.console.print(f"    {Path(__file__).parent}", soft_wrap=True)


def interrupt(number: int, frame: FrameType | None) -> None:
    """
    A polite kill ends like Ctrl-C: with everything cleaned up.
    """
    raise KeyboardInterrupt


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", type=make_url, help="your server, such as postgresql+psycopg://…")
    parser.add_argument("--keep", action="store_true", help="leave the schema on your server")
    arguments = parser.parse_args()
    main(arguments.url, keep=arguments.keep)
