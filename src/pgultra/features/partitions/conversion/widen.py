"""
Foreign keys that get the partition key: what is done to the table that refers.

A foreign key to ``(id)`` alone cannot refer to a partitioned table. Where the model of the table
that refers declares ``(event_id, event_at)`` instead, that table gets the column; triggers keep
it filled, whatever its writers know of it, until the conversion is finished.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pgultra import sql
from pgultra.features.partitions.conversion.build import function
from pgultra.features.partitions.conversion.route import operator
from pgultra.features.partitions.conversion.survey import scripted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pgultra.features.partitions.conversion.design import Design

__all__ = ["Widened", "following", "identity"]

EXISTING = "FOR SHARE"
"""Before the exchange the partition key is in no unique index, and an update of it is not kept
off by ``FOR KEY SHARE``."""
KEYED = "FOR KEY SHARE"


@dataclass(frozen=True)
class Widened:
    """
    A foreign key of another table, as it is and as it shall be.

    Attributes:
        each: what the survey has of it.
        name, definition: as it shall be.
        own, theirs: the columns that refer and are referred to, as it is.
        added: each column that it gets, and the one that this refers to.
        types: of the added columns.
        required: the added columns that the model says are NOT NULL.
        primary: the columns of the other table's primary key, if it shall have added ones.
        itself: whether it is the converted table's own.
        elsewhere: whether its table lies in another schema, where one may have the same name.
    """

    each: Mapping[str, Any]
    name: str
    definition: str
    own: tuple[str, ...]
    theirs: tuple[str, ...]
    added: tuple[tuple[str, str], ...]
    types: Mapping[str, str]
    required: tuple[str, ...] = ()
    primary: tuple[str, ...] | None = None
    itself: bool = False
    elsewhere: bool = False

    @property
    def place(self) -> str:
        """
        The table that refers, quoted.
        """
        return sql.qualified(self.each["schema"], self.each["table"])

    @property
    def missing(self) -> tuple[str, ...]:
        """
        The columns that are not there yet.
        """
        return tuple(own for own, _ in self.added if own not in self.each["present"])

    @property
    def renewed(self) -> Mapping[str, Any]:
        """
        What a survey would have of it afterwards.
        """
        return {
            **self.each,
            "name": self.name,
            "definition": self.definition,
            "own": [*self.own, *(own for own, _ in self.added)],
            "columns": [*self.theirs, *(their for _, their in self.added)],
        }

    def called(self, word: str) -> str:
        """
        The name of something that is there during the conversion.

        BEFORE triggers fire in the order of their names: the one that fills comes after all that
        change what a row refers to.
        """
        head = f"{self.each['schema']}.{self.each['table']}" if self.elsewhere else None
        head = ("~" if word == "fill" else "") + (head or self.each["table"])
        return sql.short_name(head, self.each["name"], "partitions", word)

    # -- triggers -----------------------------------------------------------------------------

    def fill(self, design: Design, lock: str) -> Iterator[str]:
        """
        The functions that fill the added columns.
        """
        own = (*self.own, *(own for own, _ in self.added))
        words = {"table": design.names.table, "same": self._same(design, "t", "NEW"), "lock": lock}
        fill = scripted(
            "fill",
            **words,
            theirs=", ".join(f"t.{sql.identifier(their)}" for _, their in self.added),
            moved=" OR ".join(
                f"OLD.{column} IS DISTINCT FROM NEW.{column}" for column in map(sql.identifier, own)
            ),
            unfilled=self._unfilled("NEW"),
            let_go=" OR ".join(
                f"OLD.{column} IS NOT NULL AND NEW.{column} IS NULL"
                for column in map(sql.identifier, self.own)
            ),
            emptied="\n        ".join(
                f"NEW.{sql.identifier(own)} := NULL;"
                for own, _ in self.added
                if own not in (*self.required, *(self.primary or ()))
            ),
            given="\n        ".join(
                f"NEW.{sql.identifier(own)} := found_row.{sql.identifier(their)};"
                for own, their in self.added
            ),
        )
        yield from function(design, self.called("fill"), fill)
        operators = design.operators()
        late = scripted(
            "late",
            **words,
            place=self.place,
            set=self._set("t"),
            joined=self._same(design, "t", "r"),
            here=_all(
                f"r.{sql.identifier(own)} {operator(*operators[their])} NEW.{sql.identifier(own)}"
                for own, their in zip(self.own, self.theirs, strict=True)
            ),
            unfilled=self._unfilled("r"),
            table_name=sql.literal(sql.identifier(self.each["table"])),
            constraint_name=sql.literal(sql.identifier(self.name)),
            constraint=sql.literal(self.name),
            key_name=sql.literal(", ".join(self.theirs)),
        )
        yield from function(design, self.called("late"), late)

    @property
    def timing(self) -> str:
        """
        When the foreign key is checked, as after CREATE CONSTRAINT TRIGGER.
        """
        definition = self.each["definition"].removesuffix(" NOT VALID")
        for words in ("DEFERRABLE INITIALLY DEFERRED", "DEFERRABLE"):
            if definition.endswith(f" {words}"):
                return f"{words} "
        return ""

    def begin(self, design: Design) -> Iterator[str]:
        """
        The columns, and the triggers that fill them.
        """
        for column in self.missing:
            name = sql.identifier(column)
            yield f"ALTER TABLE {self.place} ADD COLUMN IF NOT EXISTS {name} {self.types[column]}"
        yield from self.fill(design, EXISTING)
        yield from self._dropped(self.place, "fill", "late")
        fill, late = (sql.identifier(self.called(word)) for word in ("fill", "late"))
        there = (sql.qualified(design.names.schema, self.called(w)) for w in ("fill", "late"))
        yield (
            f"CREATE TRIGGER {fill} BEFORE INSERT OR UPDATE ON {self.place} FOR EACH ROW "
            f"EXECUTE FUNCTION {next(there)}()"
        )
        yield (
            f"CREATE CONSTRAINT TRIGGER {late} AFTER INSERT OR UPDATE ON {self.place} "
            f"{self.timing}FOR EACH ROW WHEN ({self._lacking('NEW')}) "
            f"EXECUTE FUNCTION {next(there)}()"
        )
        for trigger in (fill, late):
            yield f"ALTER TABLE {self.place} ENABLE ALWAYS TRIGGER {trigger}"
        yield from self._follow(design)

    def _follow(self, design: Design) -> Iterator[str]:
        names = design.names
        operators = design.operators()
        body = scripted(
            "follow",
            place=self.place,
            set=", ".join(
                f"{sql.identifier(own)} = NEW.{sql.identifier(their)}" for own, their in self.added
            ),
            same=_all(
                f"r.{sql.identifier(own)} {operator(*operators[their])} NEW.{sql.identifier(their)}"
                for own, their in zip(self.own, self.theirs, strict=True)
            ),
            differs=" OR ".join(
                f"r.{sql.identifier(own)} IS DISTINCT FROM NEW.{sql.identifier(their)}"
                for own, their in self.added
            ),
        )
        yield from function(design, self.called("follow"), body)
        trigger = sql.identifier(self.called("follow"))
        columns = [sql.identifier(their) for _, their in self.added]
        changed = " OR ".join(f"OLD.{c} IS DISTINCT FROM NEW.{c}" for c in columns)
        yield (
            f"CREATE OR REPLACE TRIGGER {trigger} AFTER UPDATE OF {', '.join(columns)} "
            f"ON {names.table} FOR EACH ROW WHEN ({changed}) "
            f"EXECUTE FUNCTION {sql.qualified(names.schema, self.called('follow'))}()"
        )
        yield f"ALTER TABLE {names.table} ENABLE ALWAYS TRIGGER {trigger}"

    def exchange(self, design: Design) -> Iterator[str]:
        """
        The foreign key itself moves a row's key from here on, if it says ON UPDATE CASCADE.
        """
        yield from self._dropped(design.names.table, "follow")
        place = sql.qualified(design.names.schema, self.called("follow"))
        yield f"DROP FUNCTION IF EXISTS {place}()"
        yield from self.fill(design, KEYED)

    def _dropped(self, place: str, *words: str) -> Iterator[str]:
        for word in words:
            yield f"DROP TRIGGER IF EXISTS {sql.identifier(self.called(word))} ON {place}"

    # -- rows that are there ------------------------------------------------------------------

    def page(self, design: Design, low: int, high: int, leaf: str | None = None) -> str:
        """
        The statement that fills the rows of some blocks of the table, or of one partition of it.
        """
        return scripted(
            "fill_page",
            place=leaf or self.place,
            table=design.names.table,
            theirs=", ".join(f"t.{sql.identifier(their)}" for _, their in self.added),
            same=self._same(design, "t"),
            differs=" OR ".join(
                f"r.{sql.identifier(own)} IS DISTINCT FROM t.{sql.identifier(their)}"
                for own, their in self.added
            ),
            set=self._set("page"),
            low=str(int(low)),
            high=str(int(high)),
        )

    def index(self) -> tuple[str, str] | None:
        """
        Name and statement of the unique index for the other table's primary key.
        """
        if self.primary is None:
            return None
        name = self.called("key")
        columns = ", ".join(map(sql.identifier, self.primary))
        return name, (
            f"CREATE UNIQUE INDEX CONCURRENTLY {sql.identifier(name)} ON {self.place} ({columns})"
        )

    # -- the two ends -------------------------------------------------------------------------

    def undone(self, design: Design) -> Iterator[str]:
        """
        The table that refers as it was.
        """
        yield from self._dropped(design.names.table, "follow")
        yield from self._untriggered(design)
        if self.primary is not None:
            place = sql.qualified(self.each["schema"], self.called("key"))
            yield f"DROP INDEX IF EXISTS {place}"
        if self.demanded:
            name = sql.identifier(self.called("filled"))
            yield f"ALTER TABLE {self.place} DROP CONSTRAINT IF EXISTS {name}"
        for column in self.missing:
            yield f"ALTER TABLE {self.place} DROP COLUMN IF EXISTS {sql.identifier(column)}"

    def _untriggered(self, design: Design) -> Iterator[str]:
        twins = (design.names.new, design.names.old) if self.itself else ()
        for place in (self.place, *twins):
            yield from self._dropped(place, "fill", "late")
        for word in ("fill", "late", "follow"):
            place = sql.qualified(design.names.schema, self.called(word))
            yield f"DROP FUNCTION IF EXISTS {place}()"

    def checks(self) -> tuple[str, ...]:
        """
        What makes the columns NOT NULL without a long lock; each in a transaction of its own.
        """
        if not self.demanded:
            return ()
        name = sql.identifier(self.called("filled"))
        told = " AND ".join(f"{sql.identifier(column)} IS NOT NULL" for column in self.demanded)
        return (
            f"ALTER TABLE {self.place} DROP CONSTRAINT IF EXISTS {name}",
            f"ALTER TABLE {self.place} ADD CONSTRAINT {name} CHECK ({told}) NOT VALID",
            f"ALTER TABLE {self.place} VALIDATE CONSTRAINT {name}",
        )

    @property
    def demanded(self) -> tuple[str, ...]:
        """
        The columns that must become NOT NULL.
        """
        return tuple(each for each in self.required if not self.each["present"].get(each, False))

    def finish(self, design: Design, *, keyed: bool = False) -> Iterator[str]:
        """
        What the model says of the table that refers; nothing fills its columns any more.

        Args:
            design: what was planned.
            keyed: it has its new primary key already.
        """
        for column in self.demanded:
            name = sql.identifier(column)
            yield f"ALTER TABLE {self.place} ALTER COLUMN {name} SET NOT NULL"
        if self.demanded:
            name = sql.identifier(self.called("filled"))
            yield f"ALTER TABLE {self.place} DROP CONSTRAINT IF EXISTS {name}"
        if self.primary is not None and not keyed:
            name = sql.identifier(self.each["primary"]["name"])
            index = sql.identifier(self.called("key"))
            yield f"ALTER TABLE {self.place} DROP CONSTRAINT {name}"
            yield f"ALTER TABLE {self.place} ADD CONSTRAINT {name} PRIMARY KEY USING INDEX {index}"
        yield from self._untriggered(design)

    # -- conditions ---------------------------------------------------------------------------

    def _same(self, design: Design, other: str, row: str = "r") -> str:
        operators = design.operators()
        return _all(
            f"{other}.{sql.identifier(their)} {operator(*operators[their])} "
            f"{row}.{sql.identifier(own)}"
            for own, their in zip(self.own, self.theirs, strict=True)
        )

    def _set(self, other: str) -> str:
        return ", ".join(
            f"{sql.identifier(own)} = {other}.{sql.identifier(their)}" for own, their in self.added
        )

    def _unfilled(self, row: str) -> str:
        return " OR ".join(f"{row}.{sql.identifier(own)} IS NULL" for own, _ in self.added)

    def _lacking(self, row: str) -> str:
        refers = [f"{row}.{sql.identifier(own)} IS NOT NULL" for own in self.own]
        return _all((*refers, f"({self._unfilled(row)})"))


def identity(each: Mapping[str, Any]) -> tuple[str, str, str]:
    """
    What a foreign key of another table is known by: schema, table and name.
    """
    return each["schema"], each["table"], each["name"]


def _all(conditions: Any) -> str:  # an iterable of texts
    return " AND ".join(conditions)


def following(found: Sequence[Widened]) -> frozenset[str]:
    """
    The names of triggers that the converted table has during the conversion alone.
    """
    return frozenset(each.called("follow") for each in found)
