"""
Text search configurations: always literals, the same for the index and for the query.

``to_tsvector`` with a ``regconfig`` constant is immutable; with anything else it is not,
and a column of type ``regconfig`` would block ``pg_upgrade``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pgultra import sql
from pgultra.errors import DeclarationError
from pgultra.plan.options import named, refused, text

__all__ = ["BUILT_IN", "Configuration"]

BUILT_IN = frozenset(
    (  # noqa: SIM905  # a list of thirty lines says no more
        "arabic armenian basque catalan danish dutch english estonian finnish french german greek "
        "hindi hungarian indonesian irish italian lithuanian nepali norwegian portuguese romanian "
        "russian serbian simple spanish swedish tamil turkish yiddish"
    ).split()
)
CONFIG = "the name of a text search configuration, or names by the values of language_column="
EVERYWHERE = BUILT_IN - {"estonian"}  # came with PostgreSQL 18


def _judge(place: str, config: Any) -> None:
    if not isinstance(config, Mapping) or not config:
        raise refused(place, "config", config, CONFIG)
    for value, name in config.items():
        if value is not None and not isinstance(value, str):
            takes = "by a value of the language column, which is a text (None for all others)"
            raise refused(place, "config", {value: name}, takes)
        text(place, f"config[{value!r}]", name, "the name of a text search configuration")


@dataclass(frozen=True)
class Configuration:
    """
    How texts of a column are cut into words.

    Attributes:
        default: the configuration's name, with its schema unless PostgreSQL ships it.
        languages: pairs of a value of the language column and a configuration.
        column: the key of the language column, if rows differ.

    >>> Configuration("english").literal()
    "'english'::regconfig"
    """

    default: str
    languages: tuple[tuple[str, str], ...] = ()
    column: str | None = None

    @classmethod
    def of(
        cls,
        config: str | Mapping[str | None, str],
        language_column: str | None = None,
        place: str = "",
    ) -> Configuration:
        """
        Read what a host wrote as ``config=`` and ``language_column=``.

        Raises:
            DeclarationError: a name lacks its schema, or the two options do not fit.
        """
        named(place, language_column=language_column)
        if isinstance(config, str):
            text(place, "config", config, CONFIG)
            names = sorted(EVERYWHERE - {config}) if language_column else []
            made = cls(config, tuple((name, name) for name in names), language_column)
        else:
            _judge(place, config)
            if language_column is None:
                raise DeclarationError(
                    "config= holds several configurations: say which column tells a row's "
                    "language with language_column="
                )
            pairs = tuple((str(key), name) for key, name in config.items() if key is not None)
            made = cls(config.get(None, "simple"), pairs, language_column)
        for name in made.names:
            if name not in BUILT_IN and "." not in name:
                raise DeclarationError(
                    f"config={name!r} is none that PostgreSQL ships: write it with its schema "
                    f"('public.{name}'), since triggers run without the host's search_path"
                )
        return made

    @property
    def names(self) -> tuple[str, ...]:
        """
        All configurations that rows may be read with, the default one first.
        """
        return tuple(dict.fromkeys((self.default, *(name for _, name in self.languages))))

    def literal(self, name: str | None = None) -> str:
        """
        A configuration as a constant.
        """
        name = name or self.default
        schema, _, own = name.rpartition(".")
        return f"{sql.literal(sql.qualified(schema or None, own))}::regconfig"

    def expression(self, language: str) -> str:
        """
        The configuration of a row.

        Args:
            language: the language column as SQL text.
        """
        if not self.languages:
            return self.literal()
        cases = " ".join(
            f"WHEN {sql.literal(value)}::text THEN {self.literal(name)}"
            for value, name in self.languages
        )
        return f"CASE {language} {cases} ELSE {self.literal()} END"
