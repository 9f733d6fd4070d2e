"""
Two hosts that start at once, a session's own tables, and MetaData that travelled.
"""

from __future__ import annotations

import pickle
import threading
import time
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from pgultra import Check, DeclarationError, Function, Index, Trigger, View, declare, plan

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fixtures.alembic import MigrationEnvironment


BODY = "begin return new; end"
VIEW = View(name="v", query="SELECT id, n FROM item")


def shop(body: str = BODY) -> sa.MetaData:
    """
    A table with a trigger, and a view on it.
    """
    metadata = sa.MetaData()
    table = sa.Table(
        "item",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("n", sa.Integer),
    )
    trigger = Trigger(name="t", table="item", timing="BEFORE", events=("INSERT",), function="f")
    declare(table, trigger)
    declare(metadata, Function(name="f", body=body), VIEW)
    return metadata


def test_two_that_replace_a_function_at_once(engine: sa.Engine) -> None:
    """
    The second one waits for the first, sees that it is done, and does nothing.
    """
    shop().create_all(engine)
    changed = "begin perform 1; return new; end"
    errors: list[Exception] = []

    def second() -> None:
        try:
            shop(changed).create_all(engine)
        except Exception as error:  # told below
            errors.append(error)

    with engine.begin() as connection:
        shop(changed).create_all(connection)
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(0.5)
        assert not errors
        assert thread.is_alive()
    thread.join(10)
    assert not errors
    with engine.connect() as connection:
        assert not plan.check(connection, shop(changed))


def test_who_has_nothing_to_do_waits_for_nobody(engine: sa.Engine) -> None:
    """
    The lock is taken where there is a step, and not by every host that starts.
    """
    shop().create_all(engine)
    with engine.begin() as connection:
        shop("begin perform 1; return new; end").create_all(connection)
        with engine.begin() as other:
            other.exec_driver_sql("SET LOCAL lock_timeout = '1s'")
            shop().create_all(other)


@pytest.mark.parametrize(
    "hiding", ["CREATE TEMP TABLE item (id int, n text)", "CREATE TEMP VIEW v AS SELECT 1 AS one"]
)
@pytest.mark.parametrize("path", ["public", "public, pg_temp", "elsewhere, public"])
def test_temporary_tables_of_the_session_are_not_the_ones_declared(
    engine: sa.Engine, hiding: str, path: str
) -> None:
    """
    They hide a table from the session, and nothing differs.
    """
    shop().create_all(engine)
    with engine.connect() as connection:
        connection.exec_driver_sql(f"SET search_path = {path}")
        connection.exec_driver_sql(hiding)
        connection.commit()
        found = plan.check(connection, shop())
        assert not found, str(found)
        connection.invalidate()


@pytest.mark.parametrize(
    "travelled",
    [
        lambda metadata: pickle.loads(pickle.dumps(metadata)),  # our own
        lambda metadata: metadata.tables["item"].to_metadata(sa.MetaData()).metadata,
    ],
    ids=["pickle", "to_metadata"],
)
def test_a_copy_that_lost_its_declarations_drops_nothing(
    engine: sa.Engine, travelled: Callable[[sa.MetaData], sa.MetaData]
) -> None:
    """
    The check says what is missing, instead of a plan that takes the triggers away.
    """
    metadata = shop()
    copy = travelled(metadata)
    with engine.connect() as connection:
        assert not plan.check(connection, copy)  # there is nothing of ours yet
    metadata.create_all(engine)
    with engine.connect() as connection:
        with pytest.raises(DeclarationError, match=r"table item is a copy .*trigger t on item"):
            plan.check(connection, copy)
        assert not plan.check(connection, [metadata, copy])
        declare(copy.tables["item"], *plan.declarations(metadata.tables["item"]))
        declare(copy, Function(name="f", body=BODY), VIEW)  # those of the MetaData
        assert not plan.check(connection, copy)


def test_a_table_with_the_same_columns_is_no_copy(engine: sa.Engine) -> None:
    """
    A history that was declared of them may let go of what was declared on it.
    """

    def models(*, kept: bool) -> sa.MetaData:
        metadata = shop()
        item = metadata.tables["item"]
        history = sa.Table("history", metadata, *(each._copy() for each in item.columns))
        if kept:
            declare(history, Check(name="c", table="history", condition="id > 0"))
        return metadata

    models(kept=True).create_all(engine)
    with engine.connect() as connection:
        [step] = plan.check(connection, models(kept=False))
    assert str(step) == "drop check c on history"


def test_arguments_by_their_names_and_a_session(engine: sa.Engine) -> None:
    """
    As the signature says it; a Session stands for its connection.
    """
    shop().create_all(engine)
    with engine.connect() as connection:
        assert not plan.check(connection=connection, metadata=shop())
        assert not plan.check(metadata=shop(), connection=connection)
        with pytest.raises(TypeError, match="connection"):
            plan.check(metadata=shop())  # type: ignore[call-overload]  # the point
    with Session(engine) as session:
        assert not plan.check(session, shop())


@pytest.mark.parametrize("valid", [True, False])
def test_an_index_that_was_built_concurrently_goes_with_its_table(
    engine: sa.Engine, alembic_env: MigrationEnvironment, valid: bool
) -> None:
    """
    In the same transaction, whether it was finished or not; a downgrade brings both back.
    """

    def indexed() -> sa.MetaData:
        metadata = sa.MetaData()
        sa.Table("other", metadata, sa.Column("id", sa.Integer, primary_key=True))
        table = sa.Table("item", metadata, sa.Column("id", sa.Integer, primary_key=True))
        column = sa.Column("n", sa.Integer)
        table.append_column(column)
        declare(table, ours(sa.Index("item_n", column)))
        return metadata

    alembic_env.autogenerate(metadata=indexed())
    alembic_env.upgrade()
    if not valid:
        with engine.begin() as connection:
            connection.exec_driver_sql(
                "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'item_n'::regclass"
            )
    rest = sa.MetaData()
    sa.Table("other", rest, sa.Column("id", sa.Integer, primary_key=True))
    revision = alembic_env.autogenerate("gone", metadata=rest)
    assert "CONCURRENTLY" not in revision.text
    assert "autocommit_block" not in revision.text
    alembic_env.upgrade()
    assert alembic_env.autogenerate("again", metadata=rest).empty
    alembic_env.downgrade("-1")
    with engine.connect() as connection:
        assert not plan.check(connection, indexed())


def ours(index: sa.Index) -> Index:
    """
    Ours, built without a lock on its table.
    """
    return Index.of(index, concurrently=True)
