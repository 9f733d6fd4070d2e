from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlmodel import Field, Session, SQLModel, col, select

from pgultra import (
    DeclarationError,
    EncryptedColumn,
    KeyRing,
    SearchVector,
    embeddings,
    search,
    soft_delete,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.hosts.stage import Host


@pytest.fixture
def models(host: Host) -> Any:
    """
    The clinic's models.
    """
    return host.module("models")


@pytest.fixture
def session(host: Host) -> Iterator[Session]:
    """
    SQLModel's own session.
    """
    with Session(host.engine()) as session:
        yield session


def test_patients_go_with_their_notes(session: Session, models: Any) -> None:
    """
    ``session.exec`` sees live rows only, the number is free again, and all comes back.
    """
    patient = models.Patient(number="P-9", name="Eve", notes=[models.Note(title="a")])
    session.add(patient)
    session.commit()
    soft_delete.delete(session, patient, by="Dr. No")
    session.commit()
    assert session.exec(select(models.Patient).where(models.Patient.number == "P-9")).all() == []
    assert session.exec(select(models.Note).where(models.Note.title == "a")).all() == []
    gone = session.exec(soft_delete.only_deleted(select(models.Patient))).one()
    assert (gone.name, gone.deleted_by, gone.is_deleted) == ("Eve", "Dr. No", True)
    session.add(models.Patient(number="P-9", name="Another"))
    session.commit()
    session.delete(session.exec(select(models.Patient).where(models.Patient.number == "P-9")).one())
    session.commit()
    assert len(soft_delete.restore(session, gone)) == 2
    session.commit()
    assert [note.title for note in gone.notes] == ["a"]


def test_secrets_have_their_types(session: Session, models: Any) -> None:
    """
    A date is a date again, an address is found by equality, the table holds ciphertexts.
    """
    ann = session.get(models.Patient, 1)
    ann.insurance, ann.born = " A 123 ", dt.date(1980, 2, 29)
    session.add(ann)
    session.commit()
    session.expire_all()
    found = session.exec(select(models.Patient).where(models.Patient.insurance == "A 123")).one()
    assert (found.insurance, found.born) == (" A 123 ", dt.date(1980, 2, 29))
    stored = session.scalar(sa.text("SELECT insurance FROM patient WHERE id = 1"))
    assert b"123" not in bytes(stored)


@pytest.mark.usefixtures("host")
def test_column_factories_are_refused() -> None:
    """
    SQLModel takes what ``EncryptedColumn()`` gives for a default, and would store plaintext.
    """
    ring = KeyRing("sqlmodel_refused", {1: bytes(range(32))})
    with pytest.raises(DeclarationError, match=r"write Field\(sa_type=Encrypted"):

        class Plain(SQLModel, table=True):
            id: int | None = Field(default=None, primary_key=True)
            email: str = EncryptedColumn(sa.String, keys=ring)

    SQLModel.metadata.remove(SQLModel.metadata.tables["plain"])
    with pytest.raises(ValueError, match="no matching SQLAlchemy type"):

        class Found(SQLModel, table=True):
            id: int | None = Field(default=None, primary_key=True)
            title: str
            words: Any = SearchVector({"title": "A"})


def test_columns_of_rooms_are_no_fields(models: Any) -> None:
    """
    They are attributes of objects, neither validated nor dumped by pydantic.
    """
    patient = models.Patient(number="P-8", name="Joe", deleted_by="nobody")
    assert patient.deleted_by is None
    assert not {"deleted_at", "deleted_by", "deletion_id"} & set(patient.model_dump())


def test_notes_are_found_by_words(session: Session, models: Any) -> None:
    """
    Notes from before the rooms as well.
    """
    statement = select(models.Note).where(search.match(models.Note.words, "headaches"))
    assert [note.title for note in session.exec(statement)] == ["First visit"]


@pytest.mark.needs("vector")
def test_notes_are_found_by_meaning(session: Session, models: Any, host: Host) -> None:
    """
    The worker embeds what waits, and `nearest` takes SQLModel's select.
    """
    embeddings.EmbeddingWorker(host.engine(), models.EMBEDDER, models.Note.embedding).work()
    (vector,) = models.EMBEDDER.embed(["Check-up\nPulse is regular."])
    near = embeddings.nearest(select(models.Note), models.Note.embedding, vector, k=1)
    assert [(note.title) for note, _ in session.execute(near)] == ["Check-up"]


def test_readings_lie_in_weeks(session: Session, models: Any) -> None:
    """
    A reading of now has a partition; one of long ago has none, and the error says so.
    """
    now = dt.datetime.now(dt.UTC)
    session.add(models.Reading(id=1, taken_at=now, patient_id=1, pulse=60))
    session.commit()
    reading = session.exec(select(models.Reading).where(col(models.Reading.pulse) == 60)).one()
    assert reading.taken_at == now
    session.add(models.Reading(id=2, taken_at=now - dt.timedelta(999), patient_id=1, pulse=61))
    with pytest.raises(sa.exc.IntegrityError, match="no partition"):
        session.commit()
