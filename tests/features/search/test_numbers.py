"""
Numbers that PostgreSQL would refuse are refused here; those at the border are taken.
"""

from __future__ import annotations

import math

import pytest
import sqlalchemy as sa

from pgultra import DeclarationError
from pgultra.features import search
from tests.features.search.tables import note_table

MOST = 2**31 - 1


@pytest.mark.parametrize("weight", [1.01, -0.1, math.inf, math.nan])
def test_weights(weight: float) -> None:
    """
    A weight is between 0 and 1.
    """
    notes = note_table(sa.MetaData(), {"title": "A"})
    with pytest.raises(DeclarationError, match="numbers from 0 to 1"):
        search.top(notes, notes.c.search, "fox", weights={"A": weight})


@pytest.mark.parametrize("option", ["max_words", "fragments", "length"])
def test_numbers_of_a_headline(connection: sa.Connection, option: str) -> None:
    """
    A headline's numbers are integers of PostgreSQL.
    """
    notes = note_table(sa.MetaData(), {"title": "A"})
    notes.metadata.create_all(connection)
    connection.execute(notes.insert().values(id=1, title="a quick fox"))
    with pytest.raises(DeclarationError, match=f"{option}={MOST + 1} .* to {MOST}"):
        search.headline(notes.c.search, "fox", **{option: MOST + 1})
    most = search.headline(notes.c.search, "fox", **{option: MOST})
    assert connection.scalar(sa.select(most)) == "quick <mark>fox</mark>"
    ranked = search.rank(notes.c.search, "fox", weights={"A": 1, "B": 0})
    assert connection.scalar(sa.select(ranked)) > 0
