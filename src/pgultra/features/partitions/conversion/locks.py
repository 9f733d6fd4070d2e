"""
The lock that each kind of statement takes, as PostgreSQL's sources have it.

>>> lock_of("ALTER TABLE a VALIDATE CONSTRAINT b")
'SHARE UPDATE EXCLUSIVE; ROW SHARE on the table referred to'
"""

from __future__ import annotations

import re

__all__ = ["lock_of"]

_EXCLUSIVE = "ACCESS EXCLUSIVE"
_WRITERS = "SHARE ROW EXCLUSIVE"
_GENTLE = "SHARE UPDATE EXCLUSIVE"
_KINDS = (
    (r"LOCK TABLE|TRUNCATE", _EXCLUSIVE),
    (r"CREATE TABLE .*\(LIKE", "ACCESS SHARE on the table that it is like"),
    (r"CREATE TABLE .* PARTITION OF", f"{_EXCLUSIVE} on the new table"),
    (r"CREATE TABLE|CREATE SEQUENCE", "none"),
    (r"CREATE (OR REPLACE |CONSTRAINT )?TRIGGER", _WRITERS),
    (r"DROP TRIGGER", _EXCLUSIVE),
    (r"CREATE (UNIQUE )?INDEX CONCURRENTLY", _GENTLE),
    (r"CREATE (UNIQUE )?INDEX", "SHARE"),
    (r"DROP INDEX CONCURRENTLY", _GENTLE),
    (
        r"CREATE (OR REPLACE )?FUNCTION|ALTER FUNCTION|DROP FUNCTION|REVOKE|GRANT|COMMENT ON F",
        "none",
    ),
    (r"CREATE STATISTICS|ALTER STATISTICS", _GENTLE),
    (r"COMMENT ON", _GENTLE),
    (r"CREATE MATERIALIZED VIEW", "ACCESS SHARE on what it reads"),
    (
        r"REFRESH MATERIALIZED VIEW",
        f"{_EXCLUSIVE} on the new view, of which nobody knows; ACCESS SHARE on what it reads",
    ),
    (r"(ALTER|DROP) MATERIALIZED VIEW", f"{_EXCLUSIVE} on the materialized view"),
    (r"CREATE OR REPLACE VIEW|ALTER VIEW", f"{_EXCLUSIVE} on the view"),
    (r"CREATE POLICY", _EXCLUSIVE),
    (r"ALTER PUBLICATION", _GENTLE),
    (r"ALTER INDEX", _GENTLE),
    (r"ALTER SEQUENCE .* RENAME", f"{_EXCLUSIVE} on the sequence"),
    (r"ALTER SEQUENCE", f"{_WRITERS} on the sequence"),
    (r"SELECT pg_catalog.setval", "ROW EXCLUSIVE on the sequence"),
    (
        r"ALTER TABLE .* ATTACH PARTITION",
        f"{_GENTLE}; {_EXCLUSIVE} on the partition and on tables that its foreign keys refer to",
    ),
    (r"ALTER TABLE .* (ENABLE|DISABLE)( ALWAYS| REPLICA)? TRIGGER", _WRITERS),
    (r"ALTER TABLE .* VALIDATE CONSTRAINT", f"{_GENTLE}; ROW SHARE on the table referred to"),
    (r"ALTER TABLE .* ADD CONSTRAINT .* FOREIGN KEY .* NOT VALID", f"{_WRITERS} on both tables"),
    (  # partitions that have it already give their triggers on the other table away
        r"ALTER TABLE .* ADD CONSTRAINT .* FOREIGN KEY",
        f"{_WRITERS} on both tables; {_EXCLUSIVE} on the one referred to, if partitions have it",
    ),
    (r"ALTER TABLE .* ALTER COLUMN .* SET STATISTICS", _GENTLE),
    (r"ALTER TABLE", _EXCLUSIVE),
    (r"DROP TABLE", _EXCLUSIVE),
    (r"ANALYZE", _GENTLE),
    (
        r"WITH page AS MATERIALIZED \(\s*SELECT r.ctid",
        "ROW EXCLUSIVE, and the page's rows; ROW SHARE, and FOR SHARE on rows, of the table itself",
    ),
    (
        r"WITH page AS",
        "ROW SHARE, and FOR SHARE on the page's rows; ROW EXCLUSIVE on the new table",
    ),
    (r"SELECT", "ACCESS SHARE"),
    (r"DELETE|INSERT|UPDATE", "ROW EXCLUSIVE"),
    (r"SAVEPOINT|ROLLBACK TO|SET LOCAL", "none"),
    (r"DO .*ADD CONSTRAINT %I %s NOT VALID", f"{_WRITERS} on both tables"),
    (
        r"DO .*LOCK TABLE .*ADD CONSTRAINT",
        f"{_WRITERS} on both tables; {_EXCLUSIVE} on the one referred to",
    ),
    (
        r"DO .*DROP CONSTRAINT",
        f"{_EXCLUSIVE}, and on the tables that its foreign keys refer to",
    ),
    (r"DO .*aclexplode", "none"),
    (r"DO", "ACCESS SHARE"),
)
_COMPILED = [(re.compile(pattern + r"\b", re.DOTALL), lock) for pattern, lock in _KINDS]


def lock_of(statement: str) -> str:
    """
    What a statement locks; ``none`` if no table.

    Raises:
        ValueError: a statement of a kind that no conversion has.
    """
    for pattern, lock in _COMPILED:
        if pattern.match(statement):
            return lock
    raise ValueError(f"no lock is known for {statement!r}")
