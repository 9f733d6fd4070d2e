from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pgultra import DeclarationError, Function, plan
from pgultra.objects import Mark
from pgultra.objects._signature import without_defaults
from pgultra.plan.canonical import comparable
from pgultra.sql import statement

if TYPE_CHECKING:
    from collections.abc import Callable

OURS = Mark("default", "declared")
bodies = st.text(
    st.sampled_from(list("$'\"\\%:;\t\n\r{}()aE _0&@/*-")) | st.characters(codec="utf-8"),
    max_size=60,
).filter(lambda text: "\x00" not in text)


def read(connection: sa.Connection, *functions: Function) -> list[Function]:
    """
    What is in the database, of what is wanted or marked.
    """
    scope = plan.scope_of(connection, [], plan.State(functions), application="default")
    return list(plan.read(connection, scope).values())  # type: ignore[arg-type]


@pytest.fixture
def run(connection: sa.Connection) -> Callable[[tuple[str, ...]], None]:
    """
    `run(statements)`.
    """

    def statements(texts: tuple[str, ...]) -> None:
        for text in texts:
            connection.execute(statement(text))

    return statements


def test_statements() -> None:
    """
    Only what differs from PostgreSQL's own defaults is said.
    """
    function = Function(
        name="f",
        schema="s",
        arguments="a int",
        returns="int",
        language="sql",
        body="SELECT $$a$$",
        volatility="immutable",
        strict=True,
        leakproof=True,
        security="definer",
        parallel="safe",
        settings=(("search_path", "pg_catalog"), ("work_mem", "'1MB'")),
    )
    assert function.create() == (
        (
            "CREATE FUNCTION s.f(a int) RETURNS int LANGUAGE sql IMMUTABLE STRICT LEAKPROOF "
            "SECURITY DEFINER PARALLEL SAFE SET search_path = pg_catalog SET work_mem = '1MB'\n"
            "AS $pgultra$SELECT $$a$$$pgultra$"
        ),
    )
    assert function.drop() == ("DROP FUNCTION s.f(a int)",)
    assert str(function.identity) == "function s.f(a int)"


def test_a_body_is_replaced_a_signature_is_not() -> None:
    """
    The user's comment stays above the mark.
    """
    old = Function(name="f", body="old", comment="Mine.", mark=OURS)
    assert Function(name="f", body="new", mark=OURS).replace(old) == (
        "CREATE OR REPLACE FUNCTION f() RETURNS trigger LANGUAGE plpgsql\nAS $$new$$",
        "COMMENT ON FUNCTION f() IS 'Mine.\npgultra:default:declared'",
    )
    other = Function(name="f", body="new", returns="int")
    assert not other.in_place(old)
    assert other.replace(old)[0] == "DROP FUNCTION f()"


@pytest.mark.parametrize(
    "options", [{"volatility": "IMMUTABLE"}, {"security": "owner"}, {"parallel": "yes"}]
)
def test_wrong_options_are_refused(options: dict[str, str]) -> None:
    """
    The error names function, option, value and what it may be.
    """
    with pytest.raises(DeclarationError, match=r"function f: \w+='.*' is not one of \w+, "):
        Function(name="f", body="", **options)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("", ""),
        ("a int, b numeric(10,2)", "a int, b numeric(10,2)"),
        ("a int default 3, b text", "a int, b text"),
        ("a int DEFAULT 3", "a int"),
        ("a int = 3, b int", "a int, b int"),
        ("a int=3,b int", "a int,b int"),
        ("a text default 'x, y = (z)', b text[] default array['a', 'b']", "a text, b text[]"),
        ('"default" int, "a = b" text default \')\'', '"default" int, "a = b" text'),
        ("a int default f(1, 2), variadic b int[]", "a int, variadic b int[]"),
    ],
)
def test_defaults_do_not_belong_to_the_name(arguments: str, expected: str) -> None:
    """
    DROP and COMMENT take the types alone.
    """
    assert without_defaults(arguments) == expected


def test_every_argument_list_is_commented_on_and_dropped(
    connection: sa.Connection, run: Callable[..., None]
) -> None:
    """
    Whatever defaults, quotes and modes it has.
    """
    for number, arguments in enumerate(
        (
            "a int default 3, b text default 'x, y = (z)'",
            '"default" int, "a = b" text default \')\', inout c date = current_date',
            "a int default 1 + 2, variadic b text[] default array['a', 'b']",
            "numeric(10,2), character varying(3)[], in x timestamp with time zone",
        )
    ):
        returns = "date" if "inout" in arguments else "int"
        function = Function(
            name=f"f{number}", arguments=arguments, returns=returns, body="begin end", mark=OURS
        )
        run(function.create())
        (made,) = read(connection, function)
        assert made.mark == OURS
        run(function.drop())
        assert read(connection, function) == []
        run(made.create())
        assert read(connection, function) == [made]
        run(made.drop())


@pytest.mark.slow
@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(body=bodies)
@example("\t\\t '' \\' E'\\''")
@example("$pgultra$ $$ :a %(b)s %% %s")
@example("\r\n\x0b\x0c\u2028")
def test_a_body_is_kept_verbatim(connection: sa.Connection, body: str) -> None:
    """
    Tabs, percent signs, colons, backslashes, dollars; by each statement that writes it.
    """
    function = Function(name="verbatim", body=body)
    with connection.begin_nested() as savepoint:
        connection.exec_driver_sql("SET LOCAL check_function_bodies = off")
        try:
            connection.execute(statement(function.create()[0]))
        except sa.exc.DBAPIError:
            # the trigger function may be empty, but plpgsql compiles it all the same
            savepoint.rollback()
            return
        assert [each.body for each in read(connection, function)] == [body]
        changed = dataclasses.replace(function, body=body + "-")
        connection.execute(statement(changed.replace(function)[0]))
        assert [each.body for each in read(connection, function)] == [body + "-"]
        savepoint.rollback()


def test_overloads_are_told_apart(connection: sa.Connection, run: Callable[..., None]) -> None:
    """
    A stranger's overload is read, and left alone.
    """
    ours = Function(name="f", arguments="a int", returns="int", language="sql", body="SELECT 1")
    run(dataclasses.replace(ours, mark=OURS).create())
    run(("CREATE FUNCTION f(text) RETURNS int LANGUAGE sql AS 'SELECT 2'",))
    run(("CREATE PROCEDURE f(date) LANGUAGE sql AS 'SELECT 2'",))
    assert [str(each.identity) for each in read(connection, ours)] == [
        "function f(IN date)",
        "function f(a integer)",
        "function f(text)",
    ]


def test_bodies_that_postgresql_parses_are_strangers(
    connection: sa.Connection, run: Callable[..., None]
) -> None:
    """
    BEGIN ATOMIC keeps no text; one that bears our name is seen, and is not ours to replace.
    """
    function = Function(name="f", returns="int", language="sql", body="SELECT 1")
    run(("CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; END",))
    desired = plan.State([dataclasses.replace(function, mark=OURS)])
    scope = plan.scope_of(connection, [], desired, application="default")
    sides = comparable(connection, desired, scope)
    found = plan.compare(sides.desired, sides.actual, sides.originals)
    assert "function f(): it bears no mark" in found.conflicts[0]


@pytest.mark.parametrize(
    "change",
    [
        "ALTER FUNCTION f(int) SET search_path = public",
        "ALTER FUNCTION f(int) RESET ALL",
        "ALTER FUNCTION f(int) VOLATILE",
        "ALTER FUNCTION f(int) SECURITY DEFINER",
        "ALTER FUNCTION f(int) STRICT",
        "ALTER FUNCTION f(int) LEAKPROOF",
        "ALTER FUNCTION f(int) PARALLEL SAFE",
        (
            "CREATE OR REPLACE FUNCTION f(a int) RETURNS int LANGUAGE sql STABLE "
            "SET search_path = pg_catalog AS 'SELECT 1 '"
        ),
        (
            "CREATE OR REPLACE FUNCTION f(a int = 3) RETURNS int LANGUAGE sql STABLE "
            "SET search_path = pg_catalog AS 'SELECT 1'"
        ),
    ],
)
def test_every_change_is_seen(
    connection: sa.Connection, run: Callable[..., None], change: str
) -> None:
    """
    One step, that repairs it.
    """
    options: dict[str, Any] = {"volatility": "stable", "settings": (("search_path", "pg_catalog"),)}
    function = Function(
        name="f",
        arguments="a int",
        returns="int",
        language="sql",
        body="SELECT 1",
        mark=OURS,
        **options,
    )
    desired = plan.State([function])

    def found() -> plan.Plan:
        scope = plan.scope_of(connection, [], desired, application="default")
        sides = comparable(connection, desired, scope)
        return plan.compare(sides.desired, sides.actual, sides.originals)

    run(function.create())
    assert not found()
    run((change,))
    (step,) = found()
    run(step.statements())
    assert not found()
    assert step.reverse().reverse() == step
