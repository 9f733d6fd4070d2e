"""
Options of a type that contradict each other or the type.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from sqlalchemy import Index, PrimaryKeyConstraint, UniqueConstraint, types
from sqlalchemy.dialects.postgresql import CITEXT
from sqlalchemy.types import TypeDecorator, TypeEngine

from pgultra.errors import DeclarationError
from pgultra.features.encryption.cipher import cipher_class
from pgultra.features.encryption.comparator import is_encrypted
from pgultra.features.encryption.format import ALGORITHMS
from pgultra.features.encryption.keys import KeyRing
from pgultra.features.encryption.search import Equality, Prefix, check_searchable
from pgultra.plan.options import flag, named, one_of, refused, whole

if TYPE_CHECKING:
    from sqlalchemy import Column, Table

    from pgultra.features.encryption.model import Encrypted

__all__ = [
    "insist_on_ring",
    "judge",
    "judge_context",
    "judge_defaults",
    "judge_first",
    "judge_placed",
    "judge_plain",
    "judge_unique",
]

PLACE = "Encrypted"
MOVING = ("CASCADE", "SET NULL", "SET DEFAULT")
_EXACT = re.compile(
    r"C|POSIX|default|unicode|ucs_basic|C\.\S+|pg_\w+|[\w-]+-x-icu|[a-z]{2,3}_[A-Z]{2}\S*"
)
"""PostgreSQL's own collations, for which equal texts have equal bytes."""


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


def judge_defaults(column: Column[Any]) -> None:
    """
    Refuse a default that SQL would compute: the database cannot seal it.

    Raises:
        DeclarationError: with what to give instead.
    """
    of: Any = column.type
    for option in ("default", "onupdate"):
        given = getattr(column, option)
        if given is not None and not (given.is_callable or given.is_scalar):
            raise DeclarationError(
                f"{of.described}: {option}= takes a value or a function of Python's, not SQL: the "
                "database cannot seal"
            )


def judge_placed(column: Column[Any], table: Table) -> None:
    """
    Refuse what would put plaintext into the column, or make its values another column's.

    Raises:
        DeclarationError: with what to give instead.
    """
    of: Any = column.type
    if column.server_default is not None:
        raise DeclarationError(
            f"{of.described}: server_default= would be stored as it is, and stand in migrations; "
            "give default=, which is sealed in Python"
        )
    for other in table.columns:
        if other is not column and is_encrypted(other.type) and other.type.id == of.id:  # type: ignore[attr-defined]  # our own type
            raise DeclarationError(
                f"{of.described} has the id {of.id!r} of {table}.{other.name}: a value of the one "
                "would open in the other; give each an id= of its own"
            )


def judge_unique(column: Column[Any], table: Table) -> None:
    """
    Refuse a unique rule over the ciphertexts, which are never equal.

    Raises:
        DeclarationError: with what keeps values unique.
    """
    of: Any = column.type
    rules: list[Any] = [*table.constraints, *table.indexes]
    for rule in rules:
        if isinstance(rule, Index):
            found = rule.unique and any(each is column for each in rule.expressions)
        else:
            kinds = (UniqueConstraint, PrimaryKeyConstraint)
            found = isinstance(rule, kinds) and any(each is column for each in rule.columns)
        if found:
            kind = "primary key" if isinstance(rule, PrimaryKeyConstraint) else "unique rule"
            named = f" {rule.name}" if isinstance(rule.name, str) else ""
            raise DeclarationError(
                f"{of.described} stands in the {kind}{named}, which would refuse nothing: equal "
                "values have different ciphertexts; take the column out of it, and say "
                "search=Equality(unique=True), which keeps values unique by their blind index"
            )


def judge_context(of: Encrypted, column: Column[Any]) -> None:
    """
    Refuse a context column that changes without the value, or is equal to what it is not.

    Raises:
        DeclarationError: with the reason.
    """
    type_ = column.type
    collation = getattr(type_, "collation", None)
    if isinstance(type_, CITEXT | types.CHAR | types.NCHAR) or (
        collation is not None and not _EXACT.fullmatch(collation)
    ):
        raise DeclarationError(
            f"{of.described}: context column {column.name} is {type_!r}, for which unequal texts "
            "may be equal in PostgreSQL; give it a text of another type or collation"
        )
    for key in column.foreign_keys:
        rules = {"ON UPDATE": key.onupdate, "ON DELETE": key.ondelete}
        for event, rule in rules.items():
            rule = " ".join((rule or "").upper().split())
            if rule.startswith(MOVING) and (event, rule) != ("ON DELETE", "CASCADE"):
                raise DeclarationError(
                    f"{of.described}: context column {column.name} has {event} {rule}, by which "
                    "the database would change it, and the values would not open; leave it out"
                )


def judge_plain(of: Encrypted, plain: Column[Any]) -> None:
    """
    Refuse ``dual=`` of a column that the database cannot read as plaintext.

    Raises:
        DeclarationError: with what to do instead.
    """
    described = f"{of.described}: dual={of.dual!r}"
    type_, inner = plain.type, of.inner
    while isinstance(inner, TypeDecorator) and not isinstance(inner, types.Interval):
        inner = inner.impl_instance
    if isinstance(inner, types.LargeBinary | types.Interval):
        raise DeclarationError(f"{of.described}: dual is not for {of.inner!r}; use adopt(from_=)")
    if is_encrypted(type_) or _decrypts(type_, of.inner):
        raise DeclarationError(
            f"{described} is {type_!r}, which is read in Python; let the application write both "
            "columns, and say adopt(..., from_=...)"
        )
    if of.column is not None and of.column.default is not None:
        raise DeclarationError(
            f"{described} and default= are not for one column: the default would hide the "
            "plaintext that is there; give the default to the plain column for this time"
        )


def _decrypts(type_: TypeEngine[Any], inner: TypeEngine[Any]) -> bool:
    """
    Whether a type makes of what is stored something else than the column's own type would.
    """
    if isinstance(type_, TypeDecorator):
        own = type(type_)
        overridden = (
            own.process_result_value is not TypeDecorator.process_result_value
            or own.column_expression is not TypeDecorator.column_expression
        )
        return (overridden and own is not type(inner)) or _decrypts(type_.impl_instance, inner)
    return isinstance(type_, types.LargeBinary) or type_._has_column_expression
