from __future__ import annotations

import importlib
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from pgultra import RestoreConflict, partitions, search, soft_delete
from pgultra.features.partitions import read_archive
from pgultra.integrations.embedded import wheel_binaries
from tests.fixtures.database import clone

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fixtures.alembic import MigrationEnvironment
    from tests.fixtures.database import Database
    from tests.fixtures.server import Server

FOLDER = Path(__file__).parents[2] / "examples" / "sparkle_universe"
OURS = {"models", "queries", "rows"}
NINETEEN = (
    "achievements", "categories", "chat_messages", "comments", "conversations", "events", "groups",
    "messages", "polls", "post_series", "posts", "reports", "tags", "trades", "user_achievements",
    "users", "watch_parties", "watch_party_chat", "youtube_channels",
)  # fmt: skip


# -- the example's modules, and a database with its rows ---------------------------------------


@pytest.fixture(scope="module")
def universe() -> Iterator[Any]:
    """
    The example's modules, which other examples have under the same names.
    """
    others = {name: sys.modules.pop(name) for name in list(sys.modules) if top(name) in OURS}
    sys.path.insert(0, str(FOLDER))
    try:
        yield SimpleNamespace(
            **vars(importlib.import_module("models")),
            **{
                name: importlib.import_module(f"queries.{name}")
                for name in ("conversion", "deletion", "listings", "objects", "search", "upkeep")
            },
            rows=importlib.import_module("rows"),
        )
    finally:
        sys.path.remove(str(FOLDER))
        for name in [name for name in sys.modules if top(name) in OURS]:
            del sys.modules[name]
        sys.modules.update(others)


def top(name: str) -> str:
    """
    The package that a module is in.
    """
    return name.partition(".")[0]


@pytest.fixture(scope="module")
def filled(server: Server, template: str, universe: Any) -> Iterator[sa.Engine]:
    """
    A database with the tables and the rows of the example; its tests leave it as it is.
    """
    with clone(server, template) as database:
        engine = database.engine()
        universe.Base.metadata.create_all(engine)
        with Session(engine) as session, session.begin():
            universe.rows.content(session)
            for words in vocabularies(universe):
                search.roll_up(session.connection(), words)
        yield engine


def vocabularies(universe: Any) -> tuple[Any, ...]:
    """
    The vectors whose words are counted.
    """
    return universe.Post.title_words, universe.User.name_words, universe.Group.name_words


@pytest.fixture
def session(filled: sa.Engine) -> Iterator[Session]:
    """
    A session whose transaction is rolled back.
    """
    with Session(filled) as session:
        yield session


def one(session: Session, statement: str, **values: Any) -> Any:
    """
    The one value of a raw statement.
    """
    return session.scalar(sa.text(statement), values)


# -- phase 6: search ---------------------------------------------------------------------------

TAGGED = """setweight(to_tsvector('english', coalesce({0}, '')), 'A')
    || setweight(to_tsvector('english', coalesce("shortDescription", '')), 'B')
    || setweight(to_tsvector('english', coalesce(description, '')), 'C')
    || setweight(to_tsvector('english', coalesce(array_to_string(tags, ' '), '')), 'D')"""
MEANT = {
    "posts": """setweight(to_tsvector('english', coalesce(title, '')), 'A')
        || setweight(to_tsvector('english', coalesce(excerpt, '')), 'B')
        || setweight(jsonb_to_tsvector('english', coalesce(content, '{}'), '["string"]'), 'C')
        || setweight(
            to_tsvector('english', coalesce(array_to_string("metaKeywords", ' '), '')), 'D')""",
    "users": """setweight(to_tsvector('english', coalesce(username, '')), 'A')
        || setweight(to_tsvector('english', coalesce(bio, '')), 'C')""",
    "groups": TAGGED.format("name"),
    "events": TAGGED.format("title"),
}
"""The seed's vectors, with NULL arrays and JSON keys as they were meant (faults S1 and S2)."""
SEARCH_ALL = """SELECT * FROM (
    SELECT 0 AS place, 'post' AS kind, id, title, ts_rank(search_vector, q) AS rank
    FROM posts, plainto_tsquery('english', :query) AS q
    WHERE search_vector @@ q AND published AND NOT deleted
    UNION ALL
    SELECT 1, 'user', id, username, ts_rank(search_vector, q) * 0.8
    FROM users, plainto_tsquery('english', :query) AS q
    WHERE search_vector @@ q AND NOT deleted AND status = 'ACTIVE'
    UNION ALL
    SELECT 2, 'group', id, name, ts_rank(search_vector, q) * 0.9
    FROM groups, plainto_tsquery('english', :query) AS q
    WHERE search_vector @@ q AND NOT deleted AND visibility != 'HIDDEN'
    UNION ALL
    SELECT 3, 'event', id, title, ts_rank(search_vector, q) * 0.85
    FROM events, plainto_tsquery('english', :query) AS q
    WHERE search_vector @@ q AND NOT deleted AND status != 'CANCELLED'
) AS found ORDER BY rank DESC, place, id::text COLLATE "C" LIMIT 20"""
"""The body of the seed's ``search_all``, with an order of rows of equal rank."""


@pytest.mark.parametrize("table", sorted(MEANT))
def test_vectors_are_what_the_seed_meant(session: Session, table: str) -> None:
    """
    Each row's vector is the seed's expression; it follows its parts, and nothing else writes it.
    """
    right = sa.text(
        f"SELECT count(*), count(*) FILTER (WHERE search_vector = {MEANT[table]}) FROM {table}"
    )
    many, same = session.execute(right).one()
    assert many == same > 0
    column = {"users": "username", "groups": "name"}.get(table, "title")
    session.execute(sa.text(f"UPDATE {table} SET {column} = 'Comet' WHERE id = 1"))
    session.execute(sa.text(f"UPDATE {table} SET search_vector = 'nothing' WHERE id = 2"))
    assert session.execute(right).one() == (many, many)
    comet = f"SELECT id FROM {table} WHERE search_vector @@ 'comet'"
    assert one(session, comet) == 1


@pytest.mark.parametrize("query", ["sparkle", "meteors", "star diary", "brush paint", "absent"])
def test_search_all_gives_the_seeds_list(session: Session, universe: Any, query: str) -> None:
    """
    The same rows in the same order with the same ranks as the seed's function meant to give.
    """
    meant = session.execute(sa.text(SEARCH_ALL), {"query": query}).all()
    found = session.execute(universe.search.search_all(query)).all()
    assert [(row.source, row.key, row.title) for row in found] == [
        (row.kind, str(row.id), row.title) for row in meant
    ]
    assert [row.rank for row in found] == pytest.approx([row.rank for row in meant])
    assert bool(found) == (query != "absent")


def test_the_seeds_first_test_query(session: Session, universe: Any) -> None:
    """
    ``SELECT * FROM search_all('sparkle', 'all', 5)``: all four kinds, and what the seed shows.
    """
    found = session.execute(universe.search.search_all("sparkle", "all", 5)).all()
    assert [(row.source, row.title) for row in found] == [
        ("post", "Sparkle basics"),
        ("group", "Sparkle Makers"),
        ("event", "Sparkle Parade"),
        ("user", "sparkle_queen"),
        ("post", "A brush for every day"),
    ]
    post, group, event, user, _ = (row.extra for row in found)
    assert post.pop("publishedAt").startswith("2026-03-02T")
    assert post == {
        "description": "How glitter catches light.",
        "url": "/posts/post-1",
        "image": None,
        "authorName": "sparkle_queen",
        "categoryId": None,
    }
    assert (group["visibility"], group["memberCount"], group["verified"]) == ("PUBLIC", 0, False)
    assert (event["eventType"], event["isVirtual"]) == ("MEETUP", False)
    assert event["startTime"] < event["endTime"]
    assert (user["role"], user["verified"], user["level"]) == ("CREATOR", True, 1)


@pytest.mark.parametrize(
    ("kind", "titles"),
    [
        (
            "posts",
            [
                "Sparkle basics",
                "A brush for every day",
                "1 < 2 <script>",
                "Night walks",
                "Lanterns",
            ],
        ),
        ("users", ["sparkle_queen", "Spade"]),
        ("groups", ["Sparkle Makers", "Night Sky"]),
        ("events", ["Sparkle Parade", "Watching meteors"]),
    ],
)
def test_each_kind_alone(session: Session, universe: Any, kind: str, titles: list[str]) -> None:
    """
    A draft, a suspended user, a hidden group, a cancelled event and a JSON key are not found.

    A group without tags is: in the seed a NULL array makes the whole vector NULL.
    """
    found = session.execute(universe.search.search_all("sparkle", kind)).all()
    assert [row.title for row in found] == titles


def test_pages_neither_skip_nor_repeat(session: Session, universe: Any) -> None:
    """
    Sixty rows of equal rank and two others, in pages of seven.
    """
    seen: list[tuple[str, str]] = []
    page = session.execute(universe.search.search_all("meteors", limit=7)).all()
    while page:
        assert len(page) <= 7
        seen += [(row.source, row.key) for row in page]
        page = session.execute(universe.search.search_all("meteors", limit=7, after=page[-1])).all()
    all_at_once = session.execute(universe.search.search_all("meteors", limit=100)).all()
    assert len(seen) == 62
    assert seen == [(row.source, row.key) for row in all_at_once]


def test_a_name_of_stop_words(session: Session, universe: Any) -> None:
    """
    The seed finds nothing for a query that its dictionary leaves empty.
    """
    found = session.execute(universe.search.search_all("to be or not to be")).all()
    assert [(row.source, row.title) for row in found] == [("group", "To Be or Not To Be")]
    assert session.execute(sa.text(SEARCH_ALL), {"query": "to be or not to be"}).all() == []


@pytest.mark.parametrize(
    "query", ["", "'", "a & | b", '"open', "-", "<script>", "%", "\\", "ä" * 2000]
)
def test_any_text_may_be_asked(session: Session, universe: Any, query: str) -> None:
    """
    What a user types never raises.
    """
    assert session.execute(universe.search.search_all(query)).all() == []
    assert isinstance(session.execute(universe.search.search_suggestions(query or " ")).all(), list)


def test_the_name_of_an_author_who_is_gone(session: Session, universe: Any) -> None:
    """
    A post without an author shows the name that it was written under.
    """
    (found,) = session.execute(universe.search.search_all("safely")).all()
    assert found.extra["authorName"] == "Guest Gil"


def test_headlines_are_safe(session: Session, universe: Any) -> None:
    """
    Words are marked, and what a user wrote into a text is text.
    """
    (found,) = session.execute(universe.search.search_posts("safely")).all()
    assert "<mark>safely</mark>" in found.headline
    assert "&amp;" in found.headline
    assert "&lt;b&gt;" in found.headline


def test_the_seeds_second_test_query(session: Session, universe: Any) -> None:
    """
    ``SELECT * FROM search_suggestions('spa', 'all', 5)``: names with a word that begins so.

    By the seed's own rule, ``%`` with its threshold, three letters find no title at all.
    """
    found = session.execute(universe.search.search_suggestions("spa", "all", 5)).all()
    assert [(row.suggestion, row.result_type) for row in found] == [
        ("Spade", "user"),
        ("sparkle_queen", "user"),
        ("Sparkle Makers", "group"),
        ("Sparkle basics", "post"),
        ("Sparse drawings", "post"),
    ]
    assert [row.similarity for row in found] == pytest.approx(
        [3 / 5, 3 / 13, 3 / 14, 3 / 14, 3 / 15]
    )


def test_suggestions_of_one_kind(session: Session, universe: Any) -> None:
    """
    The last word is a beginning, the others stand; what is not shown is not suggested.
    """
    suggestions = universe.search.search_suggestions
    posts = session.execute(suggestions("spa", "posts")).all()
    assert [row.suggestion for row in posts] == [
        "Sparkle basics",
        "Sparse drawings",
        "Spaceships at dawn",
    ]
    assert [row.suggestion for row in session.execute(suggestions("sparkle b"))] == [
        "Sparkle basics"
    ]
    assert session.execute(suggestions("secr")).all() == []  # hidden
    assert session.execute(suggestions("sparkle_t")).all() == []  # suspended
    assert session.execute(suggestions("dra", "posts")).all()[0].suggestion == "Sparse drawings"


def test_words_are_completed_and_corrected(session: Session, universe: Any) -> None:
    """
    What the seed wanted from similarity, with no extension on the server.
    """
    found = session.execute(universe.search.completions("my spa")).all()
    assert found[0] == ("my sparkle", 5)
    assert ("my spaceships", 1) in found
    did_you_mean = universe.search.did_you_mean
    assert session.scalar(did_you_mean("sparkel")) == "sparkle"
    assert session.scalar(did_you_mean("spacships at dawn")) == "spaceships at dawn"
    for query in ("sparkle", "spade", "meteors", "the", "qqq"):  # found, or nothing is near
        assert session.scalar(did_you_mean(query)) is None


@pytest.mark.slow
@pytest.mark.parametrize("model", ["Post", "User", "Group", "Event"])
def test_rows_from_before_the_search(engine: sa.Engine, universe: Any, model: str) -> None:
    """
    The seed fills the vectors of three tables, in one UPDATE, and forgets the events.
    """
    universe.Base.metadata.create_all(engine)
    with Session(engine) as session, session.begin():
        session.execute(sa.text("SET LOCAL session_replication_role = replica"))
        universe.rows.content(session)
        table = getattr(universe, model).__tablename__
        empty = f"SELECT count(*) FROM {table} WHERE search_vector IS NULL"
        many = one(session, empty)
        assert many == one(session, f"SELECT count(*) FROM {table}") > 0
    with engine.connect() as connection:
        search.backfill(connection, getattr(universe, model).search_vector)
        assert connection.scalar(sa.text(empty)) == 0
        wrong = sa.text(f"SELECT count(*) FROM {table} WHERE search_vector <> {MEANT[table]}")
        assert connection.scalar(wrong) == 0


# -- phase 5: soft delete ----------------------------------------------------------------------


def test_all_nineteen(universe: Any) -> None:
    """
    The tables of the seed's list are those that are declared, and each has rows.
    """
    assert tuple(table.name for table in universe.deletion.deletable()) == NINETEEN


@pytest.mark.parametrize("name", NINETEEN)
def test_a_flag_is_a_deletion(session: Session, universe: Any, name: str) -> None:
    """
    The flag alone sets time, actor and deletion, hides the row, and takes it all back.
    """
    (table,) = (each for each in universe.deletion.deletable() if each.name == name)
    view = f"SELECT count(*) FROM {name}_live WHERE id = 1"
    row = sa.select(
        table.c.deleted, table.c.deletedAt, table.c.deletedBy, table.c.deletionId
    ).where(table.c.id == 1)
    connection = session.connection()
    assert one(session, view) == 1
    universe.deletion.act_as(session, "ann")
    universe.deletion.mark(connection, name, 1, deleted=True)
    flag, at, by, deletion = connection.execute(row).one()
    assert (flag, at, by) == (True, one(session, "SELECT now()"), "ann")
    assert universe.deletion.taken(connection, deletion)[name] >= 1
    assert one(session, view) == 0
    universe.deletion.mark(connection, name, 1, deleted=False)
    assert connection.execute(row).one() == (False, None, None, None)
    assert universe.deletion.taken(connection, deletion) == {}
    assert one(session, view) == 1
    for statement in (f"DELETE FROM {name}", f"TRUNCATE {name} CASCADE"):
        with (
            pytest.raises(sa.exc.IntegrityError, match=r"deleted softly|violates foreign key"),
            connection.begin_nested(),
        ):
            connection.execute(sa.text(statement))


@pytest.mark.parametrize(
    ("columns", "values", "expected"),
    [
        ("deleted", "true", (True, True)),  # the seed's trigger is not run by INSERT
        ('"deletedAt"', "'2020-01-01'", (True, False)),  # it leaves the flag behind
        ('deleted, "deletedAt"', "true, '2020-01-01'", (True, False)),  # it overwrites the time
        ("deleted", "NULL", (False, None)),  # it takes NULL for neither
    ],
)
def test_a_row_that_comes_deleted(
    session: Session, columns: str, values: str, expected: tuple[bool, bool | None]
) -> None:
    """
    Flag and time agree whichever is written, and a time that is given stays.
    """
    made = sa.text(
        f"INSERT INTO tags (name, {columns}) VALUES ('new', {values})"
        ' RETURNING deleted, "deletedAt" = now()'
    )
    assert tuple(session.execute(made).one()) == expected


@pytest.mark.slow
def test_a_user_goes_with_all_that_is_hers(session: Session, universe: Any) -> None:
    """
    One deletion over ten tables; what was deleted before stays deleted when she comes back.
    """
    User, Comment = universe.User, universe.Comment  # noqa: N806  # classes
    session.delete(session.get_one(Comment, 1))  # with its two answers
    session.flush()
    soft_delete.delete(session, session.get_one(User, 1), by="moderator")
    session.flush()
    gone = session.scalars(soft_delete.only_deleted(sa.select(User))).one()
    assert (gone.username, gone.deleted_by) == ("sparkle_queen", "moderator")
    assert universe.deletion.taken(session.connection(), gone.deletion_id) == {
        "comments": 1,
        "polls": 1,
        "post_series": 1,
        "posts": 3,
        "trades": 1,
        "user_achievements": 1,
        "users": 1,
        "watch_parties": 1,
        "watch_party_chat": 1,
        "youtube_channels": 1,
    }
    assert universe.deletion.validate(session.connection()) == []
    found = session.execute(universe.search.search_all("sparkle")).all()
    assert "Sparkle basics" not in {row.title for row in found}
    assert len(soft_delete.restore(session, gone)) == 12
    assert [each.content for each in session.scalars(sa.select(Comment))] == ["And a sponge."]


@pytest.mark.slow
def test_a_name_is_free_again(session: Session, universe: Any) -> None:
    """
    The seed's UNIQUE counts the dead; here they give way, and come back when they can.
    """
    User = universe.User  # noqa: N806  # a class
    queen = session.get_one(User, 1)
    session.delete(queen)
    session.flush()
    other = User(username="SPARKLE_QUEEN")
    session.add(other)
    session.flush()
    with pytest.raises(RestoreConflict, match="users_username_key"):
        soft_delete.restore(session, queen)
    third = sa.insert(User).values(username="Sparkle_Queen")
    with pytest.raises(sa.exc.IntegrityError), session.begin_nested():
        session.execute(third)
    soft_delete.hard_delete(session, other)
    assert queen in soft_delete.restore(session, queen)
    assert session.get_one(User, 1) is queen


def test_an_achievement_is_granted_once(session: Session, universe: Any) -> None:
    """
    Only the call that made the row rewards; what was taken away can be reached again.
    """
    grant = universe.deletion.grant
    assert [grant(session, 2, "FIRST_POST") for _ in range(2)] == [True, False]
    assert not grant(session, 2, "NO_SUCH_THING")
    held = sa.select(universe.UserAchievement).filter_by(user_id=2)
    session.delete(session.scalars(held).one())
    session.flush()
    assert grant(session, 2, "FIRST_POST")
    assert len(session.scalars(held).all()) == 1


def test_contradictions_are_found(session: Session, universe: Any) -> None:
    """
    What came past the triggers is told, row by row, where the seed asks for one row at a time.
    """
    connection = session.connection()
    assert universe.deletion.validate(connection) == []
    session.execute(sa.text("SET LOCAL session_replication_role = replica"))
    session.execute(
        sa.text("""UPDATE posts SET deleted = true, "deletedAt" = now() WHERE id = 1""")
    )
    found = {
        (each.table, each.key, each.problem) for each in universe.deletion.validate(connection)
    }
    assert ("posts", (1,), "deleted without a deletionId") in found
    assert {key for table, key, _ in found if table == "comments"} == {(1,), (3,), (4,)}
    assert {key for table, key, _ in found if table == "polls"} == {(1,)}
    with pytest.raises(sa.exc.IntegrityError), connection.begin_nested():
        session.execute(sa.text("UPDATE posts SET deleted = true WHERE id = 2"))  # without a time


# -- phase 8: indexes of the rows that are shown ------------------------------------------------


@pytest.mark.parametrize(
    ("query", "argument", "index", "rows"),
    [
        ("newest_posts", 10, "posts_published", 10),
        ("active_users", 100, "users_active", 19),
        ("thread", 1, "comments_live_postId_parentId_createdAt_idx", 3),
    ],
)
def test_indexes_of_live_rows_are_used(
    session: Session, universe: Any, query: str, argument: int, index: str, rows: int
) -> None:
    """
    The statement has the index's predicate word for word, so that a generic plan uses it too.
    """
    statement = getattr(universe.listings, query)(argument)
    connection = session.connection()
    sent: list[tuple[str, Any]] = []

    def watch(conn: Any, cursor: Any, text: str, parameters: Any, *_: Any) -> None:
        sent.append((text, parameters))

    sa.event.listen(connection, "before_cursor_execute", watch)
    assert len(session.scalars(statement).all()) == rows
    sa.event.remove(connection, "before_cursor_execute", watch)
    ((text, parameters),) = sent
    assert list(parameters.values()) == [argument]
    (name,) = parameters
    text = text.replace(f"%({name})s", "$1")
    for setting in (
        "enable_seqscan = off",
        "enable_sort = off",
        "plan_cache_mode = force_generic_plan",
    ):
        connection.exec_driver_sql(f"SET LOCAL {setting}")
    connection.exec_driver_sql(f"PREPARE asked AS {text}")
    plan = connection.exec_driver_sql(f"EXPLAIN EXECUTE asked ({argument})").scalars().all()
    connection.exec_driver_sql("DEALLOCATE asked")
    assert any(f"using {index}" in line.replace('"', "") for line in plan), plan


# -- phases 1, 3 and 5: what was made ----------------------------------------------------------


def test_levels(session: Session, universe: Any) -> None:
    """
    The seed's test: no experience is level 1, and 1000 matches the table of levels.
    """
    level = universe.objects.calculate_user_level
    table = sa.select(universe.LevelConfig.level).filter_by(required_xp=1000)
    assert session.scalar(level(0)) == 1
    assert session.scalar(level(1000)) == session.scalar(table) == 5
    assert [session.scalar(level(each)) for each in (-1, 99, 100, 10**6)] == [1, 1, 2, 6]


@pytest.mark.parametrize("table", ["events", "groups", "posts", "users"])
def test_changes_are_stamped(session: Session, table: str) -> None:
    """
    ``updatedAt`` moves with a change, and stays with an UPDATE that changes nothing.
    """
    column = {"users": "username", "groups": "name"}.get(table, "title")
    ask = f'SELECT "updatedAt" FROM {table} WHERE id = 1'
    before = one(session, ask)
    session.execute(sa.text(f"UPDATE {table} SET {column} = {column} WHERE id = 1"))
    assert one(session, ask) == before
    session.execute(sa.text(f"UPDATE {table} SET {column} = 'other' WHERE id = 1"))
    assert one(session, ask) > before


@pytest.mark.slow
def test_what_was_made(session: Session, universe: Any) -> None:
    """
    Nineteen checks and views, seven sets of partitions, and no drift; a lost trigger is named.
    """
    connection = session.connection()
    made = universe.objects.made(connection)
    assert (made["check"], made["view"], made["partitioning"]) == (19, 19, 7)
    assert universe.objects.drift(connection) == []
    name = "update_updated_at_posts"
    session.execute(sa.text(f"DROP TRIGGER {name} ON posts"))
    (step,) = universe.objects.drift(connection)
    assert name in step


# -- phase 7: partitions -----------------------------------------------------------------------


def test_queries_of_partitioned_tables(session: Session, universe: Any) -> None:
    """
    One partition is read, a payment happens once, a row moves, and messages go and come back.
    """
    first = datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    assert universe.rows.month(session, first) == 700
    mine = universe.upkeep.notifications_of(session, 7)
    assert len(mine) == 5
    assert {each.user_id for each in mine} == {7}
    everybody = sa.select(universe.Notification)
    with pytest.raises(AssertionError, match="notifications"):
        partitions.assert_pruned(session.connection(), everybody, at_most=1)
    assert universe.upkeep.pay_twice(session) == [True, False]
    paid = sa.select(sa.func.count()).select_from(universe.CurrencyTransaction)
    assert session.scalar(paid) == 101
    before, after = universe.upkeep.move_to_another_month(session)
    later = universe.upkeep.next_month(universe.upkeep.next_month(first))
    assert (before, after) == (f"xp_logs_{first:%Y_%m}", f"xp_logs_{later:%Y_%m}")
    assert universe.upkeep.delete_conversation(session, 1) == (0, 6)
    session.add(universe.AuditLog(action="EXPORT"))  # of none of the seed's lists
    session.flush()
    assert one(session, "SELECT action FROM audit_logs_default") == "EXPORT"


@pytest.mark.slow
@pytest.mark.parametrize("model", ["XpLog", "AuditLog", "Notification"])
def test_a_table_with_rows_is_divided(engine: sa.Engine, universe: Any, model: str) -> None:
    """
    Each way of dividing, of a plain table with its rows; afterwards nothing is left to do.
    """
    universe.Base.metadata.create_all(engine)
    table = getattr(universe, model).__tablename__
    first = datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    with Session(engine) as session, session.begin():
        universe.rows.content(session)
        universe.rows.month(session, first)
        for statement in (
            f"CREATE TABLE plain (LIKE {table} INCLUDING ALL)",
            f"INSERT INTO plain OVERRIDING SYSTEM VALUE SELECT * FROM {table}",
            f"DROP TABLE {table}",
            f"ALTER TABLE plain RENAME TO {table}",
            f'ALTER TABLE {table} ADD FOREIGN KEY ("userId") REFERENCES users (id)',
        ):
            session.execute(sa.text(statement))
        before = session.execute(sa.text(f"SELECT * FROM {table} ORDER BY id")).all()
    assert universe.conversion.divide(engine, getattr(universe, model)) == len(before) == 100
    with engine.connect() as connection:
        after = connection.execute(sa.text(f"SELECT * FROM {table} ORDER BY id")).all()
        kind = sa.text("SELECT relkind FROM pg_class WHERE oid = CAST(:name AS regclass)")
        assert connection.scalar(kind, {"name": table}) in ("p", b"p")
        assert universe.objects.drift(connection) == []
    assert after == before


# -- the doors, and the one command ------------------------------------------------------------


@pytest.mark.slow
def test_migrations(alembic_env: MigrationEnvironment, universe: Any) -> None:
    """
    One migration makes it all, the second is empty, and down and up again is the same.
    """
    metadata = universe.Base.metadata
    alembic_env.autogenerate("first", metadata=metadata)
    alembic_env.upgrade()
    assert alembic_env.check(metadata=metadata) == []
    assert alembic_env.autogenerate("second", metadata=metadata).empty
    alembic_env.downgrade()
    alembic_env.upgrade()
    assert alembic_env.check(metadata=metadata) == []


@pytest.mark.slow
def test_check_is_quiet(database: Database, universe: Any) -> None:
    """
    ``pgultra check``, as the README runs it.
    """
    universe.Base.metadata.create_all(database.engine())
    program = "from pgultra.integrations.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, "check", "models:Base", "--url", database.dsn],
        cwd=FOLDER,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert "no drift" in done.stdout


def run(*arguments: str) -> str:
    """
    The example as its README runs it; what it printed.
    """
    done = subprocess.run(
        [sys.executable, str(FOLDER / "app.py"), *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONWARNINGS": "error"},
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    return done.stdout


def judge(text: str) -> None:
    """
    Every scene said what it had to; of the 24 months twelve went, in each of the three ways.
    """
    for line in (
        "soft-deleted tables: 19",
        "0.61  post   Sparkle basics ",
        "group  To Be or Not To Be",
        "&lt;b&gt;<mark>safely</mark>",
        "did you mean: sparkle brush",
        "by mireille, with what belongs to her:",
        "cannot come back: User (id=21) is live",
        "she is back and has 3 posts",
        "and back: nothing is deleted",
        "an achievement granted twice: [True, False]",
        "rows that contradict themselves: 0",
        "is refused: its rows are deleted softly",
        "24 months, 16,800 rows",
        "12 x archive",
        "12 x detach",
        "12 x drop",
        "1,200 rows in 12 files, checksums hold",
        "left to do: nothing to do",
        "120, in one partition",
        "a payment tried twice: [True, False]",
        "a deleted conversation: 0, of the restored one: 120",
        "3 of 3 tables that only look like ours are still there",
        "drift: none",
    ):
        assert line in text
    standing = [line.split() for line in text.splitlines() if " partitions, gaps: " in line]
    assert {words[0]: (words[1], int(words[2])) for words in standing} == {
        "analytics_events": ("range", 16),
        "activity_streams": ("range", 16),
        "xp_logs": ("range", 16),
        "currency_transactions": ("range", 28),
        "audit_logs": ("list", 4),
        "messages": ("hash", 10),
        "notifications": ("hash", 8),
    }
    assert all(words[5] == "0," for words in standing)  # gaps
    assert [words[-1] for words in standing if "audit" in words[0]] == ["1"]  # in default


@pytest.mark.slow
def test_two_years_of_seven_tables(database: Database, tmp_path: Path) -> None:
    """
    On a server: every partition in its time, archives that can be read, and nothing left behind.
    """
    judge(run("--url", database.dsn, "--archive", str(tmp_path)))
    files = list(tmp_path.glob("*.tsv.gz"))
    assert [read_archive(path).rows for path in files] == [100] * 12
    with database.engine().connect() as connection:
        left = "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'sparkle_universe%'"
        assert connection.execute(sa.text(left)).scalar_one() == 0


@pytest.mark.slow
@pytest.mark.once
@pytest.mark.skipif(wheel_binaries() is None, reason="pip install 'pgultra[embedded]'")
def test_one_command_on_the_embedded_server() -> None:
    """
    Without an argument, a PostgreSQL comes along.
    """
    judge(run())
