"""
The keys and sealed values of many rows, as a table within one UPDATE.

Sealed values go in one text, hexadecimal with commas between. Drivers write an array of
``bytea`` element by element and escape each one's backslash, which takes longer than sealing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import ARRAY, LargeBinary, Text, bindparam, column, func, literal_column, table

from pgultra import sql
from pgultra.features.encryption.comparator import is_encrypted

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import ColumnClause, ColumnElement, Connection, Table, TableClause

__all__ = ["SentRows", "bare"]


def bare(of: Table, connection: Connection) -> TableClause:
    """
    A table for an UPDATE that changes nothing but what it says: no ``onupdate=`` of the host's.

    Sealed columns are bytes there. Its schema is the one that stands for the table's on this
    connection, since SQLAlchemy translates those of whole tables only.
    """
    columns = [
        column(each.name, LargeBinary() if is_encrypted(each.type) else each.type)
        for each in of.columns
    ]
    return table(of.name, *columns, schema=sql.schema_on(connection, of.schema))


class SentRows:
    """
    ``unnest(keys, string_to_array(values, ','), …)`` and its parameters.

    Its names begin with ``pgultra_``: a host may have a table ``v`` and a column ``new``.

    Args:
        key: the columns of the primary key.
        values: what the lists of values are called.

    >>> import sqlalchemy as sa
    >>> table = sa.Table("v", sa.MetaData(), sa.Column("new", sa.Integer, primary_key=True))
    >>> rows = SentRows(list(table.primary_key), "old", "new")
    >>> rows.given([(7,), (8,)], old=[b"a", b"b"], new=[b"c", b"d"])["pgultra_new"]
    '63,64'
    >>> print(rows.same[0])
    v."new" = pgultra_rows.pgultra_0
    """

    def __init__(self, key: Sequence[ColumnClause[Any]], *values: str) -> None:
        self._keys = [f"pgultra_{number}" for number in range(len(key))]
        names = [f"pgultra_{name}" for name in values]
        comma: ColumnElement[str] = literal_column("','")
        columns = [
            *(
                bindparam(name, type_=ARRAY(c.type))
                for name, c in zip(self._keys, key, strict=True)
            ),
            *(func.string_to_array(bindparam(name, type_=Text), comma) for name in names),
        ]
        rows = func.unnest(*columns).table_valued(*self._keys, *names)
        self._rows = rows.render_derived("pgultra_rows")
        self.same: list[ColumnElement[bool]] = [
            column == self._rows.c[name] for name, column in zip(self._keys, key, strict=True)
        ]

    def __getitem__(self, name: str) -> ColumnElement[bytes]:
        """
        One of the values, as bytes.
        """
        column = self._rows.c[f"pgultra_{name}"]
        return func.decode(column, literal_column("'hex'"), type_=LargeBinary)

    def given(self, keys: Sequence[Sequence[Any]], **values: Iterable[bytes]) -> dict[str, Any]:
        """
        The statement's parameters.
        """
        parts = {name: [key[number] for key in keys] for number, name in enumerate(self._keys)}
        texts = {f"pgultra_{name}": ",".join(map(bytes.hex, each)) for name, each in values.items()}
        return {**parts, **texts}
