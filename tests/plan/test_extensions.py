from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from pgultra import Extension, declare
from pgultra.plan import check
from pgultra.plan.extensions import absent_extensions

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

    from pgultra.plan.extensions import AbsentExtension
    from tests.fixtures.server import Server

TRUSTED = "SELECT bool_or(trusted) FROM pg_available_extension_versions WHERE name = 'vector'"


def absent(connection: Connection, *extensions: Extension) -> tuple[AbsentExtension, ...]:
    """
    What the command line says when these are declared.
    """
    metadata = sa.MetaData()
    declare(metadata, *extensions)
    return absent_extensions(connection, check(connection, metadata))


def test_what_is_installed_is_not_mentioned(connection: Connection) -> None:
    """
    There is nothing to say about an extension that is there.
    """
    assert absent(connection, Extension(name="plpgsql")) == ()


def test_an_extension_that_the_server_does_not_have(connection: Connection, server: Server) -> None:
    """
    The message says what to install, and what a superuser must run then.
    """
    (found,) = absent(connection, Extension(name='no "such', schema="ext"))
    assert not found.on_disk
    assert f"postgresql-{server.version}-" in str(found)
    assert 'CREATE EXTENSION "no ""such" SCHEMA ext;' in str(found)


@pytest.mark.needs("vector")
def test_who_may_create_it_is_said(engine: Engine, owner_engine: Engine) -> None:
    """
    A superuser's migration creates it; another role must ask for a command.
    """
    wanted = Extension(name="vector")
    with engine.connect() as connection:
        (found,) = absent(connection, wanted)
        assert found.may_create
        assert "the next migration creates it" in str(found)
        trusted = connection.scalar(sa.text(TRUSTED))
    with owner_engine.connect() as connection:
        (found,) = absent(connection, wanted)
    assert found.may_create is trusted
    if not trusted:
        assert "Let a superuser run, in this database:\n    CREATE EXTENSION vector;" in str(found)
    assert found.as_json()["command"] == "CREATE EXTENSION vector;"
