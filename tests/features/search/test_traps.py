"""
The traps that searches by hand fall into, one by one.
"""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSON, JSONB
from sqlalchemy.schema import CreateSchema

from pgultra import plan
from pgultra.features import search
from pgultra.features.search import Part, Related, TSVectorType
from tests.features.search.tables import note_table

DENSE = " ".join(
    f"{chr(0x20000 + n // 99)}{chr(0x20000 + n % 99)}-{chr(0x21000 + n % 9999)}"
    for n in range(120_000)
)
"""The text that takes the most room in a tsvector for each of its characters."""
TRIGGERS = "SELECT tgname FROM pg_trigger WHERE tgrelid = 'note'::regclass ORDER BY 1"


def words(connection: sa.Connection, notes: sa.Table, column: str = "search") -> list[str]:
    """
    The words of each vector, in the order of the key.
    """
    vectors = connection.scalars(sa.select(notes.c[column]).order_by(notes.c.id))
    return [" ".join(vector.words) for vector in vectors]


@pytest.mark.parametrize("mode", ["auto", "trigger"])
def test_null_parts_take_nothing_along(connection: sa.Connection, mode: str) -> None:
    """
    S1: a NULL text, array or JSON counts as empty, and so do NULL and '' in an array.
    """
    metadata = sa.MetaData()
    columns = [sa.Column("tags", ARRAY(sa.Text)), sa.Column("data", JSONB)]
    parts = {"title": "A", "body": "B", "tags": "C", "data": "D"}
    notes = note_table(metadata, parts, *columns, mode=mode)
    metadata.create_all(connection)
    connection.execute(
        notes.insert(),
        [
            {"id": 1, "title": "fox", "body": None, "tags": None, "data": sa.null()},
            {"id": 2, "title": None, "body": "dog", "tags": [None, "", "cat"], "data": {}},
            {"id": 3, "title": None, "body": None, "tags": None, "data": None},
        ],
    )
    assert words(connection, notes) == ["fox", "cat dog", ""]


@pytest.mark.parametrize("type_", [JSON, JSONB])
@pytest.mark.parametrize("mode", ["generated", "trigger"])
@pytest.mark.parametrize("budget", [None, 8])
def test_json_gives_its_strings(
    connection: sa.Connection, type_: Any, mode: str, budget: int | None
) -> None:
    """
    S2: keys, numbers and true are no words; also when the value is over its budget.
    """
    metadata = sa.MetaData()
    more = sa.Column("data", type_)
    notes = note_table(metadata, {"data": Part("A", budget=budget)}, more, mode=mode)
    metadata.create_all(connection)
    value = {"type": ["fox", {"body": "dog"}], "number": 7, "true": True, "none": None}
    connection.execute(notes.insert().values(id=1, data=value))
    assert words(connection, notes) == ["dog fox" if budget is None else "fox"]


@pytest.mark.parametrize("query", ["ann bee", "ann & ", "ann:*", "!", "'", "\\", "ann <-> ", "(("])
def test_what_users_type_is_no_syntax(connection: sa.Connection, query: str) -> None:
    """
    S3: nothing of to_tsquery's syntax has to be known, or can be wrong.
    """
    metadata = sa.MetaData()
    notes = note_table(metadata, {"title": "A"})
    metadata.create_all(connection)
    connection.execute(notes.insert().values(id=1, title="ann bee"))
    for ask in (search.match, search.phrase, search.prefix, search.any_word):
        found = connection.scalars(sa.select(notes.c.id).where(ask(notes.c.search, query))).all()
        assert found == ([1] if "ann" in query else []), ask


def test_the_beginning_of_a_word_is_suggested(connection: sa.Connection) -> None:
    """
    S4: two letters of a long title are enough, whatever their similarity, and by an index.
    """
    metadata = sa.MetaData()
    notes = note_table(metadata, {"title": "A"}, config="english", vocabulary=True)
    metadata.create_all(connection)
    rows = [{"id": n, "title": f"introduction to thermodynamics {n}"} for n in range(500)]
    rows += [
        {"id": 1000 + n, "title": f"{chr(97 + n // 26)}{chr(97 + n % 26)}xq"} for n in range(676)
    ]
    connection.execute(notes.insert(), rows)
    search.roll_up(connection, notes.c.search)
    found = connection.execute(search.suggest(notes.c.search, "introduction to th")).all()
    assert found[0].suggestion == "introduction to thermodynamics"
    connection.exec_driver_sql("ANALYZE note_search_words")
    compiled = search.suggest(notes.c.search, "in").compile(
        connection, compile_kwargs={"literal_binds": True, "render_postcompile": True}
    )
    connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
    lines = connection.exec_driver_sql(f"EXPLAIN {compiled}").scalars().all()
    assert any("note_search_words_pkey" in line for line in lines), lines


@pytest.mark.parametrize(
    ("type_", "mode"),
    [
        (sa.String(20), "generated"),
        (sa.Integer(), "generated"),
        (sa.Uuid(), "generated"),
        (ARRAY(sa.Text), "trigger"),
        (sa.Enum("a", "b", name="letter"), "trigger"),
        (sa.DateTime(timezone=True), "trigger"),
        (sa.Float(), "trigger"),
    ],
    ids=["varchar", "integer", "uuid", "array", "enum", "timestamptz", "float"],
)
def test_what_is_not_immutable_is_kept_by_triggers(
    connection: sa.Connection, type_: Any, mode: str
) -> None:
    """
    S5: PostgreSQL would refuse such a part in a generated column.
    """
    metadata = sa.MetaData()
    notes = note_table(metadata, {"title": "A", "extra": "B"}, sa.Column("extra", type_))
    metadata.create_all(connection)
    assert (notes.c.search.computed is None) == (mode == "trigger")
    assert bool(connection.exec_driver_sql(TRIGGERS).all()) == (mode == "trigger")
    assert list(plan.check(connection, metadata)) == []


@pytest.mark.parametrize("mode", ["auto", "trigger"])
def test_every_budget_holds_a_megabyte_off(connection: sa.Connection, mode: str) -> None:
    """
    S6: the densest text in all parts at once, of every kind, and in related rows.
    """
    metadata = sa.MetaData()
    kinds = {"text": sa.Text, "json": JSON, "jsonb": JSONB, "array": ARRAY(sa.Text)}
    columns = [sa.Column(name, type_) for name, type_ in kinds.items()]
    parts: dict[Any, Any] = dict.fromkeys(["body", *kinds], "B")
    parts[sa.func.lower(columns[0])] = "C"
    if mode == "trigger":
        parts[Related("remark.text")] = "D"
    else:
        del parts["array"]
    notes = note_table(metadata, parts, *columns, mode=mode)
    remark = sa.Table(
        "remark",
        metadata,
        sa.Column("note", sa.ForeignKey("note.id")),
        sa.Column("text", sa.Text),
    )
    metadata.create_all(connection)
    values = {"text": DENSE, "json": [DENSE], "jsonb": {"a": DENSE}, "array": [DENSE]}
    connection.execute(notes.insert().values(id=1, body=DENSE, **values))
    connection.execute(remark.insert().values(note=1, text=DENSE))
    size = connection.scalar(sa.select(sa.func.length(notes.c.search)))
    assert size is not None
    assert size > 1000


def test_budgets_are_each_parts_own() -> None:
    """
    S6: what is declared is kept; the others share what is left, and each has something.
    """
    metadata = sa.MetaData()
    more = sa.Column("extra", sa.Text)
    parts = {"title": "A", "body": Part("B", budget=100_000), "extra": "C"}
    notes = note_table(metadata, parts, more)
    text = str(notes.c.search.computed.sqltext)
    assert "100000" in text
    assert "29920" in text  # of 130,000, without the title's 80


def test_a_query_of_stop_words_says_so(connection: sa.Connection) -> None:
    """
    S7: nothing is left of it; the title that is spelt so is found all the same.
    """
    metadata = sa.MetaData()
    notes = note_table(metadata, {"title": "A", "body": "B"}, config="english")
    metadata.create_all(connection)
    rows = [{"id": 1, "title": "To be or not to be"}, {"id": 2, "title": "Being there"}]
    connection.execute(notes.insert(), rows)
    asked = "to be or not to be"
    assert connection.scalar(sa.select(search.understood(notes.c.search, asked))) is None
    found = connection.execute(search.top(sa.select(notes.c.id), notes.c.search, asked)).all()
    assert [row.id for row in found] == [1]
    plain = sa.select(notes.c.id).where(search.match(notes.c.search, asked))
    assert connection.scalars(plain).all() == []


@pytest.mark.parametrize("mode", ["generated", "trigger"])
def test_several_vectors_of_a_table_are_all_filled(connection: sa.Connection, mode: str) -> None:
    """
    S8: each vector has its own parts, index and configuration, and follows them.
    """
    metadata = sa.MetaData()
    other = sa.Column("names", TSVectorType({"title": "A"}, config="simple", mode=mode))
    notes = note_table(metadata, {"title": "A", "body": "B"}, other, config="english", mode=mode)
    metadata.create_all(connection)
    connection.execute(notes.insert().values(id=1, title="foxes", body="dogs"))
    assert words(connection, notes) == ["dog fox"]
    assert words(connection, notes, "names") == ["foxes"]
    connection.execute(notes.update().values(title="cats"))
    assert words(connection, notes) == ["cat dog"]
    assert words(connection, notes, "names") == ["cats"]
    assert {index.name for index in notes.indexes} == {"note_search_gin", "note_names_gin"}
    assert list(plan.check(connection, metadata)) == []


def test_unrelated_updates_compute_nothing(connection: sa.Connection) -> None:
    """
    S9: the trigger runs for its parts alone, and only if one is distinct.
    """
    metadata = sa.MetaData()
    notes = note_table(metadata, {"title": "A"}, config="english", mode="trigger")
    metadata.create_all(connection)
    connection.execute(notes.insert().values(id=1, title="fox", body="dog"))

    def fired(change: str) -> list[str]:
        lines = connection.exec_driver_sql(
            f"EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) UPDATE note SET {change}"
        ).scalars()
        return [line for line in lines if line.startswith("Trigger") and "calls=0" not in line]

    assert fired("body = 'cat'") == []
    assert fired("title = title || ''") == []
    assert len(fired("title = 'cow'")) == 1
    assert fired("title = 'cow', search = 'lie'") != []
    assert words(connection, notes) == ["cow"]


@pytest.mark.parametrize("schema", ['Other "schema" %', "search_elsewhere"])
def test_a_search_path_means_nothing(connection: sa.Connection, schema: str) -> None:
    """
    Triggers, queries and backfill go to the table's own schema, whatever the path.
    """
    metadata = sa.MetaData(schema=schema)
    notes = note_table(metadata, {"title": "A"}, config="english", mode="trigger", vocabulary=True)
    connection.execute(CreateSchema(schema))
    metadata.create_all(connection)
    connection.exec_driver_sql("SET LOCAL search_path = ''")
    connection.execute(notes.insert().values(id=1, title="foxes"))
    assert search.roll_up(connection, notes.c.search) == 1
    assert search.backfill(connection, notes.c.search).changed == 0
    assert connection.scalar(search.did_you_mean(notes.c.search, "foxse")) == "foxes"
    assert connection.execute(search.top(notes, notes.c.search, "fox")).one().id == 1
