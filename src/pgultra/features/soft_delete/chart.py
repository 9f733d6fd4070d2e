"""
Removing rows for real: what hangs below them is collected first, and goes first.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import DateTime, Table, and_, delete, func, inspect, literal, select, tuple_
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.orm import RelationshipDirection

from pgultra.errors import DeclarationError
from pgultra.features.soft_delete import mapped
from pgultra.features.soft_delete.departure import matching
from pgultra.features.soft_delete.edges import at_root, edges_of, name_of, root_of, tables_around
from pgultra.features.soft_delete.indexes import rules_of
from pgultra.features.soft_delete.options import columns_of
from pgultra.features.soft_delete.shape import order

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from sqlalchemy import Column, ColumnElement, Connection, ForeignKeyConstraint
    from sqlalchemy.orm import Mapper

    from pgultra.features.soft_delete.options import SoftDeleteOptions

    Key = tuple[Any, ...]
    Pairs = list[tuple[Column[Any], Column[Any]]]

__all__ = ["Chart", "Collected", "earlier", "target_of"]

CHUNK = 10_000
SETTING = "pgultra.hard_delete"


def target_of(target: Any) -> tuple[Table, SoftDeleteOptions]:
    """
    The table and the rules of a class or a Table.

    Raises:
        DeclarationError: it is not soft-deletable, or not the root of its hierarchy.
    """
    table = target
    if not isinstance(table, Table):
        mapper = getattr(inspect(target, raiseerr=False), "mapper", None)
        if mapper is None:
            raise DeclarationError(f"{target!r} is neither a mapped class nor a Table")
        if mapper.inherits is not None and not mapper.concrete:
            raise DeclarationError(
                f"class {mapper.class_.__name__} (table {mapper.local_table}): rows are removed "
                f"with the whole hierarchy: name {mapper.base_mapper.class_.__name__}"
            )
        table = mapper.local_table
    rules = rules_of(table) if isinstance(table, Table) else None
    if rules is None:
        raise DeclarationError(f"{target!r} is not soft-deletable")
    return table, rules


class Collected:
    """
    Rows to remove: by table, each key with its depth below the rows that one began with.
    """

    def __init__(self) -> None:
        self.depths: dict[Table, dict[Key, int]] = {}

    def add(self, table: Table, key: Key, depth: int) -> bool:
        """
        Note a row; says whether it is new.
        """
        known = self.depths.setdefault(table, {})
        if key in known:
            return False
        known[key] = depth
        return True

    def __len__(self) -> int:
        return sum(map(len, self.depths.values()))


class Chart:
    """
    What hangs below what, for the tables of one MetaData.
    """

    def __init__(self, table: Table) -> None:
        self.metadata = table.metadata
        self.edges = edges_of(table.metadata)
        groups = order(tuple(sorted(self.edges, key=lambda edge: edge.sort_key)))
        self.place = {name: number for number, group in enumerate(groups) for name in group}
        self.tables = tables_around(table)

    def below(self, table: Table) -> Iterator[tuple[Table, Pairs]]:
        """
        The tables whose rows cascade from this one's, when they are marked or by a foreign key.

        A foreign key with ON DELETE CASCADE would take soft-deletable rows along unseen.
        """
        found: dict[tuple[Any, ...], tuple[Table, Pairs]] = {}
        for edge in self.edges:
            if edge.parent == name_of(table):
                child = self.tables[edge.child]
                pairs = [
                    (_column(table, upper), _column(child, lower))
                    for upper, lower in zip(edge.parent_key, edge.child_key, strict=True)
                ]
                found[child, *sorted(lower.name for _, lower in pairs)] = child, pairs
        for child in self.tables.values():
            known = rules_of(child) is not None and list(child.primary_key)
            for key in child.foreign_key_constraints if known else ():
                if (key.ondelete or "").upper() == "CASCADE" and _refers(key, table):
                    pairs = [(element.column, element.parent) for element in key.elements]
                    found.setdefault(
                        (child, *sorted(lower.name for _, lower in pairs)), (child, pairs)
                    )
        yield from found.values()

    def parts(self, table: Table) -> Iterator[tuple[Table, Pairs]]:
        """
        The tables of joined subclasses: their rows are parts of this table's.
        """
        for each in reversed(_inheriting(table)):  # deepest first
            local: Any = each.local_table
            if each.inherits is not None and local is not each.inherits.local_table:
                columns = [
                    next(c for c in each.get_property_by_column(key).columns if c.table is local)
                    for key in table.primary_key
                ]
                keys: Any = table.primary_key
                yield local, list(zip(keys, columns, strict=True))

    def links(self, table: Table) -> Iterator[tuple[Table, Pairs]]:
        """
        The many-to-many tables, from whichever side they are known: their rows have no life.
        """
        inheriting = _inheriting(table)
        found: dict[tuple[Any, ...], tuple[Table, Pairs]] = {}
        for other in inheriting[0].registry.mappers if inheriting else ():
            for relationship in other.relationships:
                if (
                    relationship.direction is not RelationshipDirection.MANYTOMANY
                    or relationship.viewonly
                ):
                    continue
                for owner, pairs in (
                    (other, relationship.synchronize_pairs),
                    (relationship.mapper, relationship.secondary_synchronize_pairs or ()),
                ):
                    if owner in inheriting:
                        secondary: Any = relationship.secondary
                        columns: Any = [(at_root(owner, here), there) for here, there in pairs]
                        found[secondary, *(there for _, there in pairs)] = (secondary, columns)
        yield from found.values()

    def collect(
        self,
        connection: Connection,
        table: Table,
        keys: Sequence[Key],
        before: datetime | None = None,
    ) -> Collected | None:
        """
        Lock and note the rows and all that hangs below them, dead and live.

        Args:
            connection: to look with.
            table: of the rows.
            keys: their primary keys.
            before: if not None, every row below must be deleted before this time; else the
                answer is None.
        """
        collected = Collected()
        waiting = [(table, list(keys), 0)]
        for key in keys:
            collected.add(table, key, 0)
        while waiting:
            parent, above, depth = waiting.pop(0)
            for child, pairs in self.below(parent):
                fresh = []
                for key, old in _children(connection, parent, above, child, pairs, before):
                    if not old:
                        return None
                    if collected.add(child, key, depth + 1):
                        fresh.append(key)
                if fresh:
                    waiting.append((child, fresh, depth + 1))
        return collected

    def remove(self, connection: Connection, collected: Collected) -> None:
        """
        Delete the rows, children first.
        """
        with unguarded(connection):
            for table, depths in collected.depths.items():
                for link, pairs in self.links(table):
                    _delete_beside(connection, link, pairs, table, list(depths))
            groups: dict[int, list[Table]] = {}
            for table in collected.depths:
                groups.setdefault(self.place.get(name_of(table), -1), []).append(table)
            for place in sorted(groups, reverse=True):
                # Not sooner: rows further below may refer to the table of a subclass.
                for table in groups[place]:
                    for part, pairs in self.parts(table):
                        keys = list(collected.depths[table])
                        _delete_beside(connection, part, pairs, table, keys)
                _delete_group(connection, groups[place], collected)


@contextmanager
def unguarded(connection: Connection) -> Iterator[None]:
    """
    Let DELETE pass the guard, for the length of a block, in this transaction only.
    """
    setting = select(func.current_setting(SETTING, True))
    before = connection.execute(setting).scalar() or ""
    connection.execute(select(func.set_config(SETTING, "on", True)))
    yield
    # After an error the transaction, or its savepoint, takes the setting back by itself.
    connection.execute(select(func.set_config(SETTING, before, True)))


def _inheriting(table: Table) -> list[Mapper[Any]]:
    """
    The classes of a hierarchy, the root first; none for a table without classes.
    """
    root = mapped.mapper_of(table)
    found = root.self_and_descendants if root is not None else ()
    return [each for each in found if root_of(each) is root]


def earlier(at: Any, before: datetime) -> ColumnElement[bool]:
    """
    Whether a column says an earlier time: PostgreSQL compares, with or without a time zone.
    """
    return at < literal(before, DateTime(timezone=True))  # type: ignore[no-any-return]  # a column's comparison


def _refers(key: ForeignKeyConstraint, table: Table) -> bool:
    element = key.elements[0]
    try:
        return element.column.table is table
    except InvalidRequestError:  # it names a table that is not there, as yet
        return False


def _column(table: Table, name: str) -> Column[Any]:
    return next(column for column in table.columns if column.name == name)


def _children(
    connection: Connection,
    parent: Table,
    keys: list[Key],
    child: Table,
    pairs: Pairs,
    before: datetime | None,
) -> Iterator[tuple[Key, bool]]:
    """
    The rows right below some, and whether each was deleted before a time; any will do for None.
    """
    upper: Any = parent.alias()
    lower: Any = child.alias()
    primary = [lower.c[column.key] for column in child.primary_key]
    rules = rules_of(child)
    old: Any = literal(before is None)
    if before is not None and rules is not None:
        old = earlier(lower.c[columns_of(child, rules)["deleted_at"].key], before)
    joins = [upper.c[above.key] == lower.c[below.key] for above, below in pairs]
    parent_key = [upper.c[column.key] for column in parent.primary_key]
    for start in range(0, len(keys), CHUNK):
        statement = (
            select(*primary, old)
            .join_from(upper, lower, and_(*joins))
            .where(matching(parent_key, keys[start : start + CHUNK]))
            .order_by(*primary)
            .with_for_update(of=lower)
        )
        for row in connection.execute(statement):
            yield tuple(row[:-1]), bool(row[-1])


def _delete_beside(
    connection: Connection, beside: Table, pairs: Pairs, table: Table, keys: list[Key]
) -> None:
    for start in range(0, len(keys), CHUNK):
        upper = [column for column, _ in pairs]
        chosen = select(*upper).where(
            matching(list(table.primary_key), keys[start : start + CHUNK])
        )
        lower = [column for _, column in pairs]
        condition: Any = lower[0].in_(chosen) if len(lower) == 1 else tuple_(*lower).in_(chosen)
        connection.execute(delete(beside).where(condition))


def _delete_group(connection: Connection, tables: list[Table], collected: Collected) -> None:
    """
    Delete from tables that point at each other, or from one.

    One statement removes all rows where it can: foreign keys are checked at its end, so
    rows that point at each other may go together.
    """
    if len(tables) > 1 and sum(len(collected.depths[table]) for table in tables) <= CHUNK:
        first, *others = (
            delete(table).where(_keys(table, list(collected.depths[table]))) for table in tables
        )
        for number, other in enumerate(others):
            first = first.add_cte(other.cte(f"pgultra_removed_{number}"))
        connection.execute(first)
        return
    rows = [
        (depth, number, key)
        for number, table in enumerate(tables)
        for key, depth in collected.depths[table].items()
    ]
    by_depth: dict[tuple[int, int], list[Key]] = {}
    if len(tables) == 1 and len(rows) <= CHUNK:
        by_depth[0, 0] = [key for _, _, key in rows]
    else:
        for depth, number, key in rows:
            by_depth.setdefault((depth, number), []).append(key)
    for depth, number in sorted(by_depth, reverse=True):
        keys = by_depth[depth, number]
        for start in range(0, len(keys), CHUNK):
            connection.execute(
                delete(tables[number]).where(_keys(tables[number], keys[start : start + CHUNK]))
            )


def _keys(table: Table, keys: list[Key]) -> Any:
    return matching(list(table.primary_key), keys)
