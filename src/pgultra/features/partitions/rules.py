"""
How a table is partitioned: what a user writes, checked when a class is mapped.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from pgultra.errors import DeclarationError
from pgultra.features.partitions import keys
from pgultra.features.partitions.bounds import DefaultBound, HashBound, ListBound, RangeBound
from pgultra.features.partitions.calendar import Grid, step_of, zone_of
from pgultra.features.partitions.judging import (
    judge_bounds,
    judge_groups,
    judge_start,
    judge_storage,
)
from pgultra.plan.declare import declarations
from pgultra.plan.facts import Facts
from pgultra.plan.options import flag, named, one_of, refused, whole

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import timedelta

    import sqlalchemy as sa

    from pgultra.features.partitions.bounds import Bound
    from pgultra.objects import DatabaseObject

__all__ = ["ByHash", "ByList", "ByRange", "Rules", "rules_on"]

MOST = 10_000
"""Partitions that are kept ready; PostgreSQL plans no faster for more."""
EXPIRES = ("detach", "drop", "archive")


class _Declared:
    """
    What the three ways to partition share.
    """

    room = "partitions"
    strategy: ClassVar[str]

    column: Any
    then: Any
    storage: Any

    def attached(self, table: sa.Table) -> None:
        """
        Make the table a partitioned one, and judge its key.

        Raises:
            DeclarationError: the key cannot be, or a unique rule does not hold it.
        """
        place = f"table {table.fullname}"
        others = [each for each in rules_on(table) if each is not self]
        if others:
            raise DeclarationError(
                f"{place}: it is partitioned already ({others[0]!r}); say it once, in "
                "__partition_by__ or with declare(), and further levels with then="
            )
        self.judge(table, place)
        clause = self.clause(table)
        options = table.dialect_options["postgresql"]
        given = options.get("partition_by")
        if given is not None and _plain(given) != _plain(clause):
            raise DeclarationError(
                f"{place}: postgresql_partition_by={given!r} says something else than {self!r}; "
                "take postgresql_partition_by away"
            )
        table.dialect_kwargs["postgresql_partition_by"] = clause

    def judge(self, table: sa.Table, place: str) -> None:
        """
        See that all levels can be, and that every unique rule holds their keys.

        Raises:
            DeclarationError: they cannot.
        """
        for rules in self.levels():
            rules.bounds_for(table, place)  # each fits the type of its column
        keys.check_unique_rules(table, self.key_columns(table), place)

    def levels(self) -> Iterator[Rules]:
        """
        These rules, and those of each level below.
        """
        rules: Any = self
        while rules is not None:
            yield rules
            rules = rules.then

    def key_column(self, table: sa.Table) -> sa.Column[Any]:
        """
        The column of this level.
        """
        return keys.column_of(table, self.column, f"table {table.fullname}")

    def key_columns(self, table: sa.Table) -> list[sa.Column[Any]]:
        """
        The columns of all levels, each once.
        """
        return list(dict.fromkeys(rules.key_column(table) for rules in self.levels()))

    def clause(self, table: sa.Table) -> str:
        """
        As after ``PARTITION BY``.
        """
        return keys.clause_of(self.strategy, [self.key_column(table).name])

    def grid(self, table: sa.Table) -> Grid | None:
        """
        The grid of the key, where partitions come one after the other.
        """
        return None

    def bounds_for(self, table: sa.Table, place: str) -> tuple[Bound, ...]:
        """
        The partitions that do not depend on the time.
        """
        raise NotImplementedError

    def facts(self, table: sa.Table) -> Facts:
        """
        What other rooms may know: the columns that every unique rule must hold.
        """
        return Facts(partition_key=tuple(column.name for column in self.key_columns(table)))

    def objects(self, table: sa.Table) -> Iterable[DatabaseObject]:
        """
        The functions and the partitioning of one table.
        """
        from pgultra.features.partitions.objects import objects  # they look at the rules in turn

        self.judge(table, f"table {table.fullname}")  # what was declared since
        return objects(table, self)  # type: ignore[arg-type]  # a Protocol of the same shape

    def _check_common(self) -> None:
        place = f"{type(self).__name__}({self.column!r})"
        if self.then is not None and not isinstance(self.then, _Declared):
            takes = "a level of partitions: give ByRange, ByList or ByHash"
            raise refused(place, "then", self.then, takes)
        flag(place, default=getattr(self, "default", False))
        if self.storage is not None:
            object.__setattr__(self, "storage", judge_storage(place, self.storage))


def rules_on(table: sa.Table) -> Iterator[Rules]:
    """
    How a table was declared to be partitioned: once, if at all.
    """
    for declaration in declarations(table):
        if isinstance(declaration, ByRange | ByList | ByHash):
            yield declaration


def _plain(clause: str) -> str:
    return "".join(str(clause).lower().replace('"', "").split())


@dataclass(frozen=True)
class ByRange(_Declared):
    """
    Partitions by spans of time, or of numbers.

    Args:
        column: the key: a ``timestamptz``, ``timestamp``, ``date``, ``uuid`` (version 7) or
            integer column.
        every: how much one partition holds: ``"1 month"``, ``"hour"``, ``"15 minutes"``,
            ``"quarter"``, a timedelta, or a whole number for an integer key.
        bounds: instead of ``every``, the borders themselves, ascending; None at an end is no
            limit. Any type that PostgreSQL can order.
        premake: how many partitions are kept ready beyond the present one.
        retain: how long rows are kept, as ``every`` is written; None is for ever. For an
            integer key, how far below the greatest one.
        on_expire: ``"detach"`` (the table stays, alone), ``"drop"`` or ``"archive"``.
        archive: the schema into which expired partitions move.
        time_zone: whose midnights count.
        start: where the first partition of an empty table begins; None is the present.
        default: a partition for what no other takes. See the reference for its price.
        storage: storage parameters of the partitions, such as ``{"fillfactor": 70}``.
        then: how each partition is partitioned in turn.

    Raises:
        DeclarationError: both or neither of ``every`` and ``bounds`` are given, ``retain`` counts
            other things than ``every``, or an option takes something else.

    >>> ByRange("occurred_at", every="1 month", premake=3).premake
    3
    """

    strategy: ClassVar[str] = "range"

    column: Any
    every: str | int | timedelta | None = None
    bounds: Sequence[Any] | None = None
    premake: int = 3
    retain: str | int | timedelta | None = None
    on_expire: str = "detach"
    archive: str | None = None
    time_zone: str = "UTC"
    start: Any = None
    default: bool = False
    storage: Mapping[str, Any] | None = None
    then: ByRange | ByList | ByHash | None = None

    def __post_init__(self) -> None:
        place = f"ByRange({self.column!r})"
        if (self.every is None) == (self.bounds is None):
            raise DeclarationError(f"{place}: give either every= or bounds=")
        if self.every is not None:
            step_of(self.every)
        if self.retain is not None:
            step_of(self.retain, "retain")
            if self.every is None:
                raise DeclarationError(f"{place}: retain= needs every=; bounds= are for ever")
            if (step_of(self.retain)[1] == "integer") != (step_of(self.every)[1] == "integer"):
                raise DeclarationError(
                    f"{place}: retain={self.retain!r} and every={self.every!r} count different "
                    "things"
                )
        whole(place, "premake", self.premake, 0, MOST)
        one_of(place, "on_expire", self.on_expire, EXPIRES)
        named(place, archive=self.archive)
        zone_of(self.time_zone)
        if self.bounds is not None:
            object.__setattr__(self, "bounds", judge_bounds(place, self.bounds))
        judge_start(place, self.start, self.every)
        self._check_common()

    def grid(self, table: sa.Table) -> Grid | None:
        """
        The grid of the key; None if the borders were given.

        Raises:
            DeclarationError: the step does not fit the type of the key.
        """
        if self.every is None:
            return None
        column = self.key_column(table)
        kind = keys.kind_of(column)
        if kind == "other":
            raise DeclarationError(
                f"table {table.fullname}: {column.key} is of type {column.type}, which has no "
                "every=: give a time, date, uuid or integer column, or the borders with bounds="
            )
        return Grid.of(self.every, self.time_zone, kind)

    def bounds_for(self, table: sa.Table, place: str) -> tuple[Bound, ...]:
        """
        The partitions between the given borders, and the default one.
        """
        self.grid(table)
        column = self.key_column(table)
        borders = [keys.stored(column, border) for border in self.bounds or ()]
        found: list[Bound] = [RangeBound(low, high) for low, high in pairwise(borders)]
        return (*found, *([DefaultBound()] if self.default else []))


@dataclass(frozen=True)
class ByList(_Declared):
    """
    Partitions by groups of values.

    Args:
        column: the key.
        groups: the values of each partition, by the word that its name ends with; None among
            them is NULL.
        default: a partition for all other values. See the reference for its price.
        storage: storage parameters of the partitions.
        then: how each partition is partitioned in turn.

    Raises:
        DeclarationError: a value is in two groups, a group has none or no name of its own, or an
            option takes something else.

    >>> ByList("action", {"auth": ("LOGIN", "LOGOUT")}).groups
    {'auth': ('LOGIN', 'LOGOUT')}
    """

    strategy: ClassVar[str] = "list"

    column: Any
    groups: Mapping[str, Iterable[Any]]
    default: bool = False
    storage: Mapping[str, Any] | None = None
    then: ByRange | ByList | ByHash | None = None

    def __post_init__(self) -> None:
        place = f"ByList({self.column!r})"
        groups = judge_groups(place, self.groups)
        owners: dict[Any, str] = {}
        for name, values in groups.items():
            if not values or name in ("", "default"):
                raise DeclarationError(
                    f"{place}: groups[{name!r}] needs a name other than 'default' and one value at "
                    "least"
                )
            for value in values:
                if value in owners:
                    raise DeclarationError(
                        f"{place}: {value!r} is in group {owners[value]!r} and in {name!r}"
                    )
                owners[value] = name
        object.__setattr__(self, "groups", groups)
        self._check_common()

    def group_bounds(self, table: sa.Table) -> dict[str, ListBound]:
        """
        The bound of each group.
        """
        column = self.key_column(table)
        return {
            name: ListBound(
                tuple(keys.stored(column, value) for value in values if value is not None),
                None in tuple(values),
            )
            for name, values in self.groups.items()
        }

    def bounds_for(self, table: sa.Table, place: str) -> tuple[Bound, ...]:
        """
        One partition for each group, and the default one.
        """
        default: list[Bound] = [DefaultBound()] if self.default else []
        return (*self.group_bounds(table).values(), *default)


@dataclass(frozen=True)
class ByHash(_Declared):
    """
    So many partitions of about the same size.

    Args:
        column: the key.
        modulus: how many.
        storage: storage parameters of the partitions.
        then: how each partition is partitioned in turn.

    Raises:
        DeclarationError: an option takes something else, such as a ``modulus`` above 1000.

    >>> ByHash("conversation_id", modulus=8).modulus
    8
    """

    strategy: ClassVar[str] = "hash"

    column: Any
    modulus: int = 8
    storage: Mapping[str, Any] | None = None
    then: ByRange | ByList | ByHash | None = None

    def __post_init__(self) -> None:
        whole(f"ByHash({self.column!r})", "modulus", self.modulus, 1, 1000)
        self._check_common()

    def bounds_for(self, table: sa.Table, place: str) -> tuple[Bound, ...]:
        """
        One partition for each remainder.
        """
        return tuple(HashBound(self.modulus, remainder) for remainder in range(self.modulus))


Rules: TypeAlias = ByRange | ByList | ByHash
"""How one level of a table is partitioned."""
