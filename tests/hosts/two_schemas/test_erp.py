from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from pgultra import embeddings, search, soft_delete

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.hosts.stage import Host


@pytest.fixture
def models(host: Host) -> Any:
    """
    The ERP's models.
    """
    return host.module("models")


@pytest.fixture
def session(host: Host) -> Iterator[Session]:
    """
    A session that nothing is committed from.
    """
    with Session(host.engine()) as session:
        yield session


def test_a_deletion_crosses_the_schemas(session: Session, models: Any) -> None:
    """
    A contact of CRM takes its orders of Sales and their lines along, and brings them back.
    """
    ann = session.get(models.Contact, 1)
    soft_delete.delete(session, ann, by="clerk")
    session.flush()
    assert session.scalars(sa.select(models.Order.id)).all() == [3]
    assert session.scalars(sa.select(models.Line.text)).all() == ["a chair for a child"]
    gone = sa.text(
        'SELECT count(*), min("deletedBy") FROM "Sales"."Order Line" WHERE "deletedAt" IS NOT NULL'
    )
    assert tuple(session.execute(gone).one()) == (3, "clerk")
    session.add(models.Contact(customer_number="A-1", full_name="Another"))
    session.flush()
    session.delete(session.scalars(sa.select(models.Contact).filter_by(full_name="Another")).one())
    session.flush()
    assert len(soft_delete.restore(session, ann)) == 6


def test_orders_are_found_by_their_lines(session: Session, models: Any) -> None:
    """
    Words of another table, in their own case of names; new lines count at once.
    """
    asked = sa.select(models.Order.id).order_by(models.Order.id)
    assert session.scalars(asked.where(search.match(models.Order.words, "chair"))).all() == [1, 3]
    session.add(models.Line(order_id=2, text="another chair"))
    session.flush()
    assert session.scalars(asked.where(search.match(models.Order.words, "chair"))).all() == [
        1,
        2,
        3,
    ]


@pytest.mark.needs("vector")
def test_lines_are_found_by_meaning(session: Session, models: Any, host: Host) -> None:
    """
    The side table of the queue stands in the schema of its table.
    """
    worker = embeddings.EmbeddingWorker(host.engine(), models.EMBEDDER, models.Line.meaning)
    assert worker.work().embedded >= 4
    (vector,) = models.EMBEDDER.embed(["lamp oil"])
    near = embeddings.nearest(sa.select(models.Line), models.Line.meaning, vector, k=1)
    assert session.execute(near).one().Line.text == "lamp oil"
    tables = sa.text("SELECT tablename FROM pg_tables WHERE schemaname = 'Sales'")
    assert "Order Line_textEmbedding_state" in session.scalars(tables).all()


def test_what_is_personal(session: Session, models: Any) -> None:
    """
    Found by equality, bound to its row by attributes whose columns are called otherwise.
    """
    ann = session.get(models.Contact, 1)
    ann.email, ann.tax_number = "Ann@Able.org", "DE 1"
    session.flush()
    session.expire_all()
    found = session.scalars(sa.select(models.Contact).where(models.Contact.email == "ann@able.ORG"))
    assert found.one().tax_number == "DE 1"
    ann.customer_number = "A-7"
    session.flush()
    session.expire_all()
    assert ann.tax_number == "DE 1"


def test_bookings_lie_in_quarters(session: Session, models: Any) -> None:
    """
    A partition is called after its parent, and lies in its schema.
    """
    session.add(models.Booking(id=1, booked_on=dt.datetime.now(dt.UTC).date(), order_id=1))
    session.flush()
    home = session.scalar(sa.text('SELECT tableoid::regclass::text FROM "Sales"."Ledger Booking"'))
    assert home.startswith('"Sales"."Ledger Booking_2')
