from __future__ import annotations

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from pgultra import DeclarationError, View, declare
from pgultra.objects import Generation
from pgultra.plan.emitted import emitted_objects, emitted_sql
from tests.plan.visits import visits


class Base(DeclarativeBase):
    pass


class Visit(Base):
    __tablename__ = "visit"
    id: Mapped[int] = mapped_column(primary_key=True)


declare(Visit, View(name="far", query="SELECT id FROM visit"))
declare(Base, View(name="near", query="SELECT id FROM visit"))


def test_a_metadata_emits_all_of_it() -> None:
    """
    Everything in an order that runs, without marks.
    """
    names = [name for name, _ in emitted_objects(visits())]
    assert names == ["function touch()", "view far", "trigger seen on visit"]
    text = emitted_sql(visits())
    assert "COMMENT ON" not in text
    assert text.endswith("EXECUTE FUNCTION touch();")


def test_a_model_emits_its_own() -> None:
    """
    A mapped class or a table gives what was declared on it, and its table when asked.
    """
    assert emitted_sql(Visit) == "CREATE VIEW far AS\nSELECT id FROM visit;"
    assert emitted_sql(Visit) == emitted_sql(sa.inspect(Visit).local_table)
    assert [name for name, _ in emitted_objects(Visit, tables=True)] == ["table visit", "view far"]
    assert len(emitted_objects(Base)) == 2
    assert emitted_sql(Base, tables=True).startswith("CREATE TABLE visit (\n    id ")


def test_anything_else_is_refused() -> None:
    """
    What is no model is named in the error.
    """
    with pytest.raises(DeclarationError, match="42 is not a mapped class"):
        emitted_sql(42)


def test_a_generated_column_comes_with_its_table() -> None:
    """
    With the tables, the column is in CREATE TABLE and not added once more.
    """
    declared = Generation(name="area", table="field", type="integer", expression="side * side")
    area = sa.Column("area", sa.Integer, sa.Computed("side * side", persisted=True))
    field = sa.Table("field", sa.MetaData(), sa.Column("side", sa.Integer), area)
    declare(field, declared)
    assert "ADD COLUMN area" in emitted_sql(field)
    assert "ADD COLUMN" not in emitted_sql(field, tables=True)
