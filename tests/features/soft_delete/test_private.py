"""
What the room uses of SQLAlchemy beyond its public API, pinned on the installed version.

Each test fails with the name of what moved, before anything else does.
"""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import select, update
from sqlalchemy.orm import Mapper, Session, joinedload, outerjoin
from sqlalchemy.orm.session import SessionTransaction
from sqlalchemy.orm.state import InstanceState
from sqlalchemy.orm.util import LoaderCriteriaOption, _ORMJoin
from sqlalchemy.sql.selectable import Join, Select

from pgultra.features.soft_delete import criteria
from tests.features.soft_delete.sample import BLOG

Author, Post, Comment = BLOG.Author, BLOG.Post, BLOG.Comment


def parameters(function: Any) -> list[str]:
    """
    Name the parameters of a function.
    """
    return list(inspect.signature(function).parameters)


def test_session_remove_newly_deleted() -> None:
    """
    Session._remove_newly_deleted takes states.
    """
    assert parameters(Session._remove_newly_deleted) == ["self", "states"]


def test_session_subtransactions() -> None:
    """
    A flush begins a subtransaction with _autobegin_t()._begin(), and ends it by its methods.
    """
    assert "_autobegin_t()._begin()" in inspect.getsource(Session._flush)
    assert "_capture_exception" in parameters(SessionTransaction.rollback)
    with Session() as session:
        transaction = session._autobegin_t()._begin()
        assert session.in_transaction()
        transaction.commit()
        assert session.in_transaction()


def test_the_end_of_a_flush() -> None:
    """
    A flush ends early without work, and the test that says so is the one we repeat.
    """
    source = inspect.getsource(Session._flush)
    for part in (
        "self.dispatch.before_flush(self, flush_context, objects)",
        "and state._orphaned_outside_of_session",
        "if not flush_context.has_work:",
        "self.dispatch.after_flush_postexec(self, flush_context)",
    ):
        assert part in source
    assert InstanceState._orphaned_outside_of_session is False


def test_orphans() -> None:
    """
    A mapper can tell whether an object is an orphan.
    """
    BLOG.Base.registry.configure()
    assert parameters(Mapper._is_orphan) == ["self", "state"]
    assert sa.inspect(Comment)._delete_orphans
    assert sa.inspect(Author)._delete_orphans == []


def test_criteria_options() -> None:
    """
    LoaderCriteriaOption asks, resolves and registers in the methods that we override or call.
    """
    assert parameters(LoaderCriteriaOption._resolve_where_criteria) == ["self", "ext_info"]
    assert parameters(LoaderCriteriaOption._should_include) == ["self", "compile_state"]
    assert parameters(LoaderCriteriaOption.get_global_criteria) == ["self", "attributes"]
    assert parameters(LoaderCriteriaOption.process_compile_state) == ["self", "compile_state"]
    attributes: dict[Any, Any] = {}
    criteria.LIVE.get_global_criteria(attributes)
    assert attributes["additional_entity_criteria", sa.inspect(Post)] == [criteria.LIVE.twin]


def test_the_cache_key_of_the_criterion() -> None:
    """
    Statements with the criterion share a key by its kind, and differ from those without.
    """
    one, two = (select(Post).options(criteria.LIVE) for _ in range(2))
    assert one._generate_cache_key() == two._generate_cache_key()
    for other in (select(Post), select(Post).options(criteria.DEAD)):
        assert one._generate_cache_key() != other._generate_cache_key()
    with pytest.raises(TypeError, match="not pickled"):
        criteria.LIVE.__reduce__()


def test_the_state_of_a_compilation(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A SELECT that is compiled has its parts under the names that we mend.
    """
    seen: list[Any] = []
    mend = criteria._Mending._mend

    def look(self: Any, state: Any) -> None:
        seen.append(state)
        mend(self, state)

    monkeypatch.setattr(criteria._Mending, "_mend", look)
    statement = select(Post).select_from(outerjoin(Post, Comment)).options(criteria.LIVE)
    str(statement)
    (state,) = seen
    for name in (
        "from_clauses",
        "eager_joins",
        "extra_criteria_entities",
        "_join_entities",
        "_where_criteria",
        "primary_columns",
        "attributes",
        "global_attributes",
        "select_statement",
    ):
        assert hasattr(state, name)


def test_joins() -> None:
    """
    Joins can be copied and carry what they stand for.
    """
    joined = outerjoin(Author, Post)
    assert isinstance(joined, _ORMJoin)
    copy = joined._clone()
    assert isinstance(copy, Join)
    copy.onclause = sa.true()
    assert joined.onclause is not copy.onclause
    assert joined.right._annotations["parententity"] is sa.inspect(Post)


def test_a_join_whose_target_is_loaded_too_stands_once() -> None:
    """
    The eager join stands on the join of the statement, and both are rebuilt as one.
    """
    joined = select(Comment).join(Comment.post).options(joinedload(Comment.post), criteria.LIVE)
    assert str(joined).count("comment JOIN post") == 1
    assert str(joined).count("LEFT OUTER JOIN post") == 1


def test_loader_options() -> None:
    """
    An option for a joined load says whether the join is an inner one, and can be updated.
    """
    (element,) = joinedload(Comment.post, innerjoin=True).context
    assert element.local_opts["innerjoin"] is True
    assert element._update_opts(innerjoin=False).local_opts["innerjoin"] is False


def test_parts_of_statements() -> None:
    """
    Statements keep their parts under the names that we read.
    """
    statement = select(Post).where(Post.id == 1).order_by(Post.id).join(Post.comments)
    for name in (
        "_raw_columns",
        "_where_criteria",
        "_having_criteria",
        "_order_by_clauses",
        "_group_by_clauses",
        "_from_obj",
        "_correlate_except",
        "_with_options",
        "_propagate_attrs",
    ):
        assert hasattr(statement, name)
    assert isinstance(statement._generate(), Select)
    assert statement._generate() is not statement
    assert len(statement._setup_joins) == 1
    entity = update(Post).table._annotations["parententity"]
    assert entity is sa.inspect(Post)
    (criterion,) = statement._where_criteria
    (column, _) = criterion.get_children()
    assert column._annotations["parentmapper"] is sa.inspect(Post)


def test_mappers_can_be_refused() -> None:
    """
    A mapper that is set unconfigured is not configured by a second attempt in silence.
    """
    BLOG.Base.registry.configure()
    assert sa.inspect(Post).configured is True
    assert isinstance(sa.inspect(Post).class_manager.info, dict)
