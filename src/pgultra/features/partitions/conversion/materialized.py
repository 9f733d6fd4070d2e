"""
Materialized views that read the table: what they have, and the statements that make it again.

A materialized view cannot be turned to another table. While the names are exchanged it is left
as it is, and reads the old table, which triggers keep the same. Afterwards one more is made from
its definition, filled while everybody reads the first, and takes its name.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pgultra import sql
from pgultra.features.partitions.conversion.acts import Act
from pgultra.features.partitions.conversion.build import comment, granted
from pgultra.features.partitions.conversion.exchange import turned
from pgultra.features.partitions.conversion.survey import Survey, scripted, survey

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from sqlalchemy import Connection

__all__ = [
    "Materialized",
    "in_the_way",
    "look",
    "planned_views",
    "readers",
    "renamed",
    "view_notes",
]

SAME = (
    *("owner", "options", "toast_options", "tablespace", "method", "comment", "replica_identity"),
    *("columns", "column_settings", "indexes", "index_settings", "statistics"),
    *("statistics_settings", "populated", "labels", "extensions"),
)
"""What a new one has from the start; rights are given when it takes the name."""

Part = tuple[str, str, str]
"""ALTER what, its schema, its name."""


class Materialized(Survey):
    """
    One materialized view as the catalog knows it.

    >>> view = Materialized({"schema": "shop", "name": "daily"})
    >>> view.called("new")
    'shop.daily_partitions_new'
    """

    def called(self, word: str) -> str:
        """
        What it is called while it is made (``new``), or has given its name away (``old``).
        """
        return sql.qualified(self.schema, _called(self.name, word))

    def parts(self) -> list[Part]:
        """
        What has names of its own, but for itself.
        """
        indexes = [("INDEX", self.schema, each["name"]) for each in self["indexes"]]
        statistics = [("STATISTICS", each["schema"], each["name"]) for each in self["statistics"]]
        return indexes + statistics

    def shape(self) -> str:
        """
        A fingerprint of what a new one is made with.
        """
        return sql.fingerprint(json.dumps([self[word] for word in SAME], sort_keys=True))

    def creation(self, definition: str) -> Iterator[str]:
        """
        The statements that make a new one, empty.

        Args:
            definition: of a time when the tables that it shall read had their final names.
        """
        new = self.called("new")
        columns = ", ".join(sql.identifier(each["name"]) for each in self.columns)
        options = [*self["options"], *(f"toast.{each}" for each in self["toast_options"])]
        text = f"CREATE MATERIALIZED VIEW {new}"
        text += f" ({columns})" if columns else ""
        text += f" USING {sql.identifier(self['method'])}"
        text += f" WITH ({', '.join(options)})" if options else ""
        text += f" TABLESPACE {sql.identifier(self['tablespace'])}" if self["tablespace"] else ""
        yield f"{text} AS {definition.strip().rstrip(';')} WITH NO DATA"
        if not self["is_me"]:
            yield f"ALTER MATERIALIZED VIEW {new} OWNER TO {sql.identifier(self['owner'])}"
        yield scripted("revoke", table=sql.literal(new))  # none that defaults have given
        yield from comment(f"MATERIALIZED VIEW {new}", self["comment"])
        yield from self._columns(new)

    def _columns(self, new: str) -> Iterator[str]:
        settings = {each["name"]: each for each in self["column_settings"]}
        for column in self.columns:
            at = f"{new}.{sql.identifier(column['name'])}"
            alter = f"ALTER MATERIALIZED VIEW {new} ALTER COLUMN {sql.identifier(column['name'])}"
            setting = settings[column["name"]]
            if setting["storage"] is not None:
                yield f"{alter} SET STORAGE {setting['storage']}"
            if setting["compression"] is not None:
                yield f"{alter} SET COMPRESSION {setting['compression']}"
            if column["target"] is not None:
                yield f"{alter} SET STATISTICS {int(column['target'])}"
            if column["options"]:
                yield f"{alter} SET ({', '.join(column['options'])})"
            yield from comment(f"COLUMN {at}", setting["comment"])

    def belongings(self) -> Iterator[str]:
        """
        The statements that make its indexes and statistics, best once it is filled.
        """
        new = self.called("new")
        for each in self["indexes"]:
            if each["valid"]:
                yield from self._index(new, each)
        if self["replica_identity"] in ("f", "n"):
            kind = {"f": "FULL", "n": "NOTHING"}[self["replica_identity"]]
            yield f"ALTER MATERIALIZED VIEW {new} REPLICA IDENTITY {kind}"
        settings = {each["name"]: each for each in self["statistics_settings"]}
        for each in self["statistics"]:
            place = sql.qualified(each["schema"], _called(each["name"], "new"))
            yield f"CREATE STATISTICS {place} {each['what']} FROM {new}"
            yield from comment(f"STATISTICS {place}", each["comment"])
            setting = settings[each["name"]]
            if setting["target"] is not None:
                yield f"ALTER STATISTICS {place} SET STATISTICS {int(setting['target'])}"
            if setting["owner"] is not None:
                yield f"ALTER STATISTICS {place} OWNER TO {sql.identifier(setting['owner'])}"

    def _index(self, new: str, each: Any) -> Iterator[str]:
        name = sql.identifier(_called(each["name"], "new"))
        place = f"{sql.identifier(self.schema)}.{name}"
        setting = next(one for one in self["index_settings"] if one["name"] == each["name"])
        if setting["tablespace"] is not None:
            yield f"SET LOCAL default_tablespace = {sql.literal(setting['tablespace'])}"
        yield f"CREATE {'UNIQUE ' if each['unique'] else ''}INDEX {name} ON {new} {each['tail']}"
        if setting["tablespace"] is not None:
            yield "SET LOCAL default_tablespace = ''"
        for number, target in setting["targets"]:
            yield f"ALTER INDEX {place} ALTER COLUMN {int(number)} SET STATISTICS {int(target)}"
        if each["clustered"]:
            yield f"ALTER MATERIALIZED VIEW {new} CLUSTER ON {name}"
        if each["is_identity"]:
            yield f"ALTER MATERIALIZED VIEW {new} REPLICA IDENTITY USING INDEX {name}"
        yield from comment(f"INDEX {place}", each["comment"])

    def rights(self) -> Iterator[str]:
        """
        The statements that give the same rights on the new one.
        """
        new = self.called("new")
        yield from granted(self["grants"], new)
        for privilege in self["denied"]:
            yield f"REVOKE {privilege} ON {new} FROM {sql.identifier(self['owner'])}"

    def held(self) -> Iterator[str]:
        """
        The statements that lock it, and change nothing: LOCK takes no materialized views.

        Plain views on it come first, as they do for who reads it through them: a reader that had
        locked one and waited for this would never let us have the view.
        """
        yield from self["view_locks"]
        yield f"ALTER MATERIALIZED VIEW {self.table} OWNER TO {sql.identifier(self['owner'])}"

    def made(self) -> list[Part]:
        """
        What the new one has by the statements above.
        """
        invalid = {each["name"] for each in self["indexes"] if not each["valid"]}
        kept = [each for each in self.parts() if each[0] != "INDEX" or each[2] not in invalid]
        return [(kind, schema, _called(name, "new")) for kind, schema, name in kept]


def _called(name: str, word: str) -> str:
    return sql.short_name(name, "partitions", word)


def renamed(
    view: Materialized, away: str, come: str, coming: Iterable[Part], known: Iterable[Part] = ()
) -> Iterator[str]:
    """
    The statements by which one gives its name away and another takes it.

    Args:
        view: the one that has the name.
        away: what it is called from then on: ``old`` or ``new``.
        come: what the other one is called until then.
        coming: what the other one has.
        known: names that either may have, or had.
    """
    finals = {(p[0], p[1], _called(p[2], come)): p[2] for p in (*known, *view.parts())}
    for kind, schema, name in view.parts():
        place, after = sql.qualified(schema, name), sql.identifier(_called(name, away))
        yield f"ALTER {kind} {place} RENAME TO {after}"
    after = sql.identifier(_called(view.name, away))
    yield f"ALTER MATERIALIZED VIEW {view.table} RENAME TO {after}"
    for part in coming:
        if part in finals:
            place, after = sql.qualified(part[1], part[2]), sql.identifier(finals[part])
            yield f"ALTER {part[0]} {place} RENAME TO {after}"
    name = sql.identifier(view.name)
    yield f"ALTER MATERIALIZED VIEW {view.called(come)} RENAME TO {name}"


def look(connection: Connection, oid: int) -> Materialized:
    """
    Read one materialized view; the search_path must be ``pg_catalog``.
    """
    found = survey(connection, oid)
    more = scripted("materialized", oid=str(int(oid)), reads=scripted("reads"))
    document = json.loads(connection.execute(sql.statement(more)).scalar_one())
    return Materialized({**found.document, **document})


def readers(connection: Connection, oid: int, lost: Collection[str] = ()) -> list[Materialized]:
    """
    The materialized views that read a table, and those that read such a one; each after these.

    Args:
        connection: with ``pg_catalog`` as search_path.
        oid: of the table.
        lost: names of those that are left alone.
    """
    names = ", ".join(sql.literal(each) for each in sorted(lost))
    question = scripted(
        "readers",
        reads=scripted("reads"),
        oid=str(int(oid)),
        lost=f"ARRAY[{names}]::pg_catalog.text[]",
    )
    found = connection.execute(sql.statement(question)).scalars().all()
    return [look(connection, each) for each in found]


def in_the_way(views: Sequence[Materialized], lost: Collection[str]) -> Iterator[str]:
    """
    A sentence for each thing that keeps a materialized view from coming along.
    """
    for view in views:
        place = f"materialized view {view.schema}.{view.name}"
        leave = f"leave it with the old table until that goes: give_up=[{view.name!r}]"
        if not view["is_mine"]:
            yield (
                f"{place} must be made again for the new table, and belongs to {view['owner']}: "
                f"convert as a member of that role too, or {leave}"
            )
        elif not (view["may_create"] and view["owner_may_create"]):
            yield (
                f"{place} must be made again for the new table, and this role and its owner need "
                f"for it: GRANT CREATE ON SCHEMA {sql.identifier(view.schema)}; or {leave}"
            )
        if view["extensions"] or view["labels"]:
            what = ", ".join(view["extensions"]) or "a security label"
            yield (
                f"{place} or an index of it is tied to {what}, which a new one would not be: untie "
                f"it before and tie it again afterwards, or {leave}"
            )
        if view["populated"] and view["unpopulated"]:
            yield (
                f"{place} has rows, and cannot be filled again, for it reads "
                f"{', '.join(view['unpopulated'])}, which is not populated: REFRESH that first, "
                f"or {leave}"
            )
        yield from _standing(view, place, leave, lost)


def _standing(view: Materialized, place: str, leave: str, lost: Collection[str]) -> Iterator[str]:
    for each in view["dependents"]:
        named = f"{each['schema']}.{each['name']}"
        if each["kind"] == "v" and not each["is_mine"]:
            yield (
                f"view {named} reads {place} and must be turned to a new one, and belongs to "
                f"another role: convert as a member of that role too, or {leave}"
            )
        elif each["kind"] == "m" and each["name"] in lost:
            yield (
                f"materialized view {named} is given up, but reads {place}, which comes along: "
                f"take it out of give_up, or {leave}"
            )
        elif (each["kind"] == "v" and each["rule"] != "_RETURN") or each["kind"] not in "vm":
            yield (
                f"{each['described']} stands on {place} or its row type: drop it before and make "
                f"it again afterwards, or {leave}"
            )


def planned_views(views: Sequence[Materialized]) -> Iterator[Act]:
    """
    All statements for these views, as a plan shows them.
    """
    for view in views:
        new = view.called("new")
        texts = list(view.creation(view["definition"]))
        if view["populated"]:
            texts.append(f"REFRESH MATERIALIZED VIEW {new}")
        texts += view.belongings()
        if view["populated"]:
            texts.append(f"ANALYZE {new}")
        texts += view.held()
        texts += view.rights()
        texts += renamed(view, "old", "new", view.made())
        texts += turned(view)
        yield from map(Act, texts)
    for view in reversed(views):
        yield Act(f"DROP MATERIALIZED VIEW IF EXISTS {view.called('old')}")


def view_notes(views: Iterable[Materialized]) -> Iterator[str]:
    """
    A sentence for each thing that will not be as it was.
    """
    for view in views:
        place = f"materialized view {view.schema}.{view.name}"
        if view["populated"]:
            yield f"{place} is filled anew after the exchange, and shows the table of then"
        for each in view["indexes"]:
            if not each["valid"]:
                yield f"index {each['name']} of {place} is INVALID and is left behind"
