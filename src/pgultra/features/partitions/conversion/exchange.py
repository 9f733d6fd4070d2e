"""
The moment in which the new table takes the old one's place, and the one in which it gives way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pgultra import sql
from pgultra.features.partitions.conversion.acts import Act, Step
from pgultra.features.partitions.conversion.build import (
    comment,
    function,
    granted,
    identities,
    triggers,
)
from pgultra.features.partitions.conversion.privacy import revoked
from pgultra.features.partitions.conversion.survey import scripted
from pgultra.features.partitions.conversion.ties import let_go, taken_hold

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pgultra.features.partitions.conversion.design import Design
    from pgultra.features.partitions.conversion.survey import Survey

__all__ = [
    "UNTIED",
    "clean_up",
    "exchange",
    "finish",
    "give_back",
    "turned",
    "untie_new",
    "untie_old",
]

UNTIED = "untie"
"""The step after which nothing keeps the old table the same any more."""

STATES = {"D": "DISABLE", "A": "ENABLE ALWAYS", "R": "ENABLE REPLICA", "O": "ENABLE"}


def exchange(
    design: Design, now: Survey, nets: Iterable[tuple[str, str]], statement_leaves: Iterable[str]
) -> Step:
    """
    The new table takes the name, and all that belongs to it.

    Args:
        design: what was planned.
        now: the old table as it is at this moment.
        nets: the partitions that catch what has no place, with their parents.
        statement_leaves: the partitions, which need the statement triggers too.
    """
    names = design.names
    leaves = list(statement_leaves)
    acts = [_locked(design, names.table, names.new)]
    acts += [Act(text) for text in _without_nets(nets)]
    acts += [Act(text) for text in _drop_triggers(design, names.table, names.forward)]
    acts += [Act(text) for text in let_go(design)]
    acts += [Act(text) for each in design.widened for text in each.exchange(design)]
    acts += [Act(text) for text in _quiet(design, now, names.table)]
    acts += [Act(text) for text in names.take()]
    acts += [Act(text) for text in identities(design, names.table, "ALWAYS")]
    acts += [Act(text) for text in identities(design, names.old, "BY DEFAULT")]
    acts += [Act(text) for text in _sequences(design, "old", names.table)]
    acts += [Act(text) for text in taken_hold(design)]
    acts += [Act(text) for text in _rights(now, names.table)]
    acts += [Act(text) for text in _policies(now, names.table)]
    acts += [Act(text) for text in _with_triggers(design, now, leaves)]
    acts += [Act(text) for text in turned(now)]
    acts += [Act(text) for text in _published(design, now)]
    back = design.route().reversed(names.table, names.old)
    acts += [Act(text) for text in function(design, names.back, back.mirror())]
    emptied = names.emptied(names.back)
    new = f"{sql.literal(names.table)}::pg_catalog.regclass"
    body = scripted("empty", oid=new, target=names.old, target_quoted=names.old.replace("'", "''"))
    acts += [Act(text) for text in function(design, emptied, body)]
    acts += [Act(text) for text in triggers(design, names.table, names.back)]
    for leaf in leaves:
        acts += [Act(text) for text in list(triggers(design, leaf, names.back))[2:]]
    return Step(
        "exchange",
        "the new table takes the name; the old one is kept the same by triggers",
        tuple(acts),
        notes=("one transaction, tried again and again with a short lock_timeout",),
    )


def attached(
    design: Design, now: Survey, leaves: list[str], between: Iterable[str], child: str
) -> Step:
    """
    The new table takes the name, and the old one becomes its partition.

    Args:
        design: what was planned.
        now: the old table as it is at this moment.
        leaves: the partitions, the old table included, by their names afterwards.
        between: what happens between the names and the rest.
        child: the old table's name afterwards.
    """
    names = design.names
    texts = [_locked(design, names.table, names.new).text]
    texts += let_go(design, partition=True)
    for each in now["triggers"]:
        texts.append(f"DROP TRIGGER {sql.identifier(each['name'])} ON {names.table}")
    for widened in design.widened:
        texts += widened.exchange(design)
    texts += names.take()
    texts += identities(design, names.table, "ALWAYS")
    texts += _sequences(design, "old", names.table)
    texts += between
    texts += taken_hold(design)
    texts += _rights(now, names.table)
    texts += _policies(now, names.table)
    texts += _with_triggers(design, now, leaves)
    texts += turned(now)
    texts += _published(design, now, leaving=child)
    return Step(
        "exchange",
        "the new table takes the name, and the old one becomes its first partition",
        tuple(map(Act, texts)),
        notes=("one transaction, tried again and again with a short lock_timeout",),
    )


def give_back(design: Design, now: Survey, before: Survey) -> Step:
    """
    The old table takes its name again.

    Args:
        design: what was planned.
        now: the new table as it is at this moment.
        before: the old table as it was when it gave the name away.
    """
    names = design.names
    acts = [_locked(design, names.table, names.old)]
    acts += [Act(text) for text in _drop_triggers(design, names.table, names.back)]
    acts += [Act(text) for text in let_go(design, back=True)]
    acts += [Act(text) for text in names.give_back()]
    acts += [Act(text) for text in identities(design, names.table, "ALWAYS")]
    acts += [Act(text) for text in _sequences(design, "new", names.table)]
    acts += [Act(text) for text in taken_hold(design, back=True)]
    for each in before["triggers"]:
        if each["name"] not in design.passing:
            state, name = STATES[each["enabled"]], sql.identifier(each["name"])
            acts.append(Act(f"ALTER TABLE {names.table} {state} TRIGGER {name}"))
    if before["forced"]:
        acts.append(Act(f"ALTER TABLE {names.table} FORCE ROW LEVEL SECURITY"))
    acts += [Act(text) for text in turned(now)]
    acts += [Act(text) for text in _published(design, before, back=True)]
    return Step("give_back", "the old table takes its name again", tuple(acts))


def untie_old(design: Design) -> Step:
    """
    The old table loses the triggers that kept it the same, and its foreign keys.

    Whether it can be dropped is tried first: nothing is lost if something stands on it.
    """
    names = design.names
    acts = [
        Act(f"LOCK TABLE {names.table}, {names.old} IN ACCESS EXCLUSIVE MODE"),
        Act("SAVEPOINT tried"),
        Act(f"DROP TABLE {names.old}"),
        Act("ROLLBACK TO SAVEPOINT tried"),
        *(Act(text) for text in _drop_triggers(design, names.table, names.back, leaves=True)),
        Act(scripted("untied", table=sql.literal(names.old))),
    ]
    return Step(UNTIED, "nothing ties the old table any more; there is no way back", tuple(acts))


def finish(design: Design) -> Step:
    """
    The old table goes; to remove the files of a big one takes a while, and nobody waits for it.
    """
    return Step("finish", "the old table goes", (Act(f"DROP TABLE {design.names.old}"),))


def untie_new(design: Design, *, mirrored: bool) -> Iterator[Act]:
    """
    The new table gets no changes any more, and loses its foreign keys.

    Args:
        design: what was planned.
        mirrored: whether the old table may still have its triggers.
    """
    names = design.names
    if mirrored:
        for each in (names.forward, names.emptied(names.forward)):
            trigger = sql.identifier(each)
            yield Act(f"DROP TRIGGER IF EXISTS {trigger} ON {names.table}")
    yield Act(scripted("untied", table=sql.literal(names.new)))


def clean_up(design: Design) -> Iterator[Act]:
    """
    The new table goes, and what brought changes to it or from it.
    """
    names = design.names
    yield Act(f"DROP TABLE {names.new}")
    for each in (names.forward, names.back):
        for function_name in (each, names.emptied(each)):
            place = sql.qualified(names.schema, function_name)
            cascade = " CASCADE" if function_name == names.emptied(each) else ""
            yield Act(f"DROP FUNCTION IF EXISTS {place}(){cascade}")  # triggers of detached ones


def _locked(design: Design, first: str, second: str) -> Act:
    tables = [first, second]
    tables += [sql.qualified(each["schema"], each["table"]) for each in design.incoming]
    listed = ", ".join(dict.fromkeys(tables))
    return Act(f"LOCK TABLE {listed} IN ACCESS EXCLUSIVE MODE")


def _without_nets(nets: Iterable[tuple[str, str]]) -> Iterator[str]:
    for table, net in nets:
        yield scripted("caught", table=net, table_quoted=net.replace("'", "''"))
        yield f"ALTER TABLE {table} DETACH PARTITION {net}"
        yield f"DROP TABLE {net}"


def _drop_triggers(design: Design, table: str, name: str, *, leaves: bool = False) -> Iterator[str]:
    emptied = design.names.emptied(name)
    for each in (name, emptied):
        yield f"DROP TRIGGER {sql.identifier(each)} ON {table}"
    if name == design.names.forward or leaves:
        cascade = " CASCADE" if leaves else ""  # triggers of its own on partitions made since
        yield f"DROP FUNCTION {sql.qualified(design.names.schema, name)}()"
        yield f"DROP FUNCTION {sql.qualified(design.names.schema, emptied)}(){cascade}"


def _quiet(design: Design, now: Survey, table: str) -> Iterator[str]:
    """
    What the old table did by itself, the new one does from now on.
    """
    for each in now["triggers"]:
        if each["name"] not in design.passing and each["enabled"] != "D":
            yield f"ALTER TABLE {table} DISABLE TRIGGER {sql.identifier(each['name'])}"
    if now["forced"]:
        yield f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY"


def _sequences(design: Design, source: str, table: str) -> Iterator[str]:
    """
    Identity goes on where it was; a sequence of its own changes its owner.
    """
    schema = design.names.schema
    for each in design.names.called:
        if each.kind == "SEQUENCE":
            before = sql.qualified(schema, getattr(each, source))
            place = sql.literal(sql.qualified(schema, each.name))
            yield (
                f"SELECT pg_catalog.setval({place}, s.last_value, s.is_called) FROM {before} AS s"  # noqa: S608  # quoted
            )
    for sequence in design.old["sequences"]:
        if not sequence["internal"]:
            place = sql.qualified(sequence["schema"], sequence["name"])
            yield f"ALTER SEQUENCE {place} OWNED BY {table}.{sql.identifier(sequence['column'])}"


def _rights(now: Survey, table: str) -> Iterator[str]:
    """
    The same rights as on the old table, and none that defaults have added.
    """
    yield revoked(table)
    yield from granted(now["grants"], table)


COMMANDS = {"*": "ALL", "r": "SELECT", "a": "INSERT", "w": "UPDATE", "d": "DELETE"}


def _policies(now: Survey, table: str) -> Iterator[str]:
    for each in now["policies"]:
        name = sql.identifier(each["name"])
        kind = "PERMISSIVE" if each["permissive"] else "RESTRICTIVE"
        roles = ", ".join("PUBLIC" if r is None else sql.identifier(r) for r in each["roles"])
        text = (
            f"CREATE POLICY {name} ON {table} AS {kind} FOR {COMMANDS[each['command']]} TO {roles}"
        )
        if each["using"] is not None:
            text += f" USING ({each['using']})"
        if each["check"] is not None:
            text += f" WITH CHECK ({each['check']})"
        yield text
        yield from comment(f"POLICY {name} ON {table}", each["comment"])
    if now["forced"]:
        yield f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY"


def _with_triggers(design: Design, now: Survey, leaves: list[str]) -> Iterator[str]:
    names = design.names
    for each in now["triggers"]:
        if each["name"] in design.passing or each["name"] in design.lost:
            continue
        name = sql.identifier(each["name"])
        yield each["definition"]
        if each["enabled"] != "O":
            yield f"ALTER TABLE {names.table} {STATES[each['enabled']]} TRIGGER {name}"
        yield from comment(f"TRIGGER {name} ON {names.table}", each["comment"])
        if each["each_row"]:
            continue
        before, after = _around_table(each)
        for leaf in leaves:
            yield f"{before}{leaf}{after}"
            if each["enabled"] != "O":
                yield f"ALTER TABLE {leaf} {STATES[each['enabled']]} TRIGGER {name}"


def _around_table(trigger: Mapping[str, Any]) -> tuple[str, str]:
    """
    A trigger's definition without its table, which the survey has marked.
    """
    definition: str = trigger["definition"]
    at = definition.index(trigger["place"])
    start = at + len(" ON ")
    return definition[:start], definition[at + len(trigger["place"]) - 1 :]


def turned(now: Survey) -> Iterator[str]:
    """
    The statements that turn the plain views on something to what has its name now.
    """
    for each in now.views():
        if each["definition"] is None:
            continue
        options = ", ".join(each["options"])
        given = f" WITH ({options})" if options else ""
        place = sql.qualified(each["schema"], each["name"])
        yield f"CREATE OR REPLACE VIEW {place}{given} AS {each['definition'].rstrip(';')}"


def _published(
    design: Design, was: Survey, *, back: bool = False, leaving: str | None = None
) -> Iterator[str]:
    """
    Publications list the table by its oid, so they are told.
    """
    names = design.names
    leaving = leaving or (names.new if back else names.old)
    for each in was["publications"]:
        if not each["listed"] or each["name"] in design.lost:
            continue
        publication = f"ALTER PUBLICATION {sql.identifier(each['name'])}"
        columns = f" ({', '.join(map(sql.identifier, each['columns']))})" if each["columns"] else ""
        where = f" WHERE ({each['where']})" if each["where"] else ""
        yield f"{publication} DROP TABLE {leaving}"
        if not each["via_root"]:
            yield f"{publication} SET (publish_via_partition_root = {str(not back).lower()})"
        yield f"{publication} ADD TABLE {names.table}{columns}{where}"
