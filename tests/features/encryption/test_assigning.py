"""
What SQL may put into an encrypted column: nothing but what was sealed for such a column.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from pgultra.errors import DeclarationError, EncryptionError
from pgultra.features.encryption import Encrypted, Equality
from pgultra.features.encryption.tables import secrets_of
from tests.features.encryption.models import RING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

metadata = sa.MetaData(schema="Secret Files")
secret = sa.Table(
    "Secret",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("raw", sa.LargeBinary),
    sa.Column("sealed", Encrypted(sa.LargeBinary, RING, id="file.sealed")),
    sa.Column("other", Encrypted(sa.LargeBinary, RING)),
)
archive = sa.Table(
    "archive",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("same", Encrypted(sa.LargeBinary, RING, id="file.sealed")),
)
searched = sa.Table(
    "searched",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("same", Encrypted(sa.LargeBinary, RING, id="file.sealed", search=Equality())),
)
PLAIN = b"PLAINTEXT"
c = secret.c


@pytest.fixture
def sent(connection: sa.Connection) -> Iterator[list[str]]:
    """
    A row, and the parameters that are sent from then on.
    """
    connection.exec_driver_sql('CREATE SCHEMA "Secret Files"')
    metadata.create_all(connection)
    connection.execute(secret.insert().values(id=1, raw=PLAIN, sealed=b"old", other=b"other"))
    texts: list[str] = []

    def listen(_connection: Any, _cursor: Any, text: Any, values: Any, *_rest: Any) -> None:
        texts.append(f"{text} {values}")

    sa.event.listen(connection, "after_cursor_execute", listen)
    yield texts
    sa.event.remove(connection, "after_cursor_execute", listen)


def conflicting(value: Callable[[Any], Any]) -> Any:
    statement = insert(secret).values(id=1, sealed=b"new")
    return statement.on_conflict_do_update(
        index_elements=["id"], set_={"sealed": value(statement.excluded)}
    )


REFUSED: dict[str, Callable[[], Any]] = {
    "literal": lambda: sa.update(secret).values(sealed=sa.literal(PLAIN)),
    "parameter": lambda: sa.update(secret).values(sealed=sa.bindparam("v", PLAIN, sa.LargeBinary)),
    "text": lambda: sa.update(secret).values(sealed=sa.bindparam("v", "PLAINTEXT", sa.String)),
    "case": lambda: sa.update(secret).values(sealed=sa.case((c.id == 1, PLAIN), else_=c.sealed)),
    "coalesce": lambda: sa.update(secret).values(sealed=sa.func.coalesce(c.sealed, PLAIN)),
    "column": lambda: sa.update(secret).values(sealed=c.raw),
    "ordered": lambda: sa.update(secret).ordered_values((c.id, 1), (c.sealed, c.raw)),
    "subquery": lambda: sa.update(secret).values(
        sealed=sa.select(secret.alias().c.raw).scalar_subquery()
    ),
    "lambda": lambda: sa.lambda_stmt(lambda: sa.update(secret).values(sealed=PLAIN)),
    "several": lambda: sa.insert(secret).values(
        [{"id": 2, "sealed": b"x"}, {"id": 3, "sealed": sa.literal(PLAIN)}]
    ),
    "excluded": lambda: conflicting(lambda row: sa.func.coalesce(row.sealed, PLAIN)),
    "excluded, another": lambda: conflicting(lambda row: row.other),
    "other column": lambda: sa.update(secret).values(sealed=c.other),
    "from select": lambda: sa.insert(archive).from_select(
        ["id", "same"], sa.select(c.id, c.raw)
    ),
    "from union": lambda: sa.insert(archive).from_select(
        ["id", "same"], sa.union_all(sa.select(c.id, c.sealed), sa.select(c.id, c.other))
    ),
    "without tags": lambda: sa.insert(searched).from_select(
        ["id", "same"], sa.select(c.id, c.sealed)
    ),
    "in a query": lambda: sa.select(
        sa.update(secret).values(sealed=c.raw).returning(secret.c.id).cte()
    ),
}  # fmt: skip


@pytest.mark.parametrize("how", REFUSED)
def test_sql_is_refused(connection: sa.Connection, sent: list[str], how: str) -> None:
    """
    The database would store what it was told, which is plaintext, or what never opens.
    """
    for _ in range(2):  # the second time from SQLAlchemy's cache of statements
        with pytest.raises(EncryptionError, match="encrypted column Secret Files"):
            connection.execute(REFUSED[how]())
    assert sent == []
    assert connection.execute(sa.select(c.sealed, c.other)).all() == [(b"old", b"other")]


def test_values_are_sealed(connection: sa.Connection, sent: list[str]) -> None:
    """
    Values, parameters without a type or of the column's own, and NULL are as they were.
    """
    value: Any
    for value in (PLAIN, sa.bindparam("v"), sa.bindparam("v", type_=c.sealed.type)):
        connection.execute(sa.update(secret).values(sealed=value), {"v": PLAIN})
        assert connection.scalar(sa.select(c.sealed)) == PLAIN
    connection.execute(conflicting(lambda _row: PLAIN))
    connection.execute(conflicting(lambda row: row.sealed))
    assert connection.scalar(sa.select(c.sealed)) == b"new"
    for value in (None, sa.null()):
        connection.execute(sa.update(secret).values(sealed=value))
        assert connection.scalar(sa.select(c.sealed)) is None
    assert "PLAINTEXT" not in "".join(sent)


def test_what_was_sealed_for_such_a_column_is_copied(
    connection: sa.Connection, sent: list[str]
) -> None:
    """
    One id, one ring and one index: the copy opens, be it by SELECT or by a subquery.
    """
    connection.execute(sa.insert(archive).from_select(["id", "same"], sa.select(c.id, c.sealed)))
    assert connection.scalar(sa.select(archive.c.same)) == b"old"
    back = sa.select(archive.c.same).where(archive.c.id == c.id).scalar_subquery()
    connection.execute(sa.update(secret).values(sealed=None))
    connection.execute(sa.update(secret).values(sealed=back))
    assert connection.scalar(sa.select(c.sealed)) == b"old"


def test_a_default_in_sql_is_refused() -> None:
    """
    The database would compute it, and cannot seal it.
    """
    for option in ("default", "onupdate"):
        given: dict[str, Any] = {option: sa.func.now()}
        small = sa.Table(
            "small",
            sa.MetaData(),
            sa.Column("id", sa.Integer, primary_key=True),
            sa.Column("sealed", Encrypted(sa.String, RING), **given),
        )
        with pytest.raises(DeclarationError, match=f"{option}= takes a value"):
            secrets_of(small)
