from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Column, Integer, MetaData, Table

import pgultra
from pgultra import DeclarationError
from pgultra.features.embeddings import HNSW, IVFFlat, Rules, VectorType
from pgultra.plan import collect, facts_of

WITH = "WITH (m = 16, ef_construction = 64)"


def table_with(type_: VectorType, name: str = "note") -> Table:
    """
    A Core table with one vector column, declared.
    """
    table = Table(
        name, MetaData(), Column("id", Integer, primary_key=True), Column("embedding", type_)
    )
    pgultra.declare(table, Rules("embedding"))
    return table


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({}, f"USING hnsw (embedding vector_cosine_ops) {WITH}"),
        (
            {"index": HNSW(metric="l2", m=8)},
            "USING hnsw (embedding vector_l2_ops) WITH (m = 8, ef_construction = 64)",
        ),
        (
            {"metric": "inner_product", "precision": "half"},
            f"USING hnsw (CAST(embedding AS HALFVEC(3)) halfvec_ip_ops) {WITH}",
        ),
        (
            {"precision": "bit"},
            f"USING hnsw (CAST(binary_quantize(embedding) AS BIT(3)) bit_hamming_ops) {WITH}",
        ),
        (
            {"metric": "l1"},
            f"USING hnsw (embedding vector_l1_ops) {WITH}",
        ),
    ],
)
def test_each_precision_has_its_index(options: dict[str, Any], wanted: str) -> None:
    """
    Half and bit are expression indexes on the column that is stored in single precision.
    """
    objects = list(collect(table_with(VectorType(3, **options)).metadata).values())
    assert [each.kind for each in objects] == ["extension", "index"]
    assert objects[1].definition == wanted  # type: ignore[attr-defined]


def test_no_index_and_ivfflat_make_none() -> None:
    """
    None is exact search; IVFFlat waits for rows, and no table knows its index.
    """
    for index, kinds in ((None, []), (IVFFlat(), ["index"])):
        table = table_with(VectorType(3, index=index))
        found = list(collect(table.metadata).values())
        assert [each.kind for each in found] == ["extension", *kinds]
        assert [each.later for each in found[1:]] == [True for _ in kinds]
        assert not table.indexes


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"dimensions": 0}, "1 to 16000"),
        ({"dimensions": 3072}, "say precision='half'"),
        ({"dimensions": 5000}, "say precision='bit'"),
        ({"dimensions": 3, "metric": "euclid"}, "is not one of 'cosine'"),
        ({"dimensions": 3, "metric": "l2", "index": HNSW(metric="cosine")}, "say it once"),
        ({"dimensions": 3, "metric": "l1", "index": IVFFlat()}, "IVFFlat knows no l1"),
        ({"dimensions": 3, "precision": "double"}, "is not one of 'single'"),
    ],
)
def test_options_that_cannot_stand_together_are_refused(
    options: dict[str, Any], reason: str
) -> None:
    """
    Each message says what to write instead.
    """
    with pytest.raises(DeclarationError, match=reason):
        VectorType(**options)


def test_many_dimensions_are_fine_without_an_index_or_with_less_precision() -> None:
    """
    The limit is the index's, not the column's.
    """
    VectorType(3072, index=None)
    VectorType(3072, precision="half")
    VectorType(16000, precision="bit")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"m": 1}, "HNSW: m=1 is not a whole number from 2 to 100"),
        ({"ef_construction": 3}, "ef_construction=3 is not a whole number from 4 to 1000"),
        ({"m": 50, "ef_construction": 64}, "ef_construction must be twice m"),
    ],
)
def test_an_index_that_pgvector_would_refuse_is_refused(
    options: dict[str, int], reason: str
) -> None:
    """
    m and ef_construction have limits, and one follows from the other.
    """
    with pytest.raises(DeclarationError, match=reason):
        HNSW(**options)  # type: ignore[arg-type]
    with pytest.raises(DeclarationError, match="lists"):
        IVFFlat(lists=0)


def test_rules_need_a_vector_column() -> None:
    """
    A name that is no column, and a column of another type.
    """
    table = Table("note", MetaData(), Column("id", Integer))
    for name in ("id", "other"):
        with pytest.raises(DeclarationError, match="type VectorType"):
            pgultra.declare(table, Rules(name))


def test_the_facts_name_a_ranker() -> None:
    """
    search.hybrid finds the column there.
    """
    [ranker] = facts_of(table_with(VectorType(3))).rankers
    assert (ranker.name, ranker.column, ranker.kind) == ("embedding", "embedding", "vector")
