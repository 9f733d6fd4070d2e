"""
Drift: somebody changes the database by hand, `check` sees it, a plan repairs it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text

from models import Base
from pgultra import plan
from pgultra.plan.describe import as_text

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from pgultra.plan import Plan
    from stage import Stage

BY_HAND = """
ALTER TABLE comment DISABLE TRIGGER comment_soft_delete_guard;
CREATE OR REPLACE VIEW shelf AS
  SELECT module.name, count(article.id) AS articles,
         sum(length(article.body)) AS characters
  FROM module JOIN article ON module.id = article.module_id
  GROUP BY module.name;
"""


def drift(stage: Stage, engine: Engine) -> None:
    """
    Switch a trigger off, replace a view, find both and put them right.
    """
    stage.scene("Drift: changed by hand, found, repaired")
    stage.code(BY_HAND, "postgresql")
    with engine.begin() as connection:
        connection.execute(text(BY_HAND))
    with stage.timed("pgultra check, which reads catalogs and locks nobody out"):
        found = check(engine)
    stage.diff(as_text(found).splitlines())
    stage.say("\nA migration would hold the SQL that repairs it; here it is run at once:")
    stage.code("plan.apply(plan.check(connection, Base.metadata), connection)")
    with engine.begin() as connection, stage.timed("repaired"):
        plan.apply(found, connection)
    stage.answer(as_text(check(engine)), style="green")


def check(engine: Engine) -> Plan:
    """
    Compare the models with the schema that they live in.
    """
    with engine.connect() as connection:
        return plan.check(connection, Base.metadata)
