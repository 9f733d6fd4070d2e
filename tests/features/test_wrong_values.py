"""
Wrong values for the options of every declaration: an error of pgultra's own, or acceptance.

The options are read from the signatures, so a new one is covered by itself.
"""

from __future__ import annotations

import inspect
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import (
    Column,
    DateTime,
    ForeignKey,
    Integer,
    MetaData,
    Table,
    Text,
    create_mock_engine,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import DuplicateColumnError, SAWarning
from sqlalchemy.orm import DeclarativeBase, mapped_column

import pgultra
from pgultra.errors import DeclarationError, EncryptionError, PgultraError, PgultraWarning
from pgultra.features import embeddings, encryption, partitions, search, soft_delete
from tests.features.wrong import WRONG

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CALLED = {"through": ("table",), "source": ("key ring",), "column": ("vector",), "value": ("__",)}
"""How errors call an option, if not by its name alone."""

KEYS = {1: bytes(range(32))}


@dataclass(frozen=True)
class Declared:
    """
    A declaration, the arguments that it is right with, and how it gets into a model.
    """

    name: str
    make: Callable[..., Any]
    right: dict[str, Any] = field(default_factory=dict)
    place: Callable[[Any], object] = lambda made: _model(made=made)
    signature: Callable[..., Any] | None = None
    without: frozenset[str] = frozenset()

    def options(self) -> Iterator[str]:
        """
        The names of all its options.
        """
        for each in inspect.signature(self.signature or self.make).parameters.values():
            several = each.kind in (each.VAR_POSITIONAL, each.VAR_KEYWORD)
            if not several and each.name not in self.without:
                yield each.name

    def placed(self, **options: Any) -> object:
        """
        Make it with these options, and a model with it.
        """
        return self.place(self.make(**{**self.right, **options}))


def _model(*bases: type[Any], **attributes: Any) -> type[Any]:
    """
    A mapped class with these attributes, its mappers configured and its DDL made.
    """

    class Base(DeclarativeBase):
        pass

    body = {
        "__tablename__": "note",
        "id": mapped_column(Integer, primary_key=True),
        "title": mapped_column(Text),
        "made_at": mapped_column(DateTime(timezone=True), primary_key=True),
        **attributes,
    }
    try:
        model = type("Note", (*bases, Base), body)
        Base.registry.configure()
        _create(Base.metadata)
    finally:
        Base.registry.dispose()  # a mapper that failed would trouble those of others
    return model


def _create(metadata: MetaData) -> None:
    metadata.create_all(create_mock_engine("postgresql+psycopg://", _nothing), checkfirst=False)


def _nothing(*_arguments: object, **_options: object) -> None:
    pass


def _table(*columns: Column[Any]) -> Table:
    return Table(
        "note",
        MetaData(),
        Column("id", Integer, primary_key=True),
        Column("title", Text),
        Column("made_at", DateTime(timezone=True), primary_key=True),
        *columns,
    )


def _on_table(*columns: Callable[[], Column[Any]]) -> Callable[[Any], object]:
    def place(rules: Any) -> None:
        table = _table(*(make() for make in columns))
        pgultra.declare(table, rules)
        _create(table.metadata)

    return place


def _part(made: Any) -> object:
    return _model(made=search.SearchVector({"title": made}))


def _related(made: Any) -> object:
    return _model(made=search.SearchVector({made: "A"}))


def _index(made: Any) -> object:
    return _model(made=embeddings.Embedding(3, index=made))


def _next(made: Any) -> object:
    return _model(made=embeddings.Embedding(3, source="title", next_version=made))


def _searched(made: Any) -> object:
    return _model(made=encryption.EncryptedColumn(Text, keys=_ring(), search=made))


def _sealed(made: Any) -> object:
    return _model(made=encryption.EncryptedColumn(Text, keys=made))


def _subjects(made: Any) -> object:
    return _model(made=encryption.EncryptedColumn(Text, keys=_ring(), context="id", subjects=made))


def _typed(made: Any) -> object:
    return _model(made=mapped_column(made))


def _partitioned(made: Any) -> object:
    return _model(partitions.PartitionedTable, __partition_by__=made)


def _deleted(made: Any) -> object:
    return _model(soft_delete.SoftDelete, __soft_delete__=made)


def _ring() -> encryption.KeyRing:
    return encryption.KeyRing("wrong_values", KEYS)


def _chunks(made: Any) -> None:
    table = Table(
        "note", MetaData(), Column("id", Integer, primary_key=True), Column("title", Text)
    )
    chunk = Table(
        "chunk",
        table.metadata,
        Column("id", Integer, primary_key=True),
        Column("note_id", ForeignKey("note.id")),
        Column("text", Text),
        Column("number", Integer),
    )
    pgultra.declare(chunk, made)
    _create(table.metadata)


_SEARCHED = _table(Column("words", search.TSVectorType({"title": "A"})))


def _asked(made: Any) -> object:
    return str(search.federated([made], "fox").compile(dialect=postgresql.dialect()))


def _unique_live(column: Any, name: Any = None) -> Any:
    return soft_delete.unique_live(column, name=name)


def _live(made: Any) -> object:
    return _model(soft_delete.SoftDelete, __table_args__=(made,))


def _declared(target: Any, declared: Any) -> None:
    pgultra.declare(target, declared)


class _Vault:
    def unwrap(self, wrapped: bytes) -> bytes:
        return wrapped

    def wrap(self, key: bytes) -> bytes:
        return key


def _subject_keys(**options: Any) -> encryption.SubjectKeys:
    return encryption.SubjectKeys(**{"metadata": MetaData(), "keys": _ring(), **options})


def _class_attribute(value: Any) -> Any:
    return value


RANGE = {"column": "made_at", "every": "1 month"}
LIST = {"column": "id", "groups": {"a": (1, 2)}}
DECLARED = (
    Declared("SearchVector", search.SearchVector, {"parts": {"title": "A"}}),
    Declared(
        "TSVectorType",
        search.TSVectorType,
        {"parts": {"title": "A"}},
        _typed,
        search.SearchVector,
        frozenset({"name"}),
    ),
    Declared("Part", search.Part, {}, _part),
    Declared("Related", search.Related, {"column": "note.title"}, _related),
    Declared("Source", search.Source, {"entity": _SEARCHED}, _asked),
    Declared(
        "search.Rules",
        search.Rules,
        {"column": "made", "parts": {"title": "A"}},
        _on_table(lambda: Column("made", search.TSVectorType())),
    ),
    Declared("Embedding", embeddings.Embedding, {"dimensions": 3}),
    Declared("VectorType", embeddings.VectorType, {"dimensions": 3}, _typed),
    Declared("HNSW", embeddings.HNSW, {}, _index),
    Declared("IVFFlat", embeddings.IVFFlat, {}, _index),
    Declared("NextVersion", embeddings.NextVersion, {"dimensions": 4, "model": "new"}, _next),
    Declared(
        "embeddings.Rules",
        embeddings.Rules,
        {"column": "made"},
        _on_table(lambda: Column("made", embeddings.VectorType(3))),
    ),
    Declared("Chunks", embeddings.Chunks, {"source": "title", "text": "text"}, _chunks),
    Declared("EncryptedColumn", encryption.EncryptedColumn, {"type_": Text, "keys": _ring()}),
    Declared("Encrypted", encryption.Encrypted, {"type_": Text, "keys": _ring()}, _typed),
    Declared("Equality", encryption.Equality, {}, _searched),
    Declared("Prefix", encryption.Prefix, {}, _searched),
    Declared("KeyRing", encryption.KeyRing, {"name": "wrong", "source": KEYS}, _sealed),
    Declared(
        "KeyRing.from_env",
        encryption.KeyRing.from_env,
        {"name": "wrong", "variable": "PGULTRA_NO_SUCH_KEYS"},
        _sealed,
    ),
    Declared(
        "KeyRing.from_file",
        encryption.KeyRing.from_file,
        {"name": "wrong", "path": "/nowhere"},
        _sealed,
    ),
    Declared(
        "SubjectKeys",
        _subject_keys,
        {},
        _subjects,
        encryption.SubjectKeys,
    ),
    Declared(
        "KeyRing.from_provider",
        encryption.KeyRing.from_provider,
        {"name": "wrong", "provider": _Vault(), "wrapped": {1: b"envelope"}},
        _sealed,
    ),
    Declared("PgcryptoColumn", encryption.PgcryptoColumn, {"passphrase": str}, _typed),
    Declared("FernetText", encryption.FernetText, {"keys": list}, _typed),
    Declared("ByRange", partitions.ByRange, RANGE, _partitioned),
    Declared(
        "ByRange.bounds", partitions.ByRange, {"column": "id", "bounds": (1, 2)}, _partitioned
    ),
    Declared("ByList", partitions.ByList, LIST, _partitioned),
    Declared("ByHash", partitions.ByHash, {"column": "id"}, _partitioned),
    Declared("Grid.of", partitions.Grid.of, {"every": "1 month"}, str),
    Declared("declare", _declared, {"target": _table(), "declared": soft_delete.Rules()}, str),
    Declared("__partition_by__", _class_attribute, {}, _partitioned),
    Declared("SoftDeleteOptions", soft_delete.SoftDeleteOptions, {}, _deleted),
    Declared("soft_delete.Rules", soft_delete.Rules, {}, _on_table()),
    Declared("unique_live", _unique_live, {"column": "title"}, _live),
    Declared("__soft_delete__", _class_attribute, {}, _deleted),
)
OPTIONS = [(each, option) for each in DECLARED for option in each.options()]


NO_DECLARATIONS = {
    "After", "Action", "Adopted", "Archived", "Backfilled", "Bound", "ConversionPlan", "Converted",
    "DefaultBound", "Drained", "Embedder", "EmbeddingWorker", "Finding", "HashBound",
    "HashingEmbedder", "InvalidVector", "KeyProvider", "KeyUsage", "ListBound", "Maintained",
    "MaintenancePlan", "OpenAIEmbedder", "PartitionStatus", "Problem", "Purged", "Quarantined",
    "QueueStatus", "RangeBound", "Rotated", "SentenceTransformerEmbedder", "TSVector",
    "TableStatus", "Vector", "Worked",
}  # fmt: skip
"""What rooms answer with, and what runs beside the models."""
BY_ATTRIBUTE = {"PartitionedTable": "__partition_by__", "SoftDelete": "__soft_delete__"}


@pytest.mark.parametrize("room", [embeddings, encryption, partitions, search, soft_delete])
def test_every_declaration_of_a_room_is_given_wrong_values(room: Any) -> None:
    """A new public class is one of the above, or no declaration."""
    known = {each.name for each in DECLARED}
    word = room.__name__.rpartition(".")[2]
    missing = [
        name
        for name in room.__all__
        if name[0].isupper()
        and name not in NO_DECLARATIONS
        and not known & {name, BY_ATTRIBUTE.get(name), f"{word}.{name}", f"{name}.of"}
    ]
    if "Rules" in missing and room is partitions:
        missing.remove("Rules")  # the three ways by one name
    assert not missing


@pytest.mark.parametrize(
    ("declared", "option"), OPTIONS, ids=[f"{each.name}-{option}" for each, option in OPTIONS]
)
def test_a_wrong_value_gets_an_error_of_ours(declared: Declared, option: str) -> None:
    """Whatever an option is given, what comes out is a model or an error of pgultra's own."""
    strange = []
    for number, value in enumerate(WRONG):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", PgultraWarning)
                warnings.simplefilter("ignore", SAWarning)
                declared.placed(**{option: value})
        except DuplicateColumnError:
            pass  # the host's own slip, and SQLAlchemy says so
        except PgultraError as error:
            if not any(word in str(error) for word in (option, *CALLED.get(option, ()))):
                strange.append(f"{number}: {value!r}: does not name the option: {error}")
        except Exception as error:  # that is what is looked for
            strange.append(f"{number}: {value!r}: {type(error).__name__}: {error}")
    assert not strange, "\n".join(strange)


SLIPS: dict[str, tuple[Callable[[], object], str]] = {
    "parts as a text": (
        lambda: search.SearchVector("title"),
        (
            "SearchVector: parts='title' is not a mapping of columns to their weights, such as "
            "{'title': 'A', 'body': 'B'}"
        ),
    ),
    "a weight that is none": (
        lambda: search.SearchVector({"title": "Z"}),
        "SearchVector: parts['title']='Z' is not a weight: 'A', 'B', 'C', 'D' or Part(...)",
    ),
    "vocabulary as a text": (
        lambda: search.SearchVector({"title": "A"}, vocabulary="title"),
        (
            "SearchVector: vocabulary='title' is not a tuple or list of names, such as ['title'], nor "
            "True or False"
        ),
    ),
    "a vocabulary of nothing": (
        lambda: _model(made=search.SearchVector({"title": "A"}, vocabulary=["nix"])),
        "search on table note: vocabulary=['nix'] names no part that is a text of the row",
    ),
    "a language column that is no name": (
        lambda: search.SearchVector({"title": "A"}, language_column=3),
        "SearchVector: language_column=3 is not a name (a text that is not empty)",
    ),
    "a budget as a text": (
        lambda: search.Part("A", budget="x"),
        "Part: budget='x' is not a whole number from 1 to 2147483647",
    ),
    "an index as a text": (
        lambda: embeddings.Embedding(384, index="hnsw"),
        "Embedding: index='hnsw' is not HNSW(...), IVFFlat(...) or None",
    ),
    "a metric that is none": (
        lambda: embeddings.Embedding(384, metric="euclidean"),
        "Embedding: metric='euclidean' is not one of 'cosine', 'l2', 'inner_product', 'l1'",
    ),
    "a next version's dimensions": (
        lambda: embeddings.NextVersion(dimensions="768", model="new"),
        "NextVersion: dimensions='768' is not a whole number from 1 to 16000",
    ),
    "a source that is no name": (
        lambda: embeddings.Embedding(384, source=3),
        "Embedding: source=3 is not a tuple or list of names, such as ('title', 'body')",
    ),
    "m as a text": (
        lambda: embeddings.HNSW(m="16"),
        "HNSW: m='16' is not a whole number from 2 to 100",
    ),
    "a search as a text": (
        lambda: encryption.EncryptedColumn(Text, keys=_ring(), search="equality"),
        "Encrypted: search='equality' is not Equality(...), Prefix(...) or None",
    ),
    "a context that is no column": (
        lambda: _model(made=encryption.EncryptedColumn(Text, keys=_ring(), context="tenant")),
        "encrypted column note.made: context 'tenant' is no column of note",
    ),
    "a modulus as a text": (
        lambda: partitions.ByHash("id", "4"),
        "ByHash('id'): modulus='4' is not a whole number from 1 to 1000",
    ),
    "a retain that is no step": (
        lambda: partitions.ByRange("made_at", every="1 day", retain="ever").retain,
        (
            "retain='ever' is not a step: give 'hour', 'day', 'week', 'month', 'quarter', 'year', a "
            "count of them such as '15 minutes' or '10 days', a timedelta of whole minutes, or a whole "
            "number above 0 for an integer key"
        ),
    ),
    "texts for an integer key": (
        lambda: _partitioned(partitions.ByList("id", {"first": ("one",)})),
        "table note: 'one' in bounds= or groups= is no value of id, which is of type INTEGER",
    ),
    "a period as a text": (
        lambda: _deleted(soft_delete.SoftDeleteOptions(purge_after="30 days")),
        (
            "class Note (table note): option purge_after='30 days': must be a timedelta that is not "
            "negative, or None"
        ),
    ),
}


@pytest.mark.parametrize("slip", SLIPS)
def test_a_likely_slip_is_answered_with_what_to_write(slip: str) -> None:
    """The message names the declaration, the option, the value and what it takes."""
    make, said = SLIPS[slip]
    with pytest.raises(DeclarationError) as found:
        make()
    assert str(found.value) == said


@pytest.mark.parametrize(
    "make",
    [
        lambda secret: encryption.KeyRing(secret, "wrong"),
        lambda secret: encryption.KeyRing("wrong", [secret]),
        lambda secret: encryption.KeyRing("wrong", {secret: 1}),
        lambda secret: encryption.KeyRing("wrong", lambda: secret).current(),
        lambda secret: encryption.Encrypted(Text, secret),
        lambda secret: encryption.SubjectKeys(MetaData(), {1: secret}),
    ],
    ids=["name", "source", "number", "callable", "keys", "subjects"],
)
def test_a_key_in_a_wrong_place_is_not_shown(make: Callable[[bytes], object]) -> None:
    """What may be a key stands in no message, since messages stand in logs."""
    with pytest.raises((DeclarationError, EncryptionError)) as found:
        make(b"a secret key of thirty-two bytes")
    assert "secret" not in str(found.value)
