"""
Phase 5 of the seed: nineteen tables whose rows are marked, and what the seed's trigger forgot.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import func, select, text
from sqlalchemy.dialects.postgresql import insert

from models import Achievement, Base, UserAchievement
from pgultra import soft_delete

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy import Connection, Table
    from sqlalchemy.orm import Session


def deletable() -> list[Table]:
    """
    The tables on which the seed writes ``CREATE TRIGGER enforce_soft_delete_…`` by hand.
    """
    tables = Base.metadata.tables
    return [tables[name] for name in sorted(tables) if "deletionId" in tables[name].c]


def mark(connection: Connection, table: str, key: int, deleted: bool) -> None:
    """
    Write the flag alone, as the seed's application does; the database does the rest.

    The seed's trigger sets ``deletedAt`` at an UPDATE only, loses a time that was given,
    does not know who it was, and leaves alone what belongs to the row.
    """
    statement = f"UPDATE {table} SET deleted = :deleted WHERE id = :id"
    connection.execute(text(statement), {"deleted": deleted, "id": key})


def act_as(session: Session | Connection, name: str) -> None:
    """
    Say who acts in this transaction: the line that the seed has commented out.
    """
    session.execute(select(func.set_config("pgultra.actor", name, True)))


def taken(connection: Connection, deletion: UUID | None) -> dict[str, int]:
    """
    How many rows of each table one deletion took.
    """
    found = {}
    for table in deletable():
        statement = select(func.count()).where(table.c.deletionId == deletion)
        if count := connection.scalar(statement):
            found[table.name] = count
    return found


def validate(connection: Connection) -> list[soft_delete.Finding]:
    """
    What the seed's ``validate_soft_delete(table, id)`` asks of one row, of all nineteen tables.

    The seed's calls a row valid that is not there, and a live one with a time of deletion.
    """
    return soft_delete.audit(connection, Base)


def grant(session: Session, user: int, code: str) -> bool:
    """
    Give an achievement once; whether it was new: the part of ``grant_achievement`` that rewards.

    The seed's pays experience and currency again at each call, for ON CONFLICT DO NOTHING
    does not end a function. An achievement that was taken away can be reached again.
    """
    achievement = session.scalar(select(Achievement.id).where(Achievement.code == code))
    if achievement is None:
        return False
    given = insert(UserAchievement).values(user_id=user, achievement_id=achievement)
    given = soft_delete.on_conflict_live(given, "user_id", "achievement_id")
    return session.scalar(given.returning(UserAchievement.id)) is not None
