"""
Options of a type that contradict each other or the type.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy.types import TypeEngine

from pgultra.errors import DeclarationError
from pgultra.features.encryption.cipher import cipher_class
from pgultra.features.encryption.format import ALGORITHMS
from pgultra.features.encryption.keys import KeyRing
from pgultra.features.encryption.search import Equality, Prefix, check_searchable
from pgultra.plan.options import flag, named, one_of, refused, whole

if TYPE_CHECKING:
    from pgultra.features.encryption.model import Encrypted

__all__ = ["insist_on_ring", "judge", "judge_first"]

PLACE = "Encrypted"


def judge_first(type_: Any, keys: Any, search: Any, unique: Any) -> None:
    """
    Refuse what nothing can be made of.

    Raises:
        DeclarationError: with what to give instead.
    """
    kinds = (TypeEngine, type)
    if not isinstance(type_, kinds) or (
        isinstance(type_, type) and not issubclass(type_, TypeEngine)
    ):
        raise refused(PLACE, "type_", type_, "a SQLAlchemy type, such as String or Integer()")
    insist_on_ring(PLACE, keys)
    if search is not None and not isinstance(search, Equality | Prefix):
        raise refused(PLACE, "search", search, "Equality(...), Prefix(...) or None")
    flag(PLACE, unique=unique)


def insist_on_ring(place: str, keys: Any) -> None:
    """
    Insist on a key ring; what was given instead may be a key, and is not shown.

    Raises:
        DeclarationError: it is something else.
    """
    if not isinstance(keys, KeyRing):
        raise DeclarationError(
            f"{place}: keys= takes a KeyRing, such as KeyRing.from_env('pii', 'APP_PII_KEYS'), and "
            f"was given a value of type {type(keys).__name__}"
        )


def judge(of: Encrypted) -> None:
    """
    Refuse what cannot be honoured.

    Raises:
        DeclarationError: with what to change.
    """
    one_of(PLACE, "algorithm", of.algorithm, ALGORITHMS)
    cipher_class(ALGORITHMS[of.algorithm])
    if of.padding is not None:
        whole(PLACE, "padding", of.padding, 2, 65536)
    one_of(PLACE, "errors", of.errors, ("raise", "quarantine"))
    named(PLACE, id=of.id)
    flag(PLACE, index_keys=of.index_keys)
    if of.subjects is not None:
        from pgultra.features.encryption.subjects import SubjectKeys  # it imports the type

        if not isinstance(of.subjects, SubjectKeys):
            raise refused(PLACE, "subjects", of.subjects, "SubjectKeys(...) or None")
    if of.subjects is not None and not of.context:
        raise DeclarationError("subjects needs a context whose first column names the subject")
    if of.search is not None:
        check_searchable(of.search, of.inner)
