from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import (
    Session,
)

from pgultra import plan
from pgultra.errors import EncryptionError
from pgultra.features.encryption import Encrypted
from tests.features.encryption.models import RING, Invitation, Person


def explained(session: Session, statement: sa.Select[Any]) -> str:
    """
    Give the plan of a statement.
    """
    printed = statement.compile(session.connection(), compile_kwargs={"literal_binds": True})
    text = sa.text(f"EXPLAIN {printed}".replace(":", "\\:"))
    return "\n".join(session.execute(text).scalars())


def test_equality_finds_what_is_equal_in_its_normal_form(session: Session) -> None:
    """
    ``==``, ``!=``, ``in_``, ``not_in`` and IS NULL do what they say.
    """
    session.add_all([Person(email="Ann@x.org", note="n"), Person(email="bob@x.org")])
    session.flush()

    def found(*criteria: Any) -> list[str]:
        statement = sa.select(Person.email).where(*criteria).order_by(Person.id)
        return list(session.scalars(statement))

    assert found(Person.email == "ANN@X.ORG") == ["Ann@x.org"]
    assert found(Person.email == "nobody") == []
    assert found(Person.email != "ann@x.org") == ["bob@x.org"]
    assert found(Person.email.in_(["ann@x.org", "c"])) == ["Ann@x.org"]
    assert found(Person.email.not_in(["ann@x.org"])) == ["bob@x.org"]
    assert found(Person.email.in_([])) == []
    assert found(Person.note.is_(None)) == ["bob@x.org"]
    assert found(Person.note.is_not(None)) == ["Ann@x.org"]
    assert found(Person.note == None) == ["bob@x.org"]  # noqa: E711  what hosts write
    assert found(Person.email.is_not_distinct_from("bob@X.org")) == ["bob@x.org"]
    assert found("ann@x.org" == Person.email) == ["Ann@x.org"]  # noqa: SIM300
    named = sa.select(Person.email).where(Person.email == sa.bindparam("who"))
    assert session.scalars(named, {"who": "BOB@x.org"}).all() == ["bob@x.org"]


def test_a_lookup_uses_the_index(session: Session) -> None:
    """
    The planner takes the index over the tag's expression.
    """
    session.execute(sa.text("SET LOCAL enable_seqscan = off"))
    statement = sa.select(Person.id).where(Person.email == "a")
    assert "person_email_eq_1" in explained(session, statement)
    joined = sa.select(Person.id).join(Invitation, Person.email == Invitation.email)
    assert "_email_eq_1" in explained(session, joined)


def test_columns_of_one_domain_join(session: Session) -> None:
    """
    Others raise with what to declare.
    """
    session.add_all([Person(email="Ann@x.org"), Invitation(id=7, email="aNN@x.org")])
    session.flush()
    joined = sa.select(Invitation.id).join(Person, Person.email == Invitation.email)
    assert session.scalars(joined).all() == [7]
    for other in (Invitation.other, Person.note, Invitation.id):
        with pytest.raises(EncryptionError, match=r"joined|compared"):
            session.execute(sa.select(Person.id).where(Person.email == other))


def test_unique_is_unique_in_the_normal_form(session: Session) -> None:
    """
    The index refuses the same address in other letters; ON CONFLICT can name it.
    """
    session.add(Person(email="Ann@x.org"))
    session.flush()
    session.add(Person(email="ANN@x.org"))
    with pytest.raises(sa.exc.IntegrityError) as caught:
        session.flush()
    assert "person_email_eq_1" in str(caught.value)
    assert "ANN@x.org" not in str(caught.value)


def test_the_index_travels_with_the_value(session: Session) -> None:
    """
    Core, bulk, ON CONFLICT and COPY cannot leave the tag behind: it is part of the value.
    """
    table = Person.__table__
    session.execute(sa.insert(Person), [{"email": "a@x"}, {"email": "b@x"}])
    upsert = insert(table).values(id=1000, email="c@x")
    session.execute(upsert)
    session.execute(
        upsert.on_conflict_do_update(
            index_elements=[table.c.id], set_={"email": upsert.excluded.email}
        )
    )
    session.execute(sa.update(Person).where(Person.email == "a@x").values(email="d@x"))
    for email, count in (("a@x", 0), ("b@x", 1), ("c@x", 1), ("d@x", 1)):
        found = session.scalars(sa.select(Person.id).where(Person.email == email)).all()
        assert len(found) == count
    sealed = table.c.email.type.seal("e@x")
    cursor = session.connection().connection.cursor()
    with cursor.copy("COPY person (id, email) FROM STDIN") as copy:
        copy.write_row((2000, sealed))
    assert session.scalars(sa.select(Person.id).where(Person.email == "E@X")).all() == [2000]


@pytest.mark.parametrize(
    ("ask", "reason"),
    [
        (lambda: Person.email < "a", "have no order"),
        (lambda: Person.email.between("a", "b"), "have no order"),
        (lambda: Person.email.like("a%"), "no pattern"),
        (lambda: Person.email.startswith("a"), "no prefix"),
        (lambda: Person.email.desc(), "sort at random"),
        (lambda: Person.email + "a", "sees a ciphertext"),
        (lambda: "a" + Person.email, "sees a ciphertext"),
        (lambda: Person.email.contains("a"), "sees a ciphertext"),
        (lambda: Person.papers["a"], "opened in Python"),
        (lambda: Person.note == "a", "declare search=Equality"),
        (lambda: Person.note.in_(["a"]), "declare search=Equality"),
        (lambda: Person.city == "a", "use find"),
        (lambda: Person.surname == "a", "use find"),
        (lambda: Person.email.in_(sa.select(Invitation.email)), "blind_index"),
        (lambda: Person.email == sa.func.lower("a"), "know the key"),
    ],
)
def test_operators_that_cannot_work_raise_at_once(ask: Any, reason: str) -> None:
    """
    With the reason, and before anything is sent.
    """
    with pytest.raises(EncryptionError, match=reason):
        ask()


@pytest.mark.parametrize("word", ["order_by", "group_by"])
def test_ciphertexts_are_not_sorted(session: Session, word: str) -> None:
    """
    ORDER BY and GROUP BY over a ciphertext raise before the statement is sent.
    """
    statement = getattr(sa.select(Person.id), word)(Person.email)
    with pytest.raises(EncryptionError, match="random"):
        session.execute(statement)


def test_unique_means_among_live_rows() -> None:
    """
    Where the table says what "live" is, a deleted row's value is free again.
    """

    class Fades:
        room = "soft_delete"

        def objects(self, table: sa.Table) -> list[Any]:
            return []

        def facts(self, table: sa.Table) -> plan.Facts:
            return plan.Facts(live=plan.Live("deleted_at"), partition_key=("day",))

    metadata = sa.MetaData()
    table = sa.Table(
        "fading", metadata, sa.Column("deleted_at", sa.DateTime), sa.Column("day", sa.Date),
        sa.Column("email", Encrypted(sa.String, RING, unique=True)),
    )  # fmt: skip
    plan.declare(table, Fades())
    objects = {each.identity.name: each for each in plan.collect(metadata).values()}
    definition = objects["fading_email_eq_1"].definition
    assert definition.startswith("USING btree (day, (CASE")
    assert definition.endswith("WHERE deleted_at IS NULL")
