"""
What a schema holds, as text: two databases with equal snapshots are alike but for order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["snapshot"]

HERE = "(SELECT oid FROM pg_namespace WHERE nspname = current_schema())"
PARTS = {
    "relation": f"""SELECT relname, relkind::text, reloptions::text,
        obj_description(oid, 'pg_class') FROM pg_class WHERE relnamespace = {HERE}""",
    "column": f"""SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
        a.attgenerated::text, pg_get_expr(d.adbin, d.adrelid), col_description(c.oid, a.attnum)
        FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
        LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
        WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relnamespace = {HERE}
            AND c.relkind IN ('r', 'v', 'p')""",
    "view": f"SELECT relname, pg_get_viewdef(oid) FROM pg_class WHERE relkind = 'v' AND relnamespace = {HERE}",
    "index": f"""SELECT c.relname, pg_get_indexdef(i.indexrelid), i.indisvalid
        FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid
        WHERE c.relnamespace = {HERE}""",
    "constraint": f"""SELECT c.relname, k.conname, pg_get_constraintdef(k.oid), k.convalidated,
        obj_description(k.oid, 'pg_constraint')
        FROM pg_constraint AS k JOIN pg_class AS c ON c.oid = k.conrelid
        WHERE k.connamespace = {HERE} AND k.contype <> 'n'""",
    "function": f"""SELECT proname, pg_get_functiondef(oid), obj_description(oid, 'pg_proc')
        FROM pg_proc WHERE pronamespace = {HERE} AND prokind = 'f'
            AND NOT EXISTS (SELECT FROM pg_depend AS e WHERE e.objid = pg_proc.oid
                AND e.classid = 'pg_proc'::regclass AND e.deptype = 'e')""",
    "trigger": f"""SELECT c.relname, t.tgname, pg_get_triggerdef(t.oid), t.tgenabled::text,
        obj_description(t.oid, 'pg_trigger')
        FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid
        WHERE c.relnamespace = {HERE} AND NOT t.tgisinternal""",
}


def snapshot(connection: Connection) -> list[str]:
    """
    One line for each thing, sorted.
    """
    return sorted(
        f"{part}: {tuple(row)}"
        for part, query in PARTS.items()
        for row in connection.execute(sa.text(query.replace(":", r"\:")))
    )
