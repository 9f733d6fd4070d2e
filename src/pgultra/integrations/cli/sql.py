"""
``pgultra sql``: the DDL of the models, in an order that psql can run.
"""

from __future__ import annotations

from typing import Annotated

import typer
from rich.syntax import Syntax

from pgultra.integrations.cli.output import screen
from pgultra.integrations.cli.target import PATH, load
from pgultra.plan.script import script

__all__ = ["sql"]


def sql(
    path: PATH,
    only_objects: Annotated[
        bool, typer.Option("--only-objects", help="Leave out the tables, and what is SQLAlchemy's.")
    ] = False,
) -> None:
    """
    Print the SQL that makes the models' tables and objects.

    No database is asked. Try it: pgultra sql app.models:Base | psql -1 new_database
    """
    metadata = load(path, declared=only_objects)
    text = "\n\n".join(
        statement + ";" for each in metadata for statement in script(each, tables=not only_objects)
    )
    console = screen()
    if console.is_terminal:
        console.print(Syntax(text, "postgresql", theme="ansi_dark", background_color="default"))
    else:
        console.file.write(text + "\n")
