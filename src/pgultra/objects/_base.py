"""
What every noun has: an identity, a mark of ownership, and SQL to make and unmake it.
"""

from __future__ import annotations

import dataclasses
import enum
from dataclasses import MISSING, dataclass, field
from operator import attrgetter
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

from pgultra import sql
from pgultra.objects._mark import Mark, mark_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from types import SimpleNamespace

    from sqlalchemy import Connection

    from pgultra.objects._advice import Advice

__all__ = ["DatabaseObject", "Identity", "Mark", "Phase", "Scope"]


class Phase(enum.Enum):
    """
    On which side of the tables an object is made, when nothing else decides.
    """

    BEFORE_TABLES = "before"
    AFTER_TABLES = "after"


class Identity(NamedTuple):
    """
    What makes an object this one and no other.

    Attributes:
        kind: the noun: ``trigger``, ``function``, ``table`` …
        schema: None is the connection's default schema.
        name: with the argument types for a function: ``area(integer, integer)``.
        table: the table that the object sits on, in the same schema.
    """

    kind: str
    schema: str | None
    name: str
    table: str | None = None

    def __str__(self) -> str:
        place = f"{self.schema}." if self.schema is not None else ""
        if self.table is not None:
            return f"{self.kind} {self.name} on {place}{self.table}"
        return f"{self.kind} {place}{self.name}"

    def bare_names(self) -> tuple[str, ...]:
        """
        The name without argument types; several if parentheses may belong to the name.

        >>> Identity("function", None, "area(integer)").bare_names()
        ('area',)
        """
        if self.kind != "function":
            return (self.name,)
        return tuple(self.name[:at] for at, letter in enumerate(self.name) if letter == "(")

    def in_schema(self, schema: str | None) -> Identity:
        """
        The same object, spelt with another schema.
        """
        return Identity(self.kind, schema, self.name, self.table)


@dataclass(frozen=True, slots=True)
class Scope:
    """
    What ``read`` shall look for.

    Attributes:
        application: marked objects of this application count as ours.
        default_schema: the schema that None stands for on this connection.
        wanted: identities that the models declare; read even if they are not marked.
        tables: ``(schema, name)`` of the tables whose marked objects are ours to judge;
            schemas are real names here, never None.
        schemas: real schema names that are looked at for objects that sit on no table;
            None is all of them.
        marked: oids of what bears our mark, by catalog, as ``marked_oids`` gives them.
        plain: whether the connection's own settings print as ``read`` wants it.
    """

    application: str
    default_schema: str
    wanted: frozenset[Identity] = frozenset()
    tables: frozenset[tuple[str, str]] = frozenset()
    schemas: frozenset[str] | None = None
    marked: Mapping[str, list[str]] = field(default_factory=dict)
    plain: bool = False

    def spelt(self, schema: str) -> str | None:
        """
        A schema as the models spell it: the default one as None.
        """
        return None if schema == self.default_schema else schema

    def real(self, schema: str | None) -> str:
        """
        A schema by its real name.
        """
        return self.default_schema if schema is None else schema

    def of_kind(self, kind: str) -> list[Identity]:
        """
        The wanted identities of one kind.
        """
        return [identity for identity in self.wanted if identity.kind == kind]


@dataclass(frozen=True, kw_only=True)
class DatabaseObject:
    """
    One thing that PostgreSQL stores, as plain data.

    The law of every kind is ``read(create(x)) == canonical(x)``.

    Attributes:
        schema: None is the connection's default schema, and stays unqualified in DDL.
        mark: whose it is; set when the models are collected, None on an unmarked object.
        comment: the user's own comment above the mark; kept, never compared.
        requires: what must exist first. For order only.
        advice: what is left to do where its table has rows already; only said.
    """

    kind: ClassVar[str]
    phase: ClassVar[Phase] = Phase.AFTER_TABLES
    dropped: ClassVar[bool] = True
    """False for what is never dropped (extensions)."""
    of_its_table: ClassVar[bool] = False
    """Whether it is made with its table, so that a script for an empty database leaves it out."""
    _defaults: ClassVar[dict[str, Any]]
    _compared_names: ClassVar[tuple[str, ...]]
    _compared_values: ClassVar[Callable[[DatabaseObject], Any]]

    schema: str | None = None
    mark: Mark | None = None
    comment: str | None = field(default=None, compare=False)
    requires: tuple[Identity, ...] = field(default=(), compare=False)
    advice: Advice | None = field(default=None, compare=False, repr=False)

    @property
    def identity(self) -> Identity:
        """
        Kind, schema, name, and the table it sits on.
        """
        raise NotImplementedError

    @property
    def printed(self) -> bool:
        """
        Whether PostgreSQL prints its text anew, so that the mark carries a fingerprint.
        """
        return False

    @property
    def later(self) -> bool:
        """
        Whether it is made by an explicit call, so that it may be missing.
        """
        return False

    @property
    def info(self) -> dict[str, object]:
        """
        Empty: an ``include_object`` hook of Alembic may ask any item for its ``info``.
        """
        return {}

    def create(self) -> tuple[str, ...]:
        """
        Statements that make it, mark included.
        """
        raise NotImplementedError

    def drop(self) -> tuple[str, ...]:
        """
        Statements that unmake it; never with CASCADE.
        """
        raise NotImplementedError

    def replace(self, old: Self) -> tuple[str, ...]:
        """
        Statements that turn ``old`` into this one.
        """
        return (*old.drop(), *self.heir_of(old).create())

    def heir_of(self, old: Self) -> Self:
        """
        This object with what it takes over from the one that it replaces: the user's comment.
        """
        return self.but(comment=self.comment or old.comment)

    def in_place(self, old: Self) -> bool:
        """
        Whether ``replace`` leaves everything that stands on the old one untouched.
        """
        return False

    def target(self) -> str:
        """
        How ``COMMENT ON`` calls it.
        """
        raise NotImplementedError

    def commented(self) -> tuple[str, ...]:
        """
        The statement that writes comment and mark, if there is any.
        """
        if self.comment is None and self.mark is None:
            return ()
        return self.remark()

    def remark(self) -> tuple[str, ...]:
        """
        The statement that writes comment and mark, also when both are gone.
        """
        lines = [line for line in (self.comment, str(self.mark) if self.mark else None) if line]
        text = sql.literal("\n".join(lines)) if lines else "NULL"
        return (f"COMMENT ON {self.target()} IS {text}",)

    def same_as(self, other: DatabaseObject) -> bool:
        """
        Equal but for the mark.
        """
        if type(self) is not type(other):
            return False
        values = self._values()
        return bool(values(self) == values(other))

    def differing(self, other: DatabaseObject) -> list[str]:
        """
        The names of the fields in which the two differ, the mark aside.
        """
        return [
            name for name in self._compared() if getattr(self, name) != getattr(other, name, None)
        ]

    @classmethod
    def _compared(cls) -> tuple[str, ...]:
        """
        The names of the fields that are compared; looked up once for each kind.
        """
        names: tuple[str, ...] | None = cls.__dict__.get("_compared_names")
        if names is None:
            fields = dataclasses.fields(cls)
            names = tuple(f.name for f in fields if f.compare and f.name != "mark")
            cls._compared_names = names
        return names

    @classmethod
    def _values(cls) -> Callable[[DatabaseObject], Any]:
        """
        Takes the compared values out of an object, all at once; made once for each kind.
        """
        getter: Callable[[DatabaseObject], Any] | None = cls.__dict__.get("_compared_values")
        if getter is None:
            getter = cls._compared_values = attrgetter(*cls._compared())
        return getter

    def moved(self, schema: str | None) -> Self:
        """
        The same object, spelt with another schema.
        """
        return dataclasses.replace(self, schema=schema)

    @classmethod
    def as_read(cls, row: SimpleNamespace, **values: Any) -> Self:
        """
        An object from the catalog, whose values need no check.

        Args:
            row: columns that are named like fields become these; the others are for the query.
            values: win over the row; what neither has is the default.
        """
        defaults: dict[str, Any] | None = cls.__dict__.get("_defaults")
        if defaults is None:
            fields = dataclasses.fields(cls)
            defaults = cls._defaults = {
                f.name: f.default for f in fields if f.default is not MISSING
            }
        each = object.__new__(cls)
        each.__dict__.update(defaults)
        each.__dict__.update(row.__dict__, **values)
        return each

    def owned(self, application: str, room: str) -> Self:
        """
        The same object with its ownership mark.
        """
        print_of = sql.fingerprint(self.source()) if self.printed else None
        self.identity  # noqa: B018  # remembered by the declaration, for all that come of it
        return self.but(mark=mark_of(application, room, print_of))

    def but(self, **values: Any) -> Self:
        """
        The same object but for some values that need no check and change no requirement.

        ``dataclasses.replace`` does the same and asks everything again, which is what costs
        when hundreds of objects get their marks.
        """
        copy = object.__new__(type(self))
        copy.__dict__.update(self.__dict__, **values)
        if values.keys() != {"mark"}:
            copy.__dict__.pop("identity", None)  # remembered, and it may be another now
        return copy

    def source(self) -> str:
        """
        The declared text that the fingerprint beside the mark is taken of.
        """
        return repr([getattr(self, name) for name in self._compared()])

    @classmethod
    def read(cls, connection: Connection, scope: Scope) -> Iterable[Self]:
        """
        The objects of this kind that exist and are ours, or that the models want.
        """
        raise NotImplementedError

    def canonical(self, scope: Scope) -> Self:
        """
        The same object as ``read`` would spell it, as far as no server is needed for it.
        """
        if self.schema is not None and self.schema == scope.default_schema:
            return self.moved(None)
        return self

    def printed_as(self, form: Self) -> Self:
        """
        This object, with what its printed form tells beside the text (a view's columns).
        """
        return self

    def counterpart(self, actual: Mapping[Identity, DatabaseObject]) -> DatabaseObject | None:
        """
        Which of the existing objects this one is, where no server can print its identity.
        """
        return actual.get(self.identity)

    def trusting(self, other: Self) -> Self:
        """
        This object with the printed text of another, taken for equal by its fingerprint.
        """
        return self

    @classmethod
    def twins(
        cls,
        desired: Sequence[Self],
        actual: Mapping[Identity, DatabaseObject],
        names: Iterator[str],
    ) -> Iterable[tuple[str, Self, tuple[str, ...]]]:
        """
        Name, object and statements of a temporary twin, for those whose text tells too little.

        Args:
            desired: those that are to be compared.
            actual: what exists.
            names: a fresh name for each twin.
        """
        return ()

    @classmethod
    def printed_forms(cls, connection: Connection, twins: Mapping[str, Self]) -> Mapping[str, Self]:
        """
        The desired objects as PostgreSQL prints them, by the name of their twin.
        """
        return {}
