"""
The order of a cascade, on plain names.
"""

from __future__ import annotations

import itertools
import random

import pytest

from pgultra.features.soft_delete.shape import (
    Columns,
    Edge,
    Shape,
    TableName,
    in_order,
    order,
    parents,
    program,
)


def edge(text: str) -> Edge:
    """
    Make an edge of "parent>child".
    """
    parent, child = (TableName(None, name) for name in text.split(">"))
    return Edge(parent, child, ("id",), (f"{parent}_id",), Columns(), Columns(), ("id",), ("id",))


def edges(text: str) -> tuple[Edge, ...]:
    """
    Make edges of "a>b b>c".
    """
    return tuple(map(edge, text.split()))


def steps(text: str, root: str) -> list[str]:
    """
    Print the program from a root: a word per group, children only, `*` for a cyclic one.
    """
    return [
        "".join(sorted({each.child.name for each in group.edges})) + ("*" if group.cyclic else "")
        for group in program(TableName(None, root), edges(text))
    ]


@pytest.mark.parametrize(
    ("text", "root", "expected"),
    [
        ("a>b b>c", "a", ["b", "c"]),
        ("a>b b>c", "b", ["c"]),
        ("a>b b>c", "c", []),
        ("a>a", "a", ["a*"]),
        ("a>b b>b", "a", ["b*"]),
        ("a>b a>c b>d c>d", "a", ["b", "c", "d"]),
        ("a>b b>a", "a", ["ab*"]),
        ("x>a a>b b>a b>c", "x", ["ab*", "c"]),
        ("x>a a>b b>c c>a c>d", "b", ["abc*", "d"]),
        ("q>x x>a a>c q>c", "q", ["x", "a", "c"]),
        ("a>b y>b y>z", "a", ["b"]),
    ],
)
def test_program(text: str, root: str, expected: list[str]) -> None:
    """Groups come parents first; tables that reach each other stand in one that is repeated."""
    assert steps(text, root) == expected


def test_group_leaves_out_parents_that_are_not_reached() -> None:
    """An edge from a table that is not below the root is no part of its program."""
    (group,) = program(TableName(None, "a"), edges("a>b y>b"))
    assert group.edges == edges("a>b")


def test_one_order_for_all_roots() -> None:
    """Whatever the root, common tables come in the same sequence."""
    known = edges("r1>m r2>k m>z k>z k>m r1>k a>z z>z")
    full = [name for component in order(in_order(known)) for name in component]
    for root in full:
        seen = [each.edges[0].child for each in program(root, known)]
        assert seen == sorted(seen, key=full.index)


def test_order_does_not_depend_on_how_edges_are_listed() -> None:
    """Only the set of edges counts."""
    known = list(edges("a>b b>c c>b d>a e>c f>e e>e"))
    expected = order(in_order(known))
    for seed in range(20):
        random.Random(seed).shuffle(known)
        assert order(in_order(known + known)) == expected


def test_every_small_graph_is_sorted() -> None:
    """In all graphs of three tables, an edge leads forward or within one group."""
    pairs = [f"{a}>{b}" for a, b in itertools.product("abc", repeat=2)]
    for count in range(len(pairs) + 1):
        for chosen in itertools.combinations(pairs, count):
            known = edges(" ".join(chosen))
            place = {
                name: number
                for number, component in enumerate(order(in_order(known)))
                for name in component
            }
            for each in known:
                assert place[each.parent] <= place[each.child]


def test_parents_of_all_that_comes_back() -> None:
    """A restore looks at the parents of its table and of all below, highest first."""
    known = edges("q>x x>a a>c q>c u>c p>q")
    found = parents(TableName(None, "a"), known)
    assert [f"{each.parent}>{each.child}" for each in found] == ["q>c", "u>c", "x>a", "a>c"]


def test_shape_of_a_table() -> None:
    """The shape gathers what concerns one table."""
    shape = Shape.of(
        TableName(None, "a"), Columns(), ("id",), edges("x>a a>c u>c y>z"), guard="allow"
    )
    assert [each.parent.name for each in shape.above] == ["x"]
    assert [name.name for name in shape.locks] == ["u", "x", "a", "c"]
    assert [each.child.name for group in shape.below for each in group.edges] == ["c"]
    assert (shape.guard, shape.refuse_orphans, shape.view) == ("allow", False, None)


def test_schemas_tell_tables_apart() -> None:
    """The default schema sorts first, and a name prints with its schema."""
    names = [TableName("b", "t"), TableName(None, "z"), TableName("a", "t")]
    assert list(map(str, sorted(names))) == ["z", "a.t", "b.t"]
