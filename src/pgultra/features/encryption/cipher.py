"""
Sealing and opening: AES-256-GCM or AES-256-GCM-SIV with a key for each column.

The primitives are the ``cryptography`` package's. Nothing here knows SQLAlchemy.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from os import urandom
from typing import TYPE_CHECKING, Any, Final

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

try:
    from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESGCMSIV
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF
except ImportError as error:  # pragma: no cover
    raise ImportError(
        "encrypted columns need the cryptography package: pip install 'pgultra[encryption]'"
    ) from error

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pgultra.features.encryption.keys import KeyRing, Snapshot

__all__ = ["Box", "derive", "index_key", "pad", "unpad"]

DATA: Final = b"pgultra/encryption/1/data\x00"
INDEX: Final = b"pgultra/encryption/1/index\x00"


def derive(root: bytes, purpose: bytes) -> bytes:
    """
    HKDF-SHA-256 without salt, 32 bytes.

    >>> derive(bytes(range(32)), b"example").hex()[:16]
    '349d15e1acce0d01'
    """
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=purpose).derive(root)


def data_key(root: bytes, algorithm: int, column: str, subject: bytes | None = None) -> bytes:
    """
    The key that seals one column's values, or one subject's values in it.
    """
    purpose = DATA + bytes([algorithm]) + column.encode()
    return derive(root, purpose) if subject is None else derive(root + subject, purpose)


def index_key(root: bytes, domain: str, form: str) -> bytes:
    """
    The key that tags values of one domain, in one normal form.
    """
    return derive(root, INDEX + domain.encode() + b"\x00" + form.encode())


def hasher(key: bytes) -> hmac.HMAC:
    """
    HMAC-SHA-256 with a key, made ready once: a copy is quicker than a new one.
    """
    return hmac.new(key, digestmod="sha256")


def tag_of(keyed: hmac.HMAC, value: bytes, size: int) -> bytes:
    """
    What a hasher gives for a value, cut to ``size`` bytes.
    """
    one = keyed.copy()
    one.update(value)
    return one.digest()[:size]


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
        "_head",
        "_known",
        "_ring",
        "_seal",
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
        self._known: Snapshot | None = None
        self._head = b""
        self._seal: Callable[[bytes, bytes, bytes], bytes] | None = None

    def _ready(self) -> Snapshot:
        """
        The ring's keys now, and what depends on them only when they changed.
        """
        snapshot = self._ring.current()
        if snapshot is not self._known:
            flags = PADDED if self.padding else 0
            self._head = Header(self.kind, flags, snapshot.active).pack()
            self._seal = self._cipher_for(snapshot, snapshot.active, self.kind).encrypt
            self._known = snapshot
        return snapshot

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
        snapshot = self._ready()
        if self.padding:
            value = pad(value, self.padding)
        nonce = urandom(NONCE)
        suffix = associated(self.place.id, context) if context else self._suffix
        if subject is not None:
            flags = SUBJECT | (PADDED if self.padding else 0)
            head = Header(self.kind, flags, snapshot.active, tags).pack()
            key = data_key(snapshot.keys[snapshot.active], self.kind, self.place.id, subject)
            return head + nonce + self._cipher(key).encrypt(nonce, value, head + suffix)
        head = _with_tags(self._head, tags) if tags else self._head
        assert self._seal is not None
        return head + nonce + self._seal(nonce, value, head + suffix)

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
        known: object = _NOTHING
        head = aad = b""
        encrypt: Callable[[bytes, bytes, bytes], bytes] = _never

        def seal(value: Any) -> Any:
            nonlocal known, head, aad, encrypt
            if value is None:
                return None
            if ring.snapshot is not known or expires:
                known = self._ready()
                assert self._seal is not None
                head, encrypt = self._head, self._seal
                aad = head + suffix
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
            return unpad(plain) if header.flags & PADDED else plain
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
        known: object = _NOTHING
        head = whole = b""
        decrypt: Callable[[bytes, bytes, bytes], bytes] = _never
        size = _SIZES[tags]
        # Slices made once: making them for each value takes as long as a tenth of decryption.
        start, nonce, rest = slice(FIXED), slice(size, size + NONCE), slice(size + NONCE, None)
        usual = b"" if self.padding else bytes([tags])  # what is padded takes the slow way

        def open_(sealed: bytes | None) -> Any:
            nonlocal known, head, whole, decrypt
            if sealed is None:
                return None
            if ring.snapshot is not known or expires:
                known = snapshot = self._ready()
                head = self._head[:6] + usual
                whole = b"" if tags else head + suffix
                decrypt = self._cipher_for(snapshot, snapshot.active, self.kind).decrypt
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
    except UnsupportedAlgorithm:  # pragma: no cover
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
