"""
What a table and its belongings are called before, during and after a conversion.
"""

from __future__ import annotations

from dataclasses import dataclass

from pgultra import sql

__all__ = ["Called", "Names"]


@dataclass(frozen=True)
class Called:
    """
    One name that changes hands.

    Attributes:
        kind: ``TABLE``, ``INDEX``, ``STATISTICS`` or ``SEQUENCE``, as after ``ALTER``.
        name: the name that everybody knows.
        has_old, has_new: whether the old table has such a thing, and the new one.
    """

    kind: str
    name: str
    has_old: bool = True
    has_new: bool = True

    @property
    def new(self) -> str:
        """
        What the new one is called until it takes the name.
        """
        return sql.short_name(self.name, "partitions", "new")

    @property
    def old(self) -> str:
        """
        What the old one is called once it has given the name away.
        """
        return sql.short_name(self.name, "partitions", "old")


@dataclass(frozen=True)
class Names:
    """
    All names of one conversion.

    Attributes:
        schema, name: of the table.
        called: the names that change hands, the table's own first.

    >>> names = Names("shop", "event", (Called("TABLE", "event"),))
    >>> names.new, names.old, names.forward
    ('shop.event_partitions_new', 'shop.event_partitions_old', 'event_partitions_forward')
    """

    schema: str
    name: str
    called: tuple[Called, ...]

    @property
    def table(self) -> str:
        """
        The table, quoted.
        """
        return sql.qualified(self.schema, self.name)

    @property
    def new(self) -> str:
        """
        The new table before the exchange.
        """
        return sql.qualified(self.schema, self.new_name)

    @property
    def new_name(self) -> str:
        """
        The same without schema or quotes.
        """
        return sql.short_name(self.name, "partitions", "new")

    @property
    def old_name(self) -> str:
        """
        The old table's name after the exchange, without schema or quotes.
        """
        return sql.short_name(self.name, "partitions", "old")

    @property
    def old(self) -> str:
        """
        The old table after the exchange.
        """
        return sql.qualified(self.schema, self.old_name)

    @property
    def forward(self) -> str:
        """
        The function that brings changes to the new table, and its trigger.
        """
        return sql.short_name(self.name, "partitions", "forward")

    @property
    def back(self) -> str:
        """
        The function that brings changes back to the old table, and its trigger.
        """
        return sql.short_name(self.name, "partitions", "back")

    def emptied(self, name: str) -> str:
        """
        The function that passes a TRUNCATE on, and its trigger.
        """
        way = "forward" if name == self.forward else "back"
        return sql.short_name(self.name, "partitions", f"{way}_truncate")

    def take(self) -> list[str]:
        """
        The statements by which the new takes all names.
        """
        return [*self._renamed("name", "old", "has_old"), *self._renamed("new", "name", "has_new")]

    def give_back(self) -> list[str]:
        """
        The statements by which the old gets them back.
        """
        return [*self._renamed("name", "new", "has_new"), *self._renamed("old", "name", "has_old")]

    def _renamed(self, before: str, after: str, has: str) -> list[str]:
        statements = []
        for each in self.called:
            if getattr(each, has):
                place = sql.qualified(self.schema, getattr(each, before))
                name = sql.identifier(getattr(each, after))
                statements.append(f"ALTER {each.kind} {place} RENAME TO {name}")
        return statements
