"""
Core tables with the database side of the room, as its SQL tests need them.

Nothing of the ORM side takes part: shapes are written by hand, objects are created by their own statements.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from pgultra import sql
from pgultra.features.soft_delete.objects import objects
from pgultra.features.soft_delete.shape import Columns, Edge, Shape, TableName

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from pgultra.objects import DatabaseObject

__all__ = ["PLAIN", "Schema", "dead", "execute", "ids", "live", "soft_table"]

PLAIN = Columns()


def soft_table(
    name: str,
    metadata: sa.MetaData,
    *columns: Any,
    names: Columns = PLAIN,
    **options: Any,
) -> sa.Table:
    """
    Make a table with the columns of the room.
    """
    flag = [sa.Column(names.flag, sa.Boolean, nullable=False, server_default=sa.false())]
    return sa.Table(
        name,
        metadata,
        *columns,
        sa.Column(names.deleted_at, sa.DateTime(timezone=True)),
        sa.Column(names.deleted_by, sa.Text),
        sa.Column(names.deletion_id, sa.Uuid),
        *(flag if names.flag else ()),
        info={"names": names},
        **options,
    )


@dataclass
class Schema:
    """
    Tables, the edges between them, and the options of each.
    """

    metadata: sa.MetaData = field(default_factory=sa.MetaData)
    edges: list[Edge] = field(default_factory=list)
    options: dict[str, dict[str, Any]] = field(default_factory=dict)

    def table(
        self,
        name: str,
        *columns: Any,
        schema: str | None = None,
        names: Columns = PLAIN,
        **options: Any,
    ) -> sa.Table:
        """
        Add a soft-deletable table; an integer primary key `id` unless it has one of its own.
        """
        if not any(isinstance(column, sa.Column) and column.primary_key for column in columns):
            columns = (sa.Column("id", sa.Integer, primary_key=True), *columns)
        table = soft_table(name, self.metadata, *columns, schema=schema, names=names)
        self.options[table.key] = options
        return table

    def edge(self, parent: sa.Table, child: sa.Table, **on: str) -> None:
        """
        Let rows of a table go with their parent: `edge(article, comment, id="article_id")`.
        """
        self.edges.append(
            Edge(
                parent=TableName(parent.schema, parent.name),
                child=TableName(child.schema, child.name),
                parent_key=tuple(on),
                child_key=tuple(on.values()),
                parent_columns=parent.info["names"],
                child_columns=child.info["names"],
                parent_primary_key=tuple(parent.primary_key.columns.keys()),
                child_primary_key=tuple(child.primary_key.columns.keys()),
            )
        )

    def shape(self, table: sa.Table) -> Shape:
        """
        Resolve one table.
        """
        return Shape.of(
            TableName(table.schema, table.name),
            table.info["names"],
            tuple(table.primary_key.columns.keys()),
            self.edges,
            **self.options[table.key],
        )

    def objects(self) -> Sequence[DatabaseObject]:
        """
        Derive the objects of all tables, each once, functions first.
        """
        found: dict[DatabaseObject, None] = {}
        for table in self.metadata.tables.values():
            if table.key in self.options:
                found.update(dict.fromkeys(objects(table, self.shape(table))))
        return sorted(found, key=lambda each: each.identity.kind != "function")

    def create(self, bind: sa.Engine | sa.Connection) -> Schema:
        """
        Create tables and objects.
        """
        if isinstance(bind, sa.Engine):
            with bind.begin() as connection:
                return self.create(connection)
        self.metadata.create_all(bind)
        for each in self.objects():
            for text in each.create():
                bind.execute(sql.statement(text))
        return self


def execute(bind: sa.Engine | sa.Connection, *statements: Any) -> Any:
    """
    Run statements in one transaction; texts may not have parameters.
    """
    if isinstance(bind, sa.Engine):
        with bind.begin() as connection:
            return execute(connection, *statements)
    result = None
    for each in statements:
        result = bind.execute(sql.statement(each) if isinstance(each, str) else each)
    return result


def ids(bind: sa.Engine | sa.Connection, table: sa.Table, condition: Any) -> list[Any]:
    """
    List the primary keys of the rows that meet a condition, in order.
    """
    keys = list(table.primary_key.columns)
    statement = sa.select(*keys).where(condition).order_by(*keys)
    if isinstance(bind, sa.Engine):
        with bind.begin() as connection:
            return ids(connection, table, condition)
    rows: Iterable[Any] = bind.execute(statement)
    return [row[0] if len(keys) == 1 else tuple(row) for row in rows]


def live(bind: sa.Engine | sa.Connection, table: sa.Table) -> list[Any]:
    """
    List the keys of the live rows.
    """
    return ids(bind, table, table.c[table.info["names"].deleted_at].is_(None))


def dead(bind: sa.Engine | sa.Connection, table: sa.Table) -> list[Any]:
    """
    List the keys of the deleted rows.
    """
    return ids(bind, table, table.c[table.info["names"].deleted_at].is_not(None))


def delete(connection: sa.Connection, table: sa.Table, *keys: Any) -> None:
    """
    Delete rows softly, in one statement.
    """
    column = next(iter(table.primary_key))
    names = table.info["names"]
    connection.execute(
        table.update().where(column.in_(keys)).values({names.deleted_at: sa.func.now()})
    )


def restore(connection: sa.Connection, table: sa.Table, *keys: Any) -> None:
    """
    Restore rows, in one statement.
    """
    column = next(iter(table.primary_key))
    names = table.info["names"]
    connection.execute(table.update().where(column.in_(keys)).values({names.deleted_at: None}))


def refused(connection: sa.Connection, change: Callable[[], Any]) -> str:
    """
    Run what must fail within a savepoint, and return the message.
    """
    with pytest.raises(sa.exc.IntegrityError) as caught, connection.begin_nested():
        change()
    assert caught.value.orig is not None
    return str(caught.value.orig)


def deletions(connection: sa.Connection, *tables: sa.Table) -> set[Any]:
    """
    Collect the deletion ids in some tables.
    """
    return {
        value
        for table in tables
        for value in connection.execute(
            sa.select(table.c[table.info["names"].deletion_id])
        ).scalars()
    }
