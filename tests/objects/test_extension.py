from __future__ import annotations

from typing import TYPE_CHECKING

from pgultra import Extension
from pgultra.objects import Mark, Scope

if TYPE_CHECKING:
    import sqlalchemy as sa


def test_statements() -> None:
    """
    Made where it is missing, never dropped, never commented on.
    """
    extension = Extension(name="uuid-ossp", schema="Tools", mark=Mark("default", "declared"))
    assert extension.create() == ('CREATE EXTENSION IF NOT EXISTS "uuid-ossp" SCHEMA "Tools"',)
    assert extension.drop() == ()
    assert extension.remark() == ()
    assert not extension.dropped


def test_an_existing_one_is_taken_as_it_is() -> None:
    """
    Wherever it lies: it is everybody's.
    """
    assert Extension(name="vector").same_as(Extension(name="vector", schema="x"))
    assert not Extension(name="vector").same_as(Extension(name="pg_trgm"))
    assert Extension(name="vector", schema="x").identity == Extension(name="vector").identity


def test_reading(connection: sa.Connection) -> None:
    """
    Only what is wanted, and only if it is there.
    """
    wanted = frozenset({Extension(name=name).identity for name in ("plpgsql", "no_such")})
    assert list(Extension.read(connection, Scope("default", "public", wanted=wanted))) == [
        Extension(name="plpgsql")
    ]
    assert list(Extension.read(connection, Scope("default", "public"))) == []
