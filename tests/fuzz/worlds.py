"""
Random applications, and random edits of them.

A world is a value: tables, functions, triggers, views (on tables and on views), indexes,
checks, soft deletion and search, under names from all of Unicode. ``build`` makes a
MetaData of it, ``edited`` another world that keeps, changes, drops and adds.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from hypothesis import strategies as st

from pgultra import Check, Function, Index, Trigger, View, declare, sql
from pgultra.features.search import TSVectorType
from pgultra.features.soft_delete import Rules

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["World", "build", "edited", "names", "worlds"]

BYTES = 63
BODIES = (
    "begin return new; end",
    "begin\n  -- 100% :a \\ 'quoted'\n  return new;\nend",
    "begin if tg_op = 'UPDATE' then return new; end if; return new; end",
)
GROUPS = ((sa.Integer, sa.BigInteger), (sa.Text, lambda: sa.String(200)), (sa.Date, sa.Date))
"""Types that PostgreSQL changes into each other by itself, both ways."""


@dataclass(frozen=True)
class Table:
    columns: tuple[tuple[str, int], ...] = ()  # the name, and which type of its group
    soft: str = ""
    search: tuple[str, ...] = ()


@dataclass(frozen=True)
class Hook:
    function: str
    timing: str = "BEFORE"
    events: tuple[str, ...] = ("INSERT",)
    level: str = "ROW"
    columns: tuple[str, ...] = ()
    when: str | None = None


@dataclass(frozen=True)
class Sight:
    source: str
    columns: tuple[str, ...]
    narrow: bool
    barrier: bool | None


@dataclass(frozen=True)
class Order:
    table: str
    columns: tuple[str, ...]
    partial: bool


@dataclass(frozen=True)
class Names:
    """
    Who may be called what: relations share one space of names.
    """

    key: str
    tables: tuple[str, ...]
    views: tuple[str, ...]
    indexes: tuple[str, ...]
    columns: tuple[str, ...]
    functions: tuple[str, ...]
    hooks: tuple[str, ...]

    def group(self, column: str) -> Any:
        """
        The types that a column may have.
        """
        return GROUPS[self.columns.index(column) % len(GROUPS)]

    def texts(self) -> tuple[str, ...]:
        """
        The columns of text.
        """
        return tuple(each for each in self.columns if self.group(each) is GROUPS[1])


@dataclass(frozen=True)
class World:
    names: Names
    tables: dict[str, Table] = field(default_factory=dict)
    functions: dict[str, int] = field(default_factory=dict)
    hooks: dict[tuple[str, str], Hook] = field(default_factory=dict)
    views: dict[str, Sight] = field(default_factory=dict)
    indexes: dict[str, Order] = field(default_factory=dict)
    checks: dict[tuple[str, str], int] = field(default_factory=dict)


UNQUOTED = {"lateral", "system_user", "collation", "concurrently", "tablesample"}
"""Words that PostgreSQL reserves and SQLAlchemy's dialect writes without quotes (2.0 and 2.1)."""


def _is_taken(name: str) -> bool:
    fits = len(name.encode()) <= BYTES and name not in UNQUOTED
    return fits and not name.endswith("\n") and not name.lower().startswith("pg_")


def identifiers() -> st.SearchStrategy[str]:
    r"""
    What PostgreSQL takes for a name: up to 63 bytes of anything but NUL.

    Without a line feed at the end: SQLAlchemy does not quote ``a\n``, and makes a table ``a``.
    """
    anything = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
    return st.one_of(
        st.text(anything, min_size=1, max_size=BYTES),
        st.text("ab \"'%:\\.$()[]{}é\n\t/*-;", min_size=1, max_size=BYTES),
        st.sampled_from(["user", "order", "Select", "values", "a" * BYTES, "é" * (BYTES // 2)]),
    ).filter(_is_taken)


@st.composite
def names(draw: st.DrawFn) -> Names:
    """
    Distinct names for all that a world may have.
    """
    taken = draw(st.lists(identifiers(), min_size=19, max_size=19, unique_by=str.lower))
    return Names(
        taken[0],
        *(tuple(taken[a:b]) for a, b in ((1, 4), (4, 7), (7, 9), (9, 14), (14, 16), (16, 19))),
    )


@st.composite
def worlds(draw: st.DrawFn, called: Names) -> World:
    """
    A world from nothing.
    """
    return draw(edited(World(called), keep=0))


@st.composite
def edited(draw: st.DrawFn, world: World, keep: int = 3) -> World:
    """
    Each thing is kept, changed, dropped or added; ``keep`` weighs the first.
    """
    called = world.names

    def turn(old: Any, fresh: Callable[[], Any]) -> Any:
        """
        The thing as it will be, or None.
        """
        fate = draw(st.sampled_from(["keep"] * keep * (old is not None) + ["fresh", "none"]))
        return {"keep": lambda: old, "fresh": fresh, "none": lambda: None}[fate]()

    def some(things: Any, least: int = 0) -> tuple[Any, ...]:
        given = list(things)
        return tuple(
            draw(st.lists(st.sampled_from(given), min_size=least, unique=True, max_size=3))
            if given
            else ()
        )

    new = replace(world, tables={}, functions={}, hooks={}, views={}, indexes={}, checks={})
    for name in called.tables:
        old = world.tables.get(name)

        def table() -> Table:
            columns = some(called.columns, 1)
            return Table(
                tuple((each, draw(st.integers(0, 1))) for each in columns),
                draw(st.sampled_from(["", "", "plain", "view"])),
                some(each for each in columns if each in called.texts())
                if draw(st.booleans())
                else (),
            )

        if (made := turn(old, table)) is not None:
            new.tables[name] = made
    for name in called.functions:
        made = turn(world.functions.get(name), lambda: draw(st.integers(0, len(BODIES) - 1)))
        if made is not None:
            new.functions[name] = made
    for name in called.views:
        sources = [*new.tables, *new.views]

        def sight() -> Sight | None:
            if not sources:  # noqa: B023  # called within the turn
                return None
            source = draw(st.sampled_from(sources))  # noqa: B023  # called within the turn
            return Sight(
                source,
                some(sorted(columns_of(new, source))),
                draw(st.booleans()),
                draw(st.sampled_from([None, True])),
            )

        made = turn(world.views.get(name), sight)
        if (
            made is not None
            and made.source in sources
            and set(made.columns) <= columns_of(new, made.source)
        ):
            new.views[name] = made
    _parts(draw, world, new, turn, some)
    return new


def _parts(draw: Any, world: World, new: World, turn: Any, some: Any) -> None:
    """
    What hangs on tables.
    """
    for table, spec in new.tables.items():
        columns = [name for name, _ in spec.columns]
        for name in world.names.hooks:

            def hook() -> Hook | None:
                if not new.functions:
                    return None
                level = draw(st.sampled_from(["ROW", "STATEMENT"]))
                timing = draw(st.sampled_from(["BEFORE", "AFTER"]))
                events = some(["INSERT", "UPDATE"], 1)
                condition = level == "ROW" and draw(st.booleans())
                return Hook(
                    draw(st.sampled_from(sorted(new.functions))),
                    timing,
                    tuple(sorted(events)),
                    level,
                    some(columns) if "UPDATE" in events else (),  # noqa: B023  # called within the turn
                    draw(st.sampled_from(columns)) if condition else None,  # noqa: B023  # called within the turn
                )

            made = turn(world.hooks.get((table, name)), hook)
            needed = {*made.columns, made.when or columns[0]} if made else set()
            if made and made.function in new.functions and needed <= set(columns):
                new.hooks[table, name] = made
        check = turn(world.checks.get((table, "least")), lambda: draw(st.integers(-3, 0)))
        if check is not None:
            new.checks[table, world.names.hooks[0]] = check
    for name in world.names.indexes:

        def order() -> Order | None:
            if not new.tables:
                return None
            table = draw(st.sampled_from(sorted(new.tables)))
            columns = [each for each, _ in new.tables[table].columns]
            return Order(table, some(columns, 1), draw(st.booleans()))

        made = turn(world.indexes.get(name), order)
        if made and made.table in new.tables:
            own = {each for each, _ in new.tables[made.table].columns}
            if set(made.columns) <= own:
                new.indexes[name] = made


def columns_of(world: World, source: str) -> set[str]:
    """
    What a view on it may show beside the key.
    """
    if source in world.tables:
        return {name for name, _ in world.tables[source].columns}
    return set(world.views[source].columns)


def build(world: World) -> sa.MetaData:
    """
    The MetaData that a host would have.
    """
    metadata, key = sa.MetaData(), world.names.key
    q = sql.identifier
    for name, spec in world.tables.items():
        table = sa.Table(
            name,
            metadata,
            sa.Column(key, sa.Integer, primary_key=True, autoincrement=False),
            *(sa.Column(each, world.names.group(each)[which]()) for each, which in spec.columns),
        )
        if spec.search:
            vector = TSVectorType(dict.fromkeys(spec.search, "A"), config="simple")
            table.append_column(sa.Column("search document", vector))
        if spec.soft:
            declare(table, Rules(view=spec.soft == "view"))
    for name, body in world.functions.items():
        declare(metadata, Function(name=name, body=BODIES[body]))
    for (table_name, name), hook in world.hooks.items():
        declare(
            metadata,
            Trigger(
                name=name,
                table=table_name,
                timing=hook.timing,
                events=hook.events,
                columns=hook.columns,
                level=hook.level,
                when=f"new.{q(hook.when)} is not null" if hook.when else None,
                function=hook.function,
            ),
        )
    for (table_name, name), least in world.checks.items():
        declare(metadata, Check(name=name, table=table_name, condition=f"{q(key)} > {least}"))
    for name, each in world.indexes.items():
        table = metadata.tables[each.table]
        where = {"postgresql_where": table.c[key] > 0} if each.partial else {}
        declare(table, Index.of(sa.Index(name, *(table.c[c] for c in each.columns), **where)))
    for name, sight in world.views.items():
        shown = ", ".join(map(q, (key, *sight.columns)))
        narrow = f" WHERE {q(key)} > 3" if sight.narrow else ""
        declare(
            metadata,
            View(
                name=name,
                query=f"SELECT {shown} FROM {q(sight.source)}{narrow}",
                **({"security_barrier": True} if sight.barrier else {}),
            ),
        )
    return metadata
