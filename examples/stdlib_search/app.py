"""
Run it: `pgultra demo`, or `python app.py [--url URL] [--keep]`.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import text

from database import opened
from embedder import choose
from load import load
from models import Base
from pgultra import PgultraError
from pgultra.integrations.cli.database import address_of
from scenes import SCENES
from scenes.questions import questions
from stage import Stage

if TYPE_CHECKING:
    from sqlalchemy import URL


def main(address: URL | None = None, *, keep: bool = False) -> None:
    """
    Create, load, and show the scenes.

    Args:
        address: your server; None starts an embedded one.
        keep: leave the schema on your server.
    """
    stage = Stage()
    signal.signal(signal.SIGTERM, stage.interrupt)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not where it is ignored
        signal.signal(signal.SIGINT, stage.interrupt)
    sys.unraisablehook = stage.dropped
    start = time.perf_counter()
    stage.say("[bold]pgultra[/]: PostgreSQL's power, declared on SQLAlchemy models")
    try:
        with opened(address, keep=keep) as (engine, where):
            with engine.connect() as connection:
                version = connection.scalar(text("SHOW server_version"))
            version, *_ = str(version).split()  # without the name of the packager
            stage.say(f"PostgreSQL {version}, {where} ({time.perf_counter() - start:.1f} s)")

            stage.scene("Three models, one create_all, real text")
            stage.code("Base.metadata.create_all(engine)")
            with stage.timed("tables, functions, triggers, indexes, views"):
                Base.metadata.create_all(engine)
            embedder = choose()
            count = load(engine, stage, embedder)
            stage.say(f"    {count:,} docstrings of Python's standard library are the articles")

            for scene in SCENES:
                scene(stage, engine)
            questions(stage, engine, embedder)
            if keep:
                stage.say(f"Kept on your server: {where.rpartition(', in ')[2]}")
    except KeyboardInterrupt:
        stage.console.print("\ninterrupted" + ("" if keep else "; everything was cleaned up"))
        raise SystemExit(130) from None
    stage.console.rule(style="blue")
    stage.say(f"All of it took {time.perf_counter() - start:.0f} s. The code of this demo:")
    stage.console.print(f"    {Path(__file__).parent}", soft_wrap=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", help="your server: postgresql://…")
    parser.add_argument("--keep", action="store_true", help="leave the schema on your server")
    arguments = parser.parse_args()
    try:
        main(address_of(arguments.url) if arguments.url else None, keep=arguments.keep)
    except PgultraError as error:
        sys.exit(f"error: {error}")
