"""
The noun View: compared as PostgreSQL prints it, rebuilt with its grants and comments.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Self

from sqlalchemy import Table
from sqlalchemy.sql import ClauseElement, visitors
from sqlalchemy.util import memoized_property

from pgultra import sql
from pgultra.errors import DeclarationError
from pgultra.objects._base import DatabaseObject, Identity, Mark, Scope
from pgultra.objects._belongings import COLUMNS, Belongings, Pairs, belongings_of, pairs_of
from pgultra.objects._catalog import records
from pgultra.objects._names import insist_on_name
from pgultra.objects._printed import remark_with_print
from pgultra.objects._texts import bare, untabbed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from types import SimpleNamespace

    from sqlalchemy import Connection
    from sqlalchemy.sql import Select

__all__ = ["View"]

READ = """
SELECT n.nspname, c.relname, q.query, coalesce(c.reloptions, '{}') AS options,
    (SELECT d.description FROM pg_catalog.pg_description AS d
        WHERE d.objoid = c.oid AND d.classoid = 'pg_catalog.pg_class'::regclass
            AND d.objsubid = 0) AS description,
    left(encode(sha256(convert_to(q.query, 'UTF8')), 'hex'), 12) AS printed
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
CROSS JOIN LATERAL (SELECT pg_catalog.pg_get_viewdef(c.oid) AS query OFFSET 0) AS q
WHERE c.relkind = 'v' AND c.oid = ANY (ARRAY(
    SELECT * FROM pg_catalog.unnest(CAST(:marked AS oid[]))
    UNION
    SELECT r.oid
    FROM unnest(CAST(:schemas AS name[]), CAST(:names AS name[])) AS w (schema, name)
    JOIN pg_catalog.pg_namespace AS s ON s.nspname = w.schema
    JOIN pg_catalog.pg_class AS r ON r.relname = w.name AND r.relnamespace = s.oid))
ORDER BY n.nspname, c.relname
"""
TWINS = f"""
SELECT c.relname, pg_catalog.pg_get_viewdef(c.oid) AS query, {COLUMNS}
FROM pg_catalog.pg_class AS c
WHERE c.relnamespace = pg_catalog.pg_my_temp_schema() AND c.relname = ANY (:names)
"""  # noqa: S608  # constants of this file only


@dataclass(frozen=True, kw_only=True)
class View(DatabaseObject):
    r"""
    A view.

    Args:
        name: without schema.
        query: a SELECT as text, or a SQLAlchemy ``select()``, which is rendered at once, as it
            stands: what a session adds when it runs one, such as the filter of soft delete, is
            not in it; write ``.where(alive(Article))``.
        security_invoker: check privileges and policies of who asks, not of the owner.
        security_barrier: no condition of the caller is evaluated before the view's own.
        check_option: ``local`` or ``cascaded``: refuse writes that the view would not show.

    A change of columns drops and makes it anew, with its grants, owner and comments, and
    with all views that stand on it, if they are ours; a stranger's view is never touched
    and stops the plan.

    Raises:
        DeclarationError: there is no name or no query, or ``check_option`` is another word.

    >>> View(name="grown_up", query="SELECT id FROM person WHERE age > 17").create()
    ('CREATE VIEW grown_up AS\nSELECT id FROM person WHERE age > 17',)
    """

    kind: ClassVar[str] = "view"

    name: str
    query: str
    security_invoker: bool = False
    security_barrier: bool = False
    check_option: str | None = None
    columns: Pairs | None = field(default=None, compare=False, repr=False)
    belongings: Belongings = field(default=Belongings(), compare=False, repr=False)
    untouched: bool = field(default=False, compare=False, repr=False)

    if TYPE_CHECKING:  # the one that is made knows no select()

        def __init__(
            self,
            *,
            name: str,
            query: str | Select[Any],
            security_invoker: bool = False,
            security_barrier: bool = False,
            check_option: str | None = None,
            columns: Pairs | None = None,
            belongings: Belongings = ...,
            untouched: bool = False,
            schema: str | None = None,
            mark: Mark | None = None,
            comment: str | None = None,
            requires: tuple[Identity, ...] = (),
        ) -> None: ...

    def __post_init__(self) -> None:
        insist_on_name("view", self.name)
        if self.check_option not in (None, "local", "cascaded"):
            raise DeclarationError(
                f"view {self.name}: check_option={self.check_option!r} is not local or cascaded"
            )
        query: str | Select[Any] = self.query
        if not isinstance(query, str):
            if not isinstance(query, ClauseElement):
                raise _no_query(self.name, query)
            used, text = _rendered(query)
            object.__setattr__(self, "query", text)
            object.__setattr__(self, "requires", tuple(dict.fromkeys((*self.requires, *used))))
        object.__setattr__(self, "query", bare(self.query))
        if not self.query:
            raise _no_query(self.name, query)

    @memoized_property
    def identity(self) -> Identity:
        """
        Schema and name.
        """
        return Identity("view", self.schema, self.name)

    @property
    def printed(self) -> bool:
        """
        PostgreSQL prints its text anew.
        """
        return True

    def target(self) -> str:
        """
        ``VIEW name``.
        """
        return f"VIEW {sql.qualified(self.schema, self.name)}"

    def create(self) -> tuple[str, ...]:
        """
        ``CREATE VIEW``, what it had of grants and comments, and the mark.
        """
        name = sql.qualified(self.schema, self.name)
        belongings = self.belongings.statements(name, self.columns)
        return (self._definition("CREATE"), *self.commented(), *belongings)

    def drop(self) -> tuple[str, ...]:
        """
        ``DROP VIEW``, which PostgreSQL refuses while something stands on it.
        """
        return (f"DROP {self.target()}",)

    def in_place(self, old: Self) -> bool:
        """
        ``CREATE OR REPLACE`` can only append columns.
        """
        if self.columns is None or old.columns is None:
            return False
        return self.columns[: len(old.columns)] == old.columns

    def replace(self, old: Self) -> tuple[str, ...]:
        """
        ``CREATE OR REPLACE`` where the columns allow it, else anew.
        """
        new = self.heir_of(old)
        if self.in_place(old):
            return (self._definition("CREATE OR REPLACE"), *new.commented())
        return (*old.drop(), *new.create())

    def heir_of(self, old: Self) -> Self:
        """
        This view with the old one's grants, owner and comments.
        """
        return dataclasses.replace(
            self, comment=self.comment or old.comment, belongings=old.belongings
        )

    def _definition(self, verb: str) -> str:
        options = [
            text
            for wanted, text in (
                (self.security_invoker, "security_invoker=true"),
                (self.security_barrier, "security_barrier=true"),
                (self.check_option, f"check_option={self.check_option}"),
            )
            if wanted
        ]
        beside = f" WITH ({', '.join(options)})" if options else ""
        query = untabbed(self.query)
        return f"{verb} VIEW {sql.qualified(self.schema, self.name)}{beside} AS\n{query}"

    @classmethod
    def read(cls, connection: Connection, scope: Scope) -> Iterable[View]:
        """
        The wanted and the marked views; ``with_details`` tells the rest.
        """
        wanted = scope.of_kind("view")
        marked = scope.marked.get("pg_class.v", [])
        if not wanted and not marked:
            return
        found = records(
            connection,
            READ,
            marked=marked,
            schemas=[scope.real(identity.schema) for identity in wanted],
            names=[identity.name for identity in wanted],
        )
        for row in found:
            comment, mark = Mark.parse(row.description)
            yield cls(
                **_fields(row),
                name=row.relname,
                schema=scope.spelt(row.nspname),
                comment=comment,
                mark=mark,
                untouched=mark is not None and mark.printed == row.printed,
            )

    @staticmethod
    def with_details(connection: Connection, views: Sequence[View], scope: Scope) -> Sequence[View]:
        """
        The same views, with columns, grants and comments, and what stands on what.
        """
        names = [(scope.real(view.schema), view.name) for view in views]
        return [
            dataclasses.replace(view, columns=found.columns, belongings=found, requires=found.uses)
            for view, found in zip(views, belongings_of(connection, names, scope), strict=True)
        ]

    def same_as(self, other: DatabaseObject) -> bool:
        """
        Equal queries, or the fingerprints of both texts as they were when it was made.
        """
        if isinstance(other, View) and self._unchanged(other):
            return all(name == "query" for name in self.differing(other))
        return super().same_as(other)

    @property
    def lists_all(self) -> bool:
        """
        Whether its columns may follow those of its tables: ``SELECT *``.
        """
        return "*" in self.query.replace("(*)", "")

    def _unchanged(self, other: View) -> bool:
        return (
            other.untouched
            and not self.lists_all
            and self.mark is not None
            and other.mark is not None
            and self.mark.fingerprint is not None
            and self.mark.fingerprint == other.mark.fingerprint
        )

    def source(self) -> str:
        """
        What the fingerprint is taken of: the query alone.
        """
        return self.query

    def remark(self) -> tuple[str, ...]:
        """
        The mark of a view bears the fingerprint of its printed text, taken by the server.

        A view that was read gets its mark back as it was: one that somebody changed must not
        pass for untouched when a migration is taken back.
        """
        if self.mark is None or self.mark.fingerprint is None or self.mark.printed is not None:
            return super().remark()
        name = sql.qualified(self.schema, self.name)
        return remark_with_print(
            "VIEW", name, printer="pg_get_viewdef", comment=self.comment, mark=self.mark
        )

    def printed_as(self, form: Self) -> Self:
        """
        With the columns that PostgreSQL gives it.
        """
        return self if self.columns == form.columns else self.but(columns=form.columns)

    def trusting(self, other: Self) -> Self:
        """
        With the other's printed text.
        """
        return dataclasses.replace(self, query=other.query)

    @classmethod
    def twins(
        cls,
        desired: Sequence[View],
        actual: Mapping[Identity, DatabaseObject],
        names: Iterator[str],
    ) -> Iterable[tuple[str, View, tuple[str, ...]]]:
        """
        A temporary view with the same query.
        """
        for view in desired:
            other = actual.get(view.identity)
            if isinstance(other, View) and not view.same_as(other):
                name = next(names)
                yield name, view, (f"CREATE TEMPORARY VIEW {name} AS\n{view.query}",)

    @classmethod
    def printed_forms(cls, connection: Connection, twins: Mapping[str, View]) -> Mapping[str, View]:
        """
        Query and columns as PostgreSQL prints them.
        """
        return {
            row.relname: dataclasses.replace(
                twins[row.relname],
                query=bare(row.query),
                columns=pairs_of(row.columns),
            )
            for row in records(connection, TWINS, names=list(twins))
        }


def _no_query(name: str, query: object) -> DeclarationError:
    return DeclarationError(
        f"view {name}: query={query!r} is not a SELECT; give it as text or as a SQLAlchemy select()"
    )


def _fields(row: SimpleNamespace) -> dict[str, Any]:
    options = dict(option.partition("=")[::2] for option in row.options)
    return {
        "query": bare(row.query),
        "security_invoker": options.get("security_invoker") in ("true", "on", "1", "yes"),
        "security_barrier": options.get("security_barrier") in ("true", "on", "1", "yes"),
        "check_option": options.get("check_option"),
    }


def _rendered(select: Select[Any]) -> tuple[tuple[Identity, ...], str]:
    tables = [node for node in visitors.iterate(select) if isinstance(node, Table)]
    used = dict.fromkeys(Identity("table", table.schema, table.name) for table in tables)
    return tuple(used), sql.render(select)
