from __future__ import annotations

import hashlib
import hmac
import re
import struct
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESGCMSIV
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from pgultra.features.encryption import cipher, derivation
from pgultra.features.encryption.cipher import Box, Place
from pgultra.features.encryption.format import PADDED, Header
from pgultra.features.encryption.keys import KeyRing

ROOTS = {1: bytes(range(32)), 7: bytes(range(100, 132))}
RING = KeyRing("test_format", ROOTS)
PLACE = Place("person", "email", "person.email")

NONCE = bytes.fromhex("00112233445566778899aabb")
TAG = (1, bytes.fromhex("a63e28e67fbea2a671a709a4a1663e10"))
PAGE = Path(__file__).parents[3] / "docs" / "reference" / "encryption.md"

VECTORS: list[tuple[str, int | None, tuple[tuple[int, bytes], ...], tuple[Any, ...], str, str]] = [
    (
        "AES-256-GCM", None, (), (), "ann@example.com",
        ("0101000000070000112233445566778899aabb33fcd0f3b72ded15b81c1092ce653f"
        "1048b678253af2e3fc275541faa2a590"),
    ),
    (
        "AES-256-GCM", None, (TAG,), (b"17", None), "Ann@Example.com",
        ("0101000000075000000001a63e28e67fbea2a671a709a4a1663e10"
        "00112233445566778899aabb13fcd0f3972ded15b81c1092ce653f57440ce82a75f9fae7d53fc1c338406f"),
    ),
    (
        "AES-256-GCM-SIV", 16, (), (), "ann@example.com",
        ("0112000000070000112233445566778899aabb40f2346951c48d321ecb0860b64120"
        "2fb3eb28eef62fc8b2aaac967f1b7efecf"),
    ),
]  # fmt: skip


def other_implementation(
    sealed: bytes, column: str, context: tuple[bytes | None, ...] = ()
) -> bytes:
    """
    Open a value as docs/reference/encryption.md says, without a line of ours.
    """
    version, algorithm, key, tags = struct.unpack(">BBIB", sealed[:7])
    assert version == 1
    start = 7 + (tags >> 6) * (4 + (tags & 0x3F))
    assert not algorithm & 0x20
    info = b"pgultra/encryption/1/data\x00" + bytes([algorithm & 15]) + column.encode()
    root = HKDF(SHA256(), 32, None, info).derive(ROOTS[key])
    bound = struct.pack(">H", len(column.encode())) + column.encode() + bytes([len(context)])
    for part in context:
        bound += struct.pack(">i", -1) if part is None else struct.pack(">i", len(part)) + part
    aead = {1: AESGCM, 2: AESGCMSIV}[algorithm & 15](root)
    plain = aead.decrypt(sealed[start : start + 12], sealed[start + 12 :], sealed[:start] + bound)
    if algorithm & 0x10:
        plain = plain.rstrip(b"\x00")
        assert plain.endswith(b"\x80")
        plain = plain[:-1]
    return plain


@pytest.mark.parametrize("algorithm", ["AES-256-GCM", "AES-256-GCM-SIV"])
@pytest.mark.parametrize("padding", [None, 16])
@pytest.mark.parametrize("context", [(), (b"17", None)])
@pytest.mark.parametrize("count", [0, 1, 2])
def test_another_implementation_opens_our_values(
    algorithm: str, padding: int | None, context: tuple[bytes | None, ...], count: int
) -> None:
    """
    The reference page alone is enough to read a stored value.
    """
    box = Box(RING, PLACE, algorithm, padding)
    tags = tuple((key, bytes([key]) * 16) for key in (1, 2)[:count])
    sealed = box.seal(b"ann@example.com", tags=tags, context=context)
    assert other_implementation(sealed, "person.email", context) == b"ann@example.com"
    assert box.open(sealed, context=context) == b"ann@example.com"


@pytest.mark.parametrize("vector", VECTORS, ids=["plain", "tagged in context", "SIV padded"])
def test_our_own_vectors(vector: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The values of the reference page are what is sealed with their nonce, and open.
    """
    algorithm, padding, tags, context, plain, sealed = vector
    monkeypatch.setattr(cipher, "urandom", lambda _size: NONCE)
    box = Box(RING, PLACE, algorithm, padding)
    assert box.seal(plain.encode(), tags=tags, context=context).hex() == sealed
    assert other_implementation(bytes.fromhex(sealed), "person.email", context) == plain.encode()
    assert sealed in re.sub(r"\s", "", PAGE.read_text())


def test_the_tag_of_our_vector() -> None:
    """
    The tag of the reference page is the casefolded text's under its index key.
    """
    key = derivation.index_key(ROOTS[1], "person.email", "casefold,eq")
    assert derivation.tag_of(derivation.hasher(key), b"ann@example.com", 16) == TAG[1]


def test_hkdf_is_that_of_rfc_5869() -> None:
    """
    Appendix A.3 of the RFC: SHA-256, without salt and info.
    """
    derived = derivation.derive(b"\x0b" * 22, b"")
    assert derived.hex() == "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d"


GCM_KEY = "feffe9928665731c6d6a8f9467308308" * 2
GCM_TEXT = (
    "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
    "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255"
)
GCM_SEALED = (
    "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
    "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662898015ad"
)
GCM_BOUND = "feedfacedeadbeeffeedfacedeadbeefabaddad2"
NIST = {
    13: ("00" * 32, "00" * 12, "", "", "530f8afbc74536b9a963b4f1c4cb738b"),
    14: (
        "00" * 32, "00" * 12, "00" * 16, "",
        "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919",
    ),
    15: (
        GCM_KEY, "cafebabefacedbaddecaf888", GCM_TEXT, "",
        GCM_SEALED + "b094dac5d93471bdec1a502270e3cc6c",
    ),
    16: (
        GCM_KEY, "cafebabefacedbaddecaf888", GCM_TEXT[:-8], GCM_BOUND,
        GCM_SEALED[:-8] + "76fc6ece0f4e1768cddf8853bb2d551b",
    ),
}  # fmt: skip
SIV_KEY, SIV_NONCE = "01" + "00" * 31, "03" + "00" * 11
RFC_8452 = [
    ("", "", "07f5f4169bbf55a8400cd47ea6fd400f"),
    ("01" + "00" * 7, "", "c2ef328e5c71c83b843122130f7364b761e0b97427e3df28"),
    ("01" + "00" * 11, "", "9aab2aeb3faa0a34aea8e2b18ca50da9ae6559e48fd10f6e5c9ca17e"),
    ("01" + "00" * 15, "", "85a01b63025ba19b7fd3ddfc033b3e76c9eac6fa700942702e90862383c6c366"),
    ("02" + "00" * 7, "01", "1de22967237a813291213f267e3b452f02d01ae33e4ec854"),
]
RFC_4231 = [
    (b"\x0b" * 20, b"Hi There", "b0344c61d8db38535ca8afceaf0bf12b"),
    (b"Jefe", b"what do ya want for nothing?", "5bdcc146bf60754e6a042426089575c7"),
    (b"\xaa" * 20, b"\xdd" * 50, "773ea91e36800e46854db8ebd09181a7"),
    (bytes(range(1, 26)), b"\xcd" * 50, "82558a389a443c0ea4cc819899f2083a"),
    (b"\x0c" * 20, b"Test With Truncation", "a3b6167473100ee06e0c796c2955552b"),
    (
        b"\xaa" * 131, b"Test Using Larger Than Block-Size Key - Hash Key First",
        "60e431591ee0b67f0d8a26aacbf5b77f",
    ),
    (
        b"\xaa" * 131,
        (b"This is a test using a larger than block-size key and a larger than block-size data. "
        b"The key needs to be hashed before being used by the HMAC algorithm."),
        "9b09ffa71b942fcb27635fbcd5b0e944",
    ),
]  # fmt: skip


@pytest.mark.parametrize("case", NIST)
def test_aes_gcm_is_that_of_nist(case: int) -> None:
    """
    The test cases of the GCM specification with a 256-bit key and a 96-bit nonce.
    """
    key, nonce, plain, bound, sealed = map(bytes.fromhex, NIST[case])
    aead = cipher.cipher_class(1)(key)
    assert aead.encrypt(nonce, plain, bound) == sealed
    assert aead.decrypt(nonce, sealed, bound) == plain


@pytest.mark.parametrize(("plain", "bound", "sealed"), RFC_8452)
def test_aes_gcm_siv_is_that_of_rfc_8452(plain: str, bound: str, sealed: str) -> None:
    """
    Appendix C.2 of the RFC: under a 256-bit key, with and without associated data.
    """
    aead = cipher.cipher_class(2)(bytes.fromhex(SIV_KEY))
    given = bytes.fromhex(SIV_NONCE), bytes.fromhex(plain), bytes.fromhex(bound)
    assert aead.encrypt(*given).hex() == sealed


@pytest.mark.parametrize(("key", "data", "expected"), RFC_4231, ids=range(1, 8))
def test_tags_are_hmac_sha_256(key: bytes, data: bytes, expected: str) -> None:
    """
    All test cases of RFC 4231, cut to 16 bytes as its fifth is.
    """
    assert derivation.tag_of(derivation.hasher(key), data, 16).hex() == expected


def test_an_index_key_is_derived_as_the_reference_says() -> None:
    """
    Domain and normal form are part of the derivation.
    """
    info = b"pgultra/encryption/1/index\x00email\x00casefold,eq"
    expected = HKDF(SHA256(), 32, None, info).derive(ROOTS[1])
    assert derivation.index_key(ROOTS[1], "email", "casefold,eq") == expected
    assert hmac.digest(expected, b"x", hashlib.sha256)[:16] == derivation.tag_of(
        derivation.hasher(expected), b"x", 16
    )


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x01",
        bytes(35),
        b"\x02" + bytes(40),
        b"\x01\x03" + bytes(40),
        b"\x01\x01\x00\x00\x00\x01\x40" + bytes(40),
        b"\x01\x01\x00\x00\x00\x01\xc1" + bytes(60),
        b"\x01\x01\x00\x00\x00\x01\x50" + bytes(40),
        b"\x01\x41\x00\x00\x00\x01\x00" + bytes(40),
    ],
)
def test_what_is_no_sealed_value_is_told_by_its_header(raw: bytes) -> None:
    """
    Short values, unknown versions, algorithms, flags and shapes do not parse.
    """
    with pytest.raises(ValueError):
        Header.parse(raw)


def test_a_header_is_read_as_it_was_packed() -> None:
    """
    Parsing is the inverse of packing.
    """
    header = Header(2, PADDED, 4_000_000_000, ((1, b"a" * 16), (9, b"b" * 16)))
    assert Header.parse(header.pack() + bytes(28)) == header
    assert header.size == len(header.pack())
