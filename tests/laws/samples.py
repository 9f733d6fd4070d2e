"""
Samples for the laws: every kind and every room, in many spellings of names.

A room's sample is ``tests/features/<room>/sample.py`` with a function::

    def build(schema: str | None = None, name: Callable[[str], str] = str) -> sa.MetaData:

that makes a fresh MetaData with a model or two: tables in ``schema``, their names and
those of their columns passed through ``name``.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import pkgutil
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

import pgultra.features
from pgultra import Check, Extension, Function, Index, Schema, Trigger, View, declare, sql
from pgultra.objects import Generation, Partitioning
from pgultra.plan import collect

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

NASTY = """
begin -- tabs\there, 100% :colons ::casts \\backslashes\\ 'quotes' "names" $$dollars$$
    if tg_argv[0] like '%x:y%' then raise notice '%: %', 'a\\n', E'b\\'\tc'; end if;
    return new; -- $pgultra$ /* not :a %(comment)s */
end
"""
"""A body in which everything stands that ever broke on its way to the server."""

SPELT = {"article": "user", "author": "order", "title": "select", "id": "when", "touch": "values"}


def weird(word: str) -> str:
    """
    Spaces, capitals, both quotes, a percent sign, a dollar, colons, a backslash, parentheses.
    """
    return f'The "{word}" \'s 100% $1 :a \\n (b) USING|'


def long(word: str) -> str:
    """
    63 bytes, the most that PostgreSQL keeps.
    """
    return word + "_" * (63 - len(word))


def foreign(word: str) -> str:
    """
    Letters of more than one byte, up to the last byte.
    """
    return word + "é" * ((63 - len(word)) // 2)


def keyword(word: str) -> str:
    """
    Words that the grammar keeps for itself.
    """
    return SPELT.get(word, word)


STYLES: dict[str, Callable[[str], str]] = {
    "plain": str,
    "weird": weird,
    "long": long,
    "foreign": foreign,
    "keyword": keyword,
}


@dataclass(frozen=True)
class Place:
    """
    Where a sample is put, and how its names are spelt.
    """

    schema: str | None = None
    style: str = "plain"

    def name(self, word: str) -> str:
        """
        A word in this place's spelling.
        """
        return STYLES[self.style](word)

    def quoted(self, word: str) -> str:
        """
        The same for the inside of SQL.
        """
        return sql.identifier(self.name(word))

    def qualified(self, word: str) -> str:
        """
        The same with the schema.
        """
        return sql.qualified(self.schema, self.name(word))

    def __str__(self) -> str:
        return f"{self.style}-{self.schema or 'default'}"


def tables(metadata: sa.MetaData, place: Place) -> tuple[sa.Table, sa.Table]:
    """
    Two tables, one of which points at the other.
    """
    article, author = place.name("article"), place.name("author")
    if article in {table.name for table in metadata.tables.values()}:
        found = {table.name: table for table in metadata.tables.values()}
        return found[article], found[author]
    parent = sa.Table(
        author,
        metadata,
        sa.Column(place.name("id"), sa.Integer, primary_key=True, autoincrement=False),
        sa.Column(place.name("name"), sa.Text),
        schema=place.schema,
    )
    child = sa.Table(
        article,
        metadata,
        sa.Column(place.name("id"), sa.Integer, primary_key=True, autoincrement=False),
        sa.Column(place.name("title"), sa.String(200), server_default="100% :new"),
        sa.Column(place.name("author_id"), sa.Integer),
        sa.Column(place.name("seen"), sa.DateTime(timezone=True)),
        sa.Column(place.name("kind"), sa.Text),
        schema=place.schema,
    )
    if place.style != "weird":  # SQLAlchemy 2.0 cannot reflect a key that points at a quote
        child.append_constraint(
            sa.ForeignKeyConstraint(
                [child.c[place.name("author_id")]],
                [parent.c[place.name("id")]],
                name=place.name("fk"),
            )
        )
    return child, parent


def schemas(metadata: sa.MetaData, place: Place) -> None:
    """
    A schema with a view in it.
    """
    extra = place.name(f"Extra{place.schema or ''}")
    declare(
        metadata,
        Schema(name=extra),
        View(name=place.name("answer"), schema=extra, query="SELECT 42 AS answer"),
    )


def extensions(metadata: sa.MetaData, place: Place) -> None:
    """
    An extension that every server has.
    """
    declare(metadata, Extension(name="plpgsql"))


def functions(metadata: sa.MetaData, place: Place) -> None:
    """
    Both languages; arguments with defaults; tables as results; settings.
    """
    article, _ = tables(metadata, place)
    name, schema = place.name, place.schema
    declare(
        metadata,
        Function(name=name("nasty"), schema=schema, body=NASTY),
        Trigger(
            name=name("nasty"),
            table=article.name,
            schema=schema,
            timing="BEFORE",
            events=("INSERT",),
            function=name("nasty"),
            arguments=("x:y",),
        ),
        Function(
            name=name("area"),
            schema=schema,
            arguments="a int, b numeric(10,2) default 3.5, c text = 'x, y (default)', "
            'variadic "D e" varchar[] default array[]::varchar[]',
            returns="double precision",
            language="sql",
            body=f"select $1 * $2 + (select count(*) from {place.qualified('article')})",
            volatility="stable",
            parallel="restricted",
        ),
        Function(name=name("area"), schema=schema, returns="int", language="sql", body="select 1"),
        Function(
            name=name("rows"),
            schema=schema,
            arguments="INOUT x int4, OUT y timestamp with time zone",
            returns="setof record",
            body="begin return; end",
            security="definer",
            strict=True,
            settings=(
                ("search_path", 'pg_catalog, "My Schema", pg_temp'),
                ("work_mem", "'4MB'"),
                ("application_name", "'it''s'"),
            ),
        ),
        Function(
            name=name("typed"),
            schema=schema,
            arguments=f"r {place.qualified('article')}",
            returns=f"table (id int, whole {place.qualified('author')})",
            body="begin return; end",
        ),
    )


def triggers(metadata: sa.MetaData, place: Place) -> None:
    """
    Every timing, level and firing mode.
    """
    article, _ = tables(metadata, place)
    name, schema, table = place.name, place.schema, article.name
    title = place.quoted("title")
    body = "begin return new; end"
    common = {"table": table, "schema": schema, "function": name("touch")}
    declare(
        article,
        Function(name=name("touch"), schema=schema, body=body),
        Trigger(
            name=name("before"),
            timing="BEFORE",
            events=("UPDATE", "INSERT"),
            columns=(name("title"), name("seen")),
            when=f"new.{title} in ('a', 'it''s ) EXECUTE FUNCTION x')",
            arguments=("a'b", '{"x": [1, "%s :y"]}', "\\d\t", "WHEN (true) EXECUTE FUNCTION"),
            **common,
        ),
        Trigger(
            name=name("after"),
            timing="AFTER",
            events=("UPDATE",),
            level="STATEMENT",
            old_table=name("old"),
            new_table=name("new"),
            **common,
        ),
        Trigger(
            name=name("truncated"),
            timing="BEFORE",
            events=("DELETE", "TRUNCATE"),
            level="STATEMENT",
            enabled="A",
            **common,
        ),
        Trigger(name=name("off"), timing="AFTER", events=("DELETE",), enabled="D", **common),
        Trigger(
            name=name("late"),
            timing="AFTER",
            events=("INSERT",),
            constraint=True,
            deferrable=True,
            initially_deferred=True,
            when=f"new.{place.quoted('id')} > 0",
            **common,
        ),
        View(name=name("open"), schema=schema, query=sa.select(article)),
        Trigger(
            name=name("instead"),
            timing="INSTEAD OF",
            events=("INSERT",),
            **{**common, "table": name("open")},
        ),
    )


def views(metadata: sa.MetaData, place: Place) -> None:
    """
    From text and from a select, on tables and on another view, with every option.
    """
    article, author = tables(metadata, place)
    name, schema = place.name, place.schema
    a, b = article.c, author.c
    joined = (
        sa.select(a[name("id")], a[name("title")], b[name("name")].label(name("label")))
        .join_from(article, author, a[name("author_id")] == b[name("id")], isouter=True)
        .where(a[name("title")].in_(["it's", "100%", ":x"]), a[name("seen")].is_(None))
    )
    declare(
        metadata,
        View(
            name=name("above"),
            schema=schema,
            query=f"select count(*) as n, max({place.quoted('label')}) as last\n"
            f"from {place.qualified('joined')} where {place.quoted('id')}::text like '%:\\%';\n",
        ),
        View(name=name("joined"), schema=schema, query=joined, security_invoker=True),
        View(
            name=name("checked"),
            schema=schema,
            query=f"SELECT * FROM {place.qualified('article')} WHERE {place.quoted('id')} > 10",
            security_barrier=True,
            check_option="cascaded",
        ),
    )


def indexes(metadata: sa.MetaData, place: Place) -> None:
    """
    Unique, partial, on expressions, covering, with a method and options, CONCURRENTLY.
    """
    article, _ = tables(metadata, place)
    c = {word: article.c[place.name(word)] for word in ("id", "title", "author_id", "seen", "kind")}
    made = [
        sa.Index(
            place.name("ix_live"), c["title"], unique=True, postgresql_where=c["seen"].is_(None)
        ),
        sa.Index(
            place.name("ix_lower"),
            sa.func.lower(c["kind"]),
            c["seen"].desc().nulls_last(),
            postgresql_where=c["kind"].in_(["it's", "100%"]),
        ),
        sa.Index(
            place.name("ix_cover"),
            c["title"],
            postgresql_include=[c["kind"]],
            postgresql_ops={place.name("title"): "varchar_pattern_ops"},
            postgresql_with={"fillfactor": 70},
        ),
        sa.Index(place.name("ix_hash"), c["kind"], postgresql_using="hash"),
    ]
    declare(article, *(Index.of(index) for index in made))
    late = sa.Index(place.name("ix_late"), c["author_id"], c["kind"])
    declare(article, Index.of(late, concurrently=True))


def checks(metadata: sa.MetaData, place: Place) -> None:
    """
    Checks as a room makes them.
    """
    article, _ = tables(metadata, place)
    common = {"table": article.name, "schema": place.schema}
    declare(
        article,
        Check(
            name=place.name("positive"), condition=f"{place.quoted('id')} between 0 and 9", **common
        ),
        Check(
            name=place.name("later"),
            condition=f"{place.quoted('kind')} in ('it''s', '100%:x', '\\') or {place.quoted('seen')} is null",
            **common,
        ),
    )


def generations(metadata: sa.MetaData, place: Place) -> None:
    """
    A generated column, whose expression is ours to change.
    """
    # SQLAlchemy takes the colons and Alembic the percent signs of a generated column's text.
    area = "area" if place.style == "weird" else place.name("area")
    expression = f"id * 7 + length('{place.style}')"
    field = sa.Table(
        place.name("field"),
        metadata,
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column(area, sa.Integer, sa.Computed(expression, persisted=True)),
        schema=place.schema,
    )
    declare(
        field,
        Generation(
            name=area,
            table=field.name,
            schema=place.schema,
            type="integer",
            expression=expression,
        ),
    )


PREMAKE = """
begin
    if not exists (select from pg_catalog.pg_inherits where inhparent = parent) then
        execute pg_catalog.format('create table %s partition of %s default',
            pg_catalog.replace(parent::text, 'parted', 'divided'), parent);
    end if;
end
"""


def partitionings(metadata: sa.MetaData, place: Place) -> None:
    """
    A partitioned table, the function that tells its rules, and one that makes its partitions.
    """
    key = "when" if place.style == "weird" else place.name("when")  # as with generated columns
    parted = sa.Table(
        place.name("parted"),
        metadata,
        sa.Column(key, sa.Text),
        postgresql_partition_by=f'LIST ("{key}")',
        schema=place.schema,
    )
    rules = {"by": "list", "column": key, "parts": [], "table": parted.name}
    text = json.dumps({**rules, "premake": place.name("premake")}).replace("$", "\\u0024")
    premake = Function(
        name=place.name("premake"),
        schema=place.schema,
        arguments="parent regclass, rules jsonb",
        returns="void",
        body=PREMAKE,
    )
    told = Function(
        name=place.name("told"),
        schema=place.schema,
        returns="jsonb",
        language="sql",
        volatility="immutable",
        body=f"SELECT $rules${text}$rules$::pg_catalog.jsonb",
    )
    divided = Partitioning(
        name=told.name,
        table=parted.name,
        schema=place.schema,
        strategy="list",
        key=(key,),
        rules=text,
        premake=premake.name,
        requires=(premake.identity, told.identity),
    )
    declare(parted, Told((premake, told, divided)))


@dataclass(frozen=True)
class Told:
    """
    What the room of partitions declares: its mark is looked for.
    """

    told: tuple[Any, ...]
    room = "partitions"

    def objects(self, table: sa.Table) -> tuple[Any, ...]:
        """
        What was given.
        """
        return self.told


KINDS_OF: dict[str, Callable[[sa.MetaData, Place], None]] = {
    "schema": schemas,
    "extension": extensions,
    "function": functions,
    "generation": generations,
    "trigger": triggers,
    "view": views,
    "index": indexes,
    "check": checks,
    "partitioning": partitionings,
}


def declare_place(kind: str, place: Place) -> sa.MetaData:
    """
    The sample of one kind, in a MetaData of its own.
    """
    metadata = sa.MetaData()
    if place.schema is not None:
        declare(metadata, Schema(name=place.schema))
    KINDS_OF[kind](metadata, place)
    return metadata


def everything(place: Place) -> sa.MetaData:
    """
    All kinds in one MetaData.
    """
    metadata = sa.MetaData()
    if place.schema is not None:
        declare(metadata, Schema(name=place.schema))
    for fill in KINDS_OF.values():
        fill(metadata, place)
    return metadata


def rooms() -> list[str]:
    """
    The names of all rooms, found by walking the package.
    """
    return [module.name for module in pkgutil.iter_modules(pgultra.features.__path__)]


def room(name: str, place: Place) -> sa.MetaData:
    """
    A room's sample; a room without one is an error that says what to write.
    """
    path = f"tests.features.{name}.sample"
    found = importlib.util.find_spec(f"tests.features.{name}") and importlib.util.find_spec(path)
    build = found and getattr(importlib.import_module(path), "build", None)
    if not build:
        raise AssertionError(
            f"the room {name} has no sample: write tests/features/{name}/sample.py with "
            "build(schema, name) -> MetaData, see tests/laws/samples.py"
        )
    metadata: sa.MetaData = build(place.schema, place.name)
    if place.schema is not None:
        declare(metadata, Schema(name=place.schema))
    return metadata


def sample(which: str, place: Place) -> sa.MetaData:
    """
    ``kinds`` for all kinds, or the name of a room.
    """
    return everything(place) if which == "kinds" else room(which, place)


def cases(of_kinds: Sequence[Place], of_rooms: Sequence[Place]) -> list[Any]:
    """
    Parameters ``which, place``: all kinds and every room, each with what it needs.
    """
    return [
        pytest.param(which, place, id=f"{which}-{place}", marks=needs(which))
        for which in ("kinds", *rooms())
        for place in (of_kinds if which == "kinds" else of_rooms)
    ]


@cache
def needs(which: str) -> pytest.MarkDecorator:
    """
    The extensions that a sample declares, as a mark.
    """
    try:
        declared = collect(sample(which, Place())).values()
    except (AssertionError, ImportError):  # its tests will say so
        declared = ()
    return pytest.mark.needs(*(each.name for each in declared if isinstance(each, Extension)))
