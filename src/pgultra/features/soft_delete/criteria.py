"""
The criterion that statements get: one option, made once, applied when a statement compiles.

``with_loader_criteria`` does the work. What it leaves open is mended here, at compile time
only, so that a statement from the cache pays nothing:

- joined loads take criteria only from options that travel with loaded objects; ours must
  not travel (a session may change its mind, and objects may be pickled), so a twin that
  would travel is registered in its place;
- explicit ``join()`` and ``outerjoin()`` constructs get the criterion into their ON, and a
  full join keeps the rows of either side whose partner is deleted;
- ``joinedload(..., innerjoin=True)`` to a soft-deletable class becomes an outer join;
- entities that it overlooks are found (`surface`);
- a joined subclass whose root is not in FROM is filtered by its key (`joined`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, true
from sqlalchemy.orm import RelationshipProperty
from sqlalchemy.orm.util import LoaderCriteriaOption, _ORMJoin
from sqlalchemy.sql import visitors
from sqlalchemy.sql.selectable import Join, Select
from sqlalchemy.sql.visitors import InternalTraversal

from pgultra.features.soft_delete import surface
from pgultra.features.soft_delete.joined import apart, live_by_key, lonely
from pgultra.features.soft_delete.model import SoftDelete
from pgultra.features.soft_delete.relationships import prepare_late

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sqlalchemy import ColumnElement, FromClause
    from sqlalchemy.orm import Mapper

__all__ = ["DEAD", "LIVE", "Criterion"]

MENDED = "pgultra.soft_delete.mended"


class Criterion(LoaderCriteriaOption):
    """
    ``with_loader_criteria`` on `SoftDelete`, with the mending above.
    """

    # Two statements are alike if both ask for the same kind of rows; no need to look into
    # the lambda, which has no variables.
    _cache_key_traversal: Any = (("kind", InternalTraversal.dp_string),)

    def __init__(self, kind: str, criterion: Any) -> None:
        self.kind = kind
        super().__init__(SoftDelete, criterion, include_aliases=True, propagate_to_loaders=False)
        self.twin = LoaderCriteriaOption(
            SoftDelete, criterion, include_aliases=True, propagate_to_loaders=True
        )
        self.mending = _Mending(self.twin)

    def get_global_criteria(self, attributes: dict[Any, Any]) -> None:
        """
        Register the twin for every soft-deletable mapper.
        """
        self.twin.get_global_criteria(attributes)

    def process_compile_state(self, compile_state: Any) -> None:
        """
        Register the criterion, and look for what it would not reach.
        """
        prepare_late()
        attributes = compile_state.global_attributes
        self.get_global_criteria(attributes)
        statement = getattr(compile_state, "select_statement", None)
        self._by_key(attributes, _changed(compile_state))
        _inner_joins_to_outer(compile_state.attributes)
        if statement is None:
            return
        surface.refuse_changes(statement)
        mappers = surface.mappers(statement)
        if isinstance(statement, Select):
            surface.refuse_hidden(statement)
            for entity in compile_state._entities:  # of its columns, made before we are asked
                if (column := getattr(entity, "column", None)) is not None:
                    entity.column = surface.rebuilt(column)
            if not surface.found(statement):  # nothing that SQLAlchemy would ask us about
                compile_state.select_statement = surface.completed(statement)
        for mapper in mappers:
            found = attributes.setdefault(("additional_entity_criteria", mapper), [])
            if self.mending not in found:
                found.append(self.mending)

    def _by_key(self, attributes: dict[Any, Any], changed: Mapper[Any] | None) -> None:
        """
        Put in place of the twin what joined subclasses need; one is changed by an UPDATE.
        """
        for (_, mapper), found in [
            (key, value)
            for key, value in attributes.items()
            if key[0] == "additional_entity_criteria" and self.twin in value and apart(key[1])
        ]:
            joined = _Changed if mapper is changed else _Joined
            found[:] = [joined(self, mapper) if each is self.twin else each for each in found]

    def __reduce__(self) -> Any:
        raise TypeError("the soft-delete criterion belongs to a statement and is not pickled")


class _Joined:
    """
    The criterion of a joined subclass in SELECTs that have the root's table in FROM.
    """

    include_aliases = True
    propagate_to_loaders = True
    entity = None

    def __init__(self, criterion: Criterion, mapper: Mapper[Any]) -> None:
        self.criterion = criterion
        self.mapper = mapper

    def _should_include(self, compile_state: Any) -> bool:
        return all(entity.mapper is not self.mapper for entity in lonely(compile_state))

    def _resolve_where_criteria(self, entity: Any) -> Any:
        return self.criterion.twin._resolve_where_criteria(entity)


class _Changed(_Joined):
    """
    The criterion of a joined subclass in an UPDATE of it, which names its own table only.
    """

    def _should_include(self, compile_state: Any) -> bool:
        return True

    def _resolve_where_criteria(self, entity: Any) -> Any:
        dead = self.criterion.kind == "deleted"
        return live_by_key(self.mapper, self.mapper.local_table, dead=dead)


class _Mending:
    """
    Stands among the criteria of a mapper to be called for each SELECT that is compiled.

    SQLAlchemy asks each criterion whether it is to be included, and gives the state of the
    SELECT; the answer here is always no.
    """

    include_aliases = True
    propagate_to_loaders = False
    entity = None

    def __init__(self, criterion: LoaderCriteriaOption) -> None:
        self.criterion = criterion

    def _should_include(self, compile_state: Any) -> bool:
        # Joins are assembled, columns are there, the WHERE is being put together.
        if getattr(compile_state, "primary_columns", None) and (
            MENDED not in compile_state.attributes
        ):
            compile_state.attributes[MENDED] = True
            self._mend(compile_state)
        return False

    def _resolve_where_criteria(self, entity: Any) -> Any:
        # For an UPDATE in a CTE nobody asks whether we are to be included.
        return true()

    def _mend(self, state: Any) -> None:
        select = state.select_statement
        known = {*state.extra_criteria_entities, *state._join_entities}
        for clause in state.from_clauses:
            known.update(_entities(clause))
        alone = lonely(state)
        state._where_criteria = (
            *map(surface.rebuilt, state._where_criteria),
            *surface.missing(select, known - alone),
            *self._beside(state, alone),
        )
        tree = _Tree(
            self.criterion,
            {entity.selectable: entity for entity in state.extra_criteria_entities},
        )
        state.from_clauses = [tree.joined(each, top=True) for each in state.from_clauses]
        state.eager_joins = {
            key: tree.joined(each, top=False) for key, each in state.eager_joins.items()
        }
        state._where_criteria += tuple(tree.where)

    def _beside(self, state: Any, alone: set[Any]) -> Iterator[Any]:
        """
        The criteria of the entities that lost theirs because of another one of their mapper.
        """
        mappers = {entity.mapper for entity in alone}
        kept = {*alone, *state._join_entities}
        for entity, adapter in state.extra_criteria_entities.values():
            if entity.mapper in mappers and entity not in kept:
                live = self.criterion._resolve_where_criteria(entity)
                yield adapter.traverse(live) if adapter else live


class _Tree:
    """
    The joins of one SELECT, rebuilt with the criterion in each ON that lacks it.

    Attributes:
        where: what must stand in the WHERE besides.
    """

    def __init__(self, criterion: LoaderCriteriaOption, known: Mapping[Any, Any]) -> None:
        self.criterion = criterion
        self.known = known
        self.where: list[ColumnElement[bool]] = []
        self._made: dict[FromClause, FromClause] = {}

    def joined(self, clause: FromClause, *, top: bool) -> FromClause:
        """
        The same clause; ``top`` while no other join stands to its left.
        """
        if not isinstance(clause, Join) or self._entity(clause) is not None:
            return clause
        if clause in self._made:  # an eager join stands on a FROM: both must have the same one
            return self._made[clause]
        joined = self._made[clause] = clause._clone()
        joined.left = self.joined(clause.left, top=top)
        joined.right = self.joined(clause.right, top=False)
        entities = list(self._soft(clause.right))
        if clause.full:
            # A row whose partner is deleted stays, alone; one that is deleted goes.
            entities += self._soft(clause.left)
            self.where += [self._live(entity) for entity in entities]
        elif top and "parententity" not in clause._annotations:
            # sqlalchemy.join() does not say whose it is, as sqlalchemy.orm.join() does.
            self.where += [self._live(each) for each in self._soft(clause.left, leaf=True)]
        there = {
            element._annotations.get("parententity")
            for element in visitors.iterate(clause.onclause)
            if "for_loader_criteria" in element._annotations
        }
        lacking: list[Any] = [self._live(entity) for entity in entities if entity not in there]
        if lacking:
            on: Any = clause.onclause
            joined.onclause = and_(on, *lacking)
        return joined

    def _entity(self, clause: Any) -> Any:
        found = _entity(clause)
        return found if found is not None else self.known.get(clause)

    def _soft(self, clause: Any, *, leaf: bool = False) -> Iterator[Any]:
        entity = self._entity(clause)
        if entity is not None:
            if issubclass(entity.mapper.class_, SoftDelete):
                yield entity
        elif isinstance(clause, Join) and not leaf:
            yield from self._soft(clause.left)
            yield from self._soft(clause.right)

    def _live(self, entity: Any) -> Any:
        return self.criterion._resolve_where_criteria(entity)


def _changed(compile_state: Any) -> Any:
    """
    The mapper whose rows a statement writes; one in from_statement() is not asked itself.
    """
    if hasattr(compile_state, "mapper"):
        return compile_state.mapper
    table = getattr(getattr(compile_state, "statement", None), "table", None)
    return None if table is None else table._annotations.get("parentmapper")


def _entity(clause: Any) -> Any:
    """
    The mapper or alias that a FROM element stands for; a join of several stands for none.
    """
    if isinstance(clause, _ORMJoin):
        return None
    return clause._annotations.get("parententity")


def _entities(clause: Any) -> Iterator[Any]:
    entity = _entity(clause)
    if entity is not None:
        yield entity
    elif isinstance(clause, Join):
        yield from _entities(clause.left)
        yield from _entities(clause.right)


def _inner_joins_to_outer(attributes: dict[Any, Any]) -> None:
    """
    Undo ``innerjoin=True`` of loader options that lead to a soft-deletable class.
    """
    for key, element in list(attributes.items()):
        options = getattr(element, "local_opts", None)
        if options and options.get("innerjoin"):
            target = next(
                (each for each in reversed(key[1]) if isinstance(each, RelationshipProperty)),
                None,
            )
            if target is not None and issubclass(target.mapper.class_, SoftDelete):
                attributes[key] = element._update_opts(innerjoin=False)


LIVE = Criterion("live", lambda cls: cls.deleted_at.is_(None))
"""
Live rows only: literally ``IS NULL``, the very predicate of the partial indexes.
"""

DEAD = Criterion("deleted", lambda cls: cls.deleted_at.is_not(None))
"""
Deleted rows only, for a session that shows a bin.
"""
