"""
What may come by a slip: each option and each argument is given all of them.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, Integer

WRONG: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    3,
    10**30,
    0.0,
    3.5,
    float("nan"),
    float("inf"),
    "",
    "nix",
    "title",
    b"",
    b"x",
    [],
    ["nix"],
    [[]],
    (),
    ("a", "b"),
    (1, {}),
    {},
    {"a": 1},
    {"title": None},
    {1: []},
    set(),
    {"title"},
    object(),
    object,
    len,
    Integer,
    Column("stranger", Integer),
)
