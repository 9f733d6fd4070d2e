"""
``pgultra check``: exit code 1, and a diff, when the database is not as declared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pgultra import plan
from pgultra.integrations.cli.database import URL_OPTION, connected
from pgultra.integrations.cli.output import print_diff, print_json
from pgultra.integrations.cli.target import PATH, load
from pgultra.plan.describe import as_json as plan_as_json
from pgultra.plan.describe import as_text, changes
from pgultra.plan.extensions import absent_extensions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pgultra.plan import Plan
    from pgultra.plan.extensions import AbsentExtension

__all__ = ["check"]


def check(
    path: PATH,
    url: URL_OPTION = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    whole: Annotated[
        bool, typer.Option("--all", help="Show missing objects to their last line.")
    ] = False,
) -> None:
    """
    Compare models and database.

    Exit code 0: no drift; 1: drift, shown as a diff; 2: an error. Catalogs are read, nothing is
    changed, and no lock is taken that anybody could notice.
    """
    metadata = load(path, declared=False)
    with connected(url) as connection:
        found = plan.check(connection, metadata)
        absent = absent_extensions(connection, found)
    if as_json:
        print_json({**plan_as_json(found), "extensions": [each.as_json() for each in absent]})
    else:
        print_diff(as_text(found, limit=None if whole else 8).splitlines())
        print_diff(_notes(found, absent, path))
    if found:
        raise typer.Exit(1)


def _notes(found: Plan, absent: tuple[AbsentExtension, ...], path: str) -> Iterator[str]:
    if not found:
        return
    for each in absent:
        yield ""
        yield from str(each).splitlines()
    yield ""
    differences, conflicts = len(changes(found)), len(found.conflicts)
    counts = [f"{differences} to repair"] if differences else []
    counts += [f"{conflicts} in the way"] if conflicts else []
    yield f"drift: {', '.join(counts)}"
    if conflicts:
        yield f"hand over what is in the way: pgultra adopt {path} NAME --different"
    if differences:
        yield "repair: alembic revision --autogenerate, then alembic upgrade head"
    if any(change.verb == "mark" for change in changes(found)):
        yield f"or only mark what is unmarked and equal: pgultra adopt {path} --all"
    if _bears_no_mark(found) and any(change.verb == "create" for change in changes(found)):
        yield (
            "nothing here bears pgultra's mark yet: if migrations have run, see that env.py says "
            "`import pgultra.integrations.alembic`"
        )


def _bears_no_mark(found: Plan) -> bool:
    """
    Whether no migration that knew pgultra has run here.
    """
    actual = found.sides.actual.values() if found.sides is not None else ()
    return not any(each.mark is not None and not each.of_its_table for each in actual)
