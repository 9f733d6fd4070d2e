"""
What a user writes: the mixin `SoftDelete`, and `Rules` for Core tables.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from sqlalchemy import (
    ColumnElement,
    Index,
    Table,
    UniqueConstraint,
    event,
    literal_column,
)
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import Mapper, synonym
from sqlalchemy.orm.descriptor_props import ConcreteInheritedProperty
from sqlalchemy.orm.exc import UnmappedColumnError

from pgultra.errors import DeclarationError, PgultraWarning
from pgultra.features.soft_delete import mapped
from pgultra.features.soft_delete.edges import edges_of, name_of, root_of
from pgultra.features.soft_delete.indexes import build_all, rules_of
from pgultra.features.soft_delete.objects import before_update_triggers, objects
from pgultra.features.soft_delete.options import (
    ATTRIBUTES,
    SoftDeleteOptions,
    columns_of,
    complete,
    keeping_unknown,
    names_of,
)
from pgultra.features.soft_delete.shape import Shape
from pgultra.plan.declare import declarations, declare
from pgultra.plan.facts import Facts, Live
from pgultra.plan.options import insist_on_mixin

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy import Column
    from sqlalchemy.orm import Mapped

    from pgultra.features.soft_delete.shape import Edge
    from pgultra.objects import DatabaseObject

__all__ = ["Rules", "SoftDelete", "SoftDeleteOptions"]


@dataclass(frozen=True, kw_only=True)
class Rules(SoftDeleteOptions):
    """
    The same options for a table that no class is mapped to, or that is mapped imperatively.

    Missing columns are added to the table. ``cascade`` names the children's foreign keys,
    as in ``cascade=("comment.article_id",)``.

    >>> from sqlalchemy import Column, Integer, MetaData, Table
    >>> from pgultra import declare, soft_delete
    >>> article = Table("article", MetaData(), Column("id", Integer, primary_key=True))
    >>> declare(article, soft_delete.Rules())
    >>> article.c.keys()
    ['id', 'deleted_at', 'deleted_by', 'deletion_id']
    """

    room = "soft_delete"  # no field

    def __getstate__(self) -> dict[str, Any]:
        return _values(self)

    def attached(self, table: Table) -> None:
        """
        Complete the table: columns, then the live indexes that waited for them.

        Raises:
            DeclarationError: an option cannot be, or a column of that name is something else.
        """
        place = _place(table)
        others = [each for each in _rules_on(table) if each is not self]
        if others:
            raise DeclarationError(
                f"{place}: soft-delete rules were declared already ({others[0]}); "
                "declare them once, in __soft_delete__ or with declare()"
            )
        self.checked(place)
        complete(table, self, place)
        if mapped.mapper_of(table) is None:
            build_all(table, self, None)

    def objects(self, table: Table) -> Iterable[DatabaseObject]:
        """
        The triggers, functions, checks, indexes and the view of one table.
        """
        return objects(table, self.shape(table))

    def facts(self, table: Table) -> Facts:
        """
        What other rooms may know: which rows are live, and that a trigger runs before updates.

        They may ask while classes are still being mapped, so no cascade is looked at here.
        """
        alone = self._shape(table, ())
        return Facts(
            live=Live(names_of(table, self).deleted_at),
            before_update_triggers=before_update_triggers(table, alone),
        )

    def shape(self, table: Table) -> Shape:
        """
        All that the database side must know about the table.
        """
        return self._shape(table, edges_of(table.metadata))

    def _shape(self, table: Table, edges: Iterable[Edge]) -> Shape:
        return Shape.of(
            name_of(table),
            names_of(table, self),
            tuple(column.name for column in table.primary_key),
            edges,
            guard=self.guard,
            refuse_orphans=self.refuse_orphans,
            view=self.view_name(table),
            concurrently=self.concurrently,
        )


Rules.__init__ = keeping_unknown(Rules.__init__)  # type: ignore[method-assign]  # the dataclass's own, wrapped


def _rules_on(table: Table) -> Iterator[Rules]:
    for declaration in declarations(table):
        if isinstance(declaration, Rules):
            yield declaration


class _Criterion:
    """
    What the unmapped mixin answers when a criterion is first looked at.

    ``with_loader_criteria(SoftDelete, lambda cls: cls.deleted_at.is_(None))`` calls its
    lambda once with the mixin itself; mapped classes have attributes of their own.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, instance: object, owner: type) -> Any:
        if instance is None:
            return literal_column(self.name)
        raise AttributeError(f"{owner.__name__} is not mapped, so it has no {self.name}")


class SoftDelete:
    """
    Mixin of classes whose rows are marked as deleted instead of being removed.

    ``session.delete(obj)`` and ``delete(Model)`` mark the row and all that cascades from
    it; ORM statements see live rows only; the database keeps the marks true whoever
    writes them.

    Attributes:
        deleted_at: since when; None is live.
        deleted_by: who did it: what `delete` was told, else the setting ``pgultra.actor``.
        deletion_id: shared by all rows that one deletion took.
        is_deleted: whether the row is deleted, in Python and in SQL.

    >>> from sqlalchemy import Integer
    >>> from sqlalchemy.orm import DeclarativeBase, mapped_column
    >>> from pgultra import SoftDelete
    >>> class Base(DeclarativeBase):
    ...     pass
    >>> class Article(SoftDelete, Base):
    ...     __tablename__ = "article"
    ...     id = mapped_column(Integer, primary_key=True)
    >>> Article.__table__.c.keys()
    ['id', 'deleted_at', 'deleted_by', 'deletion_id']
    """

    if TYPE_CHECKING:
        __soft_delete__: ClassVar[SoftDeleteOptions]

        deleted_at: Mapped[datetime | None]
        deleted_by: Mapped[str | None]
        deletion_id: Mapped[UUID | None]

        @property
        def is_deleted(self) -> Any:  # bool on an instance, ColumnElement[bool] on a class
            """
            Whether the row is deleted.
            """
    else:
        deleted_at = _Criterion("deleted_at")
        deleted_by = _Criterion("deleted_by")
        deletion_id = _Criterion("deletion_id")

        @hybrid_property
        def is_deleted(self) -> bool:
            """
            Whether the row is deleted.
            """
            return self.deleted_at is not None

        @is_deleted.inplace.expression
        @classmethod
        def _is_deleted_expression(cls) -> ColumnElement[bool]:
            return cls.deleted_at.is_not(None)


@event.listens_for(SoftDelete, "after_mapper_constructed", propagate=True)
def _constructed(mapper: Mapper[Any], class_: type[Any]) -> None:
    """
    Give the table at the root of a hierarchy its columns, and the class its attributes.
    """
    table = mapper.local_table
    own = class_.__dict__.get("__soft_delete__")
    parent = mapper.inherits
    if parent is not None and not mapper.concrete:
        if not issubclass(parent.class_, SoftDelete):
            raise DeclarationError(
                f"class {class_.__name__} (table {_name(table)}): SoftDelete stands on a "
                f"subclass of {parent.class_.__name__} only, but the rows of the whole hierarchy "
                f"are deleted together: let {mapper.base_mapper.class_.__name__} inherit "
                "SoftDelete instead"
            )
        if own is not None:
            raise DeclarationError(
                f"class {class_.__name__} (table {_name(table)}): __soft_delete__ belongs to the "
                f"class at the root of the hierarchy, {mapper.base_mapper.class_.__name__}"
            )
        return
    place = f"class {class_.__name__} (table {_name(table)})"
    if not isinstance(table, Table):
        raise DeclarationError(
            f"{place}: SoftDelete needs a class that is mapped to one table, not to {table}"
        )
    options = getattr(class_, "__soft_delete__", None)
    if options is not None and not isinstance(options, SoftDeleteOptions):
        raise DeclarationError(
            f"{place}: __soft_delete__ must be SoftDeleteOptions(...), not {options!r}"
        )
    mapped.add(table, mapper)
    rules = _declared(table, options, place)
    _map(mapper, table, rules, place)
    # Whoever holds the MetaData holds the classes: cascades are read from their relationships.
    rules.__dict__.setdefault("_mappers", []).append(mapper)
    build_all(table, rules, mapper)
    _warn_of_unique(table, rules, place)


@event.listens_for(Mapper, "after_mapper_constructed")
def _without_mixin(mapper: Mapper[Any], class_: type[Any]) -> None:
    insist_on_mixin(class_, "__soft_delete__", SoftDelete, SoftDeleteOptions)


def _declared(table: Table, options: SoftDeleteOptions | None, place: str) -> SoftDeleteOptions:
    """
    The rules that are on the table already, or those of the class, now declared.
    """
    present = rules_of(table)
    if present is not None:
        if options is not None and _values(options) != _values(present):
            raise DeclarationError(
                f"{place}: __soft_delete__ differs from the rules that were declared on the "
                f"table ({present}); say it once"
            )
        return present
    chosen = (options or SoftDeleteOptions()).checked(place)
    rules = Rules(**_values(chosen))
    complete(table, rules, place)  # with the class's name in its errors
    declare(table, rules)
    return rules


def _values(options: SoftDeleteOptions) -> dict[str, Any]:
    return {name: getattr(options, name) for name in SoftDeleteOptions.__dataclass_fields__}


def _map(mapper: Mapper[Any], table: Table, rules: SoftDeleteOptions, place: str) -> None:
    for option, column in columns_of(table, rules).items():
        wanted = ATTRIBUTES[option]
        # Nothing here may configure mappers: other classes are yet to come.
        try:
            present = mapper.get_property_by_column(column).key
        except UnmappedColumnError:
            present = None
        if present == wanted:
            continue
        other = mapper.get_property(wanted) if mapper.has_property(wanted) else None
        if other is not None and not isinstance(other, ConcreteInheritedProperty):
            raise DeclarationError(
                f"{place}: option {option}={column.name!r}: the attribute {wanted!r} is mapped to "
                f"something else ({other}); name its column in SoftDeleteOptions({option}=...) "
                "or rename the attribute"
            )
        if present is None:
            mapper.add_property(wanted, column)
        else:
            mapper.add_property(wanted, synonym(present))
    if rules.flag is None and "is_deleted" in table.columns:
        warnings.warn(
            f"{place} has a column is_deleted that pgultra does not keep: say "
            "__soft_delete__ = SoftDeleteOptions(flag='is_deleted')",
            PgultraWarning,
            stacklevel=2,
        )


def _warn_of_unique(table: Table, rules: SoftDeleteOptions, place: str) -> None:
    found = [
        [column.name for column in each.columns]
        for each in table.constraints
        if isinstance(each, UniqueConstraint)
    ]
    found += [
        [column.name for column in each.columns]
        for each in table.indexes
        if isinstance(each, Index)
        and each.unique
        and each.dialect_options["postgresql"]["where"] is None
    ]
    for names in sorted(found):
        arguments = ", ".join(repr(name) for name in names)
        warnings.warn(
            f"{place}: the values of {', '.join(names)} stay taken by deleted rows, because they "
            "are unique among all rows; for live rows only, write "
            f"__table_args__ = (soft_delete.unique_live({arguments}),) instead",
            PgultraWarning,
            stacklevel=2,
        )


def _place(table: Table) -> str:
    mapper = mapped.mapper_of(table)
    name = f"class {mapper.class_.__name__} " if mapper is not None else ""
    return f"{name}(table {table.fullname})" if name else f"table {table.fullname}"


def _name(table: Any) -> str:
    return str(getattr(table, "fullname", table))


def has_flag(mapper: Mapper[Any]) -> bool:
    """
    Whether a hierarchy keeps a flag beside the timestamp.
    """
    rules = rules_of(mapped.table_of(root_of(mapper)))
    return rules is not None and rules.flag is not None


def deleted_column(mapper: Mapper[Any], option: str = "deleted_at") -> Column[Any]:
    """
    One of the room's columns, in the table at the root of a class's hierarchy.
    """
    table = mapped.table_of(root_of(mapper))
    rules = rules_of(table)
    assert rules is not None
    return columns_of(table, rules)[option]
