"""
Keys from a ring's root key: one for each column's values, one for each domain's tags.

HKDF-SHA-256 (RFC 5869) and HMAC-SHA-256 (RFC 2104); the primitives are the ``cryptography``
package's and Python's own.
"""

from __future__ import annotations

import hmac
from typing import Final

try:
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF
except ImportError as error:  # pragma: no cover  # the smoke test without extras runs it
    raise ImportError(
        "encrypted columns need the cryptography package: pip install 'pgultra[encryption]'"
    ) from error

__all__ = ["data_key", "derive", "hasher", "index_key", "tag_of"]

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
