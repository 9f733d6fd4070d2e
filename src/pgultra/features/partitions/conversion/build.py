"""
The statements that make the new table beside the old one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pgultra import sql
from pgultra.features.partitions.conversion.acts import Act, Step
from pgultra.features.partitions.conversion.survey import scripted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pgultra.features.partitions.conversion.design import Design
    from pgultra.features.partitions.conversion.homes import Homes

__all__ = ["build", "comment", "granted", "mirror"]


def build(design: Design, homes: Homes, *, caught: bool = True) -> Step:
    """
    The new table with its partitions and indexes, empty.

    Args:
        design: what it shall be.
        homes: its partitions.
        caught: whether rows outside of all partitions are caught.
    """
    nets = list(homes.nets()) if caught else []
    acts = [
        *_table(design),
        *(Act(text) for text in _indexes(design)),
        *(Act(text) for text in _columns(design)),
        *(Act(text) for text in homes.statements()),
        *(Act(text) for text in _belongings(design)),
        *(Act(text) for text in _told_apart(design, homes)),
        *(Act(f"CREATE TABLE {net} PARTITION OF {table} DEFAULT") for table, net in nets),
    ]
    return Step(
        "build",
        f"the new table {design.names.new_name}, with {len(homes.named)} partitions",
        tuple(acts),
        notes=("nobody else sees it; a DEFAULT partition catches rows outside of all others",),
    )


def _table(design: Design) -> Iterator[Act]:
    names = design.names
    yield Act(
        f"CREATE TABLE {names.new} (LIKE {names.table} INCLUDING DEFAULTS INCLUDING CONSTRAINTS "
        "INCLUDING GENERATED INCLUDING STORAGE INCLUDING COMPRESSION INCLUDING COMMENTS) "
        f"PARTITION BY {design.clause}",
    )
    if not design.old["is_me"]:
        yield Act(f"ALTER TABLE {names.new} OWNER TO {sql.identifier(design.old['owner'])}")


def _indexes(design: Design) -> Iterator[str]:
    names = design.names
    by_name = {each.name: each for each in names.called if each.kind == "INDEX"}
    for each in design.indexes:
        temporary = sql.identifier(by_name[each.name].new)
        if each.tablespace is not None:
            yield f"SET LOCAL default_tablespace = {sql.literal(each.tablespace)}"
        if each.constraint is not None:
            yield f"ALTER TABLE {names.new} ADD CONSTRAINT {temporary} {each.constraint}"
            target = f"CONSTRAINT {temporary} ON {names.new}"
        else:
            unique = "UNIQUE " if each.unique else ""
            yield f"CREATE {unique}INDEX {temporary} ON {names.new} {each.tail}"
            target = f"INDEX {sql.qualified(names.schema, by_name[each.name].new)}"
        if each.tablespace is not None:
            yield "SET LOCAL default_tablespace = ''"
        yield from comment(target, each.comment)


def _columns(design: Design) -> Iterator[str]:
    """
    Identity, and what the planner was told of columns.
    """
    names = design.names
    sequences = {each["column"]: each for each in design.old["sequences"] if each["internal"]}
    called = {each.name: each for each in names.called if each.kind == "SEQUENCE"}
    for column in design.old.columns:
        at = f"ALTER TABLE {names.new} ALTER COLUMN {sql.identifier(column['name'])}"
        if column["identity"]:
            sequence = sequences[column["name"]]
            place = sql.qualified(names.schema, called[sequence["name"]].new)
            when = "ALWAYS" if column["identity"] == "a" else "BY DEFAULT"
            yield (
                f"{at} ADD GENERATED {when} AS IDENTITY "
                f"(SEQUENCE NAME {place} {sequence['options']})"
            )
            yield from comment(f"SEQUENCE {place}", sequence["comment"])
            yield from granted(sequence["grants"], f"SEQUENCE {place}")
        if column["target"] is not None:
            yield f"{at} SET STATISTICS {int(column['target'])}"
        if column["options"]:
            yield f"{at} SET ({', '.join(column['options'])})"


def _belongings(design: Design) -> Iterator[str]:
    old, names = design.old, design.names
    called = {each.name: each for each in names.called if each.kind == "STATISTICS"}
    for each in old["statistics"]:
        place = sql.qualified(names.schema, called[each["name"]].new)
        yield f"CREATE STATISTICS {place} {each['what']} FROM {names.new}"
        if each["target"] is not None:
            yield f"ALTER STATISTICS {place} SET STATISTICS {int(each['target'])}"
        yield from comment(f"STATISTICS {place}", each["comment"])
    yield from comment(f"TABLE {names.new}", old["comment"])
    if old["row_security"]:
        yield f"ALTER TABLE {names.new} ENABLE ROW LEVEL SECURITY"


def _told_apart(design: Design, homes: Homes) -> Iterator[str]:
    """
    How logical replication tells rows apart; partitions do not inherit it.
    """
    kind = {"f": "FULL", "n": "NOTHING"}.get(design.old["replica_identity"])
    if kind is not None:
        for name, _ in homes.tables():
            place = sql.qualified(design.names.schema, name)
            yield f"ALTER TABLE {place} REPLICA IDENTITY {kind}"


def comment(target: str, text: str | None) -> Iterator[str]:
    """
    The statement that writes a comment, if there is one.
    """
    if text is not None:
        yield f"COMMENT ON {target} IS {sql.literal(text)}"


def granted(grants: Iterable[Sequence[Any]], target: str) -> Iterator[str]:
    """
    The statements that give the same rights on something else.
    """
    for privilege, column, grantable, grantee in grants:
        on = f" ({sql.identifier(column)})" if column else ""
        to = "PUBLIC" if grantee is None else sql.identifier(grantee)
        option = " WITH GRANT OPTION" if grantable else ""
        yield f"GRANT {privilege}{on} ON {target} TO {to}{option}"


def mirror(design: Design) -> Step:
    """
    The triggers that bring every change of the old table to the new one.
    """
    names, route = design.names, design.route()
    texts = [
        *function(design, names.forward, route.mirror()),
        *function(
            design,
            names.emptied(names.forward),
            scripted(
                "empty",
                oid=f"'{design.old.oid}'",
                target=names.new,
                target_quoted=names.new.replace("'", "''"),
            ),
        ),
    ]
    acts = [Act(text) for text in texts]
    acts += [Act(text) for text in triggers(design, names.table, names.forward)]
    return Step(
        "mirror",
        "from here on, every change of the old table reaches the new one too",
        tuple(acts),
    )


def function(design: Design, name: str, body: str) -> Iterator[str]:
    """
    A trigger function with the rights of the table's owner.

    Who may write to the table need not have rights on its copy.
    """
    place = sql.qualified(design.names.schema, name)
    yield (
        f"CREATE OR REPLACE FUNCTION {place}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER "
        f"SET search_path = pg_catalog, pg_temp AS {sql.dollar(body)}"
    )
    if not design.old["is_me"] and not design.old["forced"]:
        yield f"ALTER FUNCTION {place}() OWNER TO {sql.identifier(design.old['owner'])}"
    yield f"REVOKE ALL ON FUNCTION {place}() FROM PUBLIC"


def triggers(design: Design, table: str, name: str) -> Iterator[str]:
    """
    Triggers that fire whatever ``session_replication_role`` says.
    """
    emptied = design.names.emptied(name)
    for trigger, events, level in (
        (name, "INSERT OR UPDATE OR DELETE", "ROW"),
        (emptied, "TRUNCATE", "STATEMENT"),
    ):
        quoted = sql.identifier(trigger)
        place = sql.qualified(design.names.schema, trigger)
        yield (
            f"CREATE TRIGGER {quoted} AFTER {events} ON {table} FOR EACH {level} "
            f"EXECUTE FUNCTION {place}()"
        )
        yield f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {quoted}"
