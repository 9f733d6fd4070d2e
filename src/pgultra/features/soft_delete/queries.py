"""
Opting out of the filter, and the predicate that it uses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, cast

from sqlalchemy import FromClause, Table, inspect
from sqlalchemy.orm.interfaces import UserDefinedOption

from pgultra.errors import DeclarationError
from pgultra.features.soft_delete.indexes import rules_of
from pgultra.features.soft_delete.model import SoftDelete
from pgultra.features.soft_delete.options import columns_of
from pgultra.plan.options import flag, refused

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement
    from sqlalchemy.dialects.postgresql import Insert

__all__ = ["alive", "on_conflict_live", "only_deleted", "with_deleted"]

Statement = TypeVar("Statement", bound=Any)  # Select, Update, Delete, Query, lambda statements …

OPTION = "pgultra.deleted"
"""
The execution option of a statement, and the key in ``session.info``.
"""


class Propagated(UserDefinedOption):
    """
    Travels with the loaded objects, so that their later lazy loads are not filtered either.
    """

    propagate_to_loaders = True


PROPAGATED = Propagated("include")


def with_deleted(statement: Statement, *, propagate: bool = False) -> Statement:
    """
    Let a statement see deleted rows too.

    Args:
        statement: a SELECT, UPDATE or DELETE, or a legacy Query.
        propagate: lazy loads from the objects that it returns see deleted rows as well.

    Raises:
        DeclarationError: it is no such statement, or ``propagate`` is not True or False.

    >>> from sqlalchemy import select, column
    >>> with_deleted(select(column("slug"))).get_execution_options()
    immutabledict({'pgultra.deleted': 'include'})
    """
    if not hasattr(statement, "execution_options"):
        takes = "a SELECT, UPDATE or DELETE, or a legacy Query"
        raise refused("with_deleted", "statement", statement, takes)
    flag("with_deleted", propagate=propagate)
    seeing: Statement = statement.execution_options(**{OPTION: "include"})
    return cast("Statement", seeing.options(PROPAGATED)) if propagate else seeing


def only_deleted(statement: Statement) -> Statement:
    """
    Let a statement see only deleted rows of the entities that it selects.

    What is joined or loaded along with them may be live or deleted.

    Args:
        statement: a SELECT or UPDATE, or a legacy Query.

    Raises:
        DeclarationError: it selects nothing that is soft-deletable.

    Example:
        ``session.scalars(only_deleted(select(Article)))`` lists the articles in the bin.
    """
    entities = list(_entities(statement))
    if not entities:
        raise DeclarationError(
            "only_deleted(statement): the statement selects no class with SoftDelete"
        )
    dead = [entity.deleted_at.is_not(None) for entity in entities]
    return with_deleted(statement).where(*dead)  # type: ignore[no-any-return]  # a generative method


def _entities(statement: Any) -> list[Any]:
    described = getattr(statement, "column_descriptions", None)
    if described is None:
        description = getattr(statement, "entity_description", {})
        described = [description] if description else []
    found = [each.get("entity") for each in described]
    if not any(found):
        froms: list[Any] = getattr(statement, "get_final_froms", list)()
        parents = [each._annotations.get("parententity") for each in froms]
        found = [parent.entity for parent in parents if parent is not None]
    unique = dict.fromkeys(entity for entity in found if entity is not None)
    return [entity for entity in unique if issubclass(inspect(entity).mapper.class_, SoftDelete)]


def alive(target: Any) -> ColumnElement[bool]:
    """
    The predicate of live rows, as the filter and the partial indexes have it.

    Args:
        target: a class with SoftDelete or an alias of it; a soft-deletable Table or an
            alias of it.  # any of these: Any

    Raises:
        DeclarationError: the target is not soft-deletable.

    >>> from sqlalchemy import Column, Integer, MetaData, Table
    >>> from pgultra import declare
    >>> from pgultra.features.soft_delete import Rules, alive
    >>> article = Table("article", MetaData(), Column("id", Integer, primary_key=True))
    >>> declare(article, Rules())
    >>> print(alive(article))
    article.deleted_at IS NULL
    """
    if isinstance(target, FromClause):
        table = target
        while not isinstance(table, Table) and hasattr(table, "element"):
            table = table.element
        if isinstance(table, Table):  # insert(Article).table is a copy with annotations
            table = table.metadata.tables.get(table.key, table)
        rules = rules_of(table) if isinstance(table, Table) else None
        if rules is not None and isinstance(table, Table):
            found = target.corresponding_column(columns_of(table, rules)["deleted_at"])
            if found is not None:
                return found.is_(None)
    else:
        inspected = inspect(target, raiseerr=False)
        mapper = getattr(inspected, "mapper", None)
        if mapper is not None and issubclass(mapper.class_, SoftDelete):
            return inspected.entity.deleted_at.is_(None)  # type: ignore[no-any-return]  # a generative method
    raise DeclarationError(f"alive({target}): it is not soft-deletable")


def on_conflict_live(
    statement: Insert, *columns: Any, set_: Any = None, where: Any = None
) -> Insert:
    """
    Add ON CONFLICT for a `unique_live` index: DO NOTHING, or DO UPDATE with ``set_``.

    Args:
        statement: an INSERT of the PostgreSQL dialect.
        columns: those of the index: names of columns, attributes, or expressions.
        set_: what to update, by column; ``statement.excluded`` has the refused values.
        where: a condition on the update.

    Raises:
        DeclarationError: the statement's table is not soft-deletable.

    >>> from sqlalchemy import Column, MetaData, Table, Text
    >>> from sqlalchemy.dialects.postgresql import dialect, insert
    >>> from pgultra import declare
    >>> from pgultra.features.soft_delete import Rules, on_conflict_live, unique_live
    >>> tag = Table("tag", MetaData(), Column("name", Text), unique_live("name"))
    >>> declare(tag, Rules())
    >>> statement = on_conflict_live(insert(tag).values(name="sql"), "name")
    >>> print(str(statement.compile(dialect=dialect())).partition(" ON ")[2])
    CONFLICT (name) WHERE deleted_at IS NULL DO NOTHING
    """
    table = statement.table
    elements = [_element(column, table) for column in columns]
    live = alive(table)
    if set_ is None:
        return statement.on_conflict_do_nothing(index_elements=elements, index_where=live)
    return statement.on_conflict_do_update(
        index_elements=elements, index_where=live, set_=set_, where=where
    )


def _element(column: Any, table: Any) -> Any:
    if isinstance(column, str):
        if column in table.columns:
            return table.columns[column]
        mapper = table._annotations.get("parentmapper")
        if mapper is not None and mapper.has_property(column):
            return mapper.get_property(column).columns[0]
        return column
    return column.__clause_element__() if hasattr(column, "__clause_element__") else column
