"""
The vocabulary of a vector: which words there are, for suggestions and corrections.

Writers only insert what changed into a second table, so that two who write the same word
never wait for each other; ``roll_up`` adds it up from time to time.
"""

from __future__ import annotations

import re
from importlib import resources
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Select,
    Table,
    Text,
    bindparam,
    func,
    select,
)
from sqlalchemy.dialects.postgresql import TSVECTOR

from pgultra import sql
from pgultra.bridge import on_connection
from pgultra.errors import DeclarationError
from pgultra.features.search.objects import advice_of
from pgultra.features.search.related import PATH, TOUCH_BODY
from pgultra.features.search.runtime import insist_on_all_rows
from pgultra.features.search.template import HOLE, Template
from pgultra.features.search.typed import constant
from pgultra.features.search.words import (
    checked,
    cut,
    insist_on_words,
    number,
    rules_behind,
    table_behind,
)
from pgultra.objects import Function, Trigger
from pgultra.plan import facts_of, function_name
from pgultra.plan.options import refused

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Connection

    from pgultra.features.search.parts import Resolved
    from pgultra.features.search.vector import Vector
    from pgultra.features.search.words import Searched
    from pgultra.objects import DatabaseObject

__all__ = ["did_you_mean", "make_tables", "roll_up", "suggest", "tables_of", "vocabulary_objects"]

COUNT = """INSERT INTO {delta} (word, change)
SELECT word, sum(change) FROM (
    SELECT unnest(tsvector_to_array(to_tsvector('simple'::regconfig, text))) AS word, change
    FROM ({rows}) AS texts) AS words
WHERE length(word) BETWEEN 2 AND 40 AND word !~ '[0-9/@.:_%]'
GROUP BY word HAVING sum(change) <> 0"""
EMPTIED = """LOCK TABLE {words} IN SHARE ROW EXCLUSIVE MODE;
WITH forgotten AS (DELETE FROM {words}) DELETE FROM {delta}"""
"""A TRUNCATE waits for a roll-up, or the words that this adds would stay."""
TEXTS = 'SELECT ({text}) COLLATE "C" AS text, {change} AS change FROM {rows} AS r{live}'
"""Texts are compared, not columns: some types cannot be, and some collations see no difference."""
ALTERED = """SELECT text, sum(change) AS change
    FROM ({old} UNION ALL {new}) AS both_sides GROUP BY text HAVING sum(change) <> 0"""
ANEW = """WITH forgotten AS (DELETE FROM {words}), swept AS (DELETE FROM {delta})
"""
"""In one statement with COUNT: what another transaction counts meanwhile is in neither."""
UNUSED = "DELETE FROM {words} WHERE count <= 0"
LOCK = "SELECT pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended({name}, 0))"
RECOUNT = """then, for the words of the rows that were there before:
pgultra.search.roll_up(connection, {column}, anew=True)"""
THRESHOLD = "0.3"
NO_STOP_WORD = "numnode(plainto_tsquery({}, p.word)) > 0"
MARKS = (
    r"!-./:-@\\[-`{-~"
    r"\\u00a1\\u00ab\\u00b4\\u00b7\\u00bb\\u00bf\\u2010-\\u2027\\u2030-\\u205e\\u3001-\\u3003\\u3008-\\u3011"
)
"""What stands between words and is part of none, as a text with escapes of a regular expression."""
BEGUN = "[^\\s{marks}](?:[^\\s{marks}]|[-/:@.%_])*$".format(marks=MARKS.replace("\\\\", "\\"))
"""The word that somebody is typing: from its first letter, with hyphens, or a whole address."""


def make_tables(table: Table, column: str) -> None:
    """
    Put the two tables of a vocabulary beside its table.
    """
    words, delta = _names(table.name, column)
    made = Table(
        words,
        table.metadata,
        Column("word", Text(collation="C"), primary_key=True),
        Column("count", BigInteger, nullable=False),
        Column("trigrams", TSVECTOR, nullable=False),
        schema=table.schema,
    )
    Index(sql.short_name(words, "trigrams"), made.c.trigrams, postgresql_using="gin")
    Table(
        delta,
        table.metadata,
        Column("word", Text(collation="C"), nullable=False),
        Column("change", BigInteger, nullable=False),
        schema=table.schema,
    )


def tables_of(table: Table, column: str) -> tuple[Table, ...]:
    """
    The two tables of a vocabulary.
    """
    return tuple(_words(table, name) for name in _names(table.name, column))


def vocabulary_objects(
    vector: Vector, chosen: bool | Sequence[str], keys: dict[str, str]
) -> Iterator[DatabaseObject]:
    """
    The triggers that count words.

    Args:
        vector: whose words.
        chosen: keys of its parts; True for those of the highest weight.
        keys: mapped attributes, with the key of their column.
    """
    table = vector.table
    function = function_name(table.metadata, "search", "touch")
    yield Function(name=function, schema=table.schema, body=TOUCH_BODY, settings=PATH)
    parts = chosen_parts(vector, chosen, keys)
    words, delta = (_place(table, name) for name in _names(table.name, vector.column.name))
    for event in ("INSERT", "UPDATE", "DELETE", "TRUNCATE"):
        if event == "TRUNCATE":
            made = EMPTIED.format(words=words, delta=delta)
        else:
            made = COUNT.format(delta=delta, rows=_changes(vector, parts, event))
        yield Trigger(
            name=sql.short_name(table.name, vector.column.name, "words", event.lower()),
            table=table.name,
            schema=table.schema,
            timing="AFTER",
            events=(event,),
            level="STATEMENT",
            function=function,
            arguments=(made.replace("%", "%%").replace(HERE, "%1$I"),),
            old_table="old_rows" if event in ("UPDATE", "DELETE") else None,
            new_table="new_rows" if event in ("UPDATE", "INSERT") else None,
            advice=advice_of(vector, RECOUNT) if event == "INSERT" else None,
        )


def chosen_parts(
    vector: Vector, chosen: bool | Sequence[str], keys: dict[str, str]
) -> list[Resolved]:
    """
    The parts whose words are counted.

    Raises:
        DeclarationError: there is no such part, or it is no text of the row.
    """
    own = [part for part in vector.parts if not part.related and not part.json]
    if chosen is True:
        best = min((part.weight for part in own), default="D")
        parts = [part for part in own if part.weight == best]
    else:
        found = [vector.table.c.get(keys.get(key, key)) for key in chosen or ()]
        names = [column.name for column in found if column is not None]
        if len(names) < len(found):
            names = []  # one is no column
        parts = [part for part in own if part.columns[:1] and part.columns[0] in names]
    if not parts:
        raise DeclarationError(
            f"search on table {vector.table.fullname}: vocabulary={chosen!r} names no part that is "
            "a text of the row"
        )
    return parts


def _changes(vector: Vector, parts: list[Resolved], event: str) -> str:
    """
    The texts that come with an event, and those that go.
    """
    come = _texts(vector, parts, "new_rows", 1)
    go = _texts(vector, parts, "old_rows", -1)
    either = {"INSERT": come, "DELETE": go, "UPDATE": ALTERED.format(old=go, new=come)}
    return either[event]


def _texts(vector: Vector, parts: list[Resolved], rows: str, change: int) -> str:
    live = facts_of(vector.table).live
    return TEXTS.format(
        text=" || ' ' || ".join(part.document("r.") for part in parts),
        change=change,
        rows=rows,
        live="" if live is None else f" WHERE {live.text()}",
    )


HERE = "\x03"
"""Stands for the schema of tables that are declared without one."""


def _names(table: str, column: str) -> tuple[str, str]:
    return sql.short_name(table, column, "words"), sql.short_name(table, column, "words_delta")


def _place(table: Table, name: str) -> str:
    if table.schema is None:
        return f"{HERE}.{sql.identifier(name)}"
    return sql.qualified(table.schema, name)


def _vocabulary(column: Any) -> tuple[Table, str, str]:
    """
    The table with a vector, and the names of its vocabulary's tables.
    """
    rules = rules_behind(column)
    if rules is None or not rules.vocabulary:
        raise DeclarationError(
            f"search: {column} has no vocabulary; declare it with SearchVector(..., "
            "vocabulary=True)"
        )
    table = table_behind(column)
    words, delta = _names(table.name, table.c[rules.column].name)
    return table, words, delta


def _words(table: Table, name: str) -> Table:
    return table.metadata.tables[f"{table.schema}.{name}" if table.schema else name]


def suggest(column: Searched, partial: str, limit: int = 10) -> Select[str, str, int]:
    """
    Ways to go on typing: words that begin with the last one, the most frequent first.

    Args:
        column: a vector with a vocabulary.
        partial: what the user has typed so far.
        limit: how many at most.

    Returns:
        rows of ``suggestion`` (all that was typed, the last word completed), ``word`` and
        ``count``.

    Raises:
        DeclarationError: the vector has no vocabulary, or an option takes something else.
        ValueError: ``partial`` holds what a query of ``match`` may not.

    Example:
        ``session.execute(search.suggest(Article.search, "quick bro")).all()``
    """
    table, name, _ = _vocabulary(column)
    words = _words(table, name)
    insist_on_words("partial", partial)
    typed = cut(partial)
    last = func.lower(func.substring(typed, constant(BEGUN)))
    before = func.regexp_replace(typed, constant(BEGUN), constant(""))
    return (
        select(before.concat(words.c.word).label("suggestion"), words.c.word, words.c["count"])
        .where(words.c.word.op("^@", is_comparison=True)(last), words.c["count"] > 0)
        .order_by(words.c["count"].desc(), words.c.word)
        .limit(number(limit))
    )


def did_you_mean(column: Searched, query: str) -> Select[str | None]:
    """
    The query with words that nobody wrote replaced by those that somebody did.

    Words are compared by their trigrams. Words of the vocabulary, stop words of any of its
    languages, words of three letters or less and such with digits stay as they are, and so
    does what stands between words.

    What was written since the last ``roll_up`` is known too, and proposed only after it. It is
    read from end to end, so that a query with unknown words takes the longer, the more of it
    there is.

    Args:
        column: a vector with a vocabulary.
        query: what the user typed.

    Returns:
        one row with one text: the other query, or NULL if there is nothing to correct.

    Raises:
        DeclarationError: the vector has no vocabulary, or the query is no text.
        ValueError: as for ``match``.

    Example:
        ``session.scalar(search.did_you_mean(Article.search, "quikc fox"))`` gives "quick fox"
    """
    table, name, delta = _vocabulary(column)
    if not isinstance(query, str):
        raise refused("search.did_you_mean", "query", query, "a text")
    rules = rules_behind(column)
    assert rules is not None
    text = resources.files(__package__).joinpath("sql/did_you_mean.sql").read_text()
    holes: dict[str, Any] = {
        "{query}": bindparam(None, checked(query), Text),
        "{words}": _words(table, name),
        "{delta}": _words(table, delta),
    }
    named = map(rules.configuration.literal, rules.configuration.names)
    for mark, value in (
        ("{no_stop_word}", " AND ".join(map(NO_STOP_WORD.format, named))),
        ("{threshold}", THRESHOLD),
        ("{marks}", MARKS),
    ):
        text = text.replace(mark, value)
    pattern = "|".join(map(re.escape, holes))
    found = tuple(holes[mark] for mark in re.findall(pattern, text))
    corrected: Any = Template(f"({re.sub(pattern, HOLE, text)})", found)
    answer: Select[str | None] = select(corrected.label("did_you_mean"))
    return answer


@on_connection
def roll_up(connection: Connection, column: Any, *, anew: bool = False) -> int:
    """
    Add what writers counted to the vocabulary; run it after a load, and from time to time.

    It runs in the connection's transaction; whoever writes meanwhile does not wait.

    Args:
        connection: whose transaction is used; an AsyncConnection too.
        column: a vector with a vocabulary.
        anew: count all rows again, for a table that had rows before its vocabulary.

    Returns:
        how many words were new or changed.

    Raises:
        DeclarationError: the vector has no vocabulary.
        PgultraError: policies hide rows from this role, and ``anew`` would pass over them.

    Example:
        ``search.roll_up(connection, Article.search)``
    """
    table, words, delta = _vocabulary(column)
    schema = sql.schema_on(connection, table.schema)
    names = {name: sql.qualified(schema, name) for name in (words, delta)}
    filled = {"words": names[words], "delta": names[delta]}
    run = connection.execute
    run(sql.statement(LOCK.format(name=sql.literal(names[words]))))
    if anew:
        insist_on_all_rows(connection, table, "search.roll_up(anew=True)")
        rules = rules_behind(column)
        assert rules is not None
        vector = rules.vector(table)
        parts = chosen_parts(vector, rules.vocabulary, rules.attributes)
        place = sql.qualified(schema, table.name)
        run(sql.statement(f"LOCK TABLE {place} IN ACCESS SHARE MODE"))  # before words
        count = COUNT.format(delta=names[delta], rows=_texts(vector, parts, place, 1))
        run(sql.statement(ANEW.format(**filled) + count))
    template = resources.files(__package__).joinpath("sql/roll_up.sql").read_text()
    changed = run(sql.statement(template.format(**filled))).rowcount
    run(sql.statement(UNUSED.format(**filled)))
    return changed
