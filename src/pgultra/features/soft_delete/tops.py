"""
Which of several objects that are deleted at once stand at the top: the others go with them.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import select
from sqlalchemy.orm.exc import StaleDataError

from pgultra.features.soft_delete import mapped
from pgultra.features.soft_delete.departure import asked
from pgultra.features.soft_delete.edges import edges_of, links, name_of
from pgultra.features.soft_delete.model import deleted_column
from pgultra.features.soft_delete.shape import TableName, order

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sqlalchemy import Column, MetaData, Row
    from sqlalchemy.orm import InstanceState, Mapper, RelationshipProperty, Session

__all__ = ["Doomed", "in_order", "stale", "tops_of"]

CHUNK = 10_000
"""
Keys in one statement: asyncpg takes 32,767 parameters.
"""


@dataclass(eq=False)
class Doomed:
    """
    One object that is to be marked.

    Attributes:
        state: of the object; held by it is the object itself.
        instance: keeps the object alive until the end of the flush.
        root: the mapper at the root of its hierarchy.
        values: changes that were made to it and not written yet, by column.
        version: the version that it was loaded with, if its class counts versions.
        targets: objects to which it was moved, by relationship.
    """

    state: InstanceState[Any]
    instance: Any
    root: Mapper[Any]
    values: dict[Any, Any]
    version: Any = None
    targets: dict[RelationshipProperty[Any], Any] = field(default_factory=dict)

    @property
    def key(self) -> tuple[Any, ...]:
        """
        Its primary key.
        """
        assert self.state.key is not None
        return tuple(self.state.key[1])


def stale(doomed: Doomed) -> StaleDataError:
    """
    Say that an object changed under the one who deletes it.
    """
    return StaleDataError(
        f"deleting {doomed.root.class_.__name__} {doomed.key} of table {doomed.root.local_table}: "
        f"one live row of version {doomed.version!r} was expected, none was found: somebody "
        "changed or deleted it since it was loaded"
    )


def tops_of(session: Session, doomed: Sequence[Doomed]) -> list[Doomed]:
    """
    Lock the rows, parents before children and by key, and find those under no other.

    The locked rows tell, not memory: a child may have moved, or be deleted already.

    Raises:
        sqlalchemy.orm.exc.StaleDataError: a version is not the one that was loaded.
    """
    by_root: dict[Mapper[Any], dict[tuple[Any, ...], Doomed]] = {}
    for each in doomed:
        by_root.setdefault(each.root, {})[each.key] = each
    known = [
        (root, child, upper, lower)
        for root in by_root
        for child, upper, lower in links(root)
        if child in by_root
    ]
    rows: dict[Mapper[Any], dict[tuple[Any, ...], Row[Any]]] = {}
    for root in in_order(by_root):
        rows[root] = _locked(session, root, by_root[root], known)
    below: dict[Doomed, list[Doomed]] = {}
    under: set[Doomed] = set()
    for parent, child, parent_key, child_key in known:
        parents: dict[tuple[Any, ...], list[Doomed]] = {}
        for key, row in rows[parent].items():
            name = tuple(row._mapping[column] for column in parent_key)
            parents.setdefault(name, []).append(by_root[parent][key])
        for key, row in rows[child].items():
            name = tuple(row._mapping[column] for column in child_key)
            member = by_root[child][key]
            for above in parents.get(name, ()):
                if above is not member:
                    below.setdefault(above, []).append(member)
                    under.add(member)
    members = [by_root[root][key] for root in rows for key in rows[root]]
    tops: list[Doomed] = []
    reached: set[Doomed] = set()
    # First those under no other; then, of rows that go round in a circle, the first.
    for each in (*(one for one in members if one not in under), *members):
        if each not in reached:
            tops.append(each)
            waiting = [each]
            while waiting:
                one = waiting.pop()
                if one not in reached:
                    reached.add(one)
                    waiting += below.get(one, ())
    return tops


Link = tuple["Mapper[Any]", "Mapper[Any]", "list[Column[Any]]", "list[Column[Any]]"]


def _locked(
    session: Session,
    root: Mapper[Any],
    members: Mapping[tuple[Any, ...], Doomed],
    known: Iterable[Link],
) -> dict[tuple[Any, ...], Row[Any]]:
    keys = list(root.primary_key)
    columns = dict.fromkeys(keys)
    for parent, child, parent_key, child_key in known:
        columns.update(dict.fromkeys(parent_key if parent is root else ()))
        columns.update(dict.fromkeys(child_key if child is root else ()))
    version = root.version_id_col
    if version is not None:
        columns[version] = None
    connection = session.connection(bind_arguments={"mapper": root})
    wanted = list(members)
    found: dict[tuple[Any, ...], Row[Any]] = {}
    for start in range(0, len(wanted), CHUNK):
        statement = (
            select(*columns)
            .select_from(mapped.table_of(root))
            .where(deleted_column(root).is_(None))
            .order_by(*keys)
            .with_for_update()
        )
        found.update(asked(connection, statement, keys, wanted[start : start + CHUNK]))
    if version is not None:
        for key, member in members.items():
            if key not in found or found[key]._mapping[version] != member.version:
                raise stale(member)
    return found


_orders: weakref.WeakKeyDictionary[MetaData, tuple[int, dict[TableName, int]]] = (
    weakref.WeakKeyDictionary()
)


def in_order(roots: Iterable[Mapper[Any]]) -> list[Mapper[Any]]:
    """
    Sort mappers as the database cascades: parents first, the same way in every session.
    """

    def place(root: Mapper[Any]) -> tuple[int, TableName]:
        table: Any = root.local_table
        known = mapped.any_mapped()
        remembered = _orders.get(table.metadata)
        if remembered is None or remembered[0] != known:
            groups = order(tuple(sorted(edges_of(table.metadata), key=lambda e: e.sort_key)))
            numbers = {name: n for n, group in enumerate(groups) for name in group}
            remembered = _orders[table.metadata] = (known, numbers)
        name = name_of(table)
        return remembered[1].get(name, -1), name

    return sorted(roots, key=place)
