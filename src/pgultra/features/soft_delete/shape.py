"""
What the two sides of the room say to each other: names, and the order of a cascade.

The mapping side (`model`) resolves options into these values; the database side (`objects`) turns
them into functions, triggers and indexes.  Nothing here knows SQLAlchemy or PostgreSQL.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = [
    "Columns",
    "Edge",
    "Group",
    "Shape",
    "TableName",
    "in_order",
    "order",
    "parents",
    "program",
]


@dataclass(frozen=True)
class TableName:
    """
    A table's name; `schema=None` is the connection's default schema.
    """

    schema: str | None
    name: str

    def __lt__(self, other: TableName) -> bool:
        """
        Sort by schema, the default one first, then by name.
        """
        return (self.schema or "", self.name) < (other.schema or "", other.name)

    def __str__(self) -> str:
        """
        Print the name as a reader of messages expects it (no quoting: not for SQL).
        """
        return self.name if self.schema is None else f"{self.schema}.{self.name}"


@dataclass(frozen=True)
class Columns:
    """
    The names of the soft-delete columns of one table; `flag` is the optional boolean.
    """

    deleted_at: str = "deleted_at"
    deleted_by: str = "deleted_by"
    deletion_id: str = "deletion_id"
    flag: str | None = None


@dataclass(frozen=True)
class Edge:
    """
    One cascade: rows of `child` go with the row of `parent` that their key names.

    `parent_key` and `child_key` are the joined columns, pair by pair.
    The primary keys give the order in which rows are locked.
    """

    parent: TableName
    child: TableName
    parent_key: tuple[str, ...]
    child_key: tuple[str, ...]
    parent_columns: Columns
    child_columns: Columns
    parent_primary_key: tuple[str, ...]
    child_primary_key: tuple[str, ...]

    @property
    def sort_key(self) -> tuple[str, str, str, str, tuple[str, ...]]:
        """
        Give equal edges sets one order, whatever order they were found in.
        """
        return (
            self.parent.schema or "",
            self.parent.name,
            self.child.schema or "",
            self.child.name,
            self.child_key,
        )


@dataclass(frozen=True)
class Group:
    """
    One step of a cascade: every edge that leads into one table, or into one knot of tables.

    A cyclic group (a self-reference, or tables that point at each other) is repeated until nothing
    changes.
    """

    edges: tuple[Edge, ...]
    cyclic: bool = False


@dataclass(frozen=True, kw_only=True)
class Shape:
    """
    All that the database side must know about one soft-deletable table.

    Attributes:
        table: The table.
        columns: Its soft-delete columns.
        primary_key: Its primary key columns.
        guard: "raise" refuses DELETE and TRUNCATE, "allow" lets them through.
        refuse_orphans: Refuse a live row under a dead cascade parent.
        view: Name of the live view, in the table's schema; None for no view.
        concurrently: Build the room's index without blocking writes.
        below: What goes with a row of this table, in order (`program`).
        above: The edges that lead into this table, in the order their parents are locked.
        parents: The edges that lead into this table or into anything below it, in the order in
            which their parents are locked: a restore must find each such parent live.
        locks: The tables on both sides of these edges, in the order in which their rows are locked.
    """

    table: TableName
    columns: Columns
    primary_key: tuple[str, ...]
    guard: Literal["raise", "allow"] = "raise"
    refuse_orphans: bool = False
    view: str | None = None
    concurrently: bool = False
    below: tuple[Group, ...] = ()
    above: tuple[Edge, ...] = ()
    parents: tuple[Edge, ...] = ()
    locks: tuple[TableName, ...] = ()

    @classmethod
    def of(
        cls,
        table: TableName,
        columns: Columns,
        primary_key: tuple[str, ...],
        edges: Iterable[Edge] = (),
        *,
        guard: Literal["raise", "allow"] = "raise",
        refuse_orphans: bool = False,
        view: str | None = None,
        concurrently: bool = False,
    ) -> Shape:
        """
        Build the shape of one table from every edge that the application knows.

        Give every table the same `edges`: locks are taken in one order only if all orders come
        from one graph.
        """
        known = tuple(edges)
        around = parents(table, known)
        return cls(
            table=table,
            columns=columns,
            primary_key=primary_key,
            guard=guard,
            refuse_orphans=refuse_orphans,
            view=view,
            concurrently=concurrently,
            below=program(table, known),
            above=tuple(edge for edge in around if edge.child == table),
            parents=around,
            locks=tuple(
                each
                for component in order(in_order(known))
                for each in component
                if any(each in (edge.parent, edge.child) for edge in around)
            ),
        )


def program(root: TableName, edges: Iterable[Edge]) -> tuple[Group, ...]:
    """
    Put the edges reachable from `root` into groups, parents first.

    Groups follow one global order of tables (`order`), so two cascades from different roots lock
    common tables in the same sequence.  Each group holds the reachable edges into one strongly
    connected set of tables.
    """
    known = in_order(edges)
    below = _reachable(root, known)
    groups = []
    for component in order(known):
        members = set(component)
        inside = tuple(edge for edge in known if edge.child in members and edge.parent in below)
        if inside:
            groups.append(Group(inside, cyclic=any(edge.parent in members for edge in inside)))
    return tuple(groups)


def parents(root: TableName, edges: Iterable[Edge]) -> tuple[Edge, ...]:
    """
    List the edges into `root` and into all below it, by their parent's place in the global order.
    """
    known = in_order(edges)
    below = _reachable(root, known)
    place = {table: number for number, component in enumerate(order(known)) for table in component}
    concerned = [edge for edge in known if edge.child in below]
    return tuple(sorted(concerned, key=lambda edge: (place[edge.parent], *edge.sort_key)))


@lru_cache(maxsize=64)
def order(edges: tuple[Edge, ...]) -> tuple[tuple[TableName, ...], ...]:
    """
    Sort all tables, parents first; tables that reach each other stand together.

    The answer depends only on the set of edges: ties are broken by name.
    """
    children: dict[TableName, set[TableName]] = {}
    for edge in edges:
        children.setdefault(edge.parent, set()).add(edge.child)
        children.setdefault(edge.child, set())
    reach = {table: _walk(table, children) for table in children}
    component = {
        table: min([table, *(other for other in reach[table] if table in reach[other])])
        for table in children
    }
    members: dict[TableName, list[TableName]] = {}
    for table in sorted(children):
        members.setdefault(component[table], []).append(table)
    following = {
        name: {component[child] for table in group for child in children[table]} - {name}
        for name, group in members.items()
    }
    waiting = dict.fromkeys(members, 0)
    for targets in following.values():
        for target in targets:
            waiting[target] += 1
    ready = [name for name, count in waiting.items() if count == 0]
    heapq.heapify(ready)
    result = []
    while ready:
        name = heapq.heappop(ready)
        result.append(tuple(members[name]))
        for target in following[name]:
            waiting[target] -= 1
            if waiting[target] == 0:
                heapq.heappush(ready, target)
    return tuple(result)


def in_order(edges: Iterable[Edge]) -> tuple[Edge, ...]:
    """
    Give edges the one order that `order` and its memory go by.
    """
    return tuple(sorted(set(edges), key=lambda edge: edge.sort_key))


def _walk(root: TableName, children: Mapping[TableName, set[TableName]]) -> set[TableName]:
    """
    Find what is below `root`; `root` itself only if a cycle leads back.
    """
    found: set[TableName] = set()
    frontier = [root]
    while frontier:
        fresh = children.get(frontier.pop(), set()) - found
        found |= fresh
        frontier.extend(fresh)
    return found


def _reachable(root: TableName, edges: tuple[Edge, ...]) -> set[TableName]:
    children: dict[TableName, set[TableName]] = {}
    for edge in edges:
        children.setdefault(edge.parent, set()).add(edge.child)
    return {root} | _walk(root, children)
