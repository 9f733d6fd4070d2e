"""
Restoring: exactly the rows that one deletion took, or a clear refusal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select
from sqlalchemy.orm import Session

from models import Article, Module
from pgultra import RestoreConflict, soft_delete

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from stage import Stage


def restore(stage: Stage, engine: Engine) -> None:
    """
    Restore the module while its name is taken, and then for good.
    """
    stage.scene("Restore: the set that one deletion took")
    with Session(engine) as session:
        stage.say("Meanwhile somebody has made a new module of that name:")
        stage.code(
            'session.add(Module(name="json", path="new.py"))\nsoft_delete.restore(session, old)'
        )
        usurper = Module(name="json", path="new.py")
        session.add(usurper)
        session.commit()
        old = session.scalars(soft_delete.only_deleted(select(Module).filter_by(name="json"))).one()
        try:
            soft_delete.restore(session, old)
        except RestoreConflict as conflict:
            stage.answer(str(conflict), style="yellow")
        session.rollback()

        stage.say("Nothing was changed. The new one goes, and the old one comes back:")
        soft_delete.hard_delete(session, session.merge(usurper))
        session.commit()
        old = session.scalars(soft_delete.only_deleted(select(Module).filter_by(name="json"))).one()
        with stage.timed("restored"):
            soft_delete.restore(session, old)
            session.commit()
        back = session.scalars(select(Article.name).join(Module).where(Module.name == "json"))
        stage.answer(f"live again: {', '.join(sorted(back))}")
        still = session.scalars(soft_delete.only_deleted(select(Article.name)))
        stage.answer(f"still deleted, by its own deletion: {', '.join(still)}")
