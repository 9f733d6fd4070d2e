"""
The command-line door: ``pgultra demo | sql | list | check | adopt``.

One command, one file. What a command decides lies below the doors, in ``pgultra.plan``;
here it is only asked for and printed.
"""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """
    Run ``pgultra``.
    """
    try:
        from pgultra.integrations.cli.app import app
    except ModuleNotFoundError as error:
        if error.name not in ("typer", "rich"):
            raise
        print(f"error: {error.name} is not installed: pip install 'pgultra[cli]'", file=sys.stderr)
        sys.exit(2)
    app()
