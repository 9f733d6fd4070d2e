"""
What a table has and what stands on it: read in one question, kept in the journal as JSON.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from string import Template
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from pgultra import sql

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sqlalchemy import Connection

__all__ = ["Survey", "scripted", "survey", "table_oid"]

OID = text(
    "SELECT c.oid::bigint FROM pg_catalog.pg_class AS c "
    "JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace "
    "WHERE c.relname = CAST(:name AS name) "
    "AND n.nspname = COALESCE(CAST(CAST(:schema AS text) AS name), current_schema())"
)


@dataclass(frozen=True)
class Survey:
    """
    One table as the catalog knows it; a thin reading of a JSON document.

    Attributes:
        document: what ``survey.sql`` answered.

    >>> Survey({"schema": "shop", "name": "order"}).table
    'shop."order"'
    """

    document: Mapping[str, Any]

    def __getitem__(self, word: str) -> Any:  # whatever the document has there
        return self.document[word]

    @property
    def schema(self) -> str:
        """
        Its schema.
        """
        return str(self.document["schema"])

    @property
    def name(self) -> str:
        """
        Its name.
        """
        return str(self.document["name"])

    @property
    def oid(self) -> int:
        """
        Its oid.
        """
        return int(self.document["oid"])

    @property
    def table(self) -> str:
        """
        Its name with its schema, quoted.
        """
        return sql.qualified(self.schema, self.name)

    @property
    def columns(self) -> Sequence[Mapping[str, Any]]:
        """
        All columns, in their order.
        """
        return list(self.document["columns"])

    @property
    def stored(self) -> list[str]:
        """
        The columns that are written; generated ones compute themselves.
        """
        return [each["name"] for each in self.columns if not each["generated"]]

    def column(self, name: str) -> Mapping[str, Any] | None:
        """
        One column.
        """
        return next((each for each in self.columns if each["name"] == name), None)

    def constraints(self, *kinds: str) -> list[Mapping[str, Any]]:
        """
        The constraints of these kinds: c, p, u, x, f.
        """
        return [each for each in self.document["constraints"] if each["type"] in kinds]

    def identifying(self) -> Iterator[Mapping[str, Any]]:
        """
        Unique indexes that tell rows apart: whole, of plain columns, none of which is NULL.
        """
        sure = {each["name"] for each in self.columns if each["not_null"]}
        for each in sorted(self.document["indexes"], key=lambda index: not index["primary"]):
            if each["unique"] and each["valid"] and each["plain"] and set(each["columns"]) <= sure:
                yield each

    def views(self) -> list[Mapping[str, Any]]:
        """
        The views that read the table.
        """
        found = (each for each in self.document["dependents"] if each["kind"] == "v")
        by_name = {(each["schema"], each["name"]): each for each in found}
        return [by_name[key] for key in sorted(by_name)]

    def shape(self) -> str:
        """
        A fingerprint of what a copy must have; when it changes, a copy does not fit any more.
        """
        parts = [self.document["columns"], self.document["constraints"], self.document["indexes"]]
        return sql.fingerprint(json.dumps(parts, sort_keys=True))

    def attributes(self) -> str:
        """
        A fingerprint of what a copy gets when it is made, and never again.
        """
        words = "owner row_security forced replica_identity options toast_options tablespace"
        parts = [self.document[word] for word in (*words.split(), "comment", "comments")]
        parts.append([each["what"] for each in self.document["statistics"]])
        for each in self.document["incoming"]:
            told = each["definition"].removesuffix(" NOT VALID")
            parts.append([each["schema"], each["table"], each["name"], told])
        return sql.fingerprint(json.dumps(parts, sort_keys=True))


@cache
def _file(name: str) -> str:
    place = files("pgultra.features.partitions.conversion") / "sql" / f"{name}.sql"
    return place.read_text(encoding="utf-8")


def scripted(name: str, **words: str) -> str:
    """
    A statement from ``sql/``, with its words filled in; what is filled in is quoted already.
    """
    return Template(_file(name)).substitute(words).strip()


def survey(connection: Connection, oid: int) -> Survey:
    """
    Read one table; the search_path must be ``pg_catalog``, so that every name is printed whole.
    """
    statement = sql.statement(scripted("survey", oid=str(int(oid))))
    return Survey(json.loads(connection.execute(statement).scalar_one()))


def table_oid(connection: Connection, schema: str | None, name: str) -> int | None:
    """
    The oid of a table by its name.
    """
    found = connection.execute(OID, {"schema": schema, "name": name}).scalar()
    return None if found is None else int(found)
