"""
What an argument in the wrong place is told.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, sessionmaker

from pgultra import DeclarationError, PgultraError, plan
from pgultra.features import soft_delete

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine


def test_an_engine_is_no_connection(engine: sa.Engine, async_engine: AsyncEngine) -> None:
    """
    The message has the line to write.
    """
    check: Any = plan.check
    for given in (engine, async_engine):
        with pytest.raises(PgultraError, match=r"check: .* Connection.*with engine\.connect\(\)"):
            check(given, sa.MetaData())


def test_a_sessionmaker_is_no_session(engine: sa.Engine) -> None:
    """
    Nor is an object, where the two arguments were exchanged.
    """
    delete: Any = soft_delete.delete
    with pytest.raises(PgultraError, match="the sessionmaker that makes one: call it"):
        delete(sessionmaker(engine), object())
    with pytest.raises(PgultraError, match=r"delete: .* Session, .* an object of type timedelta"):
        delete(timedelta(), sessionmaker(engine)())


def test_a_class_is_no_session(connection: sa.Connection) -> None:
    """
    Its constructor is not called, where the two arguments were exchanged.
    """

    class Base(DeclarativeBase):
        pass

    class Note(Base):
        __tablename__ = "note"
        id = sa.Column(sa.Integer, primary_key=True)

        def __init__(self) -> None:
            raise AssertionError

    check: Any = plan.check
    with pytest.raises(PgultraError, match="was given the class Note"):
        check(Note, connection)


def test_a_base_is_no_metadata(connection: sa.Connection) -> None:
    """
    Its MetaData is what is compared.
    """

    class Base(DeclarativeBase):
        pass

    check: Any = plan.check
    with pytest.raises(DeclarationError, match=r"give Base\.metadata"):
        check(connection, Base)
    with pytest.raises(DeclarationError, match="metadata=3 is no MetaData"):
        check(connection, 3)
