"""
What a user writes in a class: the mixin `PartitionedTable`.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, ClassVar

from sqlalchemy import Column, Table, event
from sqlalchemy.orm import Mapper

from pgultra.errors import DeclarationError
from pgultra.features.partitions.rules import ByHash, ByList, ByRange
from pgultra.plan.declare import declare
from pgultra.plan.options import insist_on_mixin

if TYPE_CHECKING:
    from pgultra.features.partitions.rules import Rules

__all__ = ["PartitionedTable"]


class PartitionedTable:
    """
    Mixin of classes whose table is partitioned, as ``__partition_by__`` says.

    >>> from sqlalchemy import BigInteger, DateTime
    >>> from sqlalchemy.orm import DeclarativeBase, mapped_column
    >>> class Base(DeclarativeBase):
    ...     pass
    >>> class Event(PartitionedTable, Base):
    ...     __tablename__ = "event"
    ...     __partition_by__ = ByRange("occurred_at", every="1 month")
    ...     id = mapped_column(BigInteger, primary_key=True)
    ...     occurred_at = mapped_column(DateTime(timezone=True), primary_key=True)
    >>> Event.__table__.dialect_options["postgresql"]["partition_by"]
    'RANGE (occurred_at)'
    """

    if TYPE_CHECKING:
        __partition_by__: ClassVar[Rules]


@event.listens_for(PartitionedTable, "after_mapper_constructed", propagate=True)
def _constructed(mapper: Mapper[Any], class_: type[Any]) -> None:
    """
    Declare the class's rules on its table.
    """
    table, parent = mapper.local_table, mapper.inherits
    own = class_.__dict__.get("__partition_by__")
    rules = own if own is not None else getattr(class_, "__partition_by__", None)
    place = f"class {class_.__name__} (table {getattr(table, 'name', table)})"
    if parent is not None and not mapper.concrete and own is None:
        return  # the rows of the hierarchy lie where its root says
    if parent is not None and not mapper.concrete and parent.local_table is table:
        raise DeclarationError(
            f"{place}: it shares its table with {parent.class_.__name__}: __partition_by__ belongs "
            "there"
        )
    if not isinstance(table, Table):
        raise DeclarationError(
            f"{place}: PartitionedTable needs a class that is mapped to one table, not to {table}"
        )
    if rules is None:
        raise DeclarationError(
            f"{place}: say how its table is partitioned, such as "
            '__partition_by__ = ByRange("occurred_at", every="1 month")'
        )
    if not isinstance(rules, ByRange | ByList | ByHash):
        raise DeclarationError(
            f"{place}: __partition_by__ must be ByRange(...), ByList(...) or ByHash(...), "
            f"not {rules!r}"
        )
    # not mapper.column_attrs, which would resolve relationships to classes that are still to come
    for name, column in mapper.columns.items():
        if getattr(column, "table", None) is table and column.key != name:
            column.info.setdefault("pgultra.attribute", name)
    declare(table, _named(rules, class_))


@event.listens_for(Mapper, "after_mapper_constructed")
def _without_mixin(mapper: Mapper[Any], class_: type[Any]) -> None:
    insist_on_mixin(class_, "__partition_by__", PartitionedTable, ByRange, ByList, ByHash)


def _named(rules: Any, class_: type[Any]) -> Any:
    """
    The rules with names instead of what stands in the body of a class or a mixin.

    SQLAlchemy copies the columns of mixins, so that the object itself is in no table.
    """
    if rules is None or isinstance(rules.column, str | Column):
        named = rules
    else:
        names = (
            name
            for host in class_.__mro__
            for name, value in vars(host).items()
            if value is rules.column
        )
        named = dataclasses.replace(rules, column=next(names, rules.column))
    if named is None or named.then is None:
        return named
    return dataclasses.replace(named, then=_named(named.then, class_))
