"""
State: objects by identity, in an order, never two that disagree.
"""

from __future__ import annotations

import dataclasses
from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from typing import Any

from pgultra.errors import DeclarationError
from pgultra.objects import DatabaseObject, Identity

__all__ = ["State"]


class State(Mapping[Identity, DatabaseObject]):
    """
    An immutable, ordered mapping of identity to object.

    Equal objects are one (a function that many tables share); two different objects with
    one identity are refused.

    Raises:
        DeclarationError: two different objects have one identity.
    """

    __slots__ = ("_objects",)

    def __init__(self, objects: Iterable[DatabaseObject] = ()) -> None:
        found: dict[Identity, DatabaseObject] = {}
        for each in objects:
            other = found.setdefault(each.identity, each)
            if other is each:
                continue
            if other == each:
                if other.requires != each.requires:
                    both = tuple(dict.fromkeys((*other.requires, *each.requires)))
                    found[each.identity] = dataclasses.replace(other, requires=both)
            else:
                raise DeclarationError(_clash(other, each))
        self._objects = found

    def __getitem__(self, identity: Identity) -> DatabaseObject:
        return self._objects[identity]

    def __iter__(self) -> Iterator[Identity]:
        return iter(self._objects)

    def __len__(self) -> int:
        return len(self._objects)

    def __contains__(self, identity: object) -> bool:
        return identity in self._objects

    def keys(self) -> KeysView[Identity]:
        """
        The identities, in order.
        """
        return self._objects.keys()

    def values(self) -> ValuesView[DatabaseObject]:
        """
        The objects, in order.
        """
        return self._objects.values()

    def items(self) -> ItemsView[Identity, DatabaseObject]:
        """
        Both, in order.
        """
        return self._objects.items()

    def __repr__(self) -> str:
        return f"State({', '.join(map(str, self))})"


def _clash(one: DatabaseObject, other: DatabaseObject) -> str:
    names = one.differing(other) if type(one) is type(other) else []
    for name in (*names, "mark"):  # its fingerprint tells no more than what it is taken of
        mine: Any = getattr(one, name)
        theirs: Any = getattr(other, name, None)
        if mine != theirs:
            return (
                f"two different declarations of {one.identity}: {name} is {str(mine)!r} in one "
                f"and {str(theirs)!r} in the other; rename one of them"
            )
    return f"{one.identity} is declared twice"
