"""
The text of an index: what PostgreSQL prints of it, and how it changes its name.
"""

from __future__ import annotations

import re

from pgultra.objects._catalog import QUOTED

__all__ = ["LEFTOVER", "PARAMETER", "SWAP", "parted", "tail"]

LEFTOVER = """DO $pgultra$
BEGIN
    WHILE EXISTS (SELECT FROM pg_catalog.pg_stat_progress_create_index
            WHERE datname = pg_catalog.current_database()
                AND index_relid = pg_catalog.to_regclass({index})) LOOP
        COMMIT; -- that build waits for this transaction
        PERFORM pg_catalog.pg_sleep(0.2);
    END LOOP;
    IF EXISTS (SELECT FROM pg_catalog.pg_index
            WHERE indexrelid = pg_catalog.to_regclass({index}) AND NOT indisvalid) THEN
        EXECUTE {rename};
    END IF;
END
$pgultra$"""
"""Waits for a build in another session; renames what a broken one left behind."""
SWAP = """DO $pgultra$
BEGIN
    ALTER INDEX IF EXISTS {index} RENAME TO {leftover};
    ALTER INDEX {new} RENAME TO {name};
END
$pgultra$"""
"""Puts a new index in the old one's place, at once."""

PARAMETERS = re.compile(r" WITH \([^()]*\)")
PARAMETER = re.compile(r"(\w+) ?= ?'?([^',()]+)")


def tail(definition: str) -> str:
    """
    What stands after the table's name: ``USING btree (…) …``; quoted names are passed over.
    """
    return definition[_masked(definition).index(" USING ") + 1 :]


def parted(definition: str) -> tuple[str, str, str]:
    """
    What stands before the storage parameters, these, and what stands after them.

    >>> parted("USING gin (x) WITH (fastupdate='off') WHERE (y <> ' WITH (z)'::text)")
    ('USING gin (x)', " WITH (fastupdate='off')", " WHERE (y <> ' WITH (z)'::text)")
    """
    masked = _masked(definition)
    found = PARAMETERS.search(masked)
    at, end = found.span() if found else (len(masked), len(masked))
    return definition[:at], definition[at:end], definition[end:]


def _masked(definition: str) -> str:
    """
    With dots for texts and quoted names.
    """
    return QUOTED.sub(lambda quoted: "." * len(quoted[0]), definition)
