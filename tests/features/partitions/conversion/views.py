"""
Materialized views that have everything such a view can have, under names that nobody should give.
"""

from __future__ import annotations

import json
from datetime import datetime  # noqa: TC003  # Mapped[datetime] is evaluated
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from pgultra.features.partitions import ByRange, PartitionedTable
from pgultra.features.partitions.conversion.materialized import look
from pgultra.features.partitions.conversion.survey import table_oid
from pgultra.sql import qualified, statement

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

SCHEMA, TABLE = 'Odd "Schema: 100%', 'Vis"it: %s'
ELSEWHERE = "Views: 'of' %"
DAILY = 'Day"ly: %' + "ü" * 27
MONTHLY, EMPTY, SECOND = "monthly", "Em pty", "a second"
ROWS = 1000
SCRIPT = """
CREATE SCHEMA "{schema}";
CREATE SCHEMA "{elsewhere}";
SET search_path = "{schema}";
CREATE FUNCTION halved(n bigint) RETURNS bigint LANGUAGE sql IMMUTABLE AS 'SELECT n / 2';
CREATE TABLE "{table}" (
    "I d" bigint PRIMARY KEY, "at" timestamptz NOT NULL, "sl:ug" text, amount bigint
);
INSERT INTO "{table}" SELECT g, '2026-01-01Z'::timestamptz + g * interval '3 hours',
    's' || g % 7, g FROM generate_series(1, {rows}) AS g;
ALTER DEFAULT PRIVILEGES IN SCHEMA "{elsewhere}" GRANT SELECT, INSERT ON TABLES TO pg_read_all_stats;
CREATE MATERIALIZED VIEW "{elsewhere}"."{daily}" ("d:ay", "nu%mber", slugs, "to tal") USING heap
    WITH (fillfactor = 71, autovacuum_enabled = false, toast.autovacuum_enabled = false) AS
    SELECT date_trunc('day', t."at", 'UTC'), count(*), string_agg(t."sl:ug", ':x %s' ORDER BY "I d"),
        sum(halved(amount)) FROM "{table}" AS t WHERE t."sl:ug" <> 'it''s; %' GROUP BY 1;
CREATE UNIQUE INDEX "Uni: %" ON "{elsewhere}"."{daily}" ("d:ay" DESC) INCLUDE (slugs)
    WITH (fillfactor = 66);
CREATE INDEX "part ial" ON "{elsewhere}"."{daily}" ("nu%mber") WHERE "nu%mber" > 3;
CREATE INDEX expressed ON "{elsewhere}"."{daily}" (lower(slugs) COLLATE "C" text_pattern_ops, upper(slugs));
ALTER INDEX "{elsewhere}".expressed ALTER COLUMN 2 SET STATISTICS 77;
ALTER MATERIALIZED VIEW "{elsewhere}"."{daily}" CLUSTER ON "Uni: %";
ALTER MATERIALIZED VIEW "{elsewhere}"."{daily}" REPLICA IDENTITY FULL;
ALTER MATERIALIZED VIEW "{elsewhere}"."{daily}" ALTER COLUMN slugs SET STORAGE EXTERNAL;
ALTER MATERIALIZED VIEW "{elsewhere}"."{daily}" ALTER COLUMN slugs SET COMPRESSION pglz;
ALTER MATERIALIZED VIEW "{elsewhere}"."{daily}" ALTER COLUMN slugs SET STATISTICS 333;
ALTER MATERIALIZED VIEW "{elsewhere}"."{daily}" ALTER COLUMN "to tal" SET (n_distinct = -0.25);
CREATE STATISTICS "st at" (ndistinct, mcv) ON "nu%mber", "to tal" FROM "{elsewhere}"."{daily}";
ALTER STATISTICS "st at" SET STATISTICS 55;
COMMENT ON MATERIALIZED VIEW "{elsewhere}"."{daily}" IS 'all: of 100% it''s';
COMMENT ON COLUMN "{elsewhere}"."{daily}"."d:ay" IS 'a %s day';
COMMENT ON INDEX "{elsewhere}"."Uni: %" IS 'an index';
COMMENT ON STATISTICS "st at" IS 'what: goes %s';
REVOKE ALL ON "{elsewhere}"."{daily}" FROM pg_read_all_stats;
GRANT SELECT ON "{elsewhere}"."{daily}" TO PUBLIC;
GRANT SELECT, UPDATE ON "{elsewhere}"."{daily}" TO pg_monitor WITH GRANT OPTION;
GRANT SELECT ("d:ay"), REFERENCES (slugs) ON "{elsewhere}"."{daily}" TO pg_read_all_settings;
CREATE MATERIALIZED VIEW monthly AS
    SELECT date_trunc('month', d."d:ay", 'UTC') AS month, sum(d."nu%mber") AS c,
        (SELECT count(*) FROM "{table}") AS rows
    FROM "{elsewhere}"."{daily}" AS d GROUP BY 1;
ALTER MATERIALIZED VIEW monthly RENAME COLUMN c TO "Numb er";
CREATE UNIQUE INDEX ON monthly (month);
REVOKE INSERT, TRUNCATE ON monthly FROM CURRENT_USER;
CREATE MATERIALIZED VIEW "a second" AS SELECT d."d:ay" FROM "{elsewhere}"."{daily}" AS d;
CREATE MATERIALIZED VIEW "Em pty" AS SELECT v::text AS whole FROM "{table}" AS v WITH NO DATA;
CREATE INDEX "on nothing" ON "Em pty" (whole);
CREATE VIEW seen WITH (security_barrier = true) AS
    SELECT m.month, m."Numb er", d.slugs FROM monthly AS m, "{elsewhere}"."{daily}" AS d
    WHERE date_trunc('month', d."d:ay", 'UTC') = m.month;
COMMENT ON VIEW seen IS 'a view';
GRANT SELECT ON seen TO pg_monitor;
CREATE VIEW counted AS SELECT count(*) AS c FROM "{table}";
CREATE MATERIALIZED VIEW indirect AS SELECT c FROM counted;
"""
VIEWS = ((ELSEWHERE, DAILY), *((SCHEMA, each) for each in (MONTHLY, SECOND, EMPTY, "indirect")))
CHANGING = ("oid", "filenode", "rows", "bytes", "dependents")


def script() -> list[str]:
    """
    The statements that make the table and its views.
    """
    words = {"schema": SCHEMA, "table": TABLE, "elsewhere": ELSEWHERE, "daily": DAILY}
    text = SCRIPT.replace("{rows}", str(ROWS))
    for word, name in words.items():
        text = text.replace(f"{{{word}}}", name.replace('"', '""'))
    return [each.strip() for each in text.replace("it''s; %", "it''s\0 %").split(";")]


def models() -> tuple[type[DeclarativeBase], Any]:
    """
    The model that the table shall fit.
    """

    class Base(DeclarativeBase):
        pass

    class Visit(PartitionedTable, Base):
        __tablename__ = TABLE
        __partition_by__ = ByRange("at", every="1 month", premake=1)
        __table_args__ = ({"schema": SCHEMA},)

        id: Mapped[int] = mapped_column("I d", sa.BigInteger, primary_key=True, autoincrement=False)
        at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True), primary_key=True)
        slug: Mapped[str | None] = mapped_column("sl:ug")
        amount: Mapped[int | None]

    return Base, Visit


def make(connection: Connection) -> None:
    """
    Run the script; the search_path stays.
    """
    for each in script():
        if each:
            connection.execute(statement(each.replace("\0", ";")))


def picture(connection: Connection, places: Sequence[tuple[str, str]] = VIEWS) -> dict[str, Any]:
    """
    All that can be told of the views, but for what a conversion is there to change.
    """
    connection.exec_driver_sql("SET LOCAL search_path = pg_catalog")
    told: dict[str, Any] = {}
    for schema, name in places:
        oid = table_oid(connection, schema, name)
        assert oid is not None, name
        found = look(connection, oid).document
        told[name] = {word: value for word, value in found.items() if word not in CHANGING}
        told[name]["by"] = sorted({str(each["name"]) for each in found["dependents"]})
    return json.loads(json.dumps(told))  # type: ignore[no-any-return]  # JSON is anything


def contents(connection: Connection) -> dict[str, list[str]]:
    """
    All rows of the views that have some.
    """
    told = {}
    for schema, name in (*VIEWS, (SCHEMA, "seen")):
        if name != EMPTY:
            text = f"SELECT v::text FROM {qualified(schema, name)} AS v ORDER BY 1"
            told[name] = list(connection.execute(statement(text)).scalars())
    return told


def left_over(connection: Connection) -> list[str]:
    """
    Materialized views, indexes and statistics that only a conversion makes.
    """
    text = """
        SELECT relname::text FROM pg_class WHERE relkind = 'm' AND relname ~ 'partitions_(old|new)'
        UNION ALL SELECT i.relname::text FROM pg_index AS x JOIN pg_class AS i ON i.oid = x.indexrelid
            JOIN pg_class AS m ON m.oid = x.indrelid
            WHERE m.relkind = 'm' AND i.relname ~ 'partitions_(old|new)'
        UNION ALL SELECT stxname::text FROM pg_statistic_ext WHERE stxname ~ 'partitions_(old|new)'
    """
    return list(connection.execute(sa.text(text)).scalars())
