"""
The type of an encrypted column: what it seals with, and where it stands.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Literal, NoReturn, cast

from sqlalchemy import Column, LargeBinary, Table
from sqlalchemy.sql.base import SchemaEventTarget
from sqlalchemy.types import TypeEngine, UserDefinedType, to_instance

from pgultra import plan
from pgultra.errors import DecryptionError, EncryptionError
from pgultra.features.encryption import comparator, context, secrecy, writing
from pgultra.features.encryption.cipher import Box, Place
from pgultra.features.encryption.codec import codec_of
from pgultra.features.encryption.judging import judge, judge_first, judge_placed
from pgultra.features.encryption.naming import given_names, settled
from pgultra.features.encryption.objects import SecretColumn
from pgultra.features.encryption.parameters import TagOf, TagsOf, printer, tag_type
from pgultra.features.encryption.quarantine import Quarantined
from pgultra.features.encryption.search import Search, Tagger, with_unique

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pgultra.features.encryption.keys import KeyRing
    from pgultra.features.encryption.naming import Named
    from pgultra.features.encryption.subjects import SubjectKeys

__all__ = ["Algorithm", "Encrypted"]

Algorithm = Literal["AES-256-GCM", "AES-256-GCM-SIV"]


class Encrypted(SchemaEventTarget, UserDefinedType[Any]):  # Any: the Python type of the column
    """
    The type of an encrypted column: values are sealed on their way in, opened on their way out.

    Args:
        type_: any SQLAlchemy type; what Python sees.
        keys: the ring whose active key seals.
        search: ``Equality(…)`` or ``Prefix(…)``; None: it can only be read.
        unique: short for ``search=Equality(unique=True)``.
        context: columns of the same row that a value is bound to, such as the tenant: where
            they differ, it does not open. Columns, mapped attributes, or the keys of either.
        id: the pinned logical id that the column's key is derived for. Left out, it is
            ``table.column``; write that down here *before* you rename either.
        algorithm: ``AES-256-GCM-SIV`` for more than 2**32 values under one key.
        padding: pad plaintexts to a multiple of so many bytes, to hide their length.
        errors: ``quarantine`` gives a ``Quarantined`` where a value does not open.
        subjects: keys of those whom the first context column names; see ``SubjectKeys``.
        dual: name of the plaintext column that is being replaced; see ``adopt``.
        index_keys: keep an index over key numbers, for ``key_usage`` and ``rotate``.

    Raises:
        DeclarationError: an option takes something else, or options cannot stand together.

    Example::

        Column("iban", Encrypted(String(34), keys=PII, context=("tenant_id",)))
    """

    cache_ok = True
    seals = True
    """What other files of the room know the type by."""
    comparator_factory = comparator.Comparator

    def __init__(
        self,
        type_: type[TypeEngine[Any]] | TypeEngine[Any],
        keys: KeyRing,
        *,
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
    ) -> None:
        judge_first(type_, keys, search, unique)
        self.inner = to_instance(type_)
        self.keys = keys
        self.search = with_unique(search, unique=unique)
        self.context = given_names(context, "context")
        self.id = id
        self.algorithm = algorithm
        self.padding = padding
        self.errors = errors
        self.subjects = subjects
        self.dual = given_names(dual, "dual")[0] if dual is not None else None
        self.index_keys = index_keys
        self.codec = codec_of(self.inner)
        self.column: Column[Any] | None = None
        self._pinned = id is not None
        judge(self)
        secrecy.listen()
        writing.listen()

    # -- where it stands ------------------------------------------------------------------

    def _set_parent(self, parent: SchemaEventTarget, **_options: Any) -> None:
        column = cast("Column[Any]", parent)
        if self.column is not None and self.column is not column:
            column.type = twin = self.copy()
            twin._set_parent(column)
            return
        self.column = column
        column._on_table_attach(self._attached)

    def _attached(self, column: Column[Any], table: Any) -> None:
        if not isinstance(table, Table):
            return
        if self.id is None:
            self.id = f"{table.name}.{column.name}"
        judge_placed(column, table)
        self.context, self.dual = tuple(map(settled, self.context)), settled(self.dual)
        self._forget(self.__dict__)
        plan.declare(table, SecretColumn(column.key))

    def copy(self, **_options: Any) -> Encrypted:
        """
        The same type for another column; an id that was not given is found anew.
        """
        twin: Encrypted = self.adapt(type(self))
        twin.column = None
        if not self._pinned:
            twin.id = None
        return twin

    def adapt(self, cls: Any, **_options: Any) -> Any:
        """
        What SQLAlchemy makes for each dialect: the same settings, and its own box of keys.
        """
        twin = copy.copy(self)
        twin.__dict__ = self.__getstate__()
        return twin

    def __getstate__(self) -> dict[str, Any]:
        state = dict(self.__dict__)
        self._forget(state)
        state.pop("dispatch", None)
        return state

    @staticmethod
    def _forget(state: dict[str, Any]) -> None:
        for name in [name for name in state if name.startswith("_made_")]:
            del state[name]

    @property
    def _static_cache_key(self) -> Any:  # what SQLAlchemy puts into the keys of its cache
        if "_made_cache_key" in self.__dict__:
            return self.__dict__["_made_cache_key"]
        key = self.__dict__["_made_cache_key"] = (
            type(self),
            self.inner._static_cache_key,
            self.id,
            self.keys,
            self.search,
            self.context,
            self.algorithm,
            self.padding,
            self.errors,
            self.subjects,
            self.dual,
        )
        return key

    @property
    def domain(self) -> str:
        """
        The domain of its index keys.
        """
        named = self.search.domain if self.search is not None else None
        return named or self._identified()

    def _identified(self) -> str:
        if self.id is None:
            raise EncryptionError(
                "this Encrypted type stands on no column of a table: give it id='table.column'"
            )
        return self.id

    @property
    def place(self) -> Place:
        """
        Names for messages, and the id.
        """
        table = self.column.table if self.column is not None else None
        if self.column is None or table is None:
            return Place("?", "?", self._identified())
        return Place(str(table), self.column.name, self._identified())

    @property
    def described(self) -> str:
        """
        The column as messages call it.
        """
        if self.column is None or self.column.table is None:
            return "an encrypted column"
        return f"encrypted column {self.column.table}.{self.column.name}"

    # -- keys, read when used ---------------------------------------------------------------

    @property
    def box(self) -> Box:
        """
        Seals and opens.
        """
        if "_made_box" not in self.__dict__:
            self._made_box = Box(self.keys, self.place, self.algorithm, self.padding)
        return self._made_box

    @property
    def tagger(self) -> Tagger:
        """
        Makes tags.
        """
        if "_made_tagger" not in self.__dict__:
            assert self.search is not None
            self._made_tagger = Tagger(self.search, self.box, self.codec, self.domain)
        return self._made_tagger

    def tag_type(self, keys: tuple[int, ...], several: bool = False) -> TagOf | TagsOf:
        """
        The type of what is compared with the tags of these index keys.
        """
        types: dict[Any, TagOf | TagsOf] = self.__dict__.setdefault("_made_tag_types", {})
        if (keys, several) not in types:
            types[keys, several] = tag_type(self, keys, several)
        return types[keys, several]

    # -- values ----------------------------------------------------------------------------

    def seal(self, value: Any, parts: Sequence[bytes | None] = ()) -> bytes:
        """
        A value as it is stored.

        Args:
            value: what Python sees; not None.
            parts: the context, as bytes.

        Raises:
            EncryptionError: there are not as many parts as the column has context columns.
        """
        if len(parts) != len(self.context):
            raise EncryptionError(
                f"{self.described} is bound to {', '.join(self.context) or 'nothing'}: seal takes "
                f"{len(self.context)} parts, the row's values as text in bytes, not {len(parts)}"
            )
        tags = self.tagger.tags(value) if self.search is not None else ()
        subject = self.subject_key(parts)
        return self.box.seal(self.codec.encode(value), tags=tags, context=parts, subject=subject)

    def subject_key(self, parts: Sequence[bytes | None]) -> bytes | None:
        """
        The key of the subject that a context names; None where there are no subjects.

        Raises:
            EncryptionError: it is not at hand.
        """
        return None if self.subjects is None else self.subjects.key_of(parts, self.described)

    def guarded(self, function: Callable[[Any], Any], value: Any) -> Any:
        """
        Call with a value so that no exception tells it.
        """
        try:
            return function(value)
        except (EncryptionError, DecryptionError):
            raise
        except Exception:  # noqa: S110  # its text may hold the value
            pass
        return self.refused(value)

    def refused(self, value: Any) -> NoReturn:
        """
        Raise for a value that cannot be encoded, and do not tell it.
        """
        if isinstance(value, Quarantined):
            raise EncryptionError(f"{self.described}: {value!r} cannot be written or searched for")
        raise EncryptionError(
            f"{self.described}: a value of type {type(value).__name__} does not fit {self.inner!r}"
        )

    def decoded(self, decode: Callable[[bytes], Any], raw: bytes) -> Any:
        """
        Decode so that no exception tells the plaintext.
        """
        try:
            return decode(raw)
        except Exception:  # noqa: S110  # its text may hold the value
            pass
        raise self.box.failure(None)

    def bind_processor(self, dialect: object) -> Callable[[Any], bytes | None]:
        """
        Seal; with the keys of the moment when the statement runs.
        """
        if self.search is None and not self.context:
            return self.box.sealer(self.codec.encode, self.refused)
        seal = context.sealer(self) if self.context else self.seal

        def process(value: Any) -> bytes | None:
            if value is None:
                return None
            try:
                return seal(value)
            except (EncryptionError, DecryptionError):
                raise
            except Exception:  # noqa: S110  # its text may hold the value
                pass
            return self.refused(value)

        return process

    def result_processor(self, dialect: object, coltype: object) -> Callable[[Any], Any]:
        """
        Open; or raise, or quarantine.
        """
        if self.context or self.dual:
            open_ = context.opener(self)
        else:
            shape = 0
            if self.search is not None:
                shape = len(self.search.keys) << 6 | self.search.size
            open_ = self.box.opener(self.codec.decode, shape)
        if self.errors == "raise":
            return open_

        def process(value: bytes) -> Any:
            try:
                return open_(value)
            except DecryptionError as error:
                return Quarantined(error, value)

        return process

    def literal_processor(self, dialect: object) -> Callable[[Any], str]:
        """
        Printed statements hold the sealed value.
        """
        return printer(self.bind_processor(dialect))

    @property
    def _has_column_expression(self) -> bool:
        return bool(self.context or self.dual)

    def column_expression(self, colexpr: Any) -> Any:
        """
        Read the context together with the value.
        """
        return context.packed(self, colexpr) if self.context or self.dual else None

    def get_col_spec(self, **_options: Any) -> str:
        """
        ``BYTEA``.
        """
        return "BYTEA"

    def photograph(self) -> TypeEngine[bytes]:
        """
        What migrations call it.
        """
        return LargeBinary()

    def compare_values(self, x: Any, y: Any) -> bool:
        """
        As the inner type does.
        """
        return self.inner.compare_values(x, y)

    def coerce_compared_value(self, op: Any, value: Any) -> TypeEngine[Any]:
        """
        Values that it is compared with are its own.
        """
        return self

    @property
    def python_type(self) -> type[Any]:
        """
        As the inner type says.
        """
        return self.inner.python_type

    @property
    def hashable(self) -> bool:  # type: ignore[override]  # a property here
        """
        As the inner type says.
        """
        return bool(self.inner.hashable)

    def __repr__(self) -> str:
        return f"Encrypted({self.inner!r}, {self.keys!r})"
