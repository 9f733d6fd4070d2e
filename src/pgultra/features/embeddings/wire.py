"""
The wire format: vectors as PostgreSQL's own bytes, checked before the server sees them.

pgvector's binary form is two 16-bit numbers (dimensions, zero) and the values as 32-bit
floats, big-endian. Packing it takes about a hundredth of printing the text form, and the
server takes it as it is.

How each driver sends it stands in ``driver``.
"""

from __future__ import annotations

import math
import struct
import sys
from array import array
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from pgvector import Vector

from pgultra.errors import PgultraError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["InvalidVector", "Packed", "Packer", "unpacked"]

HEADER = struct.Struct(">HH")
LARGEST = 3.4028235677973366e38
"""The first number that is too large for a 32-bit float."""
LARGEST_HALF, LEAST_HALF = 65520.0, 2.0**-25
"""The first that is too large for 16 bits, and the last that becomes 0 there."""
SHORTEST, LONGEST = 1e-18, 1e19
"""Between them the square of a length is a 32-bit float; pgvector's cosine squares it there."""

UNORDERED = (str, bytes, bytearray, set, frozenset, dict)
"""What can be iterated, and is no row of numbers."""


class InvalidVector(PgultraError, ValueError):
    """
    A vector that the column cannot hold: wrong dimensions, NaN, infinity, or no direction.
    """


class Packed(bytes):
    """
    A vector in pgvector's binary form, ready to be sent.
    """

    __slots__ = ()


class Packer:
    """
    Turns what a host has into bytes for one column, and refuses what cannot be stored.

    Args:
        dimensions: how many there must be.
        direction: refuse a vector without length, for which the cosine is not defined.
        half: refuse what an index of 16-bit floats could not hold, or never find.
        name: how errors call the type.

    >>> Packer(2)([1.0, 0.5]).hex()
    '000200003f8000003f000000'
    >>> Packer(2)([1.0, float("nan")])
    Traceback (most recent call last):
    pgultra.features.embeddings.wire.InvalidVector: a vector(2) cannot hold nan (at index 1)
    """

    def __init__(
        self,
        dimensions: int,
        *,
        direction: bool = False,
        half: bool = False,
        name: str | None = None,
    ) -> None:
        self.dimensions = dimensions
        self.direction = direction
        self.half = half
        self.name = name or f"vector({dimensions})"
        self._head = HEADER.pack(dimensions, 0)
        self._floats = struct.Struct(f">{dimensions}f")
        self._shape = (dimensions,)
        # Where the sum of squares lies between these, no number needs a look of its own.
        self._enough = dimensions * LEAST_HALF**2 * 1.01 if half else 1e-30
        self._little = LARGEST_HALF**2 * 0.99 if half else 1e30

    def __reduce__(self) -> Any:  # a Struct cannot be pickled, and a MetaData with vectors shall be
        again = partial(Packer, direction=self.direction, half=self.half, name=self.name)
        return again, (self.dimensions,)

    def __call__(self, value: Any) -> Packed:  # an array, a sequence or a pgvector value
        """
        Pack one vector.

        Raises:
            InvalidVector: it cannot be stored in this column.
        """
        if hasattr(value, "astype"):
            return self._array(value)
        if isinstance(value, Packed):  # checked before
            if len(value) - 4 != self._floats.size:
                self._refuse_length((len(value) - 4) // 4)
            return value
        if isinstance(value, Vector):
            data = value.to_binary()
            if len(data) - 4 != self._floats.size:
                self._refuse_length(value.dimensions())
            self._check(self._floats.unpack_from(data, 4))
            return Packed(data)
        numbers = self.numbers(value)
        return Packed(self._head + self._floats.pack(*numbers))

    def numbers(self, value: Any) -> list[float]:
        """
        The checked values as Python floats, for drivers that take arrays of them.
        """
        if isinstance(value, Packed):
            value = self._floats.unpack_from(self(value), 4)
        elif hasattr(value, "to_list"):
            value = value.to_list()
        elif hasattr(value, "tolist") and getattr(value, "ndim", 1) == 1:
            value = value.tolist()
        if isinstance(value, UNORDERED):
            raise InvalidVector(
                f"a {self.name} is given as {_short(value)}; give a list, an array or a "
                "pgvector Vector"
            )
        try:
            numbers = list(map(float, value))
        except (TypeError, ValueError):
            raise InvalidVector(
                f"a {self.name} is made of numbers in one row; got {_short(value)}"
            ) from None
        if len(numbers) != self.dimensions:
            self._refuse_length(len(numbers))
        self._check(numbers)
        return numbers

    def _array(self, value: Any) -> Packed:
        """
        The quick way for numpy: one product tells of NaN, infinity and no length at once.
        """
        kind = value.dtype
        if kind.char == "f" and kind.isnative and value.shape == self._shape:
            single = value
        else:
            single = self._single(value)
        try:
            square = float(single.dot(single))  # Python's own number compares quicker
        except Warning:  # an overflow, where the host makes errors of warnings
            square = math.inf
        if not self._enough < square < self._little:
            self._check(single.tolist())
        swapped = single.byteswap() if sys.byteorder == "little" else single
        return Packed(b"".join((self._head, swapped)))

    def _single(self, value: Any) -> Any:
        """
        An array of another kind as one of 32-bit floats.
        """
        if value.ndim != 1:
            raise InvalidVector(
                f"a {self.name} needs an array of one dimension; this one has {value.ndim}: "
                "give one row of it"
            )
        if len(value) != self.dimensions:
            self._refuse_length(len(value))
        if value.dtype.kind not in "fiu":
            raise InvalidVector(f"a {self.name} is made of numbers; got an array of {value.dtype}")
        with sys.modules["numpy"].errstate(over="ignore"):
            return value.astype("f4")

    def batch(self, values: Sequence[Any]) -> list[bytes | None]:
        """
        Pack many at once, for COPY: a few steps for all where they are plain arrays.
        """
        for value in values:
            if (
                getattr(getattr(value, "dtype", None), "char", "") != "f"
                or value.shape != self._shape
            ):
                return [None if each is None else self(each) for each in values]
        numpy: Any = sys.modules["numpy"]
        block = numpy.stack(values)
        squares = numpy.einsum("ij,ij->i", block, block)
        if not (squares.min() > self._enough and squares.max() < self._little):
            return [self(each) for each in values]
        wire = numpy.empty((len(values), self.dimensions + 1), ">f4")
        wire[:, 1:] = block
        wire.view("u1")[:, :4] = list(self._head)
        data, width = wire.tobytes(), self._floats.size + 4
        return [data[at : at + width] for at in range(0, len(data), width)]

    def _check(self, numbers: Any) -> None:  # any sequence of floats
        length = math.hypot(*numbers)
        if not length < LARGEST:
            for place, number in enumerate(numbers):
                if not abs(number) < LARGEST:
                    raise InvalidVector(f"a {self.name} cannot hold {number} (at index {place})")
        if self.direction and length == 0:
            raise InvalidVector(
                f"a {self.name} compared by cosine cannot be all zeros: it has no direction, its "
                "distance to anything is NaN and it would never be found; store NULL instead"
            )
        if self.half and not self._enough < length**2 < self._little:
            self._check_half(numbers)
        if self.direction and not SHORTEST < length < LONGEST:
            raise InvalidVector(
                f"a {self.name} compared by cosine cannot have a length of {length:.3g}: pgvector "
                "squares it in 32 bits, where it is zero or infinite, and gets a wrong distance; "
                "scale it to length 1"
            )

    def _check_half(self, numbers: Any) -> None:
        for place, number in enumerate(numbers):
            if not abs(number) < LARGEST_HALF:
                raise InvalidVector(
                    f"the index of a {self.name} with precision='half' holds numbers up to 65504, "
                    f"not {number} (at index {place}): scale it, or say precision='single'"
                )
        if self.direction and max(map(abs, numbers)) <= LEAST_HALF:
            raise InvalidVector(
                f"a {self.name} of such small numbers is all zeros in an index with "
                "precision='half', and would never be found there: scale it to length 1"
            )

    def _refuse_length(self, given: int) -> None:
        raise InvalidVector(
            f"a {self.name} has {self.dimensions} dimensions; the given one has {given}: it is "
            "made by another model, or the column is declared for another one"
        )


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) < 60 else text[:57] + "..."


class Received(Vector):
    """
    A pgvector Vector over the bytes that came; its numbers are read when they are asked for.
    """

    _raw: bytes

    @cached_property
    def _value(self) -> array[float]:  # type: ignore[override]  # made on demand
        numbers = array("f", self._raw[4:])
        if sys.byteorder != "big":
            numbers.byteswap()
        return numbers

    def __reduce__(self) -> tuple[Any, ...]:
        return Vector.from_binary, (self._raw,)

    def dimensions(self) -> int:
        """
        How many numbers there are.
        """
        return len(self._raw) // 4 - 1

    def to_binary(self) -> bytes:
        """
        The bytes that came.
        """
        return self._raw


_new = Received.__new__


def unpacked(value: Any) -> Vector | None:  # what the driver gave: bytes, text, or None
    """
    A pgvector Vector over the bytes that came.
    """
    if value.__class__ is not bytes:
        if value is None or isinstance(value, Vector):  # the host's own codec made it
            return value
        if not isinstance(value, bytes | bytearray | memoryview):
            return Vector.from_text(value) if isinstance(value, str) else Vector(value)
        value = bytes(value)
    vector = _new(Received)
    vector._raw = value
    return vector
