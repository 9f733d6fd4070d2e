"""
A peer's autogenerate over the same objects, in a process of its own.
"""

from __future__ import annotations

import sys
from typing import Any

import sqlalchemy as sa
from alembic.autogenerate import produce_migrations
from alembic.migration import MigrationContext

BODY = "BEGIN NEW.note := coalesce(NEW.note, '{number}'); RETURN NEW; END"
OBJECTS, VIEWS = 150, 50


def _tables(metadata: sa.MetaData) -> None:
    for number in range(OBJECTS):
        sa.Table(
            f"item_{number}",
            metadata,
            sa.Column("id", sa.Integer, primary_key=True),
            sa.Column("note", sa.Text),
            sa.Column("price", sa.Numeric(12, 2)),
            sa.Column("seen_at", sa.DateTime(timezone=True)),
        )


def _view(number: int) -> str:
    return f"SELECT id, note FROM item_{number} WHERE price > 10"


def _alembic_utils(metadata: sa.MetaData) -> None:
    from alembic_utils.pg_function import PGFunction
    from alembic_utils.pg_trigger import PGTrigger
    from alembic_utils.pg_view import PGView
    from alembic_utils.replaceable_entity import register_entities

    entities: list[Any] = []
    for number in range(OBJECTS):
        entities.append(
            PGFunction(
                schema="public",
                signature=f"touch_{number}()",
                definition=f"RETURNS trigger LANGUAGE plpgsql AS $${BODY.format(number=number)}$$",
            )
        )
        entities.append(
            PGTrigger(
                schema="public",
                signature="touch",
                on_entity=f"public.item_{number}",
                definition=f"BEFORE INSERT OR UPDATE ON public.item_{number} "
                f"FOR EACH ROW EXECUTE FUNCTION public.touch_{number}()",
            )
        )
        if number < VIEWS:
            entities.append(
                PGView(schema="public", signature=f"dear_{number}", definition=_view(number))
            )
    register_entities(entities, schemas=["public"])


def _declarative_extensions(metadata: sa.MetaData) -> None:
    from sqlalchemy_declarative_extensions import (
        Functions,
        Triggers,
        Views,
        declare_database,
        register_alembic_events,
    )
    from sqlalchemy_declarative_extensions.dialects.postgresql import Function, Trigger
    from sqlalchemy_declarative_extensions.view import View

    functions = [
        Function(
            f"touch_{number}", BODY.format(number=number), language="plpgsql", returns="trigger"
        )
        for number in range(OBJECTS)
    ]
    triggers = [
        Trigger.before(
            "insert", "update", on=f"item_{number}", execute=f"touch_{number}", name="touch"
        ).for_each_row()
        for number in range(OBJECTS)
    ]
    views = [View(f"dear_{number}", _view(number)) for number in range(VIEWS)]
    declare_database(
        metadata,
        functions=Functions().are(*functions),
        triggers=Triggers().are(*triggers),
        views=Views().are(*views),
    )
    register_alembic_events(functions=True, triggers=True, views=True, schemas=False, roles=False)


def main(label: str, url: str) -> None:
    """
    Say "ready", then run one autogenerate for each line read.
    """
    metadata = sa.MetaData()
    _tables(metadata)
    try:
        {"alembic_utils": _alembic_utils, "declarative_extensions": _declarative_extensions}[label](
            metadata
        )
    except ImportError:
        print("missing", flush=True)
        return
    engine = sa.create_engine(url)
    print("ready", flush=True)
    for _ in sys.stdin:
        with engine.connect() as connection:
            context = MigrationContext.configure(connection, opts={"include_schemas": False})
            upgrade = produce_migrations(context, metadata).upgrade_ops
        print("done", len(upgrade.ops) if upgrade else 0, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
