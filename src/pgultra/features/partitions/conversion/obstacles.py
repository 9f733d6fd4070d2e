"""
Why a table cannot be converted, and what to do about it: said before anything starts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgultra.errors import PgultraError
from pgultra.features.partitions.conversion.leafwise import (
    NOT_VALID,
    leafwise,
    refused_meanwhile,
)
from pgultra.features.partitions.conversion.survey import table_oid
from pgultra.features.partitions.conversion.widen import identity

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import sqlalchemy as sa
    from sqlalchemy import Connection

    from pgultra.features.partitions.conversion.design import Design
    from pgultra.features.partitions.rules import Rules

__all__ = ["name_taken", "notes", "obstacles", "refuse"]


def refuse(table: sa.Table, sentences: Iterable[str]) -> None:
    """
    Say all that stands in the way.

    Raises:
        PgultraError: something does.
    """
    listed = "\n".join(f"  - {each}" for each in sentences)
    if listed:
        raise PgultraError(
            f"{table.fullname} cannot be converted as it is; nothing was changed:\n{listed}"
        )


def obstacles(design: Design, table: sa.Table, rules: Rules) -> Iterator[str]:
    """
    A sentence for each thing that cannot be, with the way out.
    """
    yield from _table(design)
    yield from _columns(design, table)
    yield from _unique_rules(design)
    yield from _constraints(design)
    yield from _references(design)
    yield from _widened(design)
    yield from _triggers(design)
    yield from _dependents(design)
    yield from _publications(design)


def name_taken(connection: Connection, design: Design) -> Iterator[str]:
    """
    A sentence if something has the name that the old table will get.
    """
    if table_oid(connection, design.names.schema, design.names.old_name) is not None:
        yield f"{design.names.old} is there already, and the old table gets this name: rename it"


def _table(design: Design) -> Iterator[str]:
    old = design.old
    if not old["is_mine"]:
        yield (f"the table belongs to {old['owner']}: connect as that role, or as a member of it")
    if not old["may_create"]:
        yield f"this role may not create tables in {old.schema}: GRANT CREATE ON SCHEMA"
    if old["persistence"] != "p":
        yield "it is UNLOGGED, which a partitioned table cannot be: ALTER TABLE … SET LOGGED first"
    if old["typed"]:
        yield "it is a typed table (OF type): ALTER TABLE … NOT OF first"
    if old["parents"] or old["heirs"]:
        yield "it inherits, or is inherited from: ALTER TABLE … NO INHERIT first"
    if old["rules"]:
        yield "it has rules (CREATE RULE): drop them, and write them as triggers if you need them"
    for each in old["statistics"]:
        if each["schema"] != old.schema:
            yield (
                f"statistics {each['schema']}.{each['name']} lie in another schema than the table: "
                "ALTER STATISTICS … SET SCHEMA first"
            )
    if old["subscriptions"]:
        yield (
            f"subscription {', '.join(old['subscriptions'])} feeds it, and would go on to feed the "
            "old table: stop the writers of the publisher, take the table out of its publication "
            "and ALTER SUBSCRIPTION … REFRESH PUBLICATION; when it is converted, put it in again "
            "and REFRESH PUBLICATION WITH (copy_data = false)"
        )
    if old["replica_identity"] == "i":
        yield (
            "its replica identity is an index, which each partition would need for itself: ALTER "
            "TABLE … REPLICA IDENTITY DEFAULT (the primary key) or FULL first"
        )
    if old["forced"] and not old["sees_all"]:
        yield (
            "row security is forced on its owner, who would copy only what it sees: convert as a "
            "role with BYPASSRLS, or say ALTER TABLE … NO FORCE ROW LEVEL SECURITY meanwhile"
        )


def _columns(design: Design, table: sa.Table) -> Iterator[str]:
    old = design.old
    known = {each["name"] for each in old.columns}
    missing = [name for name in (*design.key, *design.partition_key) if name not in known]
    if missing:
        yield (
            f"it has no column {', '.join(dict.fromkeys(missing))}, which the model's key needs: "
            "add and fill it in a migration first"
        )
        return
    if not design.key:
        yield "the model has no primary key, so rows cannot be told apart"
    elif next(design.page_keys(), None) is None:
        yield (
            f"no unique key of the table lies within the model's primary key "
            f"({', '.join(design.key)}), so its rows cannot be told apart: the model's key must "
            "hold a key of the table, and the partition key"
        )
    for name in dict.fromkeys((*design.key, *design.partition_key)):
        column = old.column(name)
        if column is not None and not column["not_null"]:
            yield (
                f"column {name} may be NULL, which a primary key forbids. Without a long lock: "
                f"ALTER TABLE … ADD CHECK ({name} IS NOT NULL) NOT VALID; VALIDATE CONSTRAINT; "
                "ALTER COLUMN … SET NOT NULL; then drop the check"
            )
        if column is not None and column["generated"]:
            yield f"column {name} is generated, which a partition key and a copied key cannot be"


def _unique_rules(design: Design) -> Iterator[str]:
    replaced = {each.instead for each in design.indexes}
    key = ", ".join(design.partition_key)
    for index in design.old["indexes"]:
        if index["primary"] or not index["unique"] or index["name"] in design.lost:
            continue
        holds = set(design.partition_key) <= set(index["columns"])
        if not holds and index["valid"] and index["name"] not in replaced:
            yield (
                f"unique {index['name']} ({', '.join(index['columns']) or 'an expression'}) does "
                f"not hold the partition key ({key}), and PostgreSQL has no unique index across "
                "partitions. Declare it with the key on the model, or accept that it is lost: "
                f"give_up=[{index['name']!r}]"
            )


def _constraints(design: Design) -> Iterator[str]:
    for each in design.old["constraints"]:
        if each["name"] in design.lost:
            continue
        itself = each["type"] == "f" and each["refers_to"] == design.old["oid"]
        if not each["validated"] and not (itself and design.old["version"] >= NOT_VALID):
            yield (
                f"constraint {each['name']} is not validated, and a copy would refuse what breaks "
                "it: ALTER TABLE … VALIDATE CONSTRAINT first"
            )
        if each["type"] == "p" and each["deferrable"] and tuple(each["columns"]) == design.key:
            yield (
                f"primary key {each['name']} is DEFERRABLE, and rows cannot be told apart by it "
                "while they are copied: make it again without that"
            )
        if each["no_inherit"]:
            yield f"CHECK {each['name']} is NO INHERIT, which a partitioned table cannot have"
        if each["type"] == "x":
            yield (
                f"exclusion constraint {each['name']} cannot hold across partitions: drop it, or "
                f"accept that it is lost: give_up=[{each['name']!r}]"
            )


def _references(design: Design) -> Iterator[str]:
    unique = {each.columns for each in design.indexes if each.constraint}
    widened = {identity(each.each) for each in design.widened}
    for each in design.old["incoming"]:
        if each["name"] in design.lost:
            continue
        place = f"{each['schema']}.{each['table']}"
        if frozenset(each["columns"]) not in unique and identity(each) not in widened:
            columns = ", ".join(each["columns"])
            key = ", ".join(design.partition_key)
            yield (
                f"foreign key {each['name']} of {place} refers to ({columns}), which will not be "
                f"unique without the partition key ({key}). Give the model of {place} a column for "
                "the key and a ForeignKeyConstraint that refers to both: the conversion adds the "
                f"column and fills it; or accept that it is lost: give_up=[{each['name']!r}]"
            )
        elif not each["is_mine"]:
            yield (
                f"foreign key {each['name']} of {place} must be turned to the new table, and "
                f"{place} belongs to another role"
            )
        elif each["namesake"] is not None and leafwise(design, each, back=False):
            yield (
                f"foreign key {each['name']} of {place} must be made on each of its partitions, "
                f"and {each['namesake']} has a constraint of that name: rename that one"
            )


def _widened(design: Design) -> Iterator[str]:
    """
    Why a foreign key cannot get the columns that the model says it has.
    """
    for each in design.widened:
        place = f"{each.each['schema']}.{each.each['table']}"
        told = f"foreign key {each.each['name']} of {place} gets {', '.join(dict(each.added))}"
        if each.each["owner"] != design.old["owner"]:
            yield (
                f"{told}, which triggers with the rights of {design.old['owner']} fill, and "
                f"{place} belongs to {each.each['owner']}: ALTER TABLE … OWNER TO meanwhile"
            )
        if each.each["forced"] and not design.old["sees_all"]:
            yield (
                f"{told}, and row security is forced on the owner of {place}, so that some of its "
                "rows could not be filled: ALTER TABLE … NO FORCE ROW LEVEL SECURITY meanwhile"
            )
        if each.primary is not None and each.each["kind"] == "p":
            yield (
                f"{told}, which its primary key gets too, and {place} is partitioned, so that no "
                "index for that can be built while it is used: leave its primary key as it is"
            )
        elif each.primary is not None and each.each["primary"]["referred"]:
            yield (
                f"{told}, which its primary key gets too, and foreign keys of other tables, or "
                "views that group by it, stand on that: drop them before, and make them again, "
                "with the columns, afterwards"
            )


def _triggers(design: Design) -> Iterator[str]:
    for each in design.old["triggers"]:
        if each["each_row"] and each["transition"] and each["name"] not in design.lost:
            yield (
                f"trigger {each['name']} is FOR EACH ROW with transition tables, which PostgreSQL "
                "refuses on partitions: write it FOR EACH STATEMENT, or accept that it is lost: "
                f"give_up=[{each['name']!r}]"
            )


def _dependents(design: Design) -> Iterator[str]:
    changed = any(
        each["type"] == "p" and tuple(each["columns"]) != design.key
        for each in design.old["constraints"]
    )
    for each in design.old["dependents"]:
        name = each["name"] or each["described"]
        if name in design.lost:
            continue
        if each["kind"] == "v" and not each["is_mine"]:
            yield (
                f"view {each['schema']}.{each['name']} must be turned to the new table, and "
                "belongs to another role"
            )
        elif each["kind"] not in ("m", "other") and each["rule"] != "_RETURN":
            yield f"{each['described']} uses the table: drop it before, make it again afterwards"
        elif each["kind"] in "vm" and each["by_key"] and changed:
            kind = "view" if each["kind"] == "v" else "materialized view"
            yield (
                f"{kind} {each['schema']}.{each['name']} groups by the primary key, which gets a "
                "column more: list all columns in its GROUP BY"
            )
        elif each["kind"] == "other":
            yield (
                f"{each['described']} stands on the table or its row type, and would stay with the "
                "old one: drop it before and make it again afterwards; with "
                f"give_up=[{each['described']!r}] it stays until `finish`, which it then stops"
            )


def _publications(design: Design) -> Iterator[str]:
    for each in design.old["publications"]:
        name = each["name"]
        if each["all_tables"] or each["by_schema"]:
            if not each["via_root"]:
                yield (
                    f"publication {name} publishes every table, the copy included, and each "
                    "partition under its own name: ALTER PUBLICATION … SET "
                    "(publish_via_partition_root = true), and see to it that subscribers "
                    "know the new table"
                )
        elif not each["is_mine"] and name not in design.lost:
            yield f"publication {name} lists the table, and belongs to another role"
        elif not each["via_root"] and each["others_partitioned"] and name not in design.lost:
            yield (
                f"publication {name} publishes partitions under their own names, and lists other "
                "partitioned tables: set publish_via_partition_root = true when that suits them"
            )


def notes(design: Design) -> Iterator[str]:
    """
    A sentence for each thing that will not be as it was.
    """
    for each in design.old["constraints"]:
        if each["type"] == "p" and tuple(each["columns"]) != design.key:
            yield (
                f"({', '.join(each['columns'])}) alone will not be unique any more: the primary "
                f"key becomes ({', '.join(design.key)})"
            )
    for widened in design.widened:
        yield (
            f"foreign key {widened.each['name']} of {widened.place} refers to "
            f"({', '.join(widened.theirs)}) no more, but becomes {widened.definition}"
        )
    yield from refused_meanwhile(design)
    for index in design.old["indexes"]:
        without = not set(design.partition_key) <= set(index["columns"])
        if (
            index["unique"]
            and not index["primary"]
            and without
            and index["name"] not in design.lost
        ):
            yield (
                f"unique {index['name']} gets the partition key: its columns alone will not be "
                "unique any more"
            )
        if not index["valid"]:
            yield f"index {index['name']} is INVALID and is left behind"
    for name in sorted(design.lost):
        yield f"{name} is given up"
    for each in design.old["publications"]:
        if not each["via_root"] and not each["all_tables"]:
            yield f"publication {each['name']} gets publish_via_partition_root = true"
