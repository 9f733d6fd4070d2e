"""
Texts from rows that hang on a row: the tags of an article.

The row's own trigger gathers them; triggers on the other tables write to the row's vector,
whatever, and the row's trigger makes it anew.

All queries here are for ``format(…, TG_TABLE_SCHEMA)``: ``%1$I`` is the schema of tables
that are declared without one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import ClauseElement, Column, Table

from pgultra import sql
from pgultra.errors import DeclarationError
from pgultra.objects import Function, Trigger
from pgultra.plan import facts_of, function_name
from pgultra.plan.options import refused

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pgultra.objects import DatabaseObject

__all__ = ["Chain", "Related", "chain_of"]

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
EMPTIED = """UPDATE {parent} AS p
SET {vector} = CASE WHEN p.{vector} IS NULL THEN ''::tsvector END"""
TOUCH_BODY = """BEGIN
    EXECUTE format(TG_ARGV[0], TG_TABLE_SCHEMA);
    RETURN NULL;
END"""
PATH = (("search_path", "pg_catalog, pg_temp"),)


@dataclass(frozen=True, eq=False)
class Related:
    """
    A text column of rows that refer to this row, all of them as one text.

    Args:
        column: ``"tag.name"``, or the column or attribute itself.
        through: the table between the two, if rows are tied many to many.

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

        Args:
            vector: the column of the parent.
        """
        yield from self._watch(self.link, vector, self.up, self._seen(self.link))
        if self.down:
            yield from self._watch(self.target, vector, (), self._seen(self.target))

    def _seen(self, table: Table) -> list[str]:
        """
        Columns of a table whose change changes the text.
        """
        names = [mine for _, mine in self.up] if table is self.link else []
        names += [mine for mine, _ in self.down] if table is self.link else []
        if table is self.target:
            names += [theirs for _, theirs in self.down] + [self.column.name]
        live = facts_of(table).live
        if live is not None:
            names.append(live.column)
        return list(dict.fromkeys(names))

    def _watch(
        self, table: Table, vector: str, up: tuple[tuple[str, str], ...], seen: list[str]
    ) -> Iterator[DatabaseObject]:
        function = function_name(self.parent.metadata, "search", "touch")
        yield Function(name=function, schema=table.schema, body=TOUCH_BODY, settings=PATH)
        columns = ", ".join(f"{_name(name)}" for name in seen)
        if up:
            joined = " AND ".join(f"q.{_name(theirs)} = c.{_name(mine)}" for theirs, mine in up)
        else:
            joined = (
                f"EXISTS (SELECT FROM {_place(self.link)} AS l "
                f"WHERE {_joined(self.up, 'l', 'q', flipped=True)} "
                f"AND {_joined(self.down, 'l', 'c')})"
            )
        key = [column.name for column in self.parent.primary_key] or [name for name, _ in self.up]
        for event in ("INSERT", "UPDATE", "DELETE", "TRUNCATE"):
            if event == "TRUNCATE":
                text = EMPTIED.format(parent=_place(self.parent), vector=_name(vector))
            else:
                text = TOUCH.format(
                    parent=_place(self.parent),
                    vector=_name(vector),
                    key=", ".join(f"p.{_name(name)}" for name in key),
                    qualified_key=", ".join(f"q.{_name(name)}" for name in key),
                    changed=ROWS[event].format(columns=columns),
                    joined=joined,
                )
            yield Trigger(
                name=sql.short_name(table.name, "search", self.parent.name, vector, event.lower()),
                table=table.name,
                schema=table.schema,
                timing="AFTER",
                events=(event,),
                level="STATEMENT",
                function=function,
                arguments=(text,),
                old_table="old_rows" if event in ("UPDATE", "DELETE") else None,
                new_table="new_rows" if event in ("UPDATE", "INSERT") else None,
            )


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


def chain_of(table: Table, related: Related) -> Chain:
    """
    Follow the foreign keys between the tables.

    Raises:
        DeclarationError: there is no such column, or not exactly one foreign key on the way.
    """
    column = _column(table, related.column)
    target = column.table
    if related.through is None:
        return Chain(table, target, column, target, _foreign_key(target, table), ())
    link = _table(table, related.through)
    up = _foreign_key(link, table)
    down = tuple((mine, theirs) for theirs, mine in _foreign_key(link, target))
    return Chain(table, target, column, link, up, down)


def _table(table: Table, given: Any) -> Table:
    if isinstance(given, Table):
        if given.metadata is table.metadata:
            return given
        same = [each for each in table.metadata.tables.values() if each.name == given.name]
        near = [each for each in same if each.schema == table.schema]
        return (near or same or [given])[0]  # a copy, for another schema
    if not isinstance(given, str):
        mapped = getattr(given, "__table__", None)
        if not isinstance(mapped, Table):
            place = f"search on table {table.fullname}: Related(...)"
            raise refused(place, "through", given, "a table, its name or a mapped class")
        given = mapped.key
    keys = (given, f"{table.schema}.{given}") if table.schema else (given,)
    for key in reversed(keys):
        if key in table.metadata.tables:
            return table.metadata.tables[key]
    raise DeclarationError(
        f"search on table {table.fullname}: there is no table {given!r} in its MetaData"
    )


def _column(table: Table, given: Any) -> Column[Any]:
    if isinstance(given, str):
        name, _, key = given.rpartition(".")
        if not name:
            raise DeclarationError(
                f"search on table {table.fullname}: Related({given!r}) names no table; write "
                "'table.column'"
            )
        other = _table(table, name)
        if key not in other.c:
            raise DeclarationError(
                f"search on table {table.fullname}: table {other.fullname} has no column {key!r}"
            )
        return other.c[key]
    element = given.__clause_element__() if hasattr(given, "__clause_element__") else given
    if not isinstance(element, Column) or not isinstance(element.table, Table):
        raise DeclarationError(
            f"search on table {table.fullname}: Related(...) takes a column, not {given!r}"
        )
    return _table(table, element.table).c[element.key]


def _foreign_key(child: Table, parent: Table) -> tuple[tuple[str, str], ...]:
    """
    Pairs of a column of the parent and one of the child.
    """
    found = [
        constraint
        for constraint in child.foreign_key_constraints
        if constraint.elements[0].target_fullname.rpartition(".")[0] == parent.fullname
    ]
    if len(found) != 1:
        raise DeclarationError(
            f"search on table {parent.fullname}: table {child.fullname} has {len(found)} foreign "
            "keys to it, and one is needed to follow related rows"
        )
    return tuple((element.column.name, element.parent.name) for element in found[0].elements)
