"""
Blind indexes: what is searched for in place of the value.

A tag is the keyed hash of a value's normal form. It travels in front of the ciphertext, in
the same column, and an index over an expression finds it.
"""

from __future__ import annotations

import dataclasses
import math
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import types

from pgultra.errors import DeclarationError, EncryptionError
from pgultra.features.encryption.derivation import hasher, index_key, tag_of
from pgultra.features.encryption.format import TAG
from pgultra.plan.options import flag, named, one_of, refused, whole

if TYPE_CHECKING:
    from collections.abc import Callable
    from hmac import HMAC

    from pgultra.features.encryption.cipher import Box
    from pgultra.features.encryption.codec import Codec

__all__ = ["Equality", "Prefix", "Search", "Tagger", "expected_matches"]

Normalize = Literal["casefold", "nfkc", "strip"]
_FORMS: dict[str, Callable[[str], str]] = {
    "nfkc": lambda text: unicodedata.normalize("NFKC", text),
    "casefold": lambda text: unicodedata.normalize(
        "NFKC", unicodedata.normalize("NFKC", text).casefold()
    ),
    "strip": str.strip,
}


KEYS = "a tuple of one key number, or of two different ones while the index is re-keyed"
LONGEST = 1_000_000
"""Characters of a prefix."""


@dataclass(frozen=True)
class Search:
    """
    What all kinds of search have.

    Args:
        normalize: what counts as equal: ``casefold`` (which includes ``nfkc``), ``nfkc``,
            ``strip``, or several of them in order. None: the very same value.
        domain: columns of one domain share index keys and can be joined; by default a
            column is its own domain.
        keys: numbers of the index keys; a second one while the index is re-keyed.
    """

    normalize: Normalize | tuple[Normalize, ...] | None = None
    domain: str | None = None
    keys: tuple[int, ...] = (1,)

    def __post_init__(self) -> None:
        place = type(self).__name__
        if not isinstance(self.keys, tuple) or not 1 <= len(self.keys) <= 2:
            raise refused(place, "keys", self.keys, KEYS)
        for key in self.keys:
            whole(place, "keys", key, 1, 2**32 - 1)
        if len(set(self.keys)) != len(self.keys):
            raise refused(place, "keys", self.keys, KEYS)
        if not isinstance(self.normalize, str | tuple | None):
            takes = f"one of {', '.join(map(repr, _FORMS))}, a tuple of them, or None"
            raise refused(place, "normalize", self.normalize, takes)
        for form in self.forms:
            one_of(place, "normalize", form, _FORMS)
        named(place, domain=self.domain)

    @property
    def forms(self) -> tuple[str, ...]:
        """
        The normal forms, in order.
        """
        if self.normalize is None:
            return ()
        return (self.normalize,) if isinstance(self.normalize, str) else tuple(self.normalize)

    @property
    def form(self) -> str:
        """
        Everything that makes two tags of one value comparable, besides key and domain.
        """
        return ",".join((*self.forms, self.kind))

    @property
    def kind(self) -> str:
        """
        The word that stands in the derivation of the index key.
        """
        raise NotImplementedError

    @property
    def exact(self) -> bool:
        """
        Whether equal tags mean equal values.
        """
        return False

    @property
    def unique(self) -> bool:
        """
        Whether no two rows may have equal tags.
        """
        return False

    @property
    def size(self) -> int:
        """
        Bytes of a tag.
        """
        return TAG

    def normal(self, value: Any) -> Any:  # text is normalised, the rest stays as it is
        """
        A value in its normal form.
        """
        if isinstance(value, str):
            for form in self.forms:
                value = _FORMS[form](value)
        return value


@dataclass(frozen=True)
class Equality(Search):
    """
    ``==``, ``in_``, joins and uniqueness.

    Args:
        unique: no two (live) rows may hold equal values.
        bits: cut the tag to so many bits, so that unequal values share tags and the index
            tells less; then ask with ``find``. None: the whole tag.

    Raises:
        DeclarationError: an option takes something else, or ``unique`` and ``bits`` are both said.

    Example::

        email: Mapped[str] = EncryptedColumn(
            String, keys=PII, search=Equality(normalize="casefold", unique=True)
        )

    >>> Equality(normalize="casefold").normal("STRASSE") == Equality(
    ...     normalize="casefold").normal("straße")
    True
    """

    unique: bool = False
    bits: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        flag("Equality", unique=self.unique)
        if self.bits is not None:
            whole("Equality", "bits", self.bits, 1, TAG * 8 - 1)
        if self.bits is not None and self.unique:
            raise DeclarationError("unique needs the whole tag: leave out bits")

    @property
    def kind(self) -> str:
        """
        ``eq``, or with the number of bits.
        """
        return "eq" if self.bits is None else f"eq{self.bits}"

    @property
    def exact(self) -> bool:
        """
        Only the whole tag is.
        """
        return self.bits is None

    @property
    def size(self) -> int:
        """
        As many bytes as the bits need.
        """
        return TAG if self.bits is None else -(-self.bits // 8)


@dataclass(frozen=True)
class Prefix(Search):
    """
    The first ``length`` characters of a text; ask with ``find(…, starts_with=…)``.

    Args:
        length: how many characters; a search needs at least so many.

    Raises:
        DeclarationError: an option takes something else.

    >>> Prefix(length=3).kind
    'prefix3'
    """

    length: int = 3

    def __init__(
        self,
        length: int = 3,
        *,
        normalize: Normalize | tuple[Normalize, ...] | None = None,
        domain: str | None = None,
        keys: tuple[int, ...] = (1,),
    ) -> None:
        for name, value in (
            ("normalize", normalize),
            ("domain", domain),
            ("keys", keys),
            ("length", length),
        ):
            object.__setattr__(self, name, value)
        self.__post_init__()
        whole("Prefix", "length", length, 1, LONGEST)

    @property
    def kind(self) -> str:
        """
        ``prefix`` and the number of characters.
        """
        return f"prefix{self.length}"


def with_unique(search: Search | None, *, unique: bool) -> Search | None:
    """
    What ``unique=True`` on a column means.

    Raises:
        DeclarationError: its search cannot be unique.
    """
    if not unique:
        return search
    if search is None:
        return Equality(unique=True)
    if not isinstance(search, Equality):
        raise DeclarationError("unique needs search=Equality()")
    return dataclasses.replace(search, unique=True)


class Tagger:
    """
    Makes the tags of one column, with keys that are read when used.
    """

    def __init__(self, search: Search, box: Box, codec: Codec, domain: str) -> None:
        self.search = search
        self.domain = domain
        self._box = box
        self._encode = codec.index or codec.encode
        self._hashers: dict[int, HMAC] = {}
        self._known: object = None

    def tags(self, value: Any) -> tuple[tuple[int, bytes], ...]:
        """
        The tags that are stored with a value: one for each index key.
        """
        raw = self._raw(value)
        return tuple((key, self._cut(key, raw)) for key in self.search.keys)

    def tag(self, value: Any, key: int) -> bytes:
        """
        The tag to search for.
        """
        return self._cut(key, self._raw(value))

    def _raw(self, value: Any) -> bytes:
        search = self.search
        if (search.forms or isinstance(search, Prefix)) and not isinstance(value, str):
            raise EncryptionError(
                f"{self._box.place.table}.{self._box.place.column}: normalize and Prefix are of "
                f"text, not of {type(value).__name__}; let process_bind_param of the TypeDecorator "
                "give the normal form, and say search=Equality()"
            )
        value = search.normal(value)
        return self._encode(value[: search.length] if isinstance(search, Prefix) else value)

    def _cut(self, key: int, raw: bytes) -> bytes:
        if self._known is not self._box.snapshot:
            self._hashers, self._known = {}, self._box.snapshot
        keyed = self._hashers.get(key)
        if keyed is None:
            keyed = hasher(index_key(self._box.root(key), self.domain, self.search.form))
            self._hashers[key] = keyed
        tag = tag_of(keyed, raw, self.search.size)
        bits = getattr(self.search, "bits", None)
        if bits is not None and bits % 8:
            tag = tag[:-1] + bytes([tag[-1] & (0xFF << (8 - bits % 8)) & 0xFF])
        return tag


def check_searchable(search: Search, type_: types.TypeEngine[Any]) -> None:
    """
    Refuse searches that cannot be honest for a type.

    Raises:
        DeclarationError: with the reason.
    """
    inner = type_
    while isinstance(inner, types.TypeDecorator):
        inner = inner.impl_instance
    if isinstance(inner, types.JSON):
        raise DeclarationError(
            "JSON has no search: equal documents (1 and 1.0) have several encodings"
        )
    text = isinstance(inner, types.String) and not isinstance(inner, types.Enum)
    if not text and (search.forms or isinstance(search, Prefix)):
        raise DeclarationError(f"normalize and Prefix are for text, not for {type_!r}")


@dataclass(frozen=True)
class Expectation:
    """
    What a search finds before it is filtered.

    Attributes:
        rows: in the table.
        matches: rows with the tag of one value, the true ones included.
        false_positives: how many of them must be filtered out.
    """

    rows: int
    matches: float
    false_positives: float

    def __str__(self) -> str:
        return (
            f"{self.rows:,} rows: a search reads {self.matches:,.1f} rows, "
            f"{self.false_positives:,.1f} of them false positives"
        )


def expected_matches(search: Search, *, rows: int, distinct: int | None = None) -> Expectation:
    """
    Plan a truncated or prefix index: how many rows a search reads, and how many in vain.

    Args:
        search: the index to be judged.
        rows: rows of the table.
        distinct: different values (for a Prefix: different prefixes); all, if not given.

    Raises:
        DeclarationError: an option takes something else.

    >>> print(expected_matches(Equality(bits=12), rows=1_000_000, distinct=500_000))
    1,000,000 rows: a search reads 246.1 rows, 244.1 of them false positives
    >>> print(expected_matches(Equality(), rows=1_000_000))
    1,000,000 rows: a search reads 1.0 rows, 0.0 of them false positives
    """
    if not isinstance(search, Equality | Prefix):
        raise refused("expected_matches", "search", search, "Equality(...) or Prefix(...)")
    whole("expected_matches", "rows", rows, 0, 2**63 - 1)
    if distinct is not None:
        whole("expected_matches", "distinct", distinct, 1, 2**63 - 1)
    values = max(1, min(distinct or rows, rows))
    share = rows / values
    if isinstance(search, Prefix):
        return Expectation(rows, share, max(0.0, share - 1))
    bits = search.bits if isinstance(search, Equality) and search.bits is not None else TAG * 8
    wrong = (rows - share) * math.ldexp(1.0, -bits)
    return Expectation(rows, share + wrong, wrong)
