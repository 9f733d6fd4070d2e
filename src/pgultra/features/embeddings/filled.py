"""
What ``bulk_copy`` fills into the columns that its rows leave out, as an insert does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Column

from pgultra.errors import DeclarationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sqlalchemy import Table

__all__ = ["Row", "filled"]


class Row:
    """
    What a default's function is given: the values of its row.

    Attributes:
        current_parameters: by the keys of the columns.
    """

    __slots__ = ("_keys", "_row")

    def __init__(self, row: Mapping[str, Any], keys: Mapping[str, str]) -> None:
        self._row, self._keys = row, keys

    @property
    def current_parameters(self) -> dict[str, Any]:
        """
        The values by the keys of their columns: made for those defaults that ask.
        """
        return {self._keys[name]: value for name, value in self._row.items()}

    def get_current_parameters(self, isolate_multiinsert_params: bool = True) -> dict[str, Any]:
        """
        The same, as SQLAlchemy's own context gives it.
        """
        return self.current_parameters


def filled(
    table: Table,
    mapper: Any,  # that of the class, if one was given
    columns: Mapping[str, Column[Any]],
) -> dict[Column[Any], Callable[[Any], Any]]:
    """
    A function of each such column, from a Row to a value.

    The discriminator of a class with subclasses and the column that counts versions are the
    mapper's own business; the others have Python defaults.

    Raises:
        DeclarationError: a default is SQL, which COPY cannot send.
    """
    given = set(columns.values())
    found = _by_mapper(table, mapper) if mapper is not None else {}
    for column in table.columns:
        default: Any = column.default
        if column in given or column in found or default is None:
            continue
        if default.is_scalar:
            found[column] = _always(default.arg)
        elif default.is_callable:
            found[column] = default.arg
        elif default.is_clause_element or _is_needed(default, column):
            said = (
                f"sequence {default.name}" if default.is_sequence else f"expression {default.arg}"
            )
            raise DeclarationError(
                f"bulk_copy: the default of {table.fullname}.{column.name} is the {said}, which "
                "COPY cannot send: give the rows a value for it, or declare it with "
                "server_default="
            )
    return {column: make for column, make in found.items() if column not in given}


def _by_mapper(table: Table, mapper: Any) -> dict[Any, Callable[[Any], Any]]:
    found: dict[Any, Callable[[Any], Any]] = {}
    kind, version = mapper.polymorphic_on, mapper.version_id_col
    own = isinstance(kind, Column) and kind.table is table  # an expression is stored nowhere
    if own and mapper.polymorphic_identity is not None:
        found[kind] = lambda _: mapper.polymorphic_identity
    if version is not None and version.table is table and mapper.version_id_generator:
        found[version] = lambda _: mapper.version_id_generator(None)
    return found


def _always(value: Any) -> Callable[[Any], Any]:
    return lambda _: value


def _is_needed(default: Any, column: Column[Any]) -> bool:
    """
    Whether nobody but an insert asks a sequence for its next number.
    """
    return default.is_sequence and not default.optional and column.server_default is None
