"""
Run it: ``python app.py [--url URL]``.

What the plan of a social network wanted of PostgreSQL, as far as pgultra's rooms go: four
searched tables, nineteen that are soft-deleted, and two years of seven partitioned ones.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from database import opened
from scenes import deletion, searching, start, two_years


def main(url: str | None, folder: Path) -> None:
    """
    Create, fill, ask, delete, and let time go by.
    """
    with opened(url) as engine:
        start(engine)
        searching(engine)
        deletion(engine)
        two_years(engine, folder)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", help="your server; without it, an embedded one is started")
    parser.add_argument("--archive", type=Path, help="a folder; without it, a temporary one")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        main(chosen.url, chosen.archive or Path(temporary))
