"""
The Alembic door: ``import pgultra.integrations.alembic`` in ``env.py``, and nothing else.

After Alembic has compared tables, the comparator adds the steps of the plan and sorts the
whole list, tables and indexes included, by what needs what. A migration is a photograph:
plain SQL through ``op.execute``, which never imports pgultra.
"""

from __future__ import annotations

from pgultra.integrations.alembic.door import StepOp

__all__ = ["StepOp"]
