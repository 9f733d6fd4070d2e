from __future__ import annotations

import inspect
import pickle
import warnings
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.orm import (
    DeclarativeBase,
    backref,
    configure_mappers,
    mapped_column,
    relationship,
)

import pgultra
from pgultra import DeclarationError, PgultraWarning, declare, plan
from pgultra.features import soft_delete
from pgultra.features.soft_delete import Rules, SoftDelete, SoftDeleteOptions, unique_live
from pgultra.features.soft_delete.edges import edges_of
from tests.features.soft_delete.sample import BLOG


def new_base() -> Any:
    """
    Make a declarative base of its own.
    """

    class Base(DeclarativeBase):
        pass

    return Base


def thing(options: Any = None, **attributes: Any) -> Any:
    """
    Map a class Thing with an id and whatever a test adds.
    """
    base = attributes.pop("base", None) or new_base()
    own = {"__soft_delete__": options} if options is not None else {}
    columns = {"id": mapped_column(sa.Integer, primary_key=True)}
    return type(
        "Thing", (SoftDelete, base), {"__tablename__": "thing", **own, **columns, **attributes}
    )


def test_columns_are_added() -> None:
    """
    A class gets the three columns, nullable, and nothing else.
    """
    table = thing().__table__
    assert table.c.keys() == ["id", "deleted_at", "deleted_by", "deletion_id"]
    assert all(table.c[name].nullable for name in ("deleted_at", "deleted_by", "deletion_id"))
    assert table.c.deleted_at.type.timezone is True


def test_columns_by_other_names() -> None:
    """
    Columns are named by the options, attributes keep the names that the room promises.
    """
    cls = thing(SoftDeleteOptions(deleted_at="deletedAt", deletion_id="by whom", flag="gone"))
    assert cls.__table__.c.keys() == ["id", "deletedAt", "deleted_by", "by whom", "gone"]
    assert cls.deleted_at.property.columns[0].name == "deletedAt"
    assert cls.is_deleted.property.columns[0].name == "gone"


def test_columns_of_the_host_are_adopted() -> None:
    """
    A column that is there already is used, under the host's attribute too.
    """
    cls = thing(
        SoftDeleteOptions(deleted_at="removed", flag="is_deleted"),
        gone_since=mapped_column("removed", sa.TIMESTAMP(timezone=True)),
        is_deleted=mapped_column(sa.Boolean, nullable=False),
    )
    configure_mappers()
    assert cls.__table__.c.keys() == ["id", "removed", "is_deleted", "deleted_by", "deletion_id"]
    assert "removed IS NULL" in str(sa.select(cls.id).where(cls.deleted_at.is_(None)))
    instance = cls(deleted_at=None, is_deleted=True)
    instance.deleted_at = sentinel = object()
    assert instance.gone_since is sentinel


def test_columns_of_the_host_by_key() -> None:
    """
    A name in the options is a column's key first, then its name.
    """
    table = sa.Table(
        "thing",
        sa.MetaData(),
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("deletedAt", sa.DateTime(timezone=True), key="deleted_at"),
    )
    declare(table, Rules())
    assert plan.facts_of(table).live.text() == '"deletedAt" IS NULL'
    assert "deletedAt" in table.c["deleted_at"].name


def test_is_deleted_in_python_and_in_sql() -> None:
    """
    The hybrid answers for an object and in a statement; a flag column takes its place.
    """
    cls = thing()
    assert cls(id=1).is_deleted is False
    assert "thing.deleted_at IS NOT NULL" in str(sa.select(cls.id).where(cls.is_deleted))
    flagged = thing(SoftDeleteOptions(flag="is_deleted"))
    assert str(flagged.is_deleted) == "Thing.is_deleted"


@pytest.mark.parametrize(
    ("options", "attributes", "words"),
    [
        ({"deletd_at": "x"}, {}, ["'deletd_at'", "did you mean 'deleted_at'"]),
        ({"colour": "x"}, {}, ["'colour'", "known are deleted_at"]),
        ({"deleted_at": "id"}, {}, ["deleted_at='id'", "primary key"]),
        ({"deleted_at": "title"}, {"title": mapped_column(sa.Text)}, ["title", "Text"]),
        (
            {},
            {"deleted_at": mapped_column(sa.DateTime, nullable=False)},
            ["deleted_at", "does not allow NULL"],
        ),
        ({"flag": "n"}, {"n": mapped_column(sa.Integer)}, ["flag='n'", "Boolean"]),
        ({"deletion_id": "n"}, {"n": mapped_column(sa.Text)}, ["deletion_id='n'", "Uuid"]),
        (
            {"deleted_at": "removed"},
            {"deleted_at": mapped_column("other", sa.DateTime)},
            ["deleted_at='removed'", "mapped to something else"],
        ),
        ({"deleted_at": "a", "deleted_by": "a"}, {}, ["deleted_by='a'", "deleted_at already"]),
        ({"deleted_by": ""}, {}, ["deleted_by=''", "name of a column"]),
        ({"guard": "maybe"}, {}, ["guard='maybe'", '"raise" or "allow"']),
        ({"cascade": "comments"}, {}, ["cascade='comments'", "tuple of relationship names"]),
        ({"refuse_orphans": 1}, {}, ["refuse_orphans=1", "True or False"]),
        ({"purge_after": timedelta(-1)}, {}, ["purge_after", "not negative"]),
        ({"view": ""}, {}, ["view=''", "a name"]),
    ],
)
def test_bad_options_are_named(options: Any, attributes: Any, words: list[str]) -> None:
    """
    A bad option is an error at mapping time that names class, table and option.
    """
    with pytest.raises(DeclarationError) as caught:
        thing(SoftDeleteOptions(**options), **attributes)
    for word in ("class Thing", "table thing", *words):
        assert word in str(caught.value)


def test_options_of_another_kind() -> None:
    """
    A dictionary in ``__soft_delete__`` is refused.
    """
    with pytest.raises(DeclarationError, match="must be SoftDeleteOptions"):
        thing({"flag": "gone"})


def test_a_bad_option_of_core_rules_names_the_table() -> None:
    """
    Rules on a Core table are checked where they are declared.
    """
    table = sa.Table("thing", sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True))
    with pytest.raises(DeclarationError, match=r"table thing: .*no option 'flags'"):
        declare(table, Rules(flags="x"))


def test_rules_twice() -> None:
    """
    One table has one set of rules.
    """
    table = sa.Table("thing", sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True))
    declare(table, Rules(), Rules())
    with pytest.raises(DeclarationError, match="declared already"):
        declare(table, Rules(guard="allow"))


def test_soft_delete_on_a_subclass_only() -> None:
    """
    A hierarchy is soft-deletable from its root, or not at all.
    """
    base = new_base()
    root = type(
        "Root",
        (base,),
        {
            "__tablename__": "root",
            "id": mapped_column(sa.Integer, primary_key=True),
            "kind": mapped_column(sa.Text),
            "__mapper_args__": {"polymorphic_on": "kind", "polymorphic_identity": "root"},
        },
    )
    with pytest.raises(DeclarationError, match="let Root inherit SoftDelete") as caught:
        type("Leaf", (SoftDelete, root), {"__mapper_args__": {"polymorphic_identity": "leaf"}})
    assert "class Leaf (table root)" in str(caught.value)


def test_options_on_a_subclass() -> None:
    """
    The options stand where the columns are.
    """
    root = thing(kind=mapped_column(sa.Text), __mapper_args__={"polymorphic_on": "kind"})
    identity = {"__mapper_args__": {"polymorphic_identity": "leaf"}}
    with pytest.raises(DeclarationError, match="root of the hierarchy, Thing"):
        type("Leaf", (root,), {"__soft_delete__": SoftDeleteOptions(), **identity})


def test_a_class_without_a_table_of_its_own() -> None:
    """
    A class mapped to a join is refused.
    """
    base = new_base()
    one = sa.Table("one", base.metadata, sa.Column("id", sa.Integer, primary_key=True))
    two = sa.Table("two", base.metadata, sa.Column("one_id", sa.ForeignKey("one.id")))
    with pytest.raises(DeclarationError, match="mapped to one table"):
        type(
            "Both",
            (SoftDelete, base),
            {"__table__": one.join(two)},
        )


def parent_and_child(options: Any = None, child: type = SoftDelete, **rel: Any) -> Any:
    """
    Map a parent whose relationship ``children`` has the given arguments.
    """
    base = new_base()
    parent = type(
        "Parent",
        (SoftDelete, base),
        {
            "__tablename__": "parent",
            "id": mapped_column(sa.Integer, primary_key=True),
            "children": relationship("Child", **rel),
            **({"__soft_delete__": options} if options else {}),
        },
    )
    type(
        "Child",
        (child, base) if child is not object else (base,),
        {
            "__tablename__": "child",
            "id": mapped_column(sa.Integer, primary_key=True),
            "kind": mapped_column(sa.Text),
            "parent_id": mapped_column(sa.ForeignKey("parent.id")),
        },
    )
    return parent


def test_cascades_follow_the_orm() -> None:
    """
    By default a deletion goes along the relationships that cascade deletes.
    """
    parent = parent_and_child(cascade="all, delete-orphan")
    (edge,) = edges_of(parent.metadata)
    assert (edge.parent.name, edge.child.name) == ("parent", "child")
    assert (edge.parent_key, edge.child_key) == (("id",), ("parent_id",))
    assert edges_of(parent_and_child().metadata) == ()


def test_cascades_that_are_named() -> None:
    """
    Named relationships are the ones, whatever the ORM does along the others.
    """
    options = SoftDeleteOptions(cascade=("children",))
    assert len(edges_of(parent_and_child(options).metadata)) == 1
    none = parent_and_child(SoftDeleteOptions(cascade=()), cascade="all, delete-orphan")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert edges_of(none.metadata) == ()
    assert none.children.property.cascade.delete is False
    assert none.children.property.cascade.delete_orphan is True


def test_a_cascade_in_a_backref() -> None:
    """
    A cascade may be written on the child's side.
    """
    base = new_base()
    type(
        "Parent",
        (SoftDelete, base),
        {"__tablename__": "parent", "id": mapped_column(sa.Integer, primary_key=True)},
    )
    type(
        "Child",
        (SoftDelete, base),
        {
            "__tablename__": "child",
            "id": mapped_column(sa.Integer, primary_key=True),
            "parent_id": mapped_column(sa.ForeignKey("parent.id")),
            "parent": relationship("Parent", backref=backref("children", cascade="all")),
        },
    )
    assert [edge.child.name for edge in edges_of(base.metadata)] == ["child"]


def test_a_cascade_from_the_side_of_the_key() -> None:
    """
    A many-to-one with a delete cascade takes the row that the key names.
    """
    base = new_base()
    type(
        "Address",
        (SoftDelete, base),
        {"__tablename__": "address", "id": mapped_column(sa.Integer, primary_key=True)},
    )
    type(
        "Person",
        (SoftDelete, base),
        {
            "__tablename__": "person",
            "id": mapped_column(sa.Integer, primary_key=True),
            "address_id": mapped_column(sa.ForeignKey("address.id")),
            "address": relationship("Address", cascade="all", single_parent=True),
        },
    )
    (edge,) = edges_of(base.metadata)
    assert (edge.parent.name, edge.parent_key) == ("person", ("address_id",))
    assert (edge.child.name, edge.child_key) == ("address", ("id",))


@pytest.mark.parametrize(
    ("options", "child", "rel", "words"),
    [
        (None, object, {"cascade": "all"}, ["'children'", "Child, which has no SoftDelete"]),
        (SoftDeleteOptions(cascade=("kids",)), SoftDelete, {}, ["'kids'", "there are children"]),
        (
            None,
            SoftDelete,
            {
                "cascade": "all",
                "primaryjoin": "and_(Parent.id == Child.parent_id, Child.kind == 'x')",
            },
            ["'children'", "more than equal keys"],
        ),
    ],
)
def test_cascades_that_cannot_be(options: Any, child: Any, rel: Any, words: list[str]) -> None:
    """
    A cascade that the database cannot follow is refused when mappers are configured.
    """
    parent = parent_and_child(options, child, **rel)
    with pytest.raises(DeclarationError) as caught:
        parent.registry.configure()
    for word in ("class Parent", "table parent", "option cascade=", *words):
        assert word in str(caught.value)
    with pytest.raises(InvalidRequestError, match="Parent"):  # and it stays refused
        parent.registry.configure()
    parent.registry.dispose()


def test_a_cascade_through_a_many_to_many_table() -> None:
    """
    Rows behind a secondary table do not go along.
    """
    base = new_base()
    link = sa.Table(
        "link",
        base.metadata,
        sa.Column("a_id", sa.ForeignKey("a.id")),
        sa.Column("b_id", sa.ForeignKey("b.id")),
    )
    for name, more in (
        ("A", {"bs": relationship("B", secondary=link, cascade="all")}),
        ("B", {}),
    ):
        columns = {"id": mapped_column(sa.Integer, primary_key=True)}
        type(name, (SoftDelete, base), {"__tablename__": name.lower(), **columns, **more})
    with pytest.raises(DeclarationError, match="map that table as a class with SoftDelete"):
        base.registry.configure()
    base.registry.dispose()


@pytest.mark.parametrize("joined", [True, False])
def test_a_cascade_into_the_middle_of_a_hierarchy(joined: bool) -> None:
    """
    The key of a cascade belongs to the table at the root, and to the class it leads to.
    """
    base = new_base()
    key = {"owner_id": mapped_column(sa.ForeignKey("owner.id"))}
    root = {
        "__tablename__": "animal",
        "id": mapped_column(sa.Integer, primary_key=True),
        "kind": mapped_column(sa.Text),
        "__mapper_args__": {"polymorphic_on": "kind"},
        **({} if joined else key),
    }
    leaf: dict[str, Any] = {"__mapper_args__": {"polymorphic_identity": "dog"}}
    if joined:
        identity = mapped_column(sa.ForeignKey("animal.id"), primary_key=True)
        leaf |= {"__tablename__": "dog", "id": identity, **key}
    animal = type("Animal", (SoftDelete, base), root)
    type("Dog", (animal,), leaf)
    type(
        "Owner",
        (SoftDelete, base),
        {
            "__tablename__": "owner",
            "id": mapped_column(sa.Integer, primary_key=True),
            "dogs": relationship("Dog", cascade="all"),
        },
    )
    with pytest.raises(DeclarationError, match="middle of a hierarchy"):
        base.registry.configure()
    base.registry.dispose()


def test_a_cascade_to_a_single_table_class_with_a_key_of_its_own() -> None:
    """
    A key that only the subclass has leads to its rows and no others.
    """
    base = new_base()
    animal = type(
        "Animal",
        (SoftDelete, base),
        {
            "__tablename__": "animal",
            "id": mapped_column(sa.Integer, primary_key=True),
            "kind": mapped_column(sa.Text),
            "__mapper_args__": {"polymorphic_on": "kind"},
        },
    )
    type(
        "Dog",
        (animal,),
        {
            "__mapper_args__": {"polymorphic_identity": "dog"},
            "owner_id": mapped_column(sa.ForeignKey("owner.id"), nullable=True),
        },
    )
    type(
        "Owner",
        (SoftDelete, base),
        {
            "__tablename__": "owner",
            "id": mapped_column(sa.Integer, primary_key=True),
            "dogs": relationship("Dog", cascade="all"),
        },
    )
    assert [edge.child.name for edge in edges_of(base.metadata)] == ["animal"]


def test_cascades_of_core_tables() -> None:
    """
    Without relationships, the foreign keys of the children are named.
    """
    metadata = sa.MetaData()
    parent = sa.Table("parent", metadata, sa.Column("id", sa.Integer, primary_key=True))
    child = sa.Table(
        "child",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("parent_id", sa.ForeignKey("parent.id")),
    )
    declare(parent, Rules(cascade=("child.parent_id",)))
    with pytest.raises(DeclarationError, match=r"child, which is not soft-deletable"):
        edges_of(metadata)
    declare(child, Rules())
    (edge,) = edges_of(metadata)
    assert (edge.parent_key, edge.child_key) == (("id",), ("parent_id",))


def test_a_core_cascade_along_no_key() -> None:
    """
    A column that is no foreign key to the table is refused.
    """
    metadata = sa.MetaData()
    table = sa.Table("thing", metadata, sa.Column("id", sa.Integer, primary_key=True))
    declare(table, Rules(cascade=("other.thing_id",)))
    with pytest.raises(DeclarationError, match=r"table thing: .*not a foreign key to this table"):
        edges_of(metadata)


def test_unique_among_live_rows() -> None:
    """
    unique_live makes a partial unique index, by column or by attribute.
    """
    cls = thing(
        handle=mapped_column("slug", sa.Text),
        __table_args__=(unique_live("handle"), unique_live("slug", "id", name="both")),
    )
    indexes = {index.name: index for index in cls.__table__.indexes}
    assert set(indexes) == {"thing_live_slug_key", "both"}
    where = indexes["both"].dialect_options["postgresql"]["where"]
    assert str(where) == "thing.deleted_at IS NULL"
    assert indexes["both"].unique


def test_live_indexes_of_expressions() -> None:
    """
    An expression is indexed when the index is named.
    """
    lower = sa.func.lower(sa.text("slug"))
    cls = thing(
        slug=mapped_column(sa.Text),
        __table_args__=(unique_live(lower, name="thing_lower"),),
    )
    assert [index.name for index in cls.__table__.indexes] == ["thing_lower"]
    with pytest.raises(DeclarationError, match="give it a name"):
        thing(slug=mapped_column(sa.Text), __table_args__=(unique_live(lower),))


def test_unique_live_over_a_missing_column() -> None:
    """
    A column that is not there is named, with the class and the table.
    """
    with pytest.raises(DeclarationError) as caught:
        thing(__table_args__=(unique_live("slug"),))
    for word in ("class Thing", "table thing", "unique_live('slug')", "it has id"):
        assert word in str(caught.value)


def test_unique_live_without_soft_delete() -> None:
    """
    A table that has no rules cannot tell live rows from deleted ones.
    """
    metadata = sa.MetaData()
    sa.Table("thing", metadata, sa.Column("slug", sa.Text), unique_live("slug"))
    with pytest.raises(DeclarationError, match=r"inherit pgultra\.SoftDelete"):
        plan.collect(metadata)


@pytest.mark.parametrize(
    "attributes",
    [
        {"slug": mapped_column(sa.Text, unique=True)},
        {"slug": mapped_column(sa.Text), "__table_args__": (sa.UniqueConstraint("slug"),)},
        {"slug": mapped_column(sa.Text), "__table_args__": (sa.Index("x", "slug", unique=True),)},
    ],
)
def test_a_plain_unique_rule_is_warned_of(attributes: Any) -> None:
    """
    Deleted rows keep their values taken under a plain unique rule: a warning names the fix.
    """
    with pytest.warns(PgultraWarning, match=r"unique_live\('slug'\)"):
        thing(**attributes)


def test_a_flag_that_nobody_keeps_is_warned_of() -> None:
    """
    A column is_deleted that is not declared as the flag would lie.
    """
    with pytest.warns(PgultraWarning, match="flag='is_deleted'"):
        thing(is_deleted=mapped_column(sa.Boolean))


def test_inner_joined_loads_of_soft_deletable_classes_are_made_outer() -> None:
    """
    A deleted parent must not make a live child vanish.
    """
    base = new_base()
    type(
        "Parent",
        (SoftDelete, base),
        {"__tablename__": "parent", "id": mapped_column(sa.Integer, primary_key=True)},
    )
    child = type(
        "Child",
        (base,),
        {
            "__tablename__": "child",
            "id": mapped_column(sa.Integer, primary_key=True),
            "parent_id": mapped_column(sa.ForeignKey("parent.id")),
            "parent": relationship("Parent", lazy="joined", innerjoin=True),
        },
    )
    base.registry.configure()
    assert child.parent.property.innerjoin is False


def test_facts_for_other_rooms() -> None:
    """
    Other rooms learn which rows are live, and which triggers run before an update.
    """
    facts = plan.facts_of(BLOG.Blog.__table__)
    assert facts.live.text() == '"deletedAt" IS NULL'
    assert facts.before_update_triggers


def test_facts_while_classes_are_being_mapped() -> None:
    """
    Facts can be asked for before the classes that a relationship names exist.
    """
    cls = thing(others=relationship("NotYet", cascade="all"))
    assert plan.facts_of(cls.__table__).before_update_triggers == ("thing_soft_delete_stamp",)
    cls.registry.dispose()


def test_metadata_can_be_pickled() -> None:
    """
    A MetaData with declarations can be pickled; as with ``info``, they stay behind.
    """
    metadata = sa.MetaData()
    table = sa.Table("thing", metadata, sa.Column("id", sa.Integer, primary_key=True))
    declare(table, Rules(view=True))
    copy = pickle.loads(pickle.dumps(metadata))
    assert copy.tables["thing"].c.keys() == table.c.keys()
    assert pickle.loads(pickle.dumps(Rules(view=True))) == Rules(view=True)


def test_the_room_is_reached_from_the_package() -> None:
    """
    The room and its headline names are attributes of the package.
    """
    assert pgultra.soft_delete is soft_delete
    assert pgultra.SoftDelete is SoftDelete
    assert pgultra.SoftDeleteOptions is SoftDeleteOptions


def test_nothing_for_dataclasses_to_find() -> None:
    """
    The mixin declares its attributes for type checkers only: a dataclass base sees no fields.
    """
    assert inspect.get_annotations(SoftDelete) == {}


def test_options_without_the_mixin() -> None:
    """
    Nobody would read them, and a deletion would remove the row.
    """

    class Base(DeclarativeBase):
        __soft_delete__ = SoftDeleteOptions(guard="allow")  # the house's, for who is soft-deletable

    class Kept(Base):
        __tablename__ = "kept"
        id = sa.Column(sa.Integer, primary_key=True)

    with pytest.raises(
        DeclarationError, match=r"class Gone says __soft_delete__.*Gone\(SoftDelete"
    ):

        class Gone(Base):
            __tablename__ = "gone"
            __soft_delete__ = SoftDeleteOptions()
            id = sa.Column(sa.Integer, primary_key=True)
