from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pgultra.integrations.cli.database import AddressError, address_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from typer.testing import Result


@pytest.mark.parametrize(
    ("text", "driver"),
    [
        ("postgres://me@host/db", "psycopg"),
        ("postgresql://me@host/db", "psycopg"),
        ("postgresql+asyncpg://me@host/db", "psycopg"),
        ("postgresql+psycopg2://me@host/db", "psycopg2"),
    ],
)
def test_a_driver_is_chosen(text: str, driver: str) -> None:
    """
    An address without a driver, or with an async one, gets psycopg; another one is kept.
    """
    assert address_of(text).drivername == f"postgresql+{driver}"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:top-secret@localhost:1/db",
        "postgresql://me:top-secret@[::1/db",
        "postgresql://me:top@secret@localhost:1/db",
        "postgresql://me@localhost:1/db?password=top-secret",
        "postgresql://me:top-secret@localhost:1/db?no_such_option=top-secret",
        "postgresql+nodriver://me:top-secret@localhost/db",
    ],
)
def test_no_password_is_printed(run: Callable[..., Result], models: Path, url: str) -> None:
    """
    Whatever is wrong with an address, its password is not in the message.
    """
    result = run("check", f"{models}:metadata", "--url", url)
    assert result.exit_code == 2
    assert "secret" not in result.output


def test_an_address_is_needed() -> None:
    """
    Nothing is guessed when no address is given.
    """
    with pytest.raises(AddressError, match="PGULTRA_URL"):
        address_of("")
