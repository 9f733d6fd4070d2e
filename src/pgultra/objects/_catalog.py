"""
What all catalog reads share: parameters that every driver takes, and the mark's pattern.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import ARRAY, Text, bindparam, text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection, Row

    from pgultra.objects._base import Scope

NOT_OF_EXTENSION = """
NOT EXISTS (
    SELECT FROM pg_catalog.pg_depend AS e
    WHERE e.classid = '{catalog}'::regclass AND e.objid = {oid} AND e.deptype = 'e'
)
"""


def rows(connection: Connection, query: str, **parameters: Any) -> Sequence[Row[Any]]:
    """
    Run a catalog query; lists are bound as ``text[]``.

    It runs outside the host's own event hooks: plain text, no entities.
    """
    statement = text(query)
    arrays = [
        bindparam(name, type_=ARRAY(Text))
        for name, value in parameters.items()
        if isinstance(value, list)
    ]
    if arrays:
        statement = statement.bindparams(*arrays)
    return connection.execute(statement, parameters).all()


def mark_pattern(scope: Scope) -> str:
    """
    A LIKE pattern for comments that hold this application's mark.
    """
    application = scope.application.replace("_", r"\_")
    return f"%pgultra:{application}:%"
