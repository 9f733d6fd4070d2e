"""
Headlines: pieces of a row's text around the words that were found, as safe HTML.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pgultra import sql
from pgultra.errors import DeclarationError
from pgultra.features.search.parts import ROW
from pgultra.features.search.template import HOLE, document_of, template_of
from pgultra.features.search.typed import quoted
from pgultra.features.search.words import (
    INTEGER,
    count,
    plain,
    read,
    regconfig,
    rules_behind,
    source_behind,
    table_behind,
)
from pgultra.plan.options import flag, named, refused

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement

    from pgultra.features.search.words import Searched, Words

__all__ = ["headline"]


def headline(
    column: Searched,
    query: Words,
    *,
    of: str | None = None,
    start: str = "<mark>",
    stop: str = "</mark>",
    delimiter: str = " … ",
    escape: bool = True,
    fragments: int = 2,
    max_words: int = 35,
    min_words: int = 15,
    length: int = 2000,
    config: str | None = None,
    language: str | None = None,
) -> ColumnElement[str]:
    """
    A piece of the row's text around the words that were found, as safe HTML.

    PostgreSQL computes it for the rows that are returned only, if the statement has an
    ORDER BY and a LIMIT, as those of ``top`` have.

    Args:
        column: a vector, whose own parts are the text; or a text column, with ``config``.
        query: what the user typed, as it is.
        of: the key of one part, instead of all.
        start: put before each word that was found, as it is.
        stop: put after it.
        delimiter: put between two fragments.
        escape: escape the text; without it the text is left as it was stored.
        fragments: pieces at most; 0 for a single piece in PostgreSQL's older manner.
        max_words: of a piece.
        min_words: of a piece.
        length: characters of each part that are looked at.
        config: as for ``match``.
        language: as for ``match``.

    Raises:
        DeclarationError: a number is out of range, a sign is no text, or there is no text to show:
            no part is of the row itself, none is named ``of``, or its columns are not selected.
        ValueError: as for ``match``; or a sign holds a control character that has a meaning here.

    Example:
        ``select(Article.title, search.headline(Article.search, "fox"))``
    """
    max_words = count(max_words, "max_words", INTEGER)
    min_words = count(min_words, "min_words", INTEGER)
    fragments, length = count(fragments, "fragments", INTEGER), count(length, "length", INTEGER)
    for option, sign in (("start", start), ("stop", stop), ("delimiter", delimiter)):
        if not isinstance(sign, str):
            raise refused("search.headline", option, sign, "a text")
    if not 0 < min_words < max_words:
        takes = f"less than max_words={max_words}, and 1 at least"
        raise refused("search.headline", "min_words", min_words, takes)
    flag("search.headline", escape=escape)
    named("search.headline", of=of)
    tsquery = read(column, query, config, language)
    text, *texts = _text_of(column, of, length)
    options = f"MaxWords={max_words}, MinWords={min_words}, MaxFragments={fragments}"
    signs = (start, stop, delimiter)
    marked = _marked(text, regconfig(column, config, language), options, signs, escape)
    source = None if rules_behind(column) is None else source_behind(column)
    return template_of(marked, source, *texts, tsquery)


@lru_cache(maxsize=256)
def _marked(text: str, words: str, options: str, signs: tuple[str, str, str], escape: bool) -> str:
    """
    The call of ts_headline, with a hole for the query.

    Raises:
        ValueError: a sign holds what stands for something else here.
    """
    for sign in signs:
        if ROW in sign or HOLE in sign:
            raise ValueError(f"{sign!r} cannot stand in a headline: take out its control character")
    text = f"translate({text}, {_MARKS}, '')"
    if escape:
        for raw, safe in (("&", "amp"), ("<", "lt"), (">", "gt"), ('"', "quot"), ("'", "#39")):
            text = f"replace({text}, {sql.literal(raw)}, '&{safe};')"
    options = sql.literal(f"{options}, StartSel=\x01, StopSel=\x02, FragmentDelimiter=\x03")
    marked = f"ts_headline({words}, {text}, {HOLE}, {options})"
    for number, sign in enumerate(signs, start=1):
        marked = f"replace({marked}, chr({number}), {quoted(sign)})"
    return marked


_MARKS = "'\x01\x02\x03'"


def _text_of(column: Searched, of: str | None, length: int) -> tuple[Any, ...]:
    """
    The text as SQL, and what fills its holes.
    """
    element = plain(column)
    rules = rules_behind(column)
    if rules is None:
        return f"\"left\"(COALESCE({HOLE}, ''), {int(length)})", element
    parts = [part for part in rules.vector(table_behind(column)).parts if not part.related]
    if of is not None:
        key = rules.attributes.get(of, of)
        columns = table_behind(column).c
        name = columns[key].name if key in columns else key
        parts = [part for part in parts if part.columns == (name,)]
    if not parts:
        raise DeclarationError(
            f"search.headline: {rules.column} of table {table_behind(column).fullname} has no "
            f"text of its own row{'' if of is None else f' in a part {of!r}'}; give a text column "
            "and config="
        )
    here = {each.name for each in source_behind(column).c}
    lost = [name for part in parts for name in part.columns if name not in here]
    if lost:
        raise DeclarationError(
            f"search.headline: {source_behind(column)} has {rules.column} without "
            f"{', '.join(map(repr, lost))}, of which the text is made: select them too, name "
            "another part with of=, or give a text column and config="
        )
    return (" || chr(10) || ".join(document_of(part, int(length)) for part in parts),)
