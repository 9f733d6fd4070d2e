from __future__ import annotations

import enum
import uuid
from datetime import UTC, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import assume, given
from hypothesis import strategies as st
from sqlalchemy.dialects import postgresql

from pgultra.errors import DeclarationError
from pgultra.features.encryption.codec import codec_of


class Colour(enum.Enum):
    RED = "r"
    BLUE = "b"


class Doubled(sa.TypeDecorator[int]):
    impl = sa.Integer
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Any) -> Any:
        return value * 2

    def process_result_value(self, value: Any, dialect: Any) -> Any:
        return value // 2


class Price(sa.TypeDecorator[Decimal]):
    impl = sa.Numeric
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Any) -> Any:
        return value


offsets = st.integers(-14 * 60, 14 * 60).map(lambda each: timezone(timedelta(minutes=each)))
texts = st.text(st.characters(exclude_categories=["Cs"]))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts,
    lambda each: st.lists(each, max_size=3) | st.dictionaries(texts, each, max_size=3),
    max_leaves=8,
).filter(lambda value: "Infinity" not in str(value) and "inf" not in str(value))


def _in_range(moment: datetime) -> bool:
    return 1 < moment.year < 9999  # elsewhere UTC may not exist


CASES: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (sa.String(), texts),
    (sa.Text(), texts),
    (sa.LargeBinary(), st.binary()),
    (sa.Integer(), st.integers()),
    (sa.Boolean(), st.booleans()),
    (sa.Numeric(), st.decimals(allow_nan=False)),
    (sa.Float(), st.floats(allow_nan=False)),
    (sa.Date(), st.dates()),
    (sa.Time(), st.times()),
    (sa.DateTime(), st.datetimes()),
    (sa.Time(timezone=True), st.times(timezones=offsets)),
    (sa.DateTime(timezone=True), st.datetimes(timezones=st.just(UTC) | offsets).filter(_in_range)),
    (sa.Interval(), st.timedeltas()),
    (sa.Uuid(), st.uuids()),
    (postgresql.UUID(), st.uuids()),
    (postgresql.BYTEA(), st.binary()),
    (sa.Enum(Colour), st.sampled_from(Colour)),
    (sa.JSON(), json_values),
    (postgresql.JSONB(), json_values),
    (Doubled(), st.integers()),
    (Price(), st.decimals(allow_nan=False)),
]


@pytest.mark.parametrize(("type_", "values"), CASES, ids=lambda each: str(each)[:20])
@given(data=st.data())
def test_every_type_comes_back(
    type_: Any, values: st.SearchStrategy[Any], data: st.DataObject
) -> None:
    """
    Decoding is the inverse of encoding, and gives the same type.
    """
    codec, value = codec_of(type_), data.draw(values)
    again = codec.decode(codec.encode(value))
    assert again == value
    assert type(again) is type(value)


@pytest.mark.parametrize(
    ("type_", "values"), [case for case in CASES if not isinstance(case[0], sa.JSON)],
    ids=lambda each: str(each)[:20],
)  # fmt: skip
@given(data=st.data())
def test_equal_values_have_equal_bytes(
    type_: Any, values: st.SearchStrategy[Any], data: st.DataObject
) -> None:
    """
    What the blind index is taken over is equal exactly if Python says so.
    """
    codec = codec_of(type_)
    index = codec.index or codec.encode
    one, two = data.draw(values), data.draw(values)
    assert (index(one) == index(two)) == (one == two)


@given(st.times(timezones=offsets), st.times(timezones=offsets), st.booleans())
def test_times_of_several_offsets(one: time, other: time, same: bool) -> None:
    """
    They are found by each other exactly if Python calls them equal, and come back as given.
    """
    if same:  # the same moment, an offset further east
        minutes = one.hour * 60 + one.minute + 30
        offset = one.utcoffset()
        assert offset is not None
        assume(minutes < 24 * 60)
        assume(offset + timedelta(minutes=30) < timedelta(hours=24))
        east = timezone(offset + timedelta(minutes=30))
        other = one.replace(hour=minutes // 60, minute=minutes % 60, tzinfo=east)
        assert one == other
    codec = codec_of(sa.Time(timezone=True))
    assert codec.index is not None
    assert (codec.index(one) == codec.index(other)) == (one == other)
    assert codec.index(one) != codec.index(one.replace(tzinfo=None))
    assert codec.decode(codec.encode(other)).utcoffset() == other.utcoffset()


@pytest.mark.parametrize("type_", [sa.Numeric(), Price()], ids=str)
@given(value=st.decimals(allow_nan=False, allow_infinity=False, places=3), zeros=st.integers(0, 5))
def test_trailing_zeros_do_not_count(type_: Any, value: Any, zeros: int) -> None:
    """
    1.5 and 1.500 are found by each other, and are stored as they were.
    """
    codec = codec_of(type_)
    sign, digits, exponent = value.as_tuple()
    longer = Decimal((sign, (*digits, *[0] * zeros), exponent - zeros))
    assert longer == value
    assert codec.index is not None
    assert codec.index(longer) == codec.index(value)
    assert str(codec.decode(codec.encode(longer))) == str(longer)


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        (sa.String(), 5),
        (sa.String(3), "four"),
        (sa.LargeBinary(), "text"),
        (sa.LargeBinary(), 5),
        (sa.Integer(), "5"),
        (sa.Integer(), 1.5),
        (sa.Boolean(), 1),
        (sa.Numeric(), 1.5),
        (sa.Date(), datetime.fromisoformat("2024-01-01")),
        (sa.Date(), "2024-01-01"),
        (sa.DateTime(), datetime(2024, 1, 1, tzinfo=UTC)),
        (sa.DateTime(), "2024-01-01"),
        (sa.DateTime(timezone=True), datetime.fromisoformat("2024-01-01")),
        (sa.DateTime(timezone=True), "2024-01-01"),
        (sa.Time(), "10:00"),
        (sa.Interval(), 5),
        (sa.Uuid(), "no uuid"),
        (sa.Uuid(), 5),
        (sa.Enum(Colour), "GREEN"),
        (sa.JSON(), {1, 2}),
        (sa.JSON(), float("nan")),
    ],
)
def test_what_does_not_fit_is_refused(type_: Any, value: Any) -> None:
    """
    A value of another type raises instead of being written in some form.
    """
    with pytest.raises((TypeError, ValueError, LookupError)):
        codec_of(type_).encode(value)


def test_moments_are_kept_in_utc() -> None:
    """
    Two spellings of one moment are equal; the time of day keeps what it was given.
    """
    codec = codec_of(sa.DateTime(timezone=True))
    summer = datetime.fromisoformat("2024-07-01T12:00:00+02:00")
    assert codec.decode(codec.encode(summer)) == summer
    assert codec.encode(summer) == codec.encode(summer.astimezone(UTC))
    assert codec_of(sa.Time()).decode(b"10:00:00") == time(10)


def test_uuids_as_text_and_decimals_as_floats() -> None:
    """
    The type's own wishes are kept.
    """
    text = codec_of(sa.Uuid(as_uuid=False))
    given = str(uuid.UUID(int=5))
    assert text.decode(text.encode(given)) == given
    floats = codec_of(sa.Numeric(asdecimal=False))
    assert floats.decode(floats.encode(1.5)) == 1.5
    assert codec_of(sa.Float(asdecimal=True)).encode(5) == b"5"


@pytest.mark.parametrize("type_", [sa.PickleType(), postgresql.TSVECTOR(), sa.ARRAY(sa.Integer)])
def test_types_without_canonical_bytes_are_refused(type_: Any) -> None:
    """
    The declaration says what to do instead.
    """
    with pytest.raises(DeclarationError, match="TypeDecorator"):
        codec_of(type_)
