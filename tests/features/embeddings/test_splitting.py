from __future__ import annotations

import random
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from pgvector import Vector  # SQLAlchemy reads the annotations
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

import pgultra
from pgultra import DeclarationError, PgultraError, plan
from pgultra.features.embeddings import (
    Chunks,
    Embedding,
    EmbeddingWorker,
    Rules,
    VectorType,
    backfill,
    nearest_parents,
    queue_status,
    retry_failed,
    split_text,
)
from tests.features.embeddings.counting import Length, at_once

if TYPE_CHECKING:
    from tests.fixtures.alembic import MigrationEnvironment
    from tests.fixtures.database import Database

pytestmark = pytest.mark.needs("vector")

SIZE, OVERLAP = 30, 5


class Base(DeclarativeBase):
    pass


class Book(Base):
    __tablename__ = "book"

    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    body: Mapped[str | None]
    language: Mapped[str] = mapped_column(default="en")


class Page(Base):
    __tablename__ = "page"

    book_id: Mapped[int] = mapped_column(
        sa.ForeignKey(Book.id, ondelete="CASCADE", onupdate="CASCADE"), primary_key=True
    )
    number: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str]
    embedding: Mapped[Vector | None] = Embedding(3, metric="l2", source="text")


RULES = Chunks(source=("title", "body"), text="text", number="number", size=SIZE, overlap=OVERLAP)
pgultra.declare(Page, RULES)


def prose(number: int) -> str:
    """
    Some sentences that tell the number.
    """
    return " ".join(f"Sentence {n} of text {number}." for n in range(number % 4 + 1))


def right(engine: sa.Engine, *, whole: bool) -> bool:
    """
    Whether every chunk is one of its book's text as it is; if whole, all are there.
    """
    with engine.connect() as connection:
        connection.execution_options(isolation_level="REPEATABLE READ")
        books = connection.execute(sa.select(Book.id, Book.title, Book.body)).all()
        pages = connection.execute(sa.select(Page.book_id, Page.number, Page.text, Page.embedding))
        found: dict[int, dict[int, tuple[str, Any]]] = {}
        for book, number, text, vector in pages:
            found.setdefault(book, {})[number] = (text, vector)
    for id_, title, body in books:
        wanted = split_text("\n\n".join(part for part in (title, body) if part), SIZE, OVERLAP)
        chunks = found.get(id_, {})
        if chunks and [chunks[n][0] for n in sorted(chunks)] != wanted:
            return False
        if whole and len(chunks) != len(wanted):
            return False
        for text, vector in chunks.values():
            if (vector is None and whole) or vector not in (None, Vector(Length.vector(text))):
                return False
    return True


def fill(engine: sa.Engine, count: int) -> None:
    """
    Books without pages.
    """
    with Session(engine) as session:
        session.add_all(Book(id=n, title=f"title {n}", body=prose(n)) for n in range(count))
        session.commit()


def test_the_worker_splits_and_embeds(engine: sa.Engine) -> None:
    """
    New parents are cut into chunks; a text that changes by raw SQL loses its chunks at once.
    """
    Base.metadata.create_all(engine)
    fill(engine, 9)
    worker = EmbeddingWorker(engine, Length(), Page.embedding)
    with engine.connect() as connection:
        status = queue_status(connection, Page.embedding)
    assert (status.unsplit, status.waiting, status.done) == (9, 0, False)
    done = worker.work()
    assert done.split == 9
    assert done.embedded > 9
    assert right(engine, whole=True)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE book SET language = 'de', title = title")
        assert queue_status(connection, Page.embedding).done
        connection.exec_driver_sql("UPDATE book SET body = 'All new now.' WHERE id = 3")
        connection.exec_driver_sql("UPDATE book SET body = NULL, id = 77 WHERE id = 4")
        connection.exec_driver_sql("UPDATE book SET id = 88 WHERE id = 5")
        gone = sa.select(sa.func.count()).where(Page.book_id.in_([3, 4, 77]))
        assert connection.scalar(gone) == 0
        assert connection.scalar(sa.select(sa.func.count()).where(Page.book_id == 88)) > 0
        statement = nearest_parents(sa.select(Book), Page.embedding, [1, 2, 3], k=20)
        assert not {3, 77} & {row.id for row in connection.execute(statement)}
        assert queue_status(connection, Page.embedding).unsplit == 2
    assert right(engine, whole=False)
    again = worker.work()
    assert (again.split, again.failed) == (2, 0)
    assert right(engine, whole=True)
    with engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM book WHERE id < 3")
        assert queue_status(connection, Page.embedding).done


def test_a_text_that_changes_meanwhile_is_not_split_from_the_old(engine: sa.Engine) -> None:
    """
    Neither while the splitter runs, nor while the embedder runs.
    """
    Base.metadata.create_all(engine)
    fill(engine, 3)

    def change(number: int) -> None:
        with engine.begin() as connection:
            connection.exec_driver_sql(
                "UPDATE book SET body = %(body)s WHERE id = 1", {"body": prose(number)}
            )

    class Meddling(Length):
        def embed(self, texts: Any) -> list[list[float]]:
            if not self.seen:
                change(3)
            return super().embed(texts)

    worker = EmbeddingWorker(engine, Meddling(), Page.embedding)
    assert worker.chunks is not None
    queue = worker.chunks.queue(worker.queue.table)
    with engine.begin() as connection:
        token, jobs = queue.claim(connection, 10, worker.lease, 8)
    change(2)
    with engine.begin() as connection:
        pieces = [RULES.pieces(job.text) for job in jobs]
        assert queue.write(connection, token, jobs, pieces, RULES.name) == 2
    assert right(engine, whole=False)
    worker.work()
    assert right(engine, whole=True)


@pytest.mark.slow
def test_workers_and_a_busy_host(database: Database) -> None:
    """
    At any time every chunk is of the text that is there; in the end all are right.
    """
    engine = database.engine(pool_size=10)
    Base.metadata.create_all(engine)
    fill(engine, 30)
    stop = threading.Event()
    errors: list[BaseException] = []

    def guarded(work: Any) -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)

    def look() -> None:
        while not stop.is_set():
            assert right(engine, whole=False)

    workers = [
        EmbeddingWorker(engine, Length(0.001), Page.embedding, batch=5, wait=at_once)
        for _ in range(3)
    ]
    threads = [
        threading.Thread(target=guarded, args=(work,))
        for work in (look, *(lambda w=w: w.run(pause=0.01, stop=stop) for w in workers))
    ]
    for thread in threads:
        thread.start()
    choice = random.Random(5)
    for n in range(80):
        with engine.begin() as connection:
            some = choice.sample(range(30), 2)
            connection.execute(sa.update(Book).where(Book.id.in_(some)).values(body=prose(n)))
    for _ in range(1000):
        with engine.connect() as connection:
            if queue_status(connection, Page.embedding).done:
                break
        time.sleep(0.02)
    stop.set()
    for thread in threads:
        thread.join()
    assert errors == []
    assert right(engine, whole=True)


async def test_async_engines_too(engine: sa.Engine, database: Database) -> None:
    """
    The same worker on asyncpg.
    """
    Base.metadata.create_all(engine)
    fill(engine, 4)
    worker = EmbeddingWorker(database.async_engine(), Length(), Page.embedding)
    assert (await worker.work_async()).split == 4
    assert right(engine, whole=True)


def test_another_splitter_is_a_backfill(engine: sa.Engine) -> None:
    """
    Its name is kept beside the rows; one that fails keeps its error, and is tried again.
    """
    Base.metadata.create_all(engine)
    fill(engine, 4)
    EmbeddingWorker(engine, Length(), Page.embedding).work()
    state = Base.metadata.tables["book_page_state"]
    with engine.begin() as connection:
        assert set(connection.scalars(sa.select(state.c.model))) == {"split-text-1-30-5"}
        assert backfill(connection, Page.embedding) == 0
        connection.execute(sa.update(state).where(state.c.key_0 == 2).values(model="other"))
        assert backfill(connection, Page.embedding, dry_run=True) == 1
        assert backfill(connection, Page.embedding) == 1
    worker = EmbeddingWorker(engine, Length(), Page.embedding, most_attempts=1, wait=at_once)

    def broken(text: str) -> list[str]:
        raise RuntimeError("cannot cut it")

    worker.chunks = Chunks(
        source=("title", "body"), text="text", number="number", split=broken, version="broken"
    )
    assert worker.work().failed == 1
    with engine.begin() as connection:
        assert queue_status(connection, Page.embedding).failed == 1
        assert "cannot cut it" in str(
            connection.scalar(sa.select(state.c.error).where(state.c.key_0 == 2))
        )
        assert retry_failed(connection, Page.embedding) == 1
    assert EmbeddingWorker(engine, Length(), Page.embedding).work().split == 1
    assert right(engine, whole=True)


NEEDED = {
    "book": "SELECT UPDATE",
    "book_page_state": "SELECT UPDATE",
    "page": "SELECT INSERT UPDATE DELETE",
    "page_embedding_state": "SELECT INSERT UPDATE",
}


def test_rights_of_the_worker(engine: sa.Engine, database: Database) -> None:
    """
    Those that docs/reference/rights.md names are enough, and without one of them it raises.
    """
    Base.metadata.create_all(engine)
    fill(engine, 4)
    role = f"{database.name}_worker"
    rights = [(table, right) for table, some in NEEDED.items() for right in some.split()]

    def grant(verb: str, table: str, right: str, to: str = "TO") -> None:
        with engine.begin() as connection:
            connection.exec_driver_sql(f'{verb} {right} ON {table} {to} "{role}"')

    with engine.begin() as connection:
        connection.exec_driver_sql(f'CREATE ROLE "{role}" LOGIN')
    try:
        for table, each in rights:
            grant("GRANT", table, each)
        other = sa.create_engine(engine.url.set(username=role))
        worker = EmbeddingWorker(other, Length(), Page.embedding, wait=at_once)
        worker.work()
        assert right(engine, whole=True)
        for table, each in rights:
            with engine.begin() as connection:
                connection.execute(sa.update(Book).values(title=f"{table} {each}"))
            grant("REVOKE", table, each, "FROM")
            with pytest.raises(sa.exc.ProgrammingError, match="permission denied"):
                worker.work()
            grant("GRANT", table, each)
            with engine.begin() as connection:
                connection.execute(sa.update(Book).values(title="another"))
            worker.work()
            assert right(engine, whole=True)
        other.dispose()
    finally:
        with engine.begin() as connection:
            connection.exec_driver_sql(f'DROP OWNED BY "{role}"')
            connection.exec_driver_sql(f'DROP ROLE "{role}"')


def test_how_long_parents_wait(engine: sa.Engine) -> None:
    """
    A parent that nobody splits is the oldest that waits, though no chunk does.
    """
    Base.metadata.create_all(engine)
    fill(engine, 2)
    state = Base.metadata.tables["book_page_state"]
    with engine.begin() as connection:
        hours = sa.func.now() - sa.cast("3 hours", sa.Interval)
        connection.execute(sa.update(state).values(stale_since=hours))
        found = queue_status(connection, Page.embedding)
    assert (found.waiting, found.unsplit) == (0, 2)
    assert found.oldest is not None
    assert found.oldest.total_seconds() >= 3 * 3600
    EmbeddingWorker(engine, Length(), Page.embedding).work()
    with engine.begin() as connection:
        assert queue_status(connection, Page.embedding).oldest is None


@pytest.mark.parametrize("given", ["a text", ["a", None], [b"a"]])
def test_what_is_no_list_of_texts_is_refused(given: Any) -> None:
    """
    A splitter that gives the text itself had made a chunk of each letter.
    """
    rules = Chunks(source="body", text="text", split=lambda text: given, version="mine")
    with pytest.raises(PgultraError, match="splitter mine gave something else than a list"):
        rules.pieces("a text")


HOSTILE = 'We"ird Näme %s :x'


def hostile() -> tuple[sa.MetaData, sa.Table, sa.Table]:
    """
    Parent and chunks in two schemas, with names that need quoting and a composite key.
    """
    metadata = sa.MetaData()
    parent = sa.Table(
        HOSTILE,
        metadata,
        sa.Column('i"d', sa.Integer, primary_key=True),
        sa.Column("o'ther", sa.Text, primary_key=True, key="other"),
        sa.Column('bo"dy %s', sa.Text, key="body"),
        schema='Sche"ma %',
    )
    chunk = sa.Table(
        HOSTILE + " 2",
        metadata,
        sa.Column("n", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column('r"ef', sa.Integer),
        sa.Column("r'ef 2", sa.Text, key="ref_2"),
        sa.Column('te"xt', sa.Text, key="text"),
        sa.Column("em:b", VectorType(3, index=None, source="text"), key="embedding"),
        sa.ForeignKeyConstraint(['r"ef', "ref_2"], [parent.c['i"d'], parent.c.other]),
        schema="Other",
    )
    for name in ('Sche"ma %', "Other"):
        pgultra.declare(metadata, pgultra.Schema(name=name))
    pgultra.declare(
        chunk, Rules("embedding"), Chunks(source="body", text="text", size=20, overlap=0)
    )
    return metadata, parent, chunk


def test_hostile_names_and_two_schemas(owner_engine: sa.Engine, engine: sa.Engine) -> None:
    """
    Quotes, capitals and percent signs everywhere; the owner is no superuser.
    """
    metadata, parent, chunk = hostile()
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE EXTENSION vector"))
    metadata.create_all(owner_engine)
    with owner_engine.begin() as connection:
        assert not plan.check(connection, metadata)
        rows = [{'i"d': n, "other": "a'b", "body": "One is here. Two is there."} for n in range(3)]
        connection.execute(parent.insert(), rows)
    worker = EmbeddingWorker(owner_engine, Length(), chunk.c.embedding)
    assert (worker.work().split, worker.work().embedded) == (3, 0)
    with owner_engine.begin() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(chunk)) == 6
        connection.execute(parent.update().where(parent.c['i"d'] == 1).values(body="Short."))
        assert connection.scalar(sa.select(sa.func.count()).select_from(chunk)) == 4
    assert worker.work().split == 1


def test_a_migration_brings_it_and_takes_it_away(alembic_env: MigrationEnvironment) -> None:
    """
    Triggers on the parent, functions and side tables; the second autogenerate is empty.
    """
    first = alembic_env.autogenerate(metadata=Base.metadata)
    assert "drop_chunks" in first.text
    alembic_env.upgrade()
    assert alembic_env.check(metadata=Base.metadata) == []
    assert alembic_env.autogenerate(metadata=Base.metadata).empty
    alembic_env.upgrade()
    alembic_env.downgrade()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"source": "missing", "text": "text"}, "no column 'missing'"),
        ({"source": "body", "text": "missing"}, "no column 'missing'"),
        ({"source": "body", "text": "text", "number": "missing"}, "no column 'missing'"),
        ({"source": "body", "text": "text", "parent": "other"}, "one foreign key"),
        ({"source": "body", "text": "text", "overlap": 2000}, "less than size"),
        ({"source": "body", "text": "text", "split": str.split}, "needs version"),
    ],
)
def test_what_does_not_fit_is_refused(options: dict[str, Any], reason: str) -> None:
    """
    With what to say instead.
    """
    metadata = sa.MetaData()
    sa.Table(
        "book", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("body", sa.Text)
    )
    page = sa.Table(
        "page",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("book_id", sa.ForeignKey("book.id")),
        sa.Column("text", sa.Text),
    )
    with pytest.raises(DeclarationError, match=reason):
        pgultra.declare(page, Chunks(**options))
