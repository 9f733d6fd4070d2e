"""
Texts from rows that hang on a row: the tags of an article.

The row's own trigger gathers them; triggers on the other tables write to the row's vector,
whatever, and the row's trigger makes it anew.

All queries here are for ``format(…, TG_TABLE_SCHEMA)``: ``%1$I`` is the schema of tables
that are declared without one.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any

from sqlalchemy import ClauseElement, Column, Table

from pgultra import sql
from pgultra.features.search.words import rules_behind
from pgultra.objects import Function, Trigger
from pgultra.plan import facts_of, function_name
from pgultra.plan.options import refused

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pgultra.objects import DatabaseObject

__all__ = ["Chain", "Related"]

GATHER = """SELECT string_agg(({text})::text, ' ' ORDER BY ({text})::text)
FROM {source} WHERE {condition}"""

TOUCH = """UPDATE {parent} AS p
SET {vector} = CASE WHEN p.{vector} IS NULL THEN ''::tsvector END
WHERE ({key}) IN (
    SELECT {qualified_key} FROM {parent} AS q
    WHERE EXISTS (SELECT FROM {changed} AS c WHERE {joined})
    ORDER BY {qualified_key} FOR NO KEY UPDATE OF q)"""
"""Any change of the vector makes the row's trigger compute it; locks are taken in order."""

ROWS = {
    "INSERT": "(SELECT {columns} FROM new_rows)",
    "DELETE": "(SELECT {columns} FROM old_rows)",
    "UPDATE": (
        "((SELECT {columns} FROM old_rows EXCEPT ALL SELECT {columns} FROM new_rows) UNION ALL "
        "(SELECT {columns} FROM new_rows EXCEPT ALL SELECT {columns} FROM old_rows))"
    ),
}
CHANGED = {
    "INSERT": "SELECT FROM new_rows LIMIT 1",
    "DELETE": "SELECT FROM old_rows LIMIT 1",
    "UPDATE": (
        "SELECT FROM (SELECT {columns} FROM old_rows EXCEPT ALL SELECT {columns} FROM new_rows) "
        "AS c LIMIT 1"
    ),
}
"""Whether any row changed; old rows are as many as new ones, so one side is enough."""

LOCK = """SELECT FROM {target} AS t
WHERE EXISTS (SELECT FROM {changed} AS c WHERE {same})
ORDER BY {order} FOR UPDATE OF t;
"""
"""
Who is about to refer to a row holds it FOR KEY SHARE, by the foreign key's own check. So the
writer of its text waits for them, sees their rows, and is waited for by those who come later.
"""

HOLD = """SELECT FROM {parent} AS q
WHERE EXISTS (SELECT FROM {changed} AS c WHERE {joined})
ORDER BY {qualified_key} FOR NO KEY UPDATE OF q;
"""
"""
Who gives a row's link to another row holds both of them, and no check of a foreign key holds the
text. Who waited for the one sees, in the statement after this, that the text is the other's now.
"""

EMPTIED = """UPDATE {parent} AS p
SET {vector} = CASE WHEN p.{vector} IS NULL THEN ''::tsvector END"""
HOME = """SELECT n.nspname FROM pg_constraint AS k
JOIN pg_class AS r ON r.oid = k.{there}
JOIN pg_namespace AS n ON n.oid = r.relnamespace
WHERE k.contype = 'f' AND k.{here} = {table} AND r.relname = {name} LIMIT 1"""
"""Where the other table of a foreign key is; $1 is the trigger's own table."""

TOUCH_BODY = resources.files(__package__).joinpath("sql/touch.sql").read_text(encoding="utf-8")
PATH = (("search_path", "pg_catalog, pg_temp"),)


@dataclass(frozen=True, eq=False)
class Related:
    """
    A text column of rows that refer to this row, all of them as one text.

    Args:
        column: ``"tag.name"``, or the column or attribute itself.
        through: the table between the two, if rows are tied many to many.

    Raises:
        DeclarationError: the column is neither.

    >>> Related("tag.name", through="article_tag").column
    'tag.name'
    """

    column: Any
    through: Any = None

    def __post_init__(self) -> None:
        if isinstance(self.column, str):
            known = "." in self.column
        else:
            known = isinstance(self.column, ClauseElement)
            known = known or hasattr(self.column, "__clause_element__")
        if not known:
            raise refused("Related", "column", self.column, "a column or 'table.column'")


@dataclass(frozen=True, eq=False)
class Chain:
    """
    How to get from a row to its related rows.

    Attributes:
        parent: the table with the vector.
        target: the table with the text.
        column: the text.
        link: the table that refers to the parent: the one between, or the target.
        up: pairs of a column of the parent and one of the link.
        down: pairs of a column of the link and one of the target; none if they are one.
    """

    parent: Table
    target: Table
    column: Column[Any]
    link: Table
    up: tuple[tuple[str, str], ...]
    down: tuple[tuple[str, str], ...]

    def gather(self) -> str:
        """
        A query for the text of the row whose key is in $1, $2 and so on.
        """
        link = "l" if self.down else "t"
        conditions = [
            f"{link}.{_name(mine)} = ${number}" for number, (_, mine) in enumerate(self.up, start=1)
        ]
        source = f"{_place(self.link)} AS {link}"
        if self.down:
            source += f" JOIN {_place(self.target)} AS t ON {_joined(self.down, 'l', 't')}"
            conditions += _live(self.link, "l.")
        conditions += _live(self.target, "t.")
        return GATHER.format(
            text=f"t.{_name(self.column.name)}", source=source, condition=" AND ".join(conditions)
        )

    def objects(self, vector: str) -> Iterator[DatabaseObject]:
        """
        The triggers that keep the vector, and the function that they run.

        All chains of the vector that meet in a table have one set of triggers there, and each
        gives the same.

        Args:
            vector: the column of the parent.
        """
        rules = rules_behind(next(each for each in self.parent.columns if each.name == vector))
        chains = (self,) if rules is None else rules.vector(self.parent).chains
        for table in dict.fromkeys((self.link, self.target)):
            met = tuple(each for each in chains if table in (each.link, each.target))
            yield from _Watch(table, vector, met).objects()


@dataclass(frozen=True, eq=False)
class _Watch:
    """
    The triggers on one table for one vector.

    Attributes:
        table: the table.
        vector: the column of the parent.
        chains: those of the vector that lead over the table.
    """

    table: Table
    vector: str
    chains: tuple[Chain, ...]

    def objects(self) -> Iterator[DatabaseObject]:
        """
        The triggers, and the function that they run.
        """
        function = function_name(self.table.metadata, "search", "touch")
        yield Function(name=function, schema=self.table.schema, body=TOUCH_BODY, settings=PATH)
        columns = self._columns()
        names = (self.table.name, "search", self.chains[0].parent.name, self.vector)
        for event in ("INSERT", "UPDATE", "DELETE", "TRUNCATE"):
            arguments = [self._touch(event, columns), "", self._home()]
            if event in CHANGED:
                arguments[1] = CHANGED[event].format(columns=columns)
            while not arguments[-1]:
                arguments.pop()
            yield Trigger(
                name=sql.short_name(*names, event.lower()),
                table=self.table.name,
                schema=self.table.schema,
                timing="AFTER",
                events=(event,),
                level="STATEMENT",
                function=function,
                arguments=tuple(arguments),
                old_table="old_rows" if event in ("UPDATE", "DELETE") else None,
                new_table="new_rows" if event in ("UPDATE", "INSERT") else None,
            )

    def _columns(self) -> str:
        """
        Columns whose change changes the text; texts byte by byte, as not all types compare.
        """
        keys: list[str] = []
        texts: list[str] = []
        for chain in self.chains:
            if self.table is chain.link:
                keys += [mine for _, mine in chain.up] + [mine for mine, _ in chain.down]
            if self.table is chain.target:
                keys += [theirs for _, theirs in chain.down]
                texts.append(chain.column.name)
        live = facts_of(self.table).live
        if live is not None:
            keys.append(live.column)
        seen = {name: _name(name) for name in keys}
        for name in texts:
            seen.setdefault(name, f'({_name(name)})::text COLLATE "C" AS {_name(name)}')
        return ", ".join(seen.values())

    def _touch(self, event: str, columns: str) -> str:
        table = self.chains[0].parent
        parent, vector = _place(table), _name(self.vector)
        if event == "TRUNCATE":
            return EMPTIED.format(parent=parent, vector=vector)
        key = [column.name for column in table.primary_key]
        key = key or [name for name, _ in self.chains[0].up]
        changed = ROWS[event].format(columns=columns)
        words = {
            "parent": parent,
            "vector": vector,
            "key": ", ".join(f"p.{_name(name)}" for name in key),
            "qualified_key": ", ".join(f"q.{_name(name)}" for name in key),
            "changed": changed,
            "joined": " OR ".join(dict.fromkeys(map(self._joined, self.chains))),
        }
        text = TOUCH.format(**words)
        through = [each.down for each in self.chains if each.down and self.table is each.target]
        if event != "UPDATE" or not through:
            return text
        return self._lock(through[0], changed) + HOLD.format(**words) + text

    def _joined(self, chain: Chain) -> str:
        """
        What ties a row of the parent, q, to a changed one, c.
        """
        if self.table is chain.link:
            return " AND ".join(f"q.{_name(theirs)} = c.{_name(mine)}" for theirs, mine in chain.up)
        return (
            f"EXISTS (SELECT FROM {_place(chain.link)} AS l "
            f"WHERE {_joined(chain.up, 'l', 'q', flipped=True)} "
            f"AND {_joined(chain.down, 'l', 'c')})"
        )

    def _lock(self, down: tuple[tuple[str, str], ...], changed: str) -> str:
        names = [theirs for _, theirs in down]
        return LOCK.format(
            target=_place(self.table),
            changed=changed,
            same=" AND ".join(f"c.{_name(name)} = t.{_name(name)}" for name in names),
            order=", ".join(f"t.{_name(name)}" for name in names),
        )

    def _home(self) -> str:
        """
        A query for the schema of tables without one, if the trigger's own table has one.
        """
        if self.table.schema is None:
            return ""
        for chain in self.chains:
            for child, other in ((chain.link, chain.target), (chain.link, chain.parent)):
                known, sought = (child, other) if other.schema is None else (other, child)
                if known.schema is not None and sought.schema is None:
                    place = sql.literal(sql.qualified(known.schema, known.name)) + "::regclass"
                    return HOME.format(
                        here="conrelid" if known is child else "confrelid",
                        there="confrelid" if known is child else "conrelid",
                        table="$1" if known is self.table else place,
                        name=sql.literal(sought.name),
                    )
        return ""


def _name(name: str) -> str:
    return sql.identifier(name).replace("%", "%%")


def _place(table: Table) -> str:
    if table.schema is None:
        return f"%1$I.{_name(table.name)}"
    return f"{_name(table.schema)}.{_name(table.name)}"


def _joined(
    pairs: Iterable[tuple[str, str]], left: str, right: str, *, flipped: bool = False
) -> str:
    sides = [(b, a) if flipped else (a, b) for a, b in pairs]
    return " AND ".join(f"{left}.{_name(a)} = {right}.{_name(b)}" for a, b in sides)


def _live(table: Table, qualifier: str) -> list[str]:
    live = facts_of(table).live
    return [live.text(qualifier).replace("%", "%%")] if live is not None else []
