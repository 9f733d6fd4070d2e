"""
Values of options that no partitions can be made of.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Set
from datetime import date
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from uuid import UUID

from pgultra.errors import DeclarationError
from pgultra.features.partitions.calendar import step_of
from pgultra.plan.options import refused, text, whole

if TYPE_CHECKING:
    from datetime import timedelta

__all__ = ["judge_bounds", "judge_groups", "judge_start", "judge_storage"]


def judge_bounds(place: str, bounds: Any) -> tuple[Any, ...]:
    """
    The borders as a tuple.

    Raises:
        DeclarationError: they are none, or do not ascend.
    """
    if not isinstance(bounds, list | tuple):
        raise refused(place, "bounds", bounds, "a tuple or list of borders")
    borders = tuple(bounds)
    if len(borders) < 2 or None in borders[1:-1]:
        raise DeclarationError(
            f"{place}: bounds={borders!r} are not at least two borders, with None at the ends only"
        )
    limits = [border for border in borders if border is not None]
    try:
        ascend = all(low < high for low, high in pairwise(limits))
    except TypeError:
        raise refused(place, "bounds", borders, "of one type that can be ordered") from None
    if not ascend:
        raise DeclarationError(f"{place}: bounds={borders!r} do not ascend")
    return borders


def judge_start(place: str, start: Any, every: str | int | timedelta | None) -> None:
    """
    Insist that a start is what the key is.

    Raises:
        DeclarationError: it is not, or nothing begins there.
    """
    if start is None:
        return
    if every is None:
        raise DeclarationError(f"{place}: start= needs every=; bounds= say where they begin")
    if step_of(every)[1] == "integer":
        whole(place, "start", start, -(2**63), 2**63 - 1)
    elif not isinstance(start, date | UUID):
        raise refused(place, "start", start, "a date or datetime, as the key is")


def judge_groups(place: str, groups: Any) -> dict[str, tuple[Any, ...]]:
    """
    The groups with their values as tuples.

    Raises:
        DeclarationError: they are no mapping of names to values.
    """
    if not isinstance(groups, Mapping) or not groups:
        raise DeclarationError(
            f"{place}: groups={groups!r} is not a mapping of names to values, such as "
            '{"auth": ("LOGIN", "LOGOUT")}'
        )
    found = {}
    for name, values in groups.items():
        option = f"groups[{name!r}]"
        if isinstance(values, bytes | Mapping) or not isinstance(values, Iterable):
            raise refused(place, option, values, "the values of a group: a tuple, list or set")
        if isinstance(values, Set):  # in one order in every process
            values = sorted(values, key=repr)
        found[str(name)] = (values,) if isinstance(values, str) else tuple(values)
        if not all(isinstance(value, Hashable) for value in found[str(name)]):
            raise refused(place, option, values, "made of values that a column can have")
    return found


def judge_storage(place: str, storage: Any) -> dict[str, Any]:
    """
    Storage parameters as a dictionary.

    Raises:
        DeclarationError: they are no mapping of names to numbers or texts.
    """
    if not isinstance(storage, Mapping):
        takes = "a mapping of storage parameters, such as {'fillfactor': 70}"
        raise refused(place, "storage", storage, takes)
    for name, value in storage.items():
        text(place, "storage", name, "the name of a storage parameter")
        if not isinstance(value, str | int | float):
            takes = "the value of a storage parameter: a number, a text, True or False"
            raise refused(place, f"storage[{name!r}]", value, takes)
    return dict(storage)
