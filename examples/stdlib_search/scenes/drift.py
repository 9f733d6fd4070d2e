"""
Drift: somebody changes the database by hand, `check` sees it, a plan repairs it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text

from models import Base
from pgultra import plan
from pgultra.objects import Trigger
from pgultra.plan.describe import as_text

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

    from stage import Stage

VIEW = """
CREATE OR REPLACE VIEW shelf AS
SELECT module.name, count(article.id) AS articles, sum(length(article.body)) AS characters
FROM module JOIN article ON module.id = article.module_id
GROUP BY module.name
"""


def drift(stage: Stage, engine: Engine) -> None:
    """
    Switch a trigger off, replace a view, find both and put them right.
    """
    stage.scene("Drift: changed by hand, found, repaired")
    with engine.begin() as connection:
        by_hand = [f"ALTER TABLE article DISABLE TRIGGER {guard(connection)}", VIEW.strip()]
        for statement in by_hand:
            stage.code(statement + ";", "postgresql")
            connection.execute(text(statement))
    with engine.connect() as connection, stage.timed("checked"):
        found = plan.check(connection, Base.metadata)
    stage.say("[bold]pgultra check[/] reads the catalogs, takes no lock, and says:")
    stage.diff(as_text(found).splitlines())
    stage.say("A migration would hold this SQL; here it is run at once:")
    stage.code("plan.apply(plan.check(connection, Base.metadata), connection)")
    with engine.begin() as connection:
        plan.apply(found, connection)
    with engine.connect() as connection:
        stage.answer(as_text(plan.check(connection, Base.metadata)), style="green")


def guard(connection: Connection) -> str:
    """
    The trigger that refuses a raw DELETE.
    """
    names = (
        connection.dialect.identifier_preparer.quote(each.name)
        for each in plan.collect(Base.metadata).values()
        if isinstance(each, Trigger) and each.table == "article" and each.events == ("DELETE",)
    )
    return next(names)
