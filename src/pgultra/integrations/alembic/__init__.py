"""
The Alembic door: ``import pgultra.integrations.alembic`` in ``env.py``, and nothing else.

After Alembic has compared tables, the comparator adds the steps of the plan and sorts the
whole list, tables and indexes included, by what needs what. A migration is a photograph:
plain SQL through ``op.execute``, which never imports pgultra.
"""

from __future__ import annotations

try:
    from pgultra.integrations.alembic.door import StepOp
except ImportError as error:
    if (error.name or "").partition(".")[0] != "alembic":
        raise
    raise ImportError(
        "pgultra.integrations.alembic needs Alembic 1.18 or later: pip install 'pgultra[alembic]'",
        name=error.name,
    ) from error

__all__ = ["StepOp"]
