"""
``pgultra adopt``: make ours what exists already.
"""

from __future__ import annotations

from typing import Annotated

import typer

from pgultra.errors import PgultraError
from pgultra.integrations.cli.database import URL_OPTION, connected
from pgultra.integrations.cli.output import print_json, screen
from pgultra.integrations.cli.target import PATH, load
from pgultra.plan.adopt import REFUSED, Verdict
from pgultra.plan.adopt import adopt as adopt_objects

__all__ = ["adopt"]


def adopt(
    path: PATH,
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME]...",
            help="Which: article_live, shop.article_live, or as check prints it.",
            show_default=False,
        ),
    ] = None,
    url: URL_OPTION = None,
    everything: Annotated[
        bool, typer.Option("--all", help="All that is declared, exists and is unmarked.")
    ] = False,
    different: Annotated[
        bool,
        typer.Option(
            "--different",
            help="Hand over also what differs: the next migration replaces it.",
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """
    Mark existing objects as made by pgultra, by COMMENT ON and nothing else.

    What is equal to its declaration is then in order. What differs is refused, or with
    --different handed over: from then on it is drift, which the next migration repairs.
    """
    if not names and not everything:
        raise PgultraError("say what to adopt: NAMEs, or --all; --dry-run shows what would happen")
    if names and everything:
        raise PgultraError("--all takes no NAMEs")
    metadata = load(path)
    with connected(url) as connection:
        verdicts = adopt_objects(
            connection, metadata, names or None, different=different, dry_run=dry_run
        )
        connection.commit()
    if as_json:
        print_json([_entry(verdict) for verdict in verdicts])
    else:
        for verdict in verdicts:
            screen().print(f"would be {verdict}" if dry_run and verdict.adopted else str(verdict))
        screen().print(_summary(verdicts, dry_run=dry_run))
    if any(verdict.outcome == REFUSED for verdict in verdicts):
        raise typer.Exit(1)


def _entry(verdict: Verdict) -> dict[str, object]:
    identity = verdict.identity
    return {
        "outcome": verdict.outcome,
        "kind": identity.kind,
        "schema": identity.schema,
        "table": identity.table,
        "name": identity.name,
        "reason": verdict.reason,
        "statements": list(verdict.statements),
    }


def _summary(verdicts: tuple[Verdict, ...], *, dry_run: bool) -> str:
    if not verdicts:
        return "nothing to adopt: all that exists and is declared is marked"
    adopted = sum(verdict.adopted for verdict in verdicts)
    refused = sum(verdict.outcome == REFUSED for verdict in verdicts)
    words = f"{adopted} would be adopted" if dry_run else f"{adopted} adopted"
    return words + (f", {refused} refused" if refused else "")
