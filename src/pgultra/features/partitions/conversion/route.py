"""
The route of rows from one table to another: which columns, told apart by which key.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pgultra import sql
from pgultra.features.partitions.conversion.survey import scripted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["Route", "operator"]


def operator(schema: str, name: str) -> str:
    """
    An operator with its schema, so that no search_path can change which one is meant.
    """
    return f"OPERATOR({sql.identifier(schema)}.{name})"


@dataclass(frozen=True)
class Route:
    """
    From which table to which other one rows are brought.

    Attributes:
        source, target: the tables, quoted.
        columns: what is written.
        key: the columns of the partitioned table's primary key.
        pages: the columns of a key of the plain table, in the order of its index.
        types: of the key's columns.
        operators: equality of each column of the key: schema and name.
        keyed: whether the target has a unique index on ``key``, and rows may be copied to it.
        ordered: whether the target has an index that begins with ``pages``.
    """

    source: str
    target: str
    columns: tuple[str, ...]
    key: tuple[str, ...]
    pages: tuple[str, ...]
    types: Mapping[str, str]
    operators: Mapping[str, tuple[str, str]]
    keyed: bool = True
    ordered: bool = True

    def reversed(self, source: str, target: str) -> Route:
        """
        The way back, once the names have been exchanged.
        """
        return Route(
            source,
            target,
            self.columns,
            self.key,
            self.pages,
            self.types,
            self.operators,
            keyed=False,
            ordered=True,
        )

    def equal(self, left: str, right: str, columns: Sequence[str] | None = None) -> str:
        """
        ``left.a = right.a AND …`` for the columns of the key.
        """
        parts = []
        for column in columns or self.key:
            name = sql.identifier(column)
            parts.append(f"{left}.{name} {operator(*self.operators[column])} {right}.{name}")
        return " AND ".join(parts)

    def after(self, alias: str, values: Sequence[str], comparison: str = ">") -> str:
        """
        ``(a, b) > (values)`` in the order of the pages; ``comparison`` may be ``<=``.
        """
        schemas = {self.operators[column][0] for column in self.pages}
        columns = [f"{alias}.{sql.identifier(column)}" for column in self.pages]
        constants = [
            f"CAST({sql.literal(value)} AS {self.types[column]})"
            for column, value in zip(self.pages, values, strict=True)
        ]
        if len(schemas) == 1:
            left, right = ", ".join(columns), ", ".join(constants)
            return f"ROW({left}) {operator(schemas.pop(), comparison)} ROW({right})"
        return self._spelt_out(columns, constants, comparison)

    def _spelt_out(self, columns: list[str], constants: list[str], comparison: str) -> str:
        """
        The same where the operators of the columns live in different schemas.
        """
        strict = comparison.rstrip("=")
        alternatives = []
        for at, (column, constant) in enumerate(zip(columns, constants, strict=True)):
            equal = [
                f"{columns[n]} {operator(*self.operators[self.pages[n]])} {constants[n]}"
                for n in range(at)
            ]
            sign = comparison if at == len(columns) - 1 else strict
            place = self.operators[self.pages[at]][0]
            alternatives.append(
                "(" + " AND ".join([*equal, f"{column} {operator(place, sign)} {constant}"]) + ")"
            )
        return "(" + " OR ".join(alternatives) + ")"

    def within(self, alias: str, low: Sequence[str] | None, high: Sequence[str] | None) -> str:
        """
        The rows above ``low``, up to and with ``high``.
        """
        parts = [self.after(alias, low)] if low is not None else []
        parts += [self.after(alias, high, "<=")] if high is not None else []
        return " AND ".join(parts) or "TRUE"

    def order(self, alias: str = "", direction: str = "") -> str:
        """
        The order of the pages.
        """
        before = f"{alias}." if alias else ""
        return ", ".join(f"{before}{sql.identifier(c)}{direction}" for c in self.pages)

    def last(self) -> str:
        """
        The key of a page's last row, as texts.
        """
        return ", ".join(f"{sql.identifier(column)}::text" for column in self.pages)

    def mirror(self) -> str:
        """
        The body of the trigger function that brings a change from source to target.
        """
        words = {
            **self._words(),
            "moved": self.equal("OLD", "NEW"),
            "assigned": self.assigned(),
            "s_new": self.equal("s", "NEW"),
            "t_old": self.equal("t", "OLD"),
            "x_new": self.equal("x", "NEW"),
            "y_old": self.equal("y", "OLD"),
            "s_k": self.equal("s", "k"),
            "t_k": self.equal("t", "k"),
        }
        probe = ""
        if self.keyed:
            old = _listed(self.columns, "OLD.")
            probe = "    " + scripted("probe", **self._words(), old_columns=old) + "\n"
        return scripted("mirror", **words, probe=probe)

    def assigned(self) -> str:
        """
        ``a = s.a, …`` for all columns.
        """
        names = map(sql.identifier, self.columns)
        return ", ".join(f"{name} = s.{name}" for name in names)

    def copy(
        self,
        low: Sequence[str] | None,
        high: Sequence[str] | None,
        *,
        empty: bool = False,
        skip: bool = True,
    ) -> str:
        """
        The statement that copies one page.

        Args:
            low: the key before the page.
            high: the last key of the page; None is the end.
            empty: nothing of it is in the target yet; looking for each row is spared.
            skip: leave rows that somebody is writing, instead of waiting for them.
        """
        return scripted(
            "copy",
            **self._words(),
            within=self.within("s", low, high),
            order=self.order("s"),
            skip=" SKIP LOCKED" if skip else "",
            conflict="" if empty else f" ON CONFLICT ({_listed(self.key)}) DO NOTHING",
        )

    def begun(self, low: Sequence[str] | None, high: Sequence[str] | None) -> str:
        """
        The statement that asks whether any row of a page is in the target.
        """
        return scripted("begun", target=self.target, within=self.within("t", low, high))

    def compare(self, low: Sequence[str] | None, high: Sequence[str] | None) -> str:
        """
        The statement that counts and sums up both sides of a range in one snapshot.
        """
        return scripted("compare", **self._words(), **self._range(low, high))

    def differences(
        self, low: Sequence[str] | None, high: Sequence[str] | None, rows: int = 500
    ) -> str:
        """
        The statement that asks for the pages' keys of rows that differ.
        """
        names = [sql.identifier(column) for column in self.pages]
        return scripted(
            "differences",
            **self._words(),
            **self._range(low, high),
            either=", ".join(f"COALESCE(s.{name}, t.{name})::text" for name in names),
            same=self.equal("t", "s"),
            rows=str(int(rows)),
        )

    def repair(self, keys: Sequence[Sequence[str]]) -> tuple[str, str]:
        """
        The statements that make some rows of the target what the source holds.

        The first sees to what is there, the second to what is missing.
        """
        s_within, t_within = self._among("s", keys), self._among("t", keys)
        changed = scripted(
            "repair",
            **self._words(),
            s_within=s_within,
            t_within=t_within,
            order=self.order("s"),
            same=self.equal("t", "s"),
            assigned=self.assigned(),
        )
        missing = scripted(
            "copy",
            **self._words(),
            within=s_within,
            order=self.order("s"),
            skip="",
            conflict=f" ON CONFLICT ({_listed(self.key)}) DO NOTHING"
            if self.keyed
            else (
                f" AS p WHERE NOT EXISTS (SELECT FROM {self.target} AS t "
                f"WHERE {self.equal('t', 'p')})"
            ),
        )
        return changed, missing

    def _among(self, alias: str, keys: Sequence[Sequence[str]]) -> str:
        rows = []
        for values in keys:
            parts = [
                f"{alias}.{sql.identifier(column)} {operator(*self.operators[column])} "
                f"CAST({sql.literal(value)} AS {self.types[column]})"
                for column, value in zip(self.pages, values, strict=True)
            ]
            rows.append(f"({' AND '.join(parts)})")
        return f"({' OR '.join(rows)})"

    def boundary(self, low: Sequence[str] | None, rows: int) -> str:
        """
        The statement that asks for the key so many rows further on.
        """
        return scripted(
            "boundary",
            source=self.source,
            last=self.last(),
            within=self.within("s", low, None),
            order=self.order("s"),
            rows=str(int(rows)),
        )

    def _range(self, low: Sequence[str] | None, high: Sequence[str] | None) -> dict[str, str]:
        return {"s_within": self.within("s", low, high), "t_within": self.within("t", low, high)}

    def _words(self) -> dict[str, str]:
        return {
            "source": self.source,
            "target": self.target,
            "columns": _listed(self.columns),
            "s_columns": _listed(self.columns, "s."),
            "t_columns": _listed(self.columns, "t."),
            "key": _listed(self.key),
        }


def _listed(columns: Iterable[str], before: str = "") -> str:
    return ", ".join(f"{before}{sql.identifier(column)}" for column in columns)
