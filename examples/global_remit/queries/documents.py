"""
Step 1.1: JSON that is asked for by what it holds. The room of it is yet to come.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from models import Document
from queries.explained import indexes_used

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Row
    from sqlalchemy.orm import Session


def containing(session: Session, wanted: dict[str, Any]) -> Sequence[Row[Any]]:
    """
    ``SELECT data->>'name', data->'skills' … WHERE data @> '{"age": 30}'``.
    """
    columns = (Document.data["name"].astext.label("name"), Document.data["skills"].label("skills"))
    return session.execute(select(*columns).where(Document.data.contains(wanted))).all()


def explained(session: Session) -> set[str]:
    """
    By which index: the plan had two, of which one answered nothing that it asked.
    """
    return indexes_used(session, select(Document.id).where(Document.data.contains({"age": 30})))
