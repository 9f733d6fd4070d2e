"""
The noun Partitioning: how a table is divided, and the premake that follows a change of it.

A table that is partitioned stays so by the same key: PostgreSQL cannot change that in place.
What can change are the rules, a line of JSON that a function of the table's schema returns;
this noun turns a change of them into statements, or tells why that cannot be done.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pgultra import sql
from pgultra.objects._base import DatabaseObject, Identity, Mark, Scope
from pgultra.objects._catalog import rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sqlalchemy import Connection

__all__ = ["Partitioning"]

READ = """
SELECT n.nspname, c.relname, c.relkind::text AS relkind, p.partstrat::text AS partstrat, w.function,
    (SELECT pg_catalog.jsonb_agg(a.attname ORDER BY k.at)
        FROM pg_catalog.unnest(p.partattrs::int2[]) WITH ORDINALITY AS k (number, at)
        LEFT JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = k.number
    )::text AS key,
    f.prosrc, d.description, pg_catalog.current_setting('TimeZone') AS zone,
    EXISTS (SELECT FROM pg_catalog.pg_inherits AS i WHERE i.inhparent = c.oid) AS is_divided,
    CASE WHEN f.prosrc LIKE '%"parts"%' THEN (
        SELECT pg_catalog.jsonb_agg(pg_catalog.pg_get_expr(l.relpartbound, l.oid))
        FROM pg_catalog.pg_inherits AS i
        JOIN pg_catalog.pg_class AS l ON l.oid = i.inhrelid
        WHERE i.inhparent = c.oid AND EXISTS (
            SELECT FROM pg_catalog.pg_partition_tree(l.oid) AS t
            WHERE t.isleaf AND pg_catalog.pg_relation_size(t.relid) > 0))::text END AS filled
FROM (
    SELECT * FROM unnest(
        CAST(:schemas AS name[]), CAST(:tables AS name[]), CAST(:functions AS name[]))
    UNION
    SELECT s.nspname, (pg_catalog.split_part(r.prosrc, '$rules$', 2)::jsonb ->> 'table')::name,
        r.proname
    FROM pg_catalog.pg_proc AS r
    JOIN pg_catalog.pg_namespace AS s ON s.oid = r.pronamespace
    WHERE r.oid = ANY (CAST(:marked AS oid[])) AND r.pronargs = 0
        AND r.prosrc LIKE 'SELECT $rules${%}$rules$::pg_catalog.jsonb'
) AS w (nspname, relname, function)
JOIN pg_catalog.pg_namespace AS n ON n.nspname = w.nspname
JOIN pg_catalog.pg_class AS c ON c.relnamespace = n.oid AND c.relname = w.relname
LEFT JOIN pg_catalog.pg_partitioned_table AS p ON p.partrelid = c.oid
LEFT JOIN pg_catalog.pg_proc AS f
    ON f.pronamespace = n.oid AND f.proname = w.function AND f.pronargs = 0
LEFT JOIN pg_catalog.pg_description AS d
    ON d.objoid = f.oid AND d.classoid = 'pg_catalog.pg_proc'::regclass AND d.objsubid = 0
WHERE c.relkind IN ('r', 'p', 'f')
"""
SET_ZONE = "SELECT pg_catalog.set_config('TimeZone', :zone, false)"
STRATEGIES = {"r": "range", "l": "list", "h": "hash"}
FIND = """
    EXECUTE pg_catalog.format('CREATE TEMPORARY TABLE pgultra_bounds (LIKE %s) PARTITION BY %s',
        {parent}, pg_catalog.pg_get_partkeydef({parent}));
    FOR at IN 1 .. pg_catalog.cardinality(old_bounds) LOOP -- spelt by PostgreSQL, as theirs are
        EXECUTE pg_catalog.format('CREATE TEMPORARY TABLE pgultra_bounds_part '
            'PARTITION OF pg_temp.pgultra_bounds %s', old_bounds[at]);
        children[at] := (
            WITH spelt AS (
                SELECT i.inhparent AS above, c.oid, ARRAY(
                    SELECT x.word[1] FROM pg_catalog.regexp_matches(
                        pg_catalog.pg_get_expr(c.relpartbound, c.oid),
                        '''(?:[^'']|'''')*''|[^[:space:],()'']+', 'g') AS x (word)
                    ORDER BY 1) AS words
                FROM pg_catalog.pg_inherits AS i
                JOIN pg_catalog.pg_class AS c ON c.oid = i.inhrelid
                WHERE i.inhparent IN ({parent}, 'pg_temp.pgultra_bounds'::pg_catalog.regclass))
            SELECT s.oid FROM spelt AS s JOIN spelt AS w ON w.words = s.words
            WHERE s.above = {parent} AND w.above <> s.above);
        DROP TABLE pg_temp.pgultra_bounds_part;
    END LOOP;
    DROP TABLE pg_temp.pgultra_bounds;"""
FILLED = """
    IF pg_catalog.row_security_active({asked}::pg_catalog.oid) THEN -- it may hide them
        is_filled := EXISTS (SELECT FROM pg_catalog.pg_partition_tree({asked}) AS t
            WHERE t.isleaf AND pg_catalog.pg_relation_size(t.relid) > 0);
    ELSE
        EXECUTE pg_catalog.format('SELECT EXISTS (SELECT FROM %s)', {asked}) INTO is_filled;
    END IF;"""
REMOVE = """DECLARE
    old_bounds CONSTANT text[] := ARRAY[{old}];
    children regclass[];
    child regclass;
    is_filled boolean;
BEGIN{find}
    FOREACH child IN ARRAY children LOOP
        CONTINUE WHEN child IS NULL;
        IF pg_catalog.right(pg_catalog.obj_description(child, 'pg_class'),
            pg_catalog.length({mark})) IS DISTINCT FROM {mark} THEN
            RAISE WARNING 'partition % stays: it bears no mark of pgultra', child
                USING HINT = 'Drop it by hand, or mark it first with: pgultra partitions adopt';
            CONTINUE;
        END IF;
        EXECUTE pg_catalog.format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', child);{filled}
        IF is_filled THEN
            RAISE EXCEPTION 'partition % holds rows, and is not declared any more', child
                USING HINT = 'Move them first, or detach it by hand.';
        END IF;
        EXECUTE pg_catalog.format('ALTER TABLE %s DETACH PARTITION %s', {parent}, child);
        EXECUTE pg_catalog.format('DROP TABLE %s', child);
    END LOOP;
END"""
MOVE = """DECLARE
    old_bounds CONSTANT text[] := ARRAY[{old}];
    new_bounds CONSTANT text[] := ARRAY[{new}];
    children regclass[];
BEGIN{find}
    FOR at IN 1 .. pg_catalog.cardinality(old_bounds) LOOP
        IF children[at] IS NOT NULL THEN
            EXECUTE pg_catalog.format(
                'ALTER TABLE %s DETACH PARTITION %s', {parent}, children[at]);
        END IF;
    END LOOP;
    FOR at IN 1 .. pg_catalog.cardinality(old_bounds) LOOP
        IF children[at] IS NOT NULL THEN
            EXECUTE pg_catalog.format(
                'ALTER TABLE %s ATTACH PARTITION %s %s', {parent}, children[at], new_bounds[at]);
        END IF;
    END LOOP;
END"""
ANEW = """DECLARE
    child regclass;
    is_filled boolean;
BEGIN
    EXECUTE pg_catalog.format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', {parent});{filled}
    IF is_filled THEN
        RAISE EXCEPTION 'table % holds rows, which another modulus would divide anew', {parent}
            USING HINT = 'Turn it over while in use with: pgultra partitions convert';
    END IF;
    FOR child IN SELECT i.inhrelid FROM pg_catalog.pg_inherits AS i WHERE i.inhparent = {parent}
    LOOP
        EXECUTE pg_catalog.format('ALTER TABLE %s DETACH PARTITION %s', {parent}, child);
        EXECUTE pg_catalog.format('DROP TABLE %s', child);
    END LOOP;
END"""
CONVERT = "turn it over, while it is in use, with `pgultra partitions convert`"


@dataclass(frozen=True, kw_only=True)
class Partitioning(DatabaseObject):
    """
    How a table is divided into partitions.

    The partitions themselves are no objects: they are made by the premake function, which every
    door calls, and by maintenance.

    Args:
        name: the function that returns the rules.
        table: the partitioned table.
        strategy: ``range``, ``list`` or ``hash``; None for a table that is not partitioned.
        key: the columns that it is partitioned by.
        rules: JSON for the premake function; None where no function tells them.
        premake: the function that makes what is missing.
        filled: the bounds of declared partitions that hold rows; not compared.
    """

    kind: ClassVar[str] = "partitioning"
    name: str
    table: str
    strategy: str | None
    key: tuple[str, ...]
    rules: str | None = None
    premake: str = field(default="", compare=False)
    filled: tuple[str, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        table = Identity("table", self.schema, self.table)
        object.__setattr__(self, "requires", tuple(dict.fromkeys((*self.requires, table))))

    @property
    def identity(self) -> Identity:
        """
        Schema, table, and the function that tells its rules.
        """
        return Identity("partitioning", self.schema, self.name, self.table)

    @property
    def dropped(self) -> bool:  # type: ignore[override]  # of the class elsewhere
        """
        Whether there are rules to take back; the table itself is Alembic's.
        """
        return self.rules is not None

    @property
    def _table(self) -> str:
        return sql.literal(sql.qualified(self.schema, self.table)) + "::pg_catalog.regclass"

    def target(self) -> str:
        """
        ``TABLE name``.
        """
        return f"TABLE {sql.qualified(self.schema, self.table)}"

    def remark(self) -> tuple[str, ...]:
        """
        Nothing: its mark is that of the function that tells its rules.
        """
        return ()

    def create(self) -> tuple[str, ...]:
        """
        The partitions that the rules want now.
        """
        if self.rules is None or not self.premake:
            return ()
        function = sql.qualified(self.schema, self.premake)
        rules = sql.literal(self.rules)
        body = f"BEGIN\n    PERFORM {function}({self._table}, {rules}::pg_catalog.jsonb);\nEND"
        return (f"DO {sql.dollar(body)}",)

    def drop(self) -> tuple[str, ...]:
        """
        Nothing: partitions go with their table.
        """
        return ()

    def in_place(self, old: Self) -> bool:
        """
        Always: nothing is made anew that could keep its place.
        """
        return True

    def replace(self, old: Self) -> tuple[str, ...]:
        """
        Partitions that changed or are not wanted any more, then those that are missing.
        """
        maker = self if self.premake else dataclasses.replace(self, premake=old.premake)
        if self.rules is None or old.rules is None:
            return maker.create()
        mine, theirs = json.loads(self.rules), json.loads(old.rules)
        if mine["by"] == "hash" and len(mine["parts"]) != len(theirs.get("parts", ())):
            return (self._block(ANEW), *maker.create())
        before, after = _parts(theirs), _parts(mine)
        gone = [bound for label, bound in before.items() if label not in after]
        moved = [
            (bound, after[label])
            for label, bound in before.items()
            if label in after and after[label] != bound
        ]
        olds, news = zip(*moved, strict=True) if moved else ((), ())
        return (
            *([self._block(REMOVE, old=gone)] if gone else []),
            *([self._block(MOVE, old=olds, new=news)] if moved else []),
            *maker.create(),
        )

    def _block(self, body: str, old: Sequence[str] = (), new: Sequence[str] = ()) -> str:
        application = json.loads(self.rules or "{}").get("app", "default")
        places = {
            "{find}": FIND,
            "{filled}": FILLED,
            "{asked}": "{parent}" if body == ANEW else "child",
            "{parent}": self._table,
            "{mark}": sql.literal(f"pgultra:{application}:partitions"),
            "{old}": ", ".join(map(sql.literal, old)),
            "{new}": ", ".join(map(sql.literal, new)),
        }
        for place, text in places.items():
            body = body.replace(place, text)
        return f"DO {sql.dollar(body)}"

    def refusal(self, old: DatabaseObject) -> str | None:
        """
        Why the existing table cannot be divided as declared, and what to do instead.
        """
        if not isinstance(old, Partitioning):
            return None
        declared = f"{self.strategy} ({', '.join(self.key)})"
        if old.strategy is None:
            return f"it is not partitioned, and is declared as {declared}; {CONVERT}"
        if (old.strategy, old.key) != (self.strategy, self.key):
            return (
                f"it is partitioned by {old.strategy} ({', '.join(old.key)}), which cannot change "
                f"in place, and is declared as {declared}; {CONVERT}"
            )
        if self.rules is None or old.rules is None:
            return None
        mine, theirs = json.loads(self.rules), json.loads(old.rules)
        filled = {bound.replace("'", "") for bound in old.filled}
        parts = len(mine.get("parts", ())), len(theirs.get("parts", ()))
        if mine["by"] == "hash" and parts[0] != parts[1]:
            if not filled:
                return None
            return (
                f"its modulus is {parts[1]} and is declared as {parts[0]}, by which all of its "
                f"rows would be divided anew; {CONVERT}, or leave the modulus as it was"
            )
        return next(_refused(theirs, mine, filled), None)

    @classmethod
    def read(cls, connection: Connection, scope: Scope) -> Iterable[Self]:
        """
        The wanted tables, and those of ours whose rules stand in the database.

        One without a single partition counts as not divided yet.
        """
        wanted = scope.of_kind("partitioning")
        marked = scope.marked.get("pg_proc.rules", [])
        if not wanted and not marked:
            return
        places = {
            "schemas": [scope.real(each.schema) for each in wanted],
            "tables": [each.table or "" for each in wanted],
            "functions": [each.name for each in wanted],
            "marked": marked,
        }
        found = rows(connection, READ, **places)
        if any(row.filled for row in found) and found[0].zone != "UTC":  # as bounds are spelt
            rows(connection, SET_ZONE, zone="UTC")
            zone, found = found[0].zone, rows(connection, READ, **places)
            rows(connection, SET_ZONE, zone=zone)
        for row in found:
            if (row.nspname, row.relname) not in scope.tables:
                continue
            rules = _rules_in(row.prosrc)
            mark = Mark.parse(row.description)[1] or Mark(scope.application, "partitions")
            each = cls(
                name=row.function,
                table=row.relname,
                schema=scope.spelt(row.nspname),
                strategy=STRATEGIES.get(row.partstrat) if row.partstrat else None,
                key=tuple(str(name) for name in json.loads(row.key or "[]")),
                mark=Mark(mark.application, mark.room),
                rules=rules,
                premake=json.loads(rules).get("premake", "") if rules is not None else "",
                filled=tuple(json.loads(row.filled or "[]")),
            )
            if row.is_divided or not each._as_registered:
                yield each

    @property
    def _as_registered(self) -> bool:
        """
        Whether the table is partitioned, and by the key that its rules tell.
        """
        if self.strategy is None or self.rules is None:
            return self.strategy is not None
        rules = json.loads(self.rules)
        return (self.strategy, self.key) == (rules["by"], (rules["column"],))


def _rules_in(body: str | None) -> str | None:
    """
    The rules in the function's body, as they stand between its dollar signs.
    """
    pieces = (body or "").split("$rules$")
    if len(pieces) != 3:
        return None
    try:
        found = json.loads(pieces[1])
    except ValueError:
        return None
    return pieces[1] if isinstance(found, dict) and "by" in found else None


def _parts(rules: dict[str, Any]) -> dict[str, str]:
    """
    The fixed partitions of one level: bounds by label.
    """
    return {label: bound for label, bound, _ in rules.get("parts", ())}


def _refused(old: dict[str, Any], new: dict[str, Any], filled: set[str]) -> Iterator[str]:
    """
    What may not happen to partitions that hold rows, at the first level and below.
    """
    before, after = _parts(old), _parts(new)
    for label, bound in before.items():
        if label not in after and bound.replace("'", "") in filled:
            yield (
                f"its partition {label!r} is not declared any more and holds rows; declare it "
                "again, or move its rows, or detach it by hand first"
            )
    below = old.get("then"), new.get("then")
    if below[0] and below[1] and below[0]["clause"] == below[1]["clause"]:
        if below[1]["by"] == "hash":
            return  # new partitions are divided anew, those that exist stay as they are
        before, after = _parts(below[0]), _parts(below[1])
        for label, bound in before.items():
            if label in after and after[label] != bound:
                yield (
                    f"its partitions are divided in turn, and {label!r} changes from {bound} to "
                    f"{after[label]} there; leave it as it was, and declare new values in a group "
                    "of their own"
                )
