"""
A table that has everything a table can have, under names that nobody should give.
"""

from __future__ import annotations

import json
from datetime import datetime  # noqa: TC003  # Mapped[datetime] is evaluated
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from pgultra.features.partitions import ByRange, PartitionedTable
from pgultra.features.partitions.conversion.survey import survey, table_oid
from pgultra.sql import statement

if TYPE_CHECKING:
    from sqlalchemy import Connection

SCHEMA = 'Odd "Schema: 100%'
NAME = 'Weird "Table: ' + "ü" * 24 + "%"
SCRIPT = """
CREATE SCHEMA "{schema}";
SET search_path = "{schema}";
CREATE TABLE "or""g" (id int PRIMARY KEY);
INSERT INTO "or""g" VALUES (1), (2);
CREATE TABLE "{table}" (
    "I d" bigint GENERATED ALWAYS AS IDENTITY (START 5 INCREMENT 3) PRIMARY KEY,
    "at" timestamptz NOT NULL, "select" int NOT NULL REFERENCES "or""g" ON DELETE CASCADE,
    serial bigserial, email text COLLATE "C", slug text DEFAULT 'it''s 100%',
    up text COLLATE "C", up_at timestamptz,
    loud text GENERATED ALWAYS AS (upper(email)) STORED, mood jsonb,
    CONSTRAINT "eMail" UNIQUE (email, "at"),
    CONSTRAINT "no: 'quotes'" CHECK (email <> ':x %s')
) WITH (fillfactor = 77, autovacuum_enabled = false);
ALTER TABLE "{table}" DROP COLUMN mood;
ALTER TABLE "{table}" ADD COLUMN mood text[];
ALTER TABLE "{table}" ALTER COLUMN slug SET STATISTICS 333;
CREATE INDEX "{table}" ON "{table}_" (a);
CREATE INDEX "Idx: %" ON "{table}" (lower(email) COLLATE "C" DESC) WHERE slug IS NOT NULL;
CREATE INDEX gin ON "{table}" USING gin (mood);
CREATE STATISTICS "st at" (ndistinct) ON email, slug FROM "{table}";
ALTER STATISTICS "st at" SET STATISTICS 222;
COMMENT ON TABLE "{table}" IS 'all: of 100% it''s';
COMMENT ON COLUMN "{table}".email IS 'a %s comment';
COMMENT ON INDEX "Idx: %" IS 'an index';
COMMENT ON CONSTRAINT "eMail" ON "{table}" IS 'a constraint';
ALTER TABLE "{table}" ADD CONSTRAINT "Up: %" FOREIGN KEY (up, up_at)
    REFERENCES "{table}" (email, "at") ON UPDATE CASCADE DEFERRABLE;
COMMENT ON CONSTRAINT "Up: %" ON "{table}" IS 'it: itself';
CREATE TABLE note (id int PRIMARY KEY, email text COLLATE "C", "at" timestamptz,
    CONSTRAINT "to: it" FOREIGN KEY (email, "at") REFERENCES "{table}" (email, "at")
        ON UPDATE CASCADE ON DELETE SET NULL);
CREATE TABLE heard (what text, who name DEFAULT current_user);
CREATE FUNCTION hear() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS
    $$BEGIN INSERT INTO heard VALUES (TG_NAME || ' ' || TG_OP); RETURN NEW; END$$;
CREATE TRIGGER "Each: %" AFTER INSERT OR UPDATE OF email ON "{table}" FOR EACH ROW
    WHEN (NEW.email <> 'quiet') EXECUTE FUNCTION hear();
CREATE TRIGGER whole AFTER DELETE ON "{table}" REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION hear();
CREATE TRIGGER off BEFORE INSERT ON "{table}" FOR EACH ROW EXECUTE FUNCTION hear();
ALTER TABLE "{table}" DISABLE TRIGGER off;
CREATE TRIGGER always AFTER INSERT ON "{table}" FOR EACH ROW EXECUTE FUNCTION hear();
ALTER TABLE "{table}" ENABLE ALWAYS TRIGGER always;
CREATE CONSTRAINT TRIGGER late AFTER UPDATE ON "{table}" DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION hear();
COMMENT ON TRIGGER whole ON "{table}" IS 'a trigger';
ALTER TABLE "{table}" ENABLE ROW LEVEL SECURITY;
CREATE POLICY "Pol: %" ON "{table}" FOR SELECT TO PUBLIC USING (slug <> 'hidden %');
CREATE POLICY strict ON "{table}" AS RESTRICTIVE USING (true) WITH CHECK ("select" > 0);
COMMENT ON POLICY strict ON "{table}" IS 'a policy';
GRANT SELECT, INSERT ON "{table}" TO PUBLIC;
GRANT UPDATE (slug, email) ON "{table}" TO pg_monitor WITH GRANT OPTION;
GRANT TRUNCATE ON "{table}" TO pg_read_all_stats;
CREATE VIEW seen WITH (security_barrier = true, check_option = local) AS
    SELECT "I d", "at", email, slug AS "s:l%g" FROM "{table}" WHERE email <> 'a %s';
CREATE VIEW counted AS SELECT s.email, count(*) AS c FROM seen AS s, "{table}" AS t GROUP BY 1;
COMMENT ON VIEW seen IS 'a view';
GRANT SELECT ON seen TO pg_monitor;
CREATE PUBLICATION "Pub: {number}" FOR TABLE "{table}" ("I d", "at", email) WHERE ("I d" > 7);
CREATE FUNCTION many(n int) RETURNS void LANGUAGE sql SET search_path FROM CURRENT AS
    $$INSERT INTO "{table}" ("at", "select", email)
    SELECT '2026-01-01Z'::timestamptz + g * interval '7 hours', 1 + g % 2, 'e' || g
    FROM generate_series(1, n) AS g$$;
SELECT many(1000);
UPDATE "{table}" AS t SET up = o.email, up_at = o."at" FROM "{table}" AS o
    WHERE o.email = 'e900' AND t.email = 'e902';
INSERT INTO note SELECT row_number() OVER (), email, "at" FROM "{table}" LIMIT 100;
"""
LEFT_OUT = 'CREATE INDEX "{table}" ON "{table}_" (a);\n'
DESCRIBED = (
    *("owner", "row_security", "forced", "replica_identity", "comment", "columns", "triggers"),
    *("grants", "policies", "statistics", "dependents", "incoming"),
)
COMMENTS = sa.text(
    "SELECT a.attname, pg_catalog.col_description(a.attrelid, a.attnum) FROM pg_catalog.pg_attribute"
    " AS a WHERE a.attrelid = CAST(CAST(:oid AS bigint) AS oid) AND a.attnum > 0"
    " AND NOT a.attisdropped ORDER BY a.attnum"
)


def script(number: int) -> list[str]:
    """
    The statements that make it; a publication's name counts for the whole database.
    """
    text = SCRIPT.replace(LEFT_OUT, "").replace("{schema}", SCHEMA.replace('"', '""'))
    text = text.replace("{table}", NAME.replace('"', '""')).replace("{number}", str(number))
    parts, inside, current = [], False, ""
    for piece in text.split(";"):
        current += piece
        inside ^= piece.count("$$") % 2 == 1
        if inside:
            current += ";"
            continue
        if current.strip():
            parts.append(current.strip())
        current = ""
    return parts


def models() -> tuple[type[DeclarativeBase], Any]:
    """
    The model that the table shall fit.
    """

    class Base(DeclarativeBase):
        pass

    class Everything(PartitionedTable, Base):
        __tablename__ = NAME
        __partition_by__ = ByRange("at", every="1 month", premake=1)
        __table_args__ = (sa.UniqueConstraint("email", "at", name="eMail"), {"schema": SCHEMA})

        id: Mapped[int] = mapped_column(
            "I d", sa.BigInteger, sa.Identity(always=True), primary_key=True
        )
        at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True), primary_key=True)
        org: Mapped[int] = mapped_column("select")
        email: Mapped[str | None]
        slug: Mapped[str | None]

    return Base, Everything


def picture(connection: Connection) -> dict[str, Any]:
    """
    All that can be told of the table, but for what a conversion is there to change.
    """
    connection.exec_driver_sql("SET LOCAL search_path = pg_catalog")
    oid = table_oid(connection, SCHEMA, NAME)
    assert oid is not None
    found = survey(connection, oid)
    told = {word: found[word] for word in DESCRIBED}
    for each in told["incoming"]:
        for word in ("oid", "kind", "leaves", "divided_by", "primary"):  # the table itself refers
            each.pop(word)
    ours = ("_partitions_forward", "_partitions_back")
    told["triggers"] = [t for t in told["triggers"] if not any(o in t["name"] for o in ours)]
    told["constraints"] = [
        {key: value for key, value in each.items() if key != "refers_to"}
        for each in found["constraints"]
        if each["type"] != "p"
    ]
    told["indexes"] = [
        {key: each[key] for key in ("name", "unique", "valid", "tail", "comment", "constraint")}
        for each in found["indexes"]
        if not each["primary"]
    ]
    told["publications"] = [
        {key: each[key] for key in ("name", "columns", "where")} for each in found["publications"]
    ]
    told["sequences"] = [
        {key: each[key] for key in ("name", "column", "internal", "options", "grants")}
        for each in found["sequences"]
    ]
    told["comments"] = [list(row) for row in connection.execute(COMMENTS, {"oid": oid})]
    return json.loads(json.dumps(told))  # type: ignore[no-any-return]


def run(connection: Connection, *texts: str) -> Any:
    """
    Run statements as they are; the result of the last one.
    """
    result = None
    for text in texts:
        result = connection.execute(statement(text))
    return result
