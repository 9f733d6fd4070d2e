"""
Run it: ``python app.py [--url URL]``.

Global Remit's plan for its database, query by query, each the way it was meant.
"""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

from sqlalchemy import text

from database import offers, opened
from pgultra import KeyRing

if TYPE_CHECKING:
    from sqlalchemy import Engine


def main(url: str | None) -> None:
    """
    Find out what the server offers, make keys for this run, and tell the story.
    """
    with opened(url) as engine:
        offered = "on" if offers(engine, "vector") else "off"
        os.environ.setdefault("GLOBAL_REMIT_VECTORS", offered)
        os.environ["GLOBAL_REMIT_KEYS"] = KeyRing.generate(1)
        from story import tell  # now: the models look at what the server offers

        greet(engine)
        tell(engine)


def greet(engine: Engine) -> None:
    """
    Say where this is.
    """
    with engine.connect() as connection:
        version = str(connection.scalar(text("SHOW server_version"))).split()[0]
    print(f"Global Remit on PostgreSQL {version}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", help="your server; without it, an embedded one is started")
    main(parser.parse_args().url)
