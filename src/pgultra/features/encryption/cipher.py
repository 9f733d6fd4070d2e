"""
Sealing and opening: AES-256-GCM or AES-256-GCM-SIV with a key for each column.

The primitives are the ``cryptography`` package's. Nothing here knows SQLAlchemy.
"""

from __future__ import annotations

from dataclasses import dataclass
from os import urandom
from typing import TYPE_CHECKING, Any, NamedTuple

# First, since it says what to install where the package is lacking.
from pgultra.features.encryption.derivation import data_key  # isort: skip
from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESGCMSIV

from pgultra.errors import DeclarationError, DecryptionError, EncryptionError
from pgultra.features.encryption.format import (
    ALGORITHMS,
    FIXED,
    NONCE,
    PADDED,
    SUBJECT,
    Header,
    associated,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pgultra.features.encryption.keys import KeyRing, Snapshot

    _Crypt = Callable[[bytes, bytes, bytes], bytes]

__all__ = ["Box", "pad", "unpad"]


def pad(value: bytes, block: int) -> bytes:
    r"""
    Append 0x80 and zeros up to a multiple of ``block``.

    >>> pad(b"ab", 4), unpad(pad(b"abcd", 4))
    (b'ab\x80\x00', b'abcd')
    """
    return value + b"\x80" + bytes(-(len(value) + 1) % block)


def unpad(value: bytes) -> bytes:
    """
    Take it off again.
    """
    return value[: value.rindex(b"\x80")]


@dataclass(frozen=True)
class Place:
    """
    Where a value is: for messages, and the id that its key is derived for.

    Attributes:
        table, column: the names as they are now.
        id: the pinned logical id.
    """

    table: str
    column: str
    id: str


class _Ready(NamedTuple):
    """
    What one key of one moment seals and opens with.
    """

    snapshot: Snapshot
    head: bytes
    encrypt: _Crypt
    decrypt: _Crypt


class Box:
    """
    Seals and opens the values of one column, with keys that are read when used.

    Args:
        ring: whose keys are used.
        place: the column.
        algorithm: a name of ``format.ALGORITHMS``.
        padding: plaintexts are padded to a multiple of this.
    """

    __slots__ = (
        "_cipher",
        "_known",
        "_ring",
        "_suffix",
        "kind",
        "padding",
        "place",
    )

    def __init__(
        self,
        ring: KeyRing,
        place: Place,
        algorithm: str = "AES-256-GCM",
        padding: int | None = None,
    ) -> None:
        self._ring = ring
        self.place = place
        self.kind = ALGORITHMS[algorithm]
        self.padding = padding
        self._cipher = cipher_class(self.kind)
        self._suffix = associated(place.id)
        self._known: _Ready | None = None

    def _ready(self) -> _Ready:
        """
        The ring's keys now, and what depends on them; made anew only when they changed.

        One value, for threads: a header and a key of two moments would seal for nobody.
        """
        snapshot = self._ring.current()
        ready = self._known
        if ready is None or ready.snapshot is not snapshot:
            flags = PADDED if self.padding else 0
            head = Header(self.kind, flags, snapshot.active).pack()
            cipher = self._cipher_for(snapshot, snapshot.active, self.kind)
            self._known = ready = _Ready(snapshot, head, cipher.encrypt, cipher.decrypt)
        return ready

    def seal(
        self,
        value: bytes,
        *,
        tags: tuple[tuple[int, bytes], ...] = (),
        context: Sequence[bytes | None] = (),
        subject: bytes | None = None,
    ) -> bytes:
        """
        Encrypt and authenticate.

        Args:
            value: the plaintext.
            tags: blind-index tags that travel in front.
            context: what the value is bound to besides its column.
            subject: a subject's key, mixed into the data key.
        """
        snapshot, head, encrypt, _ = self._ready()
        if self.padding:
            value = pad(value, self.padding)
        nonce = urandom(NONCE)
        suffix = associated(self.place.id, context) if context else self._suffix
        if subject is not None:
            flags = SUBJECT | (PADDED if self.padding else 0)
            head = Header(self.kind, flags, snapshot.active, tags).pack()
            key = data_key(snapshot.keys[snapshot.active], self.kind, self.place.id, subject)
            return head + nonce + self._cipher(key).encrypt(nonce, value, head + suffix)
        if tags:
            head = _with_tags(head, tags)
        return head + nonce + encrypt(nonce, value, head + suffix)

    def sealer(
        self, encode: Callable[[Any], bytes], failed: Callable[[Any], Any]
    ) -> Callable[[Any], Any]:
        """
        ``seal(encode(value))`` as one function without options: the quick way.

        Args:
            encode: the codec's.
            failed: called with a value that cannot be encoded.
        """
        ring, suffix, padding, expires = self._ring, self._suffix, self.padding, self._ring.expires
        now: tuple[object, bytes, bytes, _Crypt] = (_NOTHING, b"", b"", _never)

        def seal(value: Any) -> Any:
            nonlocal now
            if value is None:
                return None
            known, head, aad, encrypt = now
            if ring.snapshot is not known:
                known, head, encrypt, _ = self._ready()
                aad = head + suffix
                now = _NOTHING if expires else known, head, aad, encrypt
            try:
                raw = encode(value)
                nonce = urandom(12)
                return head + nonce + encrypt(nonce, pad(raw, padding) if padding else raw, aad)
            except Exception:  # noqa: S110  # its text may hold the value
                pass
            return failed(value)

        return seal

    def open(
        self,
        sealed: bytes,
        *,
        context: Sequence[bytes | None] = (),
        subject: Callable[[], bytes | None] | None = None,
    ) -> bytes:
        """
        Authenticate and decrypt.

        Raises:
            DecryptionError: in every case of failure, whatever the reason.
        """
        return self.open_bound(
            sealed, associated(self.place.id, context) if context else self._suffix, subject
        )

    def open_bound(
        self, sealed: bytes, suffix: bytes, subject: Callable[[], bytes | None] | None = None
    ) -> bytes:
        """
        ``open`` with what is authenticated besides the header already in bytes.
        """
        return self._opened(sealed, suffix, subject)[1]

    def renew(
        self,
        sealed: bytes,
        context: Sequence[bytes | None],
        subject: Callable[[], bytes | None],
    ) -> bytes:
        """
        Open, and seal with the active key; the tags stay.
        """
        suffix = associated(self.place.id, context) if context else self._suffix
        header, plain = self._opened(sealed, suffix, subject)
        return self.seal(plain, tags=header.tags, context=context, subject=subject())

    def _opened(
        self, sealed: bytes, suffix: bytes, subject: Callable[[], bytes | None] | None
    ) -> tuple[Header, bytes]:
        key: int | None = None
        snapshot = self._ring.current()
        try:
            header = Header.parse(sealed)
            key, size = header.key, header.size
            if header.flags & SUBJECT:
                mixed = subject() if subject is not None else None
                if mixed is None:
                    raise KeyError(key)
                material = data_key(snapshot.keys[key], header.algorithm, self.place.id, mixed)
                cipher = cipher_class(header.algorithm)(material)
            else:
                cipher = self._cipher_for(snapshot, key, header.algorithm)
            plain: bytes = cipher.decrypt(
                sealed[size : size + NONCE], sealed[size + NONCE :], sealed[:size] + suffix
            )
            return header, unpad(plain) if header.flags & PADDED else plain
        except (InvalidTag, LookupError, ValueError, TypeError):
            pass  # raised below, where no trace of the reason hangs on it
        raise self.failure(key)

    def opener(self, decode: Callable[[bytes], Any], tags: int = 0) -> Callable[[Any], Any]:
        """
        ``decode(open(sealed))`` as one function without options: the quick way.

        Args:
            decode: the codec's.
            tags: the byte of the header that says which tags values usually have.
        """
        ring, suffix, expires = self._ring, self._suffix, self._ring.expires
        now: tuple[object, bytes, bytes, _Crypt] = (_NOTHING, b"", b"", _never)
        size = _SIZES[tags]
        # Slices made once: making them for each value takes as long as a tenth of decryption.
        start, nonce, rest = slice(FIXED), slice(size, size + NONCE), slice(size + NONCE, None)
        usual = b"" if self.padding else bytes([tags])  # what is padded takes the slow way

        def open_(sealed: bytes | None) -> Any:
            nonlocal now
            if sealed is None:
                return None
            known, head, whole, decrypt = now
            if ring.snapshot is not known:
                known, head, _, decrypt = self._ready()
                head = head[:6] + usual
                whole = b"" if tags else head + suffix
                # Keys that expire are asked for again for each value: no snapshot is _NOTHING.
                now = _NOTHING if expires else known, head, whole, decrypt
            try:
                if sealed[start] == head:
                    bound = whole or sealed[:size] + suffix
                    return decode(decrypt(sealed[nonce], sealed[rest], bound))
                return decode(self.open_bound(sealed, suffix))
            except DecryptionError:
                raise
            except Exception:  # noqa: S110  # nothing of what happened may be told
                pass
            raise self.failure(int.from_bytes(sealed[2:6]))

        return open_

    def failure(self, key: int | None) -> DecryptionError:
        """
        The one error that decryption ends with.
        """
        return DecryptionError(self.place.table, self.place.column, key)

    def _cipher_for(self, snapshot: Snapshot, key: int, algorithm: int) -> AESGCM | AESGCMSIV:
        """
        The cipher of one key for this column; kept with the keys it was made of.
        """
        known = (key, algorithm, self.place.id)
        cipher = snapshot.ciphers.get(known)
        if cipher is None:
            root = snapshot.keys[key]
            cipher = cipher_class(algorithm)(data_key(root, algorithm, self.place.id))
            snapshot.ciphers[known] = cipher
        return cipher

    def root(self, key: int) -> bytes:
        """
        A root key, for the blind index.

        Raises:
            EncryptionError: the ring has none of this number.
        """
        try:
            return self._ring.current().keys[key]
        except KeyError:
            raise EncryptionError(
                f"{self.place.table}.{self.place.column}: the blind index needs key {key}, which "
                f"{self._ring!r} does not hold; put it back, or say Equality(keys=...)"
            ) from None

    @property
    def snapshot(self) -> Snapshot:
        """
        The ring's keys, by identity: whether something kept beside them is still right.
        """
        return self._ring.current()

    def __reduce__(self) -> Any:  # what pickle asks for
        raise EncryptionError("a box of keys is not pickled")


def cipher_class(algorithm: int) -> type[AESGCM] | type[AESGCMSIV]:
    """
    The class of the cryptography package for a number in the header.

    Raises:
        DeclarationError: this build of the package lacks it.
    """
    if algorithm == ALGORITHMS["AES-256-GCM"]:
        return AESGCM
    try:
        AESGCMSIV(bytes(32))
    except UnsupportedAlgorithm:  # pragma: no cover  # wheels of PyPI bring an OpenSSL that has it
        raise DeclarationError(
            "AES-256-GCM-SIV needs a cryptography package built on OpenSSL 3.2 or newer"
        ) from None
    return AESGCMSIV


def _with_tags(head: bytes, tags: tuple[tuple[int, bytes], ...]) -> bytes:
    shape = (len(tags) << 6) | len(tags[0][1])
    return b"".join([head[:6], bytes([shape]), *(k.to_bytes(4) + tag for k, tag in tags)])


def _never(nonce: bytes, value: bytes, aad: bytes) -> bytes:
    raise AssertionError("no key")


_NOTHING = object()
_SIZES = {0: FIXED} | {
    count << 6 | size: FIXED + count * (4 + size) for count in (1, 2) for size in range(1, 64)
}
