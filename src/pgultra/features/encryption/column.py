"""
The factory for declarative classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack

from sqlalchemy.orm import MappedColumn, mapped_column

from pgultra.features.encryption.model import Algorithm, Encrypted
from pgultra.plan.options import named

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.types import TypeEngine

    from pgultra.features.encryption.keys import KeyRing
    from pgultra.features.encryption.naming import Named
    from pgultra.features.encryption.search import Search
    from pgultra.features.encryption.subjects import SubjectKeys

__all__ = ["ColumnOptions", "EncryptedColumn"]


class ColumnOptions(TypedDict, total=False):
    """
    What ``EncryptedColumn`` hands on to ``mapped_column``.
    """

    nullable: bool
    default: Any
    insert_default: Any
    onupdate: Any
    key: str
    comment: str
    doc: str
    info: dict[Any, Any]
    quote: bool
    sort_order: int
    use_existing_column: bool
    active_history: bool
    deferred: bool
    deferred_group: str
    deferred_raiseload: bool


def EncryptedColumn(  # noqa: N802  # reads as what it makes
    type_: type[TypeEngine[Any]] | TypeEngine[Any],
    *,
    keys: KeyRing,
    search: Search | None = None,
    unique: bool = False,
    context: Named | Sequence[Named] = (),
    id: str | None = None,  # noqa: A002  # the word of the docs
    algorithm: Algorithm = "AES-256-GCM",
    padding: int | None = None,
    errors: Literal["raise", "quarantine"] = "raise",
    subjects: SubjectKeys | None = None,
    dual: Named | None = None,
    index_keys: bool = True,
    name: str | None = None,
    **options: Unpack[ColumnOptions],
) -> MappedColumn[Any]:
    """
    An encrypted column in a declarative class: short for ``mapped_column(Encrypted(…))``.

    Args:
        type_: as for ``Encrypted``.
        keys: as for ``Encrypted``.
        search: as for ``Encrypted``.
        unique: as for ``Encrypted``.
        context: as for ``Encrypted``.
        id: as for ``Encrypted``.
        algorithm: as for ``Encrypted``.
        padding: as for ``Encrypted``.
        errors: as for ``Encrypted``.
        subjects: as for ``Encrypted``.
        dual: as for ``Encrypted``.
        index_keys: as for ``Encrypted``.
        name: the column's name in the database, if it is not the attribute's.
        options: for ``mapped_column``; see ``ColumnOptions``.

    Raises:
        DeclarationError: an option takes something else, or options cannot stand together.

    Example::

        class Person(Base):
            email: Mapped[str] = EncryptedColumn(
                String, keys=PII, search=Equality(normalize="casefold")
            )

    Dataclass bases take ``mapped_column(Encrypted(…), init=False)``.
    """
    named("EncryptedColumn", name=name)
    type_ = Encrypted(
        type_,
        keys,
        search=search,
        unique=unique,
        context=context,
        id=id,
        algorithm=algorithm,
        padding=padding,
        errors=errors,
        subjects=subjects,
        dual=dual,
        index_keys=index_keys,
    )
    return (
        mapped_column(type_, **options) if name is None else mapped_column(name, type_, **options)
    )
