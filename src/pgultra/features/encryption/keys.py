"""
Key rings: several root keys, one of which seals; all of them open.

A ring is known by its name. Pickles, statements and reprs hold the name and never a key.
"""

from __future__ import annotations

import base64
import binascii
import os
import secrets
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, Self, runtime_checkable

from pgultra.errors import DeclarationError, EncryptionError, PgultraError
from pgultra.features.encryption.cipher import Box, Place
from pgultra.plan.options import refused, seconds, text, whole

__all__ = ["KeyProvider", "KeyRing"]

Keys = Mapping[int, bytes]
Source = Callable[[], "Keys | str"]

LENGTH = 32
HIGHEST = 2**32 - 1

_rings: weakref.WeakValueDictionary[str, KeyRing] = weakref.WeakValueDictionary()


@runtime_checkable
class KeyProvider(Protocol):
    """
    What a key management service does: opens a root key that only it can open.

    It is asked in ``KeyRing.prefetch`` only, never while a statement runs.

    Example::

        class Vault:
            def unwrap(self, wrapped: bytes) -> bytes:
                return base64.b64decode(client.decrypt_data("pii", wrapped.decode())["plaintext"])

            def wrap(self, key: bytes) -> bytes:
                return client.encrypt_data("pii", base64.b64encode(key).decode()).encode()
    """

    def unwrap(self, wrapped: bytes) -> bytes:
        """
        The root key behind what ``wrap`` gave.
        """

    def wrap(self, key: bytes) -> bytes:
        """
        An envelope for a root key, to be kept in configuration.
        """


class Snapshot:
    """
    The keys of a ring at one moment; replaced as a whole, never changed.
    """

    __slots__ = ("active", "ciphers", "expires", "keys")

    def __init__(self, keys: Keys, active: int, expires: float | None) -> None:
        self.keys = dict(keys)
        self.active = active
        self.expires = expires
        self.ciphers: dict[Any, Any] = {}  # what is derived of the keys goes with them

    def __repr__(self) -> str:
        return f"<keys {', '.join(map(str, sorted(self.keys)))}>"

    def __reduce__(self) -> Any:  # what pickle asks for
        raise EncryptionError("keys are not pickled")


class KeyRing:
    """
    Several root keys, one of which is active.

    Keys are numbered. The *last* one given seals unless ``active`` says otherwise, so a new
    key is first put in front (everybody learns to read it) and then last.

    Args:
        name: what it is called in reprs, pickles and messages; once per process.
        source: the keys by number, a text ``1:BASE64,2:BASE64``, or a callable giving either.
        active: the number of the key that seals.

    Raises:
        DeclarationError: there is no name, or ``source`` or ``active`` is something else.

    Example::

        PII = KeyRing.from_env("pii", variable="APP_PII_KEYS")

    >>> KeyRing("example", {1: bytes(range(32)), 2: bytes(range(32, 64))})
    KeyRing('example')
    """

    __slots__ = ("__weakref__", "_active", "_lifetime", "_lock", "_source", "name", "snapshot")

    def __init__(
        self, name: str, source: Keys | str | Source, *, active: int | None = None
    ) -> None:
        if not isinstance(name, str) or not name:  # not shown: it may be the keys
            raise DeclarationError("KeyRing: name= takes the ring's name, a text that is not empty")
        if not callable(source) and not isinstance(source, Mapping | str):
            raise _no_keys(name, source)
        if active is not None:
            whole(f"key ring {name!r}", "active", active, 1, HIGHEST)
        self.name = name
        self.snapshot: Snapshot | None = None
        self._active = active
        self._lifetime: float | None = None
        self._lock = threading.Lock()
        self._source: Source = source if callable(source) else lambda: source
        if not callable(source):
            self.prefetch()
        _rings[name] = self

    @classmethod
    def from_env(cls, name: str, variable: str, *, active: int | None = None) -> Self:
        """
        Read the keys from an environment variable when one is first needed.

        Raises:
            DeclarationError: ``variable`` is no name; a variable that is not set is an
                EncryptionError when a key is first needed.

        Example::

            export APP_PII_KEYS="1:$(openssl rand -base64 32)"
        """
        text("KeyRing.from_env", "variable", variable, "the name of an environment variable")

        def read() -> str:
            found = os.environ.get(variable, "")
            if not found.strip():
                raise EncryptionError(
                    f"key ring {name!r}: the environment variable {variable} is not set; "
                    "it should read like 1:BASE64,2:BASE64"
                )
            return found

        return cls(name, read, active=active)

    @classmethod
    def from_file(cls, name: str, path: str | Path, *, active: int | None = None) -> Self:
        """
        Read the keys from a file, one ``number:BASE64`` a line, when one is first needed.

        Raises:
            DeclarationError: ``path`` is no path; a file that cannot be read is an EncryptionError
                when a key is first needed.
        """
        if not isinstance(path, str | Path) or not str(path):
            raise refused("KeyRing.from_file", "path", path, "the path of a file")

        def read() -> str:
            try:
                return Path(path).read_text()
            except OSError as error:
                raise EncryptionError(
                    f"key ring {name!r}: cannot read {path}: {error.strerror}"
                ) from None

        return cls(name, read, active=active)

    @classmethod
    def from_provider(
        cls,
        name: str,
        provider: KeyProvider,
        wrapped: Mapping[int, bytes],
        *,
        lifetime: float = 3600,
        active: int | None = None,
    ) -> Self:
        """
        Keep root keys in envelopes that a key management service opens.

        Nothing is asked of the service while a statement runs: call ``prefetch`` when the
        application starts and again before ``lifetime`` ends.

        Args:
            name: as for any ring.
            provider: opens the envelopes.
            wrapped: the envelopes by key number.
            lifetime: seconds for which opened keys are kept in memory.
            active: the number of the key that seals.

        Raises:
            DeclarationError: the provider lacks a method, or an option takes something else.
        """
        place = "KeyRing.from_provider"
        if not isinstance(provider, KeyProvider):
            raise refused(
                place, "provider", provider, "an object with unwrap(wrapped) and wrap(key)"
            )
        if (
            not isinstance(wrapped, Mapping)
            or not wrapped
            or not all(isinstance(each, bytes) for each in wrapped.values())
        ):
            raise DeclarationError(f"{place}: wrapped= takes envelopes (bytes) by key number")
        for number in wrapped:
            whole(place, "wrapped", number, 1, HIGHEST)
        seconds(place, "lifetime", lifetime)
        envelopes = dict(wrapped)
        ring = cls(
            name,
            lambda: {number: provider.unwrap(each) for number, each in envelopes.items()},
            active=active,
        )
        ring._lifetime = float(lifetime)
        return ring

    @classmethod
    def named(cls, name: str) -> KeyRing:
        """
        The ring of this name, the newest if there were several.

        Raises:
            EncryptionError: no module that defines it has been imported.
        """
        ring = _rings.get(name)
        if ring is None:
            raise EncryptionError(
                f"there is no key ring {name!r} in this process: import the module that defines it"
            )
        return ring

    @staticmethod
    def generate(number: int = 1) -> str:
        """
        Make a new random key, as text for an environment variable or file.

        >>> KeyRing.generate(3).partition(":")[0]
        '3'
        """
        return f"{number}:{base64.b64encode(secrets.token_bytes(LENGTH)).decode()}"

    def current(self) -> Snapshot:
        """
        The keys, read on first use; a provider's keys must have been fetched before.

        Raises:
            EncryptionError: they cannot be had, or are none: wherever the first use is, it says so.
        """
        snapshot = self.snapshot
        if snapshot is None or (snapshot.expires and time.monotonic() > snapshot.expires):
            if self._lifetime is not None:
                # It stays: another thread may have fetched new ones in this moment.
                raise EncryptionError(
                    f"key ring {self.name!r}: its keys were not fetched, or their time is over; "
                    "call prefetch() at the start and before each lifetime ends"
                )
            with self._lock:
                return self.snapshot or self._first()
        return snapshot

    def _first(self) -> Snapshot:
        try:
            return self.prefetch()
        except DeclarationError as error:
            raise EncryptionError(str(error)) from None
        except PgultraError:
            raise
        except Exception as error:  # of a host's source: whatever its vault raises
            raise EncryptionError(
                f"key ring {self.name!r}: its source failed with {type(error).__name__}"
            ) from error

    def prefetch(self) -> Snapshot:
        """
        Read the keys now, or anew.

        Raises:
            EncryptionError: they cannot be had.
            DeclarationError: they are too short, given twice, or malformed.
        """
        given = self._source()
        if not isinstance(given, Mapping | str):
            raise _no_keys(self.name, given)
        keys = _parse(self.name, given) if isinstance(given, str) else dict(given)
        _judge(self.name, keys)
        active = next(reversed(keys)) if self._active is None else self._active
        if active not in keys:
            raise DeclarationError(f"key ring {self.name!r}: its active key {active} is not in it")
        expires = None if self._lifetime is None else time.monotonic() + self._lifetime
        self.snapshot = Snapshot(keys, active, expires)
        return self.snapshot

    def encrypt(self, value: bytes, *, id: str) -> bytes:  # noqa: A002  # the word of the docs
        """
        Seal bytes that stand in no column: a file, a message, a token.

        Args:
            value: what only holders of the ring may read.
            id: what it is; the key is derived for that, and nothing else opens it.

        >>> ring = KeyRing("example", {1: bytes(range(32))})
        >>> ring.decrypt(ring.encrypt(b"a report", id="report"), id="report")
        b'a report'
        """
        return Box(self, Place(self.name, id, id)).seal(value)

    def decrypt(self, sealed: bytes, *, id: str) -> bytes:  # noqa: A002  # the word of the docs
        """
        Open what ``encrypt`` sealed.

        Raises:
            DecryptionError: it was sealed for another id, by another key, or changed.
        """
        return Box(self, Place(self.name, id, id)).open(sealed)

    @property
    def expires(self) -> bool:
        """
        Whether its keys have a time limit.
        """
        return self._lifetime is not None

    def __repr__(self) -> str:
        return f"KeyRing({self.name!r})"

    def __reduce__(self) -> Any:  # what pickle asks for
        return KeyRing.named, (self.name,)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self


def _no_keys(name: str, given: object) -> DeclarationError:
    """
    The error for what holds no keys; it may be a key, and is not shown.
    """
    return DeclarationError(
        f"key ring {name!r}: source= takes keys by number, a text such as 1:BASE64,2:BASE64, or a "
        f"callable giving either, and was given a value of type {type(given).__name__}"
    )


def _parse(name: str, text: str) -> dict[int, bytes]:
    keys: dict[int, bytes] = {}
    for place, entry in enumerate(text.replace(",", " ").split(), 1):
        number, colon, encoded = entry.partition(":")
        if not colon or not number.isdecimal():
            raise DeclarationError(
                f"key ring {name!r}: entry {place} does not read like 1:BASE64 "
                "(it is not shown here)"
            )
        try:
            key = base64.b64decode(encoded.replace("-", "+").replace("_", "/"), validate=True)
        except binascii.Error:
            key = b""
        if int(number) in keys:
            raise DeclarationError(f"key ring {name!r}: key {int(number)} is given twice")
        keys[int(number)] = key
    return keys


def _judge(name: str, keys: dict[int, bytes]) -> None:
    if not keys:
        raise DeclarationError(f"key ring {name!r} is empty")
    seen: dict[bytes, int] = {}
    for number, key in keys.items():
        if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= HIGHEST:
            told = number if isinstance(number, int) else f"by a {type(number).__name__}"
            raise DeclarationError(
                f"key ring {name!r}: keys are numbered from 1 to {HIGHEST}, not {told}"
            )
        if not isinstance(key, bytes) or len(key) < LENGTH or len(set(key)) == 1:
            raise DeclarationError(
                f"key ring {name!r}: key {number} must be at least {LENGTH} random bytes "
                "(base64 in text); `openssl rand -base64 32` makes one"
            )
        if key in seen:
            raise DeclarationError(f"key ring {name!r}: keys {seen[key]} and {number} are equal")
        seen[key] = number
