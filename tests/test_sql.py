from __future__ import annotations

import string

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pgultra import sql

# What PostgreSQL can store: everything but NUL and halves of surrogate pairs.
texts = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=60)
nasty = st.text(
    st.sampled_from(list("$'\"\\%:;\t\n\r{}()[]aE _0pgultra&@/*-")) | st.sampled_from(["é", "表"]),
    max_size=40,
)
names = (texts | nasty).filter(lambda name: 0 < len(name.encode()) <= sql.NAME_BYTES)
dollars = st.lists(st.sampled_from(["$", "$pgultra", "pgultra", "0", "$$", "\t"])).map("".join)
with_a_database = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.mark.parametrize("name", ["article", "a1", "_x", "a$", "with_underscore"])
def test_plain_names_stay_plain(name: str) -> None:
    """
    A name that needs no quotes gets none, so that migrations read well.
    """
    assert sql.identifier(name) == name


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("deletedAt", '"deletedAt"'),
        ("two words", '"two words"'),
        ('Weird "Table', '"Weird ""Table"'),
        ("1st", '"1st"'),
        ("$x", '"$x"'),
        ("line\n", '"line\n"'),
        ("été", '"été"'),
        ("select", '"select"'),
        ("lateral", '"lateral"'),
        ("a.b", '"a.b"'),
    ],
)
def test_other_names_are_quoted(name: str, expected: str) -> None:
    """
    Capitals, spaces, quotes, keywords and whatever else is not plain stand in quotes.
    """
    assert sql.identifier(name) == expected


@pytest.mark.slow
def test_every_keyword_can_name_anything(connection: sa.Connection) -> None:
    """
    No word of this server's grammar is taken for syntax: table, column, function, trigger.
    """
    words = [row.word for row in connection.execute(sa.text("SELECT word FROM pg_get_keywords()"))]
    script = "\n".join(
        f"CREATE TABLE {name} ({name} pg_catalog.int4); "
        f"CREATE FUNCTION {name}() RETURNS pg_catalog.trigger LANGUAGE plpgsql AS 'begin return new; end'; "
        f"CREATE TRIGGER {name} BEFORE UPDATE OF {name} ON {name} "
        f"FOR EACH ROW EXECUTE FUNCTION {name}(); "
        f"DROP TABLE {name}; DROP FUNCTION {name}();"
        for name in map(sql.identifier, words)
    )
    assert len(words) > 400
    connection.exec_driver_sql("SET LOCAL search_path = public, pg_catalog")
    connection.execute(sql.statement(script))


@with_a_database
@given(name=names)
@example("a" * 63)
@example("é" * 31)
@example('"')
@example("a\n")
def test_a_quoted_name_means_itself(connection: sa.Connection, name: str) -> None:
    """
    PostgreSQL reads back exactly the name that was quoted.
    """
    statement = sql.statement(f"SELECT 1 AS {sql.identifier(name)}")
    assert list(connection.execute(statement).keys()) == [name]


@with_a_database
@given(schema=names, name=names)
def test_a_qualified_name_is_two_names(connection: sa.Connection, schema: str, name: str) -> None:
    """
    parse_ident takes schema and name apart again.
    """
    found = connection.execute(
        sa.text("SELECT parse_ident(:name)"), {"name": sql.qualified(schema, name)}
    ).scalar_one()
    assert found == [schema, name]


def test_without_a_schema_a_name_stays_unqualified() -> None:
    """
    None leaves it to the search_path.
    """
    assert sql.qualified(None, "order") == '"order"'


@with_a_database
@given(value=texts | nasty, escape=st.booleans(), standard=st.booleans())
@example(r"\' OR 1=1", False, False)
@example("100%(x)s :y %%", False, True)
def test_a_literal_means_itself(
    connection: sa.Connection, value: str, escape: bool, standard: bool
) -> None:
    """
    A text comes back as it was, whatever standard_conforming_strings says.
    """
    setting = "on" if standard else "off"
    connection.exec_driver_sql(f"SET LOCAL standard_conforming_strings = {setting}")
    connection.exec_driver_sql("SET LOCAL escape_string_warning = off")
    quoted = sql.literal(value, escape=escape)
    assert connection.scalar(sql.statement(f"SELECT {quoted}")) == value
    assert "\t" not in quoted


def test_a_literal_cannot_hold_nul() -> None:
    """
    What PostgreSQL cannot store is refused at once.
    """
    with pytest.raises(ValueError, match="NUL"):
        sql.literal("a\x00b")


@with_a_database
@given(body=texts | nasty | dollars)
@example("$")
@example("$$")
@example("$pgultra")
@example("$pgultra$ $$ $pgultra1$ $pgultra0")
@example("\t$$\t'")
def test_a_dollar_quoted_body_means_itself(connection: sa.Connection, body: str) -> None:
    """
    Whatever dollars are inside, the body comes back verbatim, and without a tab in the text.
    """
    quoted = sql.dollar(body)
    assert connection.scalar(sql.statement(f"SELECT {quoted}")) == body
    assert "\t" not in quoted


@with_a_database
@given(value=nasty)
def test_a_statement_is_sent_verbatim(connection: sa.Connection, value: str) -> None:
    """
    Neither colons nor percent signs mean anything to SQLAlchemy or the driver.
    """
    text = f"SELECT {sql.dollar(value + ' :a %s %(b)s %% ::int')}"
    assert connection.scalar(sql.statement(text)) == value + " :a %s %(b)s %% ::int"


def test_expressions_are_rendered_with_their_values() -> None:
    """
    What a user writes in SQLAlchemy becomes text without parameters.
    """
    table = sa.table("Article", sa.column("deletedAt"), sa.column("kind"))
    expression = sa.and_(table.c.deletedAt.is_(None), table.c.kind.in_(["a'b", "c%d"]))
    assert sql.render(expression, include_table=False) == (
        "\"deletedAt\" IS NULL AND kind IN ('a''b', 'c%d')"
    )
    assert sql.render(sa.select(table.c.kind).limit(3)) == (
        'SELECT "Article".kind \nFROM "Article" \n LIMIT 3'
    )


@given(parts=st.lists(texts.filter(bool), min_size=1, max_size=4))
def test_short_names_fit(parts: list[str]) -> None:
    """
    A made name has at most 63 bytes, and is the joined parts where they fit.
    """
    name = sql.short_name(*parts)
    joined = "_".join(parts)
    assert len(name.encode()) <= sql.NAME_BYTES
    assert name == joined or len(joined.encode()) > sql.NAME_BYTES
    assert name == sql.short_name(*parts)


def test_short_names_tell_long_names_apart() -> None:
    """
    What is cut leaves a hash behind, and the words that say what it is stay.
    """
    made = {sql.short_name(letter * 60, "soft_delete", "stamp") for letter in string.ascii_letters}
    made |= {sql.short_name("a" * 60 + letter, "soft_delete", "stamp") for letter in "xyz"}
    assert len(made) == len(string.ascii_letters) + 3
    assert all("_soft_delete_stamp_" in name for name in made)
    cut = sql.short_name("é" * 60, "soft_delete", "stamp")
    assert cut.startswith("éé")
    assert sql.short_name("x" * 80).startswith("x" * 54 + "_")


def test_fingerprints_are_short_and_stable() -> None:
    """
    The same text gives the same twelve digits, on every machine and version.
    """
    assert sql.fingerprint("SELECT 1") == "e004ebd5b553"
    assert sql.fingerprint("SELECT 2") != sql.fingerprint("SELECT 1")


def test_a_schema_is_what_the_connection_makes_of_it(engine: sa.Engine) -> None:
    """
    As SQLAlchemy has it, for which a map to None means the default schema.
    """
    with engine.connect() as connection:
        assert sql.schema_on(connection, None) is None
        there = connection.execution_options(schema_translate_map={None: "a B", "app": None})
        assert sql.schema_on(there, None) == "a B"
        assert sql.schema_on(there, "other") == "other"
        for declared in (None, "app", "other"):
            table = sa.Table("t", sa.MetaData(), sa.Column("id", sa.Integer), schema=declared)
            schema = sql.schema_on(there, declared)
            with pytest.raises(sa.exc.ProgrammingError) as caught:
                there.execute(sa.select(sa.func.count()).select_from(table))
            assert f"FROM {sql.qualified(schema, 't')}" in str(caught.value)
            there.rollback()
