"""
--url: from an address to a connection, and never a password on the screen.
"""

from __future__ import annotations

import importlib.util
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer
from sqlalchemy import URL, NullPool, create_engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from pgultra.errors import PgultraError
from pgultra.integrations.cli.output import keep_secret, without_passwords

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

__all__ = ["URL_OPTION", "AddressError", "address_of", "connected"]

URL_OPTION = Annotated[
    str | None,
    typer.Option(
        "--url",
        metavar="URL",
        envvar=["PGULTRA_URL", "DATABASE_URL"],
        help="The database, such as postgresql://me@localhost/shop.",
        show_default=False,
    ),
]
_DRIVERS = ("psycopg", "psycopg2", "pg8000")
_SECRETS = ("password", "sslpassword")


class AddressError(PgultraError):
    """
    The address is not one, or nobody answers there.
    """


def address_of(text: str | None) -> URL:
    """
    Read an address; without a driver, or with one that is async only, psycopg is taken.

    Raises:
        AddressError: it is none, or not one of PostgreSQL, or there is no driver.
    """
    if not text:
        raise AddressError(
            "no database was named: give --url postgresql://…, or set PGULTRA_URL or DATABASE_URL"
        )
    url = _parsed(text)
    keep_secret(url.password)
    for name in _SECRETS:
        value = url.query.get(name)
        for word in (value,) if isinstance(value, str) else value or ():
            keep_secret(word)
    system, _, driver = url.drivername.partition("+")
    if system not in ("postgresql", "postgres"):
        raise AddressError(f"pgultra speaks PostgreSQL only, not {system}")
    if driver in ("", "asyncpg", "psycopg_async"):
        driver = next((name for name in _DRIVERS if importlib.util.find_spec(name)), "")
        if not driver:
            raise AddressError("no driver is installed: pip install 'psycopg[binary]'")
    return url.set(drivername=f"postgresql+{driver}")


def _parsed(text: str) -> URL:
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        url = None
    if url is None or "@" in (url.host or ""):  # half a password would count as the host
        raise AddressError(  # which does not repeat the text, for it may hold a password
            "--url cannot be read: it should be like postgresql://user:password@host:5432/name, "
            "with special characters in the password as %xx"
        )
    return url


@contextmanager
def connected(text: str | None) -> Iterator[Connection]:
    """
    One connection to an address, in a transaction that the block commits if it wants to.

    Raises:
        AddressError: nobody answers there.
    """
    url = address_of(text)
    try:
        engine = create_engine(url, poolclass=NullPool)
    except (ModuleNotFoundError, NoSuchModuleError) as error:
        raise AddressError(f"the driver of {url.drivername} is not installed: {error}") from error
    try:
        connection = engine.connect()
    except (DBAPIError, TypeError) as error:  # a driver may not know an option of the URL
        reason = without_passwords(str(getattr(error, "orig", error)).strip())
        raise AddressError(f"cannot connect to {url.render_as_string()}: {reason}") from None
    with connection:
        yield connection
