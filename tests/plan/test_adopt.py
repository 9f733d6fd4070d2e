from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from pgultra import DeclarationError, Extension, Index, declare
from pgultra.objects import Function, Mark, Trigger
from pgultra.plan import State, apply, check
from pgultra.plan.adopt import adopt, judge
from pgultra.plan.canonical import Comparable
from tests.plan.visits import make_by_hand, visits

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine, MetaData

OURS = Mark("default", "declared")


def sides(desired: Function, actual: Function | None) -> Comparable:
    """
    What is declared and what is there.
    """
    return Comparable(State([desired]), State([actual] if actual else []), {})


def touch(
    body: str = "begin return new; end", mark: Mark | None = None, comment: str | None = None
) -> Function:
    """
    The same function, as declared or as found.
    """
    return Function(name="touch", body=body, mark=mark, comment=comment)


def outcomes(connection: Connection, metadata: MetaData, *names: str, **options: bool) -> list[str]:
    """
    Adopt, and give each verdict as a line.
    """
    return [str(v) for v in adopt(connection, metadata, names or None, **options)]


def words(lines: list[str]) -> list[str]:
    """
    The outcomes alone.
    """
    return sorted(line.partition(":")[0] for line in lines)


def test_what_is_equal_is_marked() -> None:
    """
    An equal object gets the mark, below its own comment.
    """
    (verdict,) = judge(sides(touch(mark=OURS), touch(comment="mine")))
    assert verdict.outcome == "marked"
    assert verdict.statements == (f"COMMENT ON FUNCTION touch() IS 'mine\n{OURS}'",)


def test_what_differs_is_refused() -> None:
    """
    Without being asked to, nothing is handed over that the next migration would replace.
    """
    (verdict,) = judge(sides(touch(mark=OURS), touch("begin end")))
    assert verdict.outcome == "refused"
    assert "in body" in verdict.reason
    assert "--different" in verdict.reason
    assert not verdict.adopted


def test_what_differs_can_be_handed_over() -> None:
    """
    Its mark has no fingerprint: that would say it was built from the declared text.
    """
    wanted = touch(mark=Mark("default", "declared", "0123456789ab"))
    (verdict,) = judge(sides(wanted, touch("begin end")), different=True)
    assert verdict.outcome == "handed over"
    assert verdict.statements == ("COMMENT ON FUNCTION touch() IS 'pgultra:default:declared'",)


def test_another_application_is_left_alone() -> None:
    """
    What belongs to somebody else is refused, whatever was asked.
    """
    theirs = touch(mark=Mark("other", "declared"))
    (verdict,) = judge(sides(touch(mark=OURS), theirs), different=True)
    assert verdict.outcome == "refused"
    assert "'other'" in verdict.reason


def test_what_is_ours_or_absent_is_named_only_when_asked() -> None:
    """
    With --all only what could be adopted is judged; a NAME always gets an answer.
    """
    assert judge(sides(touch(mark=OURS), touch(mark=OURS))) == ()
    assert judge(sides(touch(mark=OURS), None)) == ()
    (ours,) = judge(sides(touch(mark=OURS), touch(mark=OURS)), ["touch"])
    assert ours.outcome == "ours already"
    (absent,) = judge(sides(touch(mark=OURS), None), ["function touch()"])
    assert absent.outcome == "refused"
    assert "does not exist" in absent.reason


def test_a_misspelt_name_is_an_error() -> None:
    """
    The error proposes what is declared.
    """
    with pytest.raises(DeclarationError, match="did you mean touch"):
        judge(sides(touch(mark=OURS), None), ["tuoch"])


@pytest.mark.parametrize("name", ["touch", "touch()", "function touch()", "seen", "seen on visit"])
def test_names_may_be_spelt_as_check_prints_them(connection: Connection, name: str) -> None:
    """
    With or without the kind, the arguments and the table.
    """
    metadata = visits()
    make_by_hand(connection, metadata)
    assert words(outcomes(connection, metadata, name)) == ["marked"]


def test_adopting_everything_ends_the_drift(connection: Connection) -> None:
    """
    What another tool made, equal in all, is ours afterwards; nothing else is touched.
    """
    metadata = visits()
    make_by_hand(connection, metadata)
    connection.exec_driver_sql("COMMENT ON FUNCTION touch() IS 'as it was'")
    assert len(check(connection, metadata)) == 3
    assert len(outcomes(connection, metadata, dry_run=True)) == 3
    assert len(check(connection, metadata)) == 3
    assert len(outcomes(connection, metadata)) == 3
    assert not check(connection, metadata)
    ask = sa.text("SELECT obj_description(CAST('touch()' AS regprocedure))")
    assert connection.scalar(ask) == "as it was\npgultra:default:declared"


def test_what_was_handed_over_is_repaired_by_the_next_plan(connection: Connection) -> None:
    """
    After --different the differences are drift, and applying the plan ends it.
    """
    metadata = visits()
    make_by_hand(connection, metadata)
    connection.exec_driver_sql("CREATE OR REPLACE VIEW far AS SELECT id, name FROM visit")
    connection.exec_driver_sql("ALTER TABLE visit DISABLE TRIGGER seen")
    assert len(check(connection, metadata).conflicts) == 2
    assert words(outcomes(connection, metadata)) == ["marked", "refused", "refused"]
    handed = outcomes(connection, metadata, "far", "seen", different=True)
    assert words(handed) == ["handed over", "handed over"]
    found = check(connection, metadata)
    assert not found.conflicts
    apply(found, connection)
    assert not check(connection, metadata)


def test_an_index_that_differs_is_seen_after_it_was_handed_over(connection: Connection) -> None:
    """
    An index is trusted by the fingerprint beside its mark: one that was not ours has none.
    """
    metadata = visits()
    visit = metadata.tables["visit"]
    declare(visit, Index.of(sa.Index("visit_name", visit.c.name)))
    metadata.create_all(connection)
    connection.exec_driver_sql("DROP INDEX visit_name")
    connection.exec_driver_sql("CREATE INDEX visit_name ON visit (place)")
    assert words(outcomes(connection, metadata, different=True)) == ["handed over"]
    assert {step.identity.name for step in check(connection, metadata)} == {"visit_name"}


def test_extensions_need_no_adoption(connection: Connection) -> None:
    """
    An extension bears no mark, so there is nothing to take over.
    """
    metadata = visits()
    declare(metadata, Extension(name="plpgsql"))
    make_by_hand(connection, metadata)
    assert words(outcomes(connection, metadata)) == ["marked", "marked", "marked"]
    assert words(outcomes(connection, metadata, "plpgsql")) == ["ours already"]


def test_what_the_role_does_not_own_is_refused(engine: Engine, owner_engine: Engine) -> None:
    """
    PostgreSQL's refusal is reported for that object, and the others are adopted.
    """
    metadata = visits()
    with engine.begin() as connection:
        make_by_hand(connection, metadata)
        connection.exec_driver_sql(
            f"ALTER VIEW far OWNER TO {owner_engine.url.username};"
            f"GRANT SELECT ON visit TO {owner_engine.url.username}"
        )
    with owner_engine.begin() as connection:
        verdicts = {v.identity.name: v for v in adopt(connection, metadata)}
    assert verdicts["far"].outcome == "marked"
    assert verdicts["touch()"].outcome == "refused"
    assert "must be owner" in verdicts["touch()"].reason
    with engine.connect() as connection:
        assert {step.identity.name for step in check(connection, metadata)} == {"touch()", "seen"}


def test_triggers_are_known_by_their_table() -> None:
    """
    Two triggers of one name on two tables are adopted together, or apart by their table.
    """

    def trigger(table: str) -> Trigger:
        return Trigger(
            name="seen",
            table=table,
            timing="BEFORE",
            events=("INSERT",),
            function="touch",
            mark=OURS,
        )

    both = State([trigger("a"), trigger("b")])
    compared = Comparable(both, State(), {})
    assert len(judge(compared, ["seen"])) == 2
    assert len(judge(compared, ["seen on b"])) == 1
