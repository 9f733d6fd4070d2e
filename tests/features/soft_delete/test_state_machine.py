"""
Random histories of a small tree against a plain model of what must come of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import TYPE_CHECKING, Any, ClassVar

import hypothesis.strategies as st
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import delete, select, text
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

from pgultra import RestoreConflict
from pgultra.features.soft_delete import (
    Purged,
    SoftDelete,
    SoftDeleteOptions,
    audit,
    hard_delete,
    purge,
    restore,
    unique_live,
    with_deleted,
)

if TYPE_CHECKING:
    from tests.fixtures.database import Database


class Base(DeclarativeBase):
    """
    Folders in folders, with notes.
    """


class Folder(SoftDelete, Base):
    """
    A folder; names are unique among live ones.
    """

    __tablename__ = "folder"
    __table_args__ = (unique_live("name"),)
    __soft_delete__ = SoftDeleteOptions(flag="is_deleted", refuse_orphans=True)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    name: Mapped[str]
    parent_id: Mapped[int | None] = mapped_column(sa.ForeignKey("folder.id"))
    folders: Mapped[list[Folder]] = relationship(cascade="all", passive_deletes=True)
    notes: Mapped[list[Note]] = relationship(cascade="all", passive_deletes=True)


class Note(SoftDelete, Base):
    """
    A note in a folder.
    """

    __tablename__ = "note"
    __soft_delete__ = SoftDeleteOptions(deleted_at="deletedAt", refuse_orphans=True)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    folder_id: Mapped[int] = mapped_column(sa.ForeignKey("folder.id"))


Base.registry.configure()


@dataclass
class Row:
    """
    What the model knows of a row; ``deletion`` is None while it is live.
    """

    kind: str
    key: int
    parent: tuple[str, int] | None
    name: str = ""
    deletion: int | None = None


class Tree:
    """
    The plain model: dictionaries, and rules in words.
    """

    def __init__(self) -> None:
        self.rows: dict[tuple[str, int], Row] = {}
        self.deletions = count(1)

    def live(self, kind: str | None = None) -> list[Row]:
        """
        Rows that are live.
        """
        return [
            row for row in self.rows.values() if row.deletion is None and kind in (None, row.kind)
        ]

    def dead(self) -> list[Row]:
        """
        Rows that are deleted.
        """
        return [row for row in self.rows.values() if row.deletion is not None]

    def below(self, row: Row) -> list[Row]:
        """
        The children of a row.
        """
        return [each for each in self.rows.values() if each.parent == (row.kind, row.key)]

    def delete(self, *rows: Row, together: bool = False) -> None:
        """
        Mark rows and all live rows below them.
        """
        shared = next(self.deletions)
        doomed = {(row.kind, row.key) for row in rows}
        tops = [row for row in rows if not self._under(row, doomed)]
        ids = {(r.kind, r.key): shared if together else next(self.deletions) for r in tops}
        if together:  # one statement marks all its rows, then cascades
            for row in rows:
                row.deletion = shared
        for row in tops:
            self._mark(row, ids[row.kind, row.key])

    def _under(self, row: Row, doomed: set[tuple[str, int]]) -> bool:
        return row.parent is not None and row.parent in doomed

    def _mark(self, row: Row, deletion: int) -> None:
        if row.deletion is None:
            row.deletion = deletion
        for each in self.below(row):
            if each.deletion is None or each.deletion == deletion:
                self._mark(each, deletion)

    def restorable(self, row: Row) -> bool:
        """
        Whether the whole deletion of a row can come back.
        """
        members = [each for each in self.dead() if each.deletion == row.deletion]
        names = {each.name for each in self.live("folder")}
        for each in members:
            if each.kind == "folder" and each.name in names:
                return False
            parent = self.rows[each.parent] if each.parent else None
            if parent and parent.deletion not in (None, row.deletion):
                return False
        return True

    def restore(self, row: Row) -> int:
        """
        Revive the whole deletion of a row.
        """
        members = [each for each in self.dead() if each.deletion == row.deletion]
        for each in members:
            each.deletion = None
        return len(members)

    def remove(self, row: Row) -> int:
        """
        Remove a row and all below it.
        """
        removed = sum(self.remove(each) for each in self.below(row))
        del self.rows[row.kind, row.key]
        return removed + 1


CLASSES: dict[str, Any] = {"folder": Folder, "note": Note}
PICK = st.integers(min_value=0, max_value=10_000)
NAMES = st.sampled_from("abcdefgh")


class History(RuleBasedStateMachine):
    """
    One history: two sessions and raw SQL, each step a transaction.
    """

    engine: ClassVar[sa.Engine]

    def __init__(self) -> None:
        super().__init__()
        self.tree = Tree()
        self.keys = count(1)
        self.sessions = [Session(self.engine) for _ in range(2)]

    @initialize()
    def empty(self) -> None:
        """
        Begin with nothing.
        """
        with self.engine.begin() as connection:
            connection.execute(text("SET LOCAL pgultra.hard_delete = 'on'"))
            connection.execute(text("TRUNCATE folder, note"))

    def teardown(self) -> None:
        """
        Give the connections back.
        """
        for session in self.sessions:
            session.close()

    def object(self, session: Session, row: Row) -> Any:
        """
        The object of a row, dead or live.
        """
        cls = CLASSES[row.kind]
        statement = with_deleted(select(cls).where(cls.id == row.key))
        return session.scalars(statement.execution_options(populate_existing=True)).one()

    @rule(which=st.integers(0, 1), name=NAMES, pick=PICK, top=st.booleans())
    def add_folder(self, which: int, name: str, pick: int, top: bool) -> None:
        """
        Add a folder, if its name is free among live ones.
        """
        if name in {row.name for row in self.tree.live("folder")}:
            return
        parents = self.tree.live("folder")
        parent = None if top or not parents else parents[pick % len(parents)]
        key = next(self.keys)
        session = self.sessions[which]
        session.add(Folder(id=key, name=name, parent_id=parent.key if parent else None))
        session.commit()
        place = ("folder", parent.key) if parent else None
        self.tree.rows["folder", key] = Row("folder", key, place, name)

    @precondition(lambda self: self.tree.live("folder"))
    @rule(which=st.integers(0, 1), pick=PICK)
    def add_note(self, which: int, pick: int) -> None:
        """
        Add a note to a live folder.
        """
        folders = self.tree.live("folder")
        folder, key = folders[pick % len(folders)], next(self.keys)
        self.sessions[which].add(Note(id=key, folder_id=folder.key))
        self.sessions[which].commit()
        self.tree.rows["note", key] = Row("note", key, ("folder", folder.key))

    @precondition(lambda self: any(row.kind == "folder" for row in self.tree.dead()))
    @rule(which=st.integers(0, 1), pick=PICK)
    def add_below_the_dead(self, which: int, pick: int) -> None:
        """
        A child of a dead parent is refused.
        """
        folders = [row for row in self.tree.dead() if row.kind == "folder"]
        session = self.sessions[which]
        session.add(Note(id=next(self.keys), folder_id=folders[pick % len(folders)].key))
        with pytest.raises(sa.exc.IntegrityError):
            session.commit()
        session.rollback()

    @precondition(lambda self: self.tree.live("folder"))
    @rule(which=st.integers(0, 1), pick=PICK, name=NAMES)
    def rename(self, which: int, pick: int, name: str) -> None:
        """
        Change a live row.
        """
        if name in {row.name for row in self.tree.live("folder")}:
            return
        folders = self.tree.live("folder")
        row = folders[pick % len(folders)]
        found = self.sessions[which].get(Folder, row.key)
        found.name = row.name = name
        self.sessions[which].commit()

    @precondition(lambda self: self.tree.live())
    @rule(which=st.integers(0, 1), picks=st.lists(PICK, min_size=1, max_size=3))
    def delete(self, which: int, picks: list[int]) -> None:
        """
        Delete objects in one flush.
        """
        live = self.tree.live()
        rows = {id(row): row for row in (live[pick % len(live)] for pick in picks)}
        session = self.sessions[which]
        objects = [self.object(session, row) for row in rows.values()]
        with session.no_autoflush:
            for each in objects:
                session.delete(each)
        # A row between two others that the flush did not name goes to the upper one; which of
        # the two is marked first is not promised, so such flushes are left out.
        if self._gaps(list(rows.values())):
            session.rollback()
            return
        session.commit()
        self.tree.delete(*rows.values())

    def _gaps(self, rows: list[Row]) -> bool:
        doomed = {(row.kind, row.key) for row in rows}
        for row in rows:
            parent = row.parent
            direct = True
            while parent is not None:
                if parent in doomed and not direct:
                    return True
                direct = direct and parent in doomed
                parent = self.tree.rows[parent].parent
        return False

    @precondition(lambda self: self.tree.live("folder"))
    @rule(which=st.integers(0, 1), picks=st.lists(PICK, min_size=1, max_size=3), raw=st.booleans())
    def delete_in_bulk(self, which: int, picks: list[int], raw: bool) -> None:
        """
        Delete rows by one statement, of the ORM or raw.
        """
        folders = self.tree.live("folder")
        rows = list({id(row): row for row in (folders[p % len(folders)] for p in picks)}.values())
        keys = [row.key for row in rows]
        session = self.sessions[which]
        if raw:
            statement = text("UPDATE folder SET is_deleted = true WHERE id = ANY (:keys)")
            session.execute(statement, {"keys": keys})
        else:
            session.execute(delete(Folder).where(Folder.id.in_(keys)))
        session.commit()
        self.tree.delete(*rows, together=True)

    @precondition(lambda self: self.tree.dead())
    @rule(which=st.integers(0, 1), pick=PICK)
    def restore(self, which: int, pick: int) -> None:
        """
        Restore the deletion of a dead row, or be refused.
        """
        dead = self.tree.dead()
        row = dead[pick % len(dead)]
        session = self.sessions[which]
        found = self.object(session, row)
        if self.tree.restorable(row):
            assert len(restore(session, found)) == self.tree.restore(row)
        else:
            with pytest.raises(RestoreConflict):
                restore(session, found)
        session.commit()

    @precondition(lambda self: self.tree.rows)
    @rule(which=st.integers(0, 1), pick=PICK)
    def hard_delete(self, which: int, pick: int) -> None:
        """
        Remove a row for good.
        """
        rows = list(self.tree.rows.values())
        row = rows[pick % len(rows)]
        session = self.sessions[which]
        assert hard_delete(session, self.object(session, row)) == self.tree.remove(row)
        session.commit()

    @precondition(lambda self: self.tree.dead())
    @rule(size=st.integers(1, 5))
    def purge(self, size: int) -> None:
        """
        Remove all that is dead: nothing live can be below it.
        """
        dead = len(self.tree.dead())
        done, tomorrow = Purged(), datetime.now(UTC) + timedelta(days=1)
        with self.engine.connect() as connection:
            for cls in (Folder, Note):
                done += purge(connection, cls, older_than=tomorrow, batch_size=size)
        assert done == Purged(dead, 0)
        for row in self.tree.dead():
            self.tree.rows.pop((row.kind, row.key))

    @precondition(lambda self: self.tree.live())
    @rule(which=st.integers(0, 1), pick=PICK)
    def roll_back(self, which: int, pick: int) -> None:
        """
        Delete and restore in a transaction that is rolled back.
        """
        live = self.tree.live()
        session = self.sessions[which]
        found = self.object(session, live[pick % len(live)])
        session.delete(found)
        session.flush()
        assert found not in session
        restore(session, found)
        session.delete(found)
        session.rollback()
        assert found in session

    @invariant()
    def the_same(self) -> None:
        """
        The database and both sessions say what the model says, deletion by deletion.
        """
        with self.engine.connect() as connection:
            assert audit(connection, Base) == []
            rows: dict[tuple[str, int], Any] = {}
            for kind, cls in CLASSES.items():
                found = connection.execute(select(cls.__table__.c.id, cls.__table__.c.deletion_id))
                rows |= {(kind, key): deletion for key, deletion in found}
        assert set(rows) == set(self.tree.rows)
        pairs = {(rows[place], row.deletion) for place, row in self.tree.rows.items()}
        assert len({one for one, _ in pairs}) == len({other for _, other in pairs}) == len(pairs)
        assert {other for one, other in pairs if one is None} <= {None}
        for session in self.sessions:
            for kind, cls in CLASSES.items():
                live = sorted(session.scalars(select(cls.id)))
                assert live == sorted(row.key for row in self.tree.live(kind))
            session.commit()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SAWarning")
def test_histories(database: Database) -> None:
    """
    Whatever is done, in whatever order, by whom, database and model agree.
    """
    engine = database.engine(pool_size=4)
    Base.metadata.create_all(engine)
    machine = type("HistoryHere", (History,), {"engine": engine})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=25,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
