"""
Materialized views are made again for the table that has the name now, while they are read.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from pgultra import sql
from pgultra.errors import PgultraError
from pgultra.features.partitions.conversion.exchange import turned
from pgultra.features.partitions.conversion.materialized import (
    Materialized,
    look,
    readers,
    renamed,
)
from pgultra.features.partitions.conversion.survey import scripted, table_oid
from pgultra.features.partitions.conversion.together import together

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from sqlalchemy import Connection, Row

    from pgultra.features.partitions.conversion.run import Conversion

__all__ = ["note", "rehearse", "reinstate", "turn"]

ROUNDS = 3
"""So often one is filled again, because somebody refreshed the other meanwhile."""

PATH = text("SELECT pg_catalog.current_setting('search_path')")
ON_PATH = text(
    "SELECT pg_catalog.set_config('search_path', :path, true), "
    "pg_catalog.set_config('default_tablespace', '', true)"
)
SAFE = "pg_catalog, pg_temp"


def note(work: Conversion, connection: Connection, oid: int, lost: Collection[str]) -> None:
    """
    Keep the documents of those that read a table, as long as it has its name.

    Raises:
        PgultraError: a name that one needs is taken.
    """
    found = readers(connection, oid, lost)
    _free(connection, found)
    work.entry.state["materialized"] = [dict(each.document) for each in found]


def rehearse(connection: Connection, views: Sequence[Materialized]) -> None:
    """
    Make them and take them back: what would fail later fails now.

    Raises:
        PgultraError: a name that one needs is taken.
    """
    _free(connection, views)
    for view in views:
        savepoint = connection.begin_nested()
        _run(connection, view.creation(view["definition"]))
        _run(connection, view.belongings())
        savepoint.rollback()


def _free(connection: Connection, views: Iterable[Materialized]) -> None:
    """
    Insist that what will be made and dropped under these names is nobody else's.
    """
    for view in views:
        for word in ("new", "old"):
            name = sql.short_name(view.name, "partitions", word)
            if table_oid(connection, view.schema, name) is not None:
                raise PgultraError(
                    f"{view.called(word)} is in the way of materialized view {view.table}, of "
                    "which another is made under this name: rename it, and start again"
                )


def turn(work: Conversion, other: str) -> None:
    """
    Make each of them again that reads the other table, and drop what was there before.

    Args:
        work: whose state has their documents.
        other: the table that has not the name, quoted.

    Raises:
        PgultraError: one could not be filled, or was altered all the time.
    """
    documents = work.entry.state.get("materialized", [])
    _drop(work, "new")  # what an earlier run left
    for document in documents:  # which may become longer
        view = Materialized(document)
        others = [other, *(Materialized(each).called("old") for each in documents)]
        for left in reversed(range(ROUNDS)):
            before = _filled(work, view, others)
            if before is None:
                break
            swap = partial(_swap, work, view, before, others, insist=left > 0)
            if work.patience.until_it_works(swap):
                break
        else:
            raise PgultraError(
                f"materialized view {view.table} is altered again and again while it is made "
                "again for the new table: let it be, and start again"
            )
    _drop(work, "old", "new")


def _filled(work: Conversion, view: Materialized, others: list[str]) -> Materialized | None:
    try:
        return work.patience.until_it_works(partial(_fill, work, view, others))
    except DBAPIError as error:
        if error.connection_invalidated:
            raise
        raise PgultraError(
            f"materialized view {view.table} could not be made again for the table that has the "
            f"name {work.table.fullname} now, and reads the other one still: {error.orig}. Mend "
            "what hinders it, or drop the view; then start again, and it goes on from here"
        ) from error


def _fill(work: Conversion, view: Materialized, others: list[str]) -> Materialized | None:
    """
    One that is complete, but for its name; None if there is nothing to be done.
    """
    with work.patience.transaction(safe=False) as connection:
        path = connection.execute(PATH).scalar_one()
        connection.execute(ON_PATH, {"path": SAFE})
        there = _astray(connection, view, others)
        if there is None:
            return None
        now = look(connection, there.oid)
        new = view.called("new")
        _run(connection, [f"DROP MATERIALIZED VIEW IF EXISTS {new}"])  # of an earlier round
        _run(connection, now.creation(view["definition"]))
        if now["populated"]:
            connection.execute(ON_PATH, {"path": path})  # of REFRESH before PostgreSQL 17
            _run(connection, [f"REFRESH MATERIALIZED VIEW {new}"])
            connection.execute(ON_PATH, {"path": SAFE})
        _run(connection, now.belongings())
        if now["populated"]:
            _run(connection, [f"ANALYZE {new}"])
        return now


def _swap(
    work: Conversion,
    view: Materialized,
    before: Materialized,
    others: list[str],
    *,
    insist: bool,
) -> bool:
    """
    The names; False if the one that was there is not what it was.
    """
    with work.patience.transaction(blocking=True) as connection:
        there = _astray(connection, view, others)
        if there is None:
            return True
        known = {"owner": there.owner, "view_locks": list(there.view_locks)}
        _run(connection, Materialized({**view.document, **known}).held())
        locked = _astray(connection, view, others)
        if locked is None or locked.oid != there.oid:
            return False
        now = look(connection, there.oid)
        if now.shape() != before.shape() or (insist and now["filenode"] != before["filenode"]):
            return False
        _note_more(work, connection, now)
        names = renamed(now, "old", "new", now.made())
        together(connection, [*now.rights(), *names, *turned(now)])
        return True


def _note_more(work: Conversion, connection: Connection, now: Materialized) -> None:
    """
    Those that came since, and read this one: they are turned after it.
    """
    documents = work.entry.state["materialized"]
    known = {(each["schema"], each["name"]) for each in documents}
    for each in now["dependents"]:
        place = (each["schema"], each["name"])
        if each["kind"] == "m" and place not in known:
            oid = table_oid(connection, *place)
            assert oid is not None  # it was there a moment ago, and its reader is locked
            found = look(connection, oid)
            _free(connection, [found])
            documents.append(dict(found.document))
            known.add(place)
    work.journal.write(connection, work.entry)


def reinstate(work: Conversion) -> None:
    """
    Those that gave their names away and are there still get them back.
    """

    def once(view: Materialized) -> None:
        with work.patience.transaction(blocking=True) as connection:
            current = table_oid(connection, view.schema, view.name)
            old = sql.short_name(view.name, "partitions", "old")
            first = table_oid(connection, view.schema, old)
            if current is None or first is None:
                return
            _run(connection, look(connection, current).held())
            now, was = look(connection, current), look(connection, first)
            names = renamed(now, "new", "old", was.parts(), view.parts())
            together(connection, [*names, *turned(now)])

    for document in reversed(work.entry.state.get("materialized", [])):
        work.patience.until_it_works(partial(once, Materialized(document)))
    _drop(work, "new")


def _drop(work: Conversion, *words: str) -> None:
    """
    All in one transaction, so that either each is there still or none.
    """

    def once() -> None:
        with work.patience.transaction() as connection:
            for document in reversed(work.entry.state.get("materialized", [])):
                for word in words:
                    place = Materialized(document).called(word)
                    _run(connection, [f"DROP MATERIALIZED VIEW IF EXISTS {place}"])

    try:
        work.patience.until_it_works(once)
    except DBAPIError as error:
        raise PgultraError(
            f"a materialized view that was made again cannot be dropped: {error.orig}. Drop what "
            "stands on it, and start again"
        ) from error


def _astray(
    connection: Connection, view: Materialized, others: Iterable[str]
) -> Row[tuple[int, str, list[str]]] | None:
    """
    The one that has the name, if it reads another table than it shall; and how it is locked.
    """
    oids = [f"pg_catalog.to_regclass({sql.literal(each)})::pg_catalog.oid" for each in others]
    question = scripted(
        "astray",
        reads=scripted("reads"),
        place=sql.literal(view.table),
        others=", ".join(oids),
    )
    return connection.execute(sql.statement(question)).one_or_none()


def _run(connection: Connection, statements: Iterable[str]) -> None:
    for statement in statements:
        connection.execute(sql.statement(statement))
