"""
Hosts as they are: every way to map a class, every kind of key and name, sync and async.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Column, ForeignKey, Integer, MetaData, Table, Text, select
from sqlalchemy.orm import (
    DeclarativeBase,
    DeclarativeBaseNoMeta,
    Mapped,
    MappedAsDataclass,
    Session,
    declarative_base,
    declared_attr,
    mapped_column,
    registry,
    relationship,
)

from pgultra import DeclarationError, declare
from pgultra.features.soft_delete import (
    Rules,
    SoftDelete,
    SoftDeleteOptions,
    only_deleted,
    restore,
    unique_live,
    with_deleted,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fixtures.database import Database


@dataclass
class Host:
    """
    A parent class and a child class below it, mapped in some way.
    """

    metadata: MetaData
    parent: Any
    child: Any


def columns() -> tuple[dict[str, Any], dict[str, Any]]:
    """
    Give the attributes of a parent and a child for classes made by ``type``.
    """
    parent = {
        "__tablename__": "parent",
        "id": mapped_column(Integer, primary_key=True),
        "name": mapped_column(Text),
        "children": relationship("Child", cascade="all, delete-orphan"),
    }
    child = {
        "__tablename__": "child",
        "id": mapped_column(Integer, primary_key=True),
        "parent_id": mapped_column(ForeignKey("parent.id")),
    }
    return parent, child


def declarative() -> Host:
    """
    A DeclarativeBase, the mixin before it.
    """

    class Base(DeclarativeBase):
        pass

    class Parent(SoftDelete, Base):
        __tablename__ = "parent"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str | None]
        children: Mapped[list[Child]] = relationship(cascade="all, delete-orphan")

    class Child(SoftDelete, Base):
        __tablename__ = "child"
        id: Mapped[int] = mapped_column(primary_key=True)
        parent_id: Mapped[int] = mapped_column(ForeignKey("parent.id"))

    return Host(Base.metadata, Parent, Child)


def mixin_after_base() -> Host:
    """
    The mixin behind the base.
    """

    class Base(DeclarativeBase):
        pass

    parent, child = columns()
    return Host(
        Base.metadata,
        type("Parent", (Base, SoftDelete), parent),
        type("Child", (Base, SoftDelete), child),
    )


def dataclasses() -> Host:
    """
    A MappedAsDataclass base: no argument of ``__init__`` may appear.
    """

    class Base(MappedAsDataclass, DeclarativeBase):
        pass

    class Parent(SoftDelete, Base):
        __tablename__ = "parent"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str | None] = mapped_column(default=None)
        children: Mapped[list[Child]] = relationship(
            default_factory=list, cascade="all, delete-orphan"
        )

    class Child(SoftDelete, Base):
        __tablename__ = "child"
        id: Mapped[int] = mapped_column(primary_key=True)
        parent_id: Mapped[int | None] = mapped_column(ForeignKey("parent.id"), default=None)

    return Host(Base.metadata, Parent, Child)


def dataclass_by_class() -> Host:
    """
    A plain base, single classes made dataclasses.
    """

    class Base(DeclarativeBase):
        pass

    class Parent(MappedAsDataclass, SoftDelete, Base):
        __tablename__ = "parent"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str | None] = mapped_column(default=None)
        children: Mapped[list[Child]] = relationship(
            default_factory=list, cascade="all, delete-orphan"
        )

    class Child(SoftDelete, MappedAsDataclass, Base):
        __tablename__ = "child"
        id: Mapped[int] = mapped_column(primary_key=True)
        parent_id: Mapped[int | None] = mapped_column(ForeignKey("parent.id"), default=None)

    return Host(Base.metadata, Parent, Child)


def abstract_base() -> Host:
    """
    The mixin on an abstract base, once for all.
    """

    class Base(DeclarativeBase):
        pass

    class Everything(SoftDelete, Base):
        __abstract__ = True

        @declared_attr.directive
        def __tablename__(cls) -> str:  # noqa: N805  # a class method by SQLAlchemy's rule
            return cls.__name__.lower()

    parent, child = columns()
    return Host(
        Base.metadata,
        type("Parent", (Everything,), parent),
        type("Child", (Everything,), child),
    )


def mixin_on_the_base() -> Host:
    """
    The mixin on the declarative base itself.
    """

    class Base(SoftDelete, DeclarativeBase):
        pass

    parent, child = columns()
    return Host(Base.metadata, type("Parent", (Base,), parent), type("Child", (Base,), child))


def old_declarative() -> Host:
    """
    A base from the function ``declarative_base``.
    """
    base = declarative_base()
    parent, child = columns()
    return Host(
        base.metadata,
        type("Parent", (SoftDelete, base), parent),
        type("Child", (SoftDelete, base), child),
    )


def base_without_meta() -> Host:
    """
    A base without a metaclass.
    """

    class Base(DeclarativeBaseNoMeta):
        pass

    parent, child = columns()
    return Host(
        Base.metadata,
        type("Parent", (SoftDelete, Base), parent),
        type("Child", (SoftDelete, Base), child),
    )


def decorated() -> Host:
    """
    Classes mapped by the decorator of a registry.
    """
    mapping = registry()
    parent, child = columns()
    return Host(
        mapping.metadata,
        mapping.mapped(type("Parent", (SoftDelete,), parent)),
        mapping.mapped(type("Child", (SoftDelete,), child)),
    )


def imperative() -> Host:
    """
    Tables first, classes mapped to them.
    """
    mapping = registry()
    parent = Table("parent", mapping.metadata, Column("id", Integer, primary_key=True))
    parent.append_column(Column("name", Text))
    child = Table("child", mapping.metadata, Column("id", Integer, primary_key=True))
    child.append_column(Column("parent_id", ForeignKey("parent.id")))
    below = type("Child", (SoftDelete,), {})
    above = type("Parent", (SoftDelete,), {})
    mapping.map_imperatively(below, child)
    children = relationship(below, cascade="all, delete-orphan")
    mapping.map_imperatively(above, parent, properties={"children": children})
    return Host(mapping.metadata, above, below)


def imperative_with_rules() -> Host:
    """
    Tables that declare their own rules before they are mapped.
    """
    mapping = registry()
    parent = Table("parent", mapping.metadata, Column("id", Integer, primary_key=True))
    parent.append_column(Column("name", Text))
    child = Table("child", mapping.metadata, Column("id", Integer, primary_key=True))
    child.append_column(Column("parent_id", ForeignKey("parent.id")))
    for table in (parent, child):
        declare(table, Rules(deleted_at="deletedAt", flag="gone"))
    below = type("Child", (SoftDelete,), {})
    above = type("Parent", (SoftDelete,), {})
    mapping.map_imperatively(below, child)
    children = relationship(below, cascade="all, delete-orphan")
    mapping.map_imperatively(above, parent, properties={"children": children})
    return Host(mapping.metadata, above, below)


def hybrid_table() -> Host:
    """
    Declarative classes over a ``__table__``.
    """

    class Base(DeclarativeBase):
        pass

    parent = Table("parent", Base.metadata, Column("id", Integer, primary_key=True))
    parent.append_column(Column("name", Text))
    child = Table("child", Base.metadata, Column("id", Integer, primary_key=True))
    child.append_column(Column("parent_id", ForeignKey("parent.id")))
    children = relationship("Child", cascade="all, delete-orphan")
    return Host(
        Base.metadata,
        type("Parent", (SoftDelete, Base), {"__table__": parent, "children": children}),
        type("Child", (SoftDelete, Base), {"__table__": child}),
    )


def other_schema() -> Host:
    """
    A schema of its own and names that need quotes.
    """

    class Base(DeclarativeBase):
        metadata = MetaData(schema="Else where")

    options = SoftDeleteOptions(deleted_at='at "now"', deleted_by="By", flag="Is Deleted")
    parent = {
        "__tablename__": 'Weird ""Table',
        "__soft_delete__": options,
        "id": mapped_column("The Id", Integer, primary_key=True),
        "name": mapped_column("order", Text),
        "children": relationship("Child", cascade="all, delete-orphan"),
    }
    child = {
        "__tablename__": "ü" * 31,
        "__soft_delete__": options,
        "id": mapped_column(Integer, primary_key=True),
        "parent_id": mapped_column(ForeignKey('Else where.Weird ""Table.The Id')),
    }
    above = type("Parent", (SoftDelete, Base), parent)
    return Host(Base.metadata, above, type("Child", (SoftDelete, Base), child))


HOSTS: list[Callable[[], Host]] = [
    declarative,
    mixin_after_base,
    dataclasses,
    dataclass_by_class,
    abstract_base,
    mixin_on_the_base,
    old_declarative,
    base_without_meta,
    decorated,
    imperative,
    imperative_with_rules,
    hybrid_table,
    other_schema,
]


def make(cls: Any, **values: Any) -> Any:
    """
    Make an object and set its attributes, whatever its constructor takes.
    """
    try:
        return cls(**values)
    except TypeError:
        made = cls()
        for name, value in values.items():
            setattr(made, name, value)
        return made


@pytest.mark.slow
@pytest.mark.parametrize("host", HOSTS, ids=lambda host: host.__name__)
def test_hosts(host: Callable[[], Host], database: Database) -> None:
    """
    Delete, look, restore: the same for every kind of host.
    """
    mapped = host()
    parent, child = mapped.parent, mapped.child
    engine = database.engine()
    with engine.begin() as connection:
        connection.execute(sa.text('CREATE SCHEMA "Else where"'))
    mapped.metadata.create_all(engine)
    with Session(engine) as session:
        below = [make(child, id=number) for number in (1, 2)]
        session.add(make(parent, id=1, name="one", children=below))
        session.commit()
        found = session.get(parent, 1)
        session.delete(found)
        session.commit()
        assert found.is_deleted
        assert session.scalars(select(parent)).all() == []
        assert session.scalars(select(child.id)).all() == []
        dead = session.scalars(only_deleted(select(child)).order_by(child.id)).all()
        assert {each.deletion_id for each in dead} == {found.deletion_id}
        assert len(restore(session, dead[0])) == 3
        session.commit()
        assert session.scalars(select(child.id).order_by(child.id)).all() == [1, 2]


def test_dataclass_constructors() -> None:
    """
    The constructor and the repr of a dataclass do not know the room's columns.
    """
    parent = dataclasses().parent
    assert repr(parent(id=1)).endswith("Parent(id=1, name=None, children=[])")
    with pytest.raises(TypeError):
        parent(id=1, deleted_by="ann")


def test_composite_keys(database: Database) -> None:
    """
    Keys of several columns, one of them a foreign key, cascade and come back.
    """

    class Base(DeclarativeBase):
        pass

    class Order(SoftDelete, Base):
        __tablename__ = "order"
        tenant: Mapped[uuid.UUID] = mapped_column(primary_key=True)
        number: Mapped[int] = mapped_column(primary_key=True)
        lines: Mapped[list[Line]] = relationship(cascade="all, delete-orphan")

    class Line(SoftDelete, Base):
        __tablename__ = "line"
        __table_args__ = (
            sa.ForeignKeyConstraint(["tenant", "number"], ["order.tenant", "order.number"]),
            unique_live("tenant", "article"),
        )
        tenant: Mapped[uuid.UUID] = mapped_column(primary_key=True)
        number: Mapped[int] = mapped_column(primary_key=True)
        line: Mapped[int] = mapped_column(primary_key=True)
        article: Mapped[str]

    Base.registry.configure()
    engine = database.engine()
    Base.metadata.create_all(engine)
    tenant, other = uuid.uuid4(), uuid.uuid4()
    with Session(engine) as session:
        for owner in (tenant, other):
            lines = [Line(line=number, article=str(number)) for number in (1, 2)]
            session.add(Order(tenant=owner, number=1, lines=lines))
        session.commit()
        order = session.get(Order, (tenant, 1))
        line = order.lines[0]
        session.delete(order)
        session.delete(session.get(Order, (other, 1)))
        session.commit()
        assert line not in session
        assert session.scalar(select(sa.func.count()).select_from(Line)) == 0
        assert len(restore(session, line)) == 3
        session.commit()
        assert {each.tenant for each in session.scalars(select(Line))} == {tenant}


def test_concrete_inheritance(database: Database) -> None:
    """
    A concrete subclass has a table, and columns, of its own.
    """

    class Base(DeclarativeBase):
        pass

    class Animal(SoftDelete, Base):
        __tablename__ = "animal"
        id: Mapped[int] = mapped_column(primary_key=True)

    class Dog(Animal):
        __tablename__ = "dog"
        __mapper_args__ = {"concrete": True}  # noqa: RUF012  # as SQLAlchemy has it
        id: Mapped[int] = mapped_column(primary_key=True)

    engine = database.engine()
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add_all([Animal(id=1), Dog(id=1)])
        session.commit()
        session.delete(session.get(Dog, 1))
        session.commit()
        assert session.scalars(select(Dog)).all() == []
        assert len(session.scalars(select(Animal)).all()) == 1


def test_schema_translation(database: Database) -> None:
    """
    One set of classes serves a schema for each tenant.
    """
    mapped = declarative()
    engine = database.engine()
    with engine.begin() as connection:
        for name in ("one", "two"):
            connection.execute(sa.text(f"CREATE SCHEMA {name}"))
    for name in ("one", "two"):
        tenant = engine.execution_options(schema_translate_map={None: name})
        mapped.metadata.create_all(tenant)
        with Session(tenant) as session:
            session.add(mapped.parent(id=1, children=[mapped.child(id=1)]))
            session.commit()
    tenant = engine.execution_options(schema_translate_map={None: "two"})
    with Session(tenant) as session:
        found = session.get(mapped.parent, 1)
        session.delete(found)
        session.commit()
        assert session.scalars(select(mapped.child)).all() == []
        assert len(restore(session, found)) == 2
        session.delete(session.get(mapped.parent, 1))
        session.commit()
    with engine.connect() as connection:
        counts = [
            connection.scalar(sa.text(f"SELECT count(deleted_at) FROM {name}.child"))
            for name in ("one", "two")
        ]
    assert counts == [0, 1]


def test_rules_and_options_that_differ() -> None:
    """
    Rules on the table and options on the class say the same, or one of them is silent.
    """
    mapping = registry()
    table = Table("thing", mapping.metadata, Column("id", Integer, primary_key=True))
    declare(table, Rules(guard="allow"))
    thing = type("Thing", (SoftDelete,), {"__soft_delete__": SoftDeleteOptions(view=True)})
    with pytest.raises(DeclarationError, match="say it once"):
        mapping.map_imperatively(thing, table)


def test_a_second_class_on_the_table(database: Database) -> None:
    """
    A class without the mixin on the same table sees all rows, and cannot delete any.
    """
    mapped = declarative()

    class Raw:
        pass

    mapping = registry(metadata=mapped.metadata)
    mapping.map_imperatively(Raw, mapped.parent.__table__)
    engine = database.engine()
    mapped.metadata.create_all(engine)
    with Session(engine) as session:
        session.add_all([mapped.parent(id=1), mapped.parent(id=2)])
        session.commit()
        session.delete(session.get(mapped.parent, 1))
        session.commit()
        assert len(session.scalars(select(Raw)).all()) == 2
        assert len(session.scalars(with_deleted(select(mapped.parent))).all()) == 2
        session.delete(session.get(Raw, 2))
        with pytest.raises(sa.exc.IntegrityError, match="deleted softly"):
            session.commit()
