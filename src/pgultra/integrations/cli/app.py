"""
The commands in the order of the help text, and the one place where errors become words.
"""

from __future__ import annotations

import sys
import traceback
import warnings
from typing import Any

import typer
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from typer.core import TyperGroup

from pgultra import __version__
from pgultra.errors import PgultraError, PgultraWarning, sqlstate_of
from pgultra.integrations.cli import (
    adopt,
    check,
    demo,
    embeddings,
    encryption,
    listing,
    partitions,
    partitions_convert,
    sql,
)
from pgultra.integrations.cli.output import complain, warn, without_passwords

__all__ = ["app"]


_LACKING = ("3F000", "42703", "42P01", "42883")
"""No such schema, column, table, function."""
_PASSED: Any = (
    typer.Exit,
    typer.Abort,
    BrokenPipeError,
    next(each for each in typer.BadParameter.__mro__ if each.__name__ == "ClickException"),
)
"""What typer makes words and exit codes of; the last is click's, or typer's copy of it."""


class Commands(TyperGroup):
    """
    The group of all commands: what goes wrong in one is said in words, with exit code 2.
    """

    def invoke(self, ctx: Any) -> Any:  # the context's class differs between versions of typer
        """
        Run the command; no traceback for what a user can put right.
        """
        try:
            with warnings.catch_warnings():
                warnings.showwarning = _warn
                return super().invoke(ctx)
        except DBAPIError as error:
            complain(str(error.orig).strip())
            if sqlstate_of(error) in _LACKING:
                complain("the database lacks what the models declare: see pgultra check, migrate")
        except (PgultraError, SQLAlchemyError) as error:
            complain(str(error))
        except _PASSED:
            raise
        except Exception:  # a mistake of ours or of the host's: with its traceback, and not "drift"
            print(without_passwords(traceback.format_exc()), file=sys.stderr, end="")
        raise typer.Exit(2)


_shown = warnings.showwarning


def _warn(message: Any, category: type[Warning], *where: Any, **more: Any) -> None:
    """
    A warning of ours in words, without the line of pgultra that it came from.
    """
    if issubclass(category, PgultraWarning):
        warn(str(message))
    else:
        _shown(message, category, *where, **more)


app = typer.Typer(
    cls=Commands,
    help="PostgreSQL's power, declared on SQLAlchemy models.",
    epilog="Exit codes: 0 all is well, 1 drift or a refusal, 2 an error.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"pgultra {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version."
    ),
) -> None:
    pass


app.command("demo")(demo.demo)
app.command("sql")(sql.sql)
app.command("list")(listing.listing)
app.command("check")(check.check)
app.command("adopt")(adopt.adopt)
app.add_typer(encryption.commands, name="encryption")
app.add_typer(embeddings.commands, name="embeddings")
partitions.commands.command("convert")(partitions_convert.convert)
app.add_typer(partitions.commands, name="partitions")
