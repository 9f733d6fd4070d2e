"""
``pgultra demo``: runs ``examples/stdlib_search``, in a clone or from the installed package.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Annotated

import typer

import pgultra
from pgultra.errors import PgultraError
from pgultra.integrations.cli.database import address_of

__all__ = ["demo"]

_EXAMPLE = "stdlib_search"


def demo(
    url: Annotated[
        str | None,
        typer.Option(
            "--url",
            metavar="URL",
            help="Run on this server, in a schema of its own; without it, the embedded PostgreSQL "
            "is started in a temporary folder.",
            show_default=False,
        ),
    ] = None,
    keep: Annotated[
        bool,
        typer.Option("--keep", help="With --url: leave the schema there, to look at it."),
    ] = False,
) -> None:
    """
    Show what pgultra does, on real text, within a minute.

    The articles are the docstrings of Python's standard library, read from its source files.
    """
    if keep and url is None:
        raise PgultraError("--keep needs --url: the embedded server is gone at the end")
    address = address_of(url) if url is not None else None
    sys.path.insert(0, str(_folder()))
    try:
        application = importlib.import_module("app")
        application.main(address, keep=keep)
    except ModuleNotFoundError as error:
        raise PgultraError(
            f"the demo needs {error.name}, which is not installed: pip install 'pgultra[demo]'"
        ) from error


def _folder() -> Path:
    """
    Where the example is: in the wheel beside our modules, in a clone at its root.
    """
    package = Path(pgultra.__file__).parent
    for folder in (package / "_examples", package.parents[1] / "examples"):
        if (folder / _EXAMPLE / "app.py").is_file():
            return folder / _EXAMPLE
    raise PgultraError(
        f"the example {_EXAMPLE} is not installed with this copy of pgultra; "
        "run it from a clone of the repository"
    )
