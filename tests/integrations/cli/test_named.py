"""
Names of tables and columns as a user types them.
"""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from pgultra.errors import PgultraError
from pgultra.integrations.cli.named import column_named, spelt, tables_named


def made(*schemas: str | None) -> sa.MetaData:
    """
    The tables ``visit`` and ``place``, in each of these schemas.
    """
    metadata = sa.MetaData()
    for schema in schemas:
        for name in ("visit", "place"):
            sa.Table(name, metadata, sa.Column("Note", sa.Text, key="note"), schema=schema)
    return metadata


def columns(metadata: sa.MetaData) -> list[sa.Column[str]]:
    """
    All that there are.
    """
    return [column for table in metadata.tables.values() for column in table.columns]


def test_the_schema_may_be_left_out() -> None:
    """
    Where one table alone is meant; the column by its name or its key.
    """
    metadata = made("inn")
    for name in ("visit", "inn.visit"):
        assert tables_named("m:x", name, [metadata]) == [metadata.tables["inn.visit"]]
        for word in ("Note", "note"):
            found = column_named("m:x", "column", f"{name}.{word}", columns(metadata))
            assert spelt(found) == "inn.visit.Note"


def test_each_metadata_that_has_it() -> None:
    """
    By the short name as by the full one.
    """
    both = [made("inn"), made("inn")]
    found = [each.tables["inn.visit"] for each in both]
    assert tables_named("m:x", "visit", both) == tables_named("m:x", "inn.visit", both) == found


def test_a_full_name_comes_first() -> None:
    """
    A table of the default schema is meant, though another schema has its name too.
    """
    metadata = made("inn", None)
    assert tables_named("m:x", "visit", [metadata]) == [metadata.tables["visit"]]
    found = column_named("m:x", "column", "visit.note", columns(metadata))
    assert found.table is metadata.tables["visit"]


def test_the_message_lists_what_there_is() -> None:
    """
    Also where a name means several.
    """
    with pytest.raises(PgultraError, match=r"no table 'place_'; it has inn\.place, inn\.visit"):
        tables_named("m:x", "place_", [made("inn")])
    with pytest.raises(PgultraError, match=r"no vector column 'note'; it has none"):
        column_named("m:x", "vector column", "note", [])
    metadata = made("inn", "bar")
    with pytest.raises(PgultraError, match=r"several of 'visit': say bar\.visit or inn\.visit"):
        tables_named("m:x", "visit", [metadata])
    with pytest.raises(PgultraError, match=r"say bar\.visit\.Note or inn\.visit\.Note"):
        column_named("m:x", "column", "visit.note", columns(metadata))
