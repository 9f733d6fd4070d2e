"""
Values as bytes: an exact, canonical encoding for every supported type.

Equal values give equal bytes, since the blind index is taken over them.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from sqlalchemy import types
from sqlalchemy.dialects.postgresql import dialect as postgresql

from pgultra.errors import DeclarationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.types import TypeEngine

__all__ = ["Codec", "codec_of"]


@dataclass(frozen=True, slots=True)
class Codec:
    """
    A pair of inverse functions.
    """

    encode: Callable[[Any], bytes]  # Any: the Python type of the column
    decode: Callable[[bytes], Any]
    index: Callable[[Any], bytes] | None = None
    """What the blind index is taken over, where equal values have several encodings."""


def codec_of(type_: TypeEngine[Any]) -> Codec:
    """
    The codec for a SQLAlchemy type.

    Raises:
        DeclarationError: values of this type have no canonical bytes.

    >>> from sqlalchemy import Numeric
    >>> codec = codec_of(Numeric())
    >>> codec.encode(Decimal("1.50")), codec.decode(b"1.50")
    (b'1.50', Decimal('1.50'))
    """
    if isinstance(type_, types.TypeDecorator) and not isinstance(type_, types.Interval):
        return _decorated(type_)
    if isinstance(type_, types.Enum):
        return _enum(type_)
    if isinstance(type_, types.JSON):
        return Codec(_json, json.loads)
    if isinstance(type_, types.Uuid):
        return _uuid(type_)
    if isinstance(type_, types.String):
        limited = _limited(type_.length) if type_.length else str.encode
        # A normal form may be longer ("ß" is "ss"), and so may what is searched for.
        return Codec(limited, bytes.decode, str.encode)
    if isinstance(type_, types.Float | types.Numeric) and not type_.asdecimal:
        return Codec(_float, lambda raw: float(raw), _same_float)
    if isinstance(type_, types.DateTime) and not type_.timezone:
        return Codec(_naive, lambda raw: datetime.fromisoformat(raw.decode()))
    for kind, codec in _CODECS:
        if isinstance(type_, kind):
            return codec
    raise DeclarationError(
        f"{type_!r} cannot be encrypted: it has no canonical bytes. Wrap it in a TypeDecorator "
        "over String, LargeBinary or JSON"
    )


def _refuse(value: object, wanted: str) -> TypeError:
    return TypeError(f"an encrypted column of {wanted} was given a {type(value).__name__}")


def _limited(length: int) -> Callable[[str], bytes]:
    def encode(value: str) -> bytes:
        if len(value) > length:
            raise ValueError(f"value too long for an encrypted String({length})")
        return value.encode()

    return encode


def _bytes(value: bytes | bytearray | memoryview) -> bytes:
    if isinstance(value, str | int):
        raise _refuse(value, "bytes")
    return bytes(value)


def _boolean(value: bool) -> bytes:
    if not isinstance(value, bool):
        raise _refuse(value, "bool")
    return b"1" if value else b"0"


def _integer(value: int) -> bytes:
    if not isinstance(value, int):
        raise _refuse(value, "int")
    return b"%d" % value


def _float(value: float) -> bytes:
    return repr(float(value)).encode()


def _same_float(value: float) -> bytes:
    return repr(float(value) + 0.0).encode()  # -0.0 equals 0.0


def _decimal(value: Decimal | int) -> bytes:
    if not isinstance(value, Decimal | int):
        raise _refuse(value, "Decimal")
    return str(Decimal(value)).encode()


def _same_decimal(value: Decimal | int) -> bytes:
    if not isinstance(value, Decimal | int):
        raise _refuse(value, "Decimal")
    number = Decimal(value)
    if not number.is_finite():
        return str(number).encode()
    sign, digits, exponent = number.as_tuple()  # not normalize(), which rounds
    assert isinstance(exponent, int)
    text = "".join(map(str, digits))
    kept = text.rstrip("0")
    if not kept:
        return b"0"
    head = kept.lstrip("0")
    return f"{'-' if sign else ''}{head}E{exponent + len(text) - len(kept)}".encode()


def _date(value: date) -> bytes:
    if not isinstance(value, date) or isinstance(value, datetime):
        raise _refuse(value, "date")
    return value.isoformat().encode()


def _naive(value: datetime) -> bytes:
    if not isinstance(value, datetime):
        raise _refuse(value, "datetime")
    if value.tzinfo is not None:
        raise ValueError("an encrypted DateTime() takes no time zone: say DateTime(timezone=True)")
    return value.isoformat().encode()


def _aware(value: datetime) -> bytes:
    if not isinstance(value, datetime):
        raise _refuse(value, "datetime")
    if value.tzinfo is None:
        raise ValueError("an encrypted DateTime(timezone=True) needs a time zone")
    return value.astimezone(UTC).isoformat().encode()


def _time(value: time) -> bytes:
    if not isinstance(value, time):
        raise _refuse(value, "time")
    return value.isoformat().encode()


def _same_time(value: time) -> bytes:
    offset = value.utcoffset() if isinstance(value, time) else None
    if offset is None:
        return _time(value)
    since = timedelta(
        hours=value.hour,
        minutes=value.minute,
        seconds=value.second,
        microseconds=value.microsecond,
    )
    return _interval(since - offset) + b"Z"  # as Python compares them: not around midnight


def _interval(value: timedelta) -> bytes:
    if not isinstance(value, timedelta):
        raise _refuse(value, "timedelta")
    return b"%d" % (value // timedelta(microseconds=1))


def _json(value: Any) -> bytes:  # whatever JSON can say
    text = json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return text.encode()


def _uuid(type_: types.Uuid[Any]) -> Codec:
    def encode(value: uuid.UUID | str) -> bytes:
        try:
            return (value if isinstance(value, uuid.UUID) else uuid.UUID(value)).bytes
        except (AttributeError, ValueError, TypeError):
            raise _refuse(value, "UUID") from None

    if type_.as_uuid:
        return Codec(encode, lambda raw: uuid.UUID(bytes=raw))
    return Codec(encode, lambda raw: str(uuid.UUID(bytes=raw)))


def _enum(type_: types.Enum) -> Codec:
    bind = type_.bind_processor(postgresql())  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it untyped
    result = type_.result_processor(postgresql(), None)  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it untyped
    assert bind is not None
    assert result is not None

    def encode(value: Any) -> bytes:  # a member, or its name
        text = bind(value)
        if text not in type_.enums:
            raise LookupError(f"not one of the values of {type_.name or 'the enum'}")
        return str(text).encode()

    return Codec(encode, lambda raw: result(raw.decode()))


def _decorated(type_: types.TypeDecorator[Any]) -> Codec:
    kind = type(type_)
    if kind.bind_processor is not types.TypeDecorator.bind_processor:
        raise DeclarationError(
            f"{type_!r} cannot be encrypted: it makes its own bind_processor; give a TypeDecorator "
            "with process_bind_param and process_result_value"
        )
    inner = codec_of(type_.impl_instance)
    dialect = postgresql()  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it untyped

    def encode(value: Any) -> bytes:
        return inner.encode(type_.process_bind_param(value, dialect))

    def decode(raw: bytes) -> Any:
        return type_.process_result_value(inner.decode(raw), dialect)

    def index(value: Any) -> bytes:
        assert inner.index is not None
        return inner.index(type_.process_bind_param(value, dialect))

    bound = kind.process_bind_param is not types.TypeDecorator.process_bind_param
    read = kind.process_result_value is not types.TypeDecorator.process_result_value
    return Codec(
        encode if bound else inner.encode,
        decode if read else inner.decode,
        index if bound and inner.index is not None else inner.index,
    )


_CODECS: list[tuple[type[TypeEngine[Any]], Codec]] = [
    (types.LargeBinary, Codec(_bytes, bytes)),
    (types.Boolean, Codec(_boolean, lambda raw: raw == b"1")),
    (types.Integer, Codec(_integer, lambda raw: int(raw))),
    (types.Float, Codec(_decimal, lambda raw: Decimal(raw.decode()), _same_decimal)),
    (types.Numeric, Codec(_decimal, lambda raw: Decimal(raw.decode()), _same_decimal)),
    (types.DateTime, Codec(_aware, lambda raw: datetime.fromisoformat(raw.decode()))),
    (types.Date, Codec(_date, lambda raw: date.fromisoformat(raw.decode()))),
    (types.Time, Codec(_time, lambda raw: time.fromisoformat(raw.decode()), _same_time)),
    (types.Interval, Codec(_interval, lambda raw: timedelta(microseconds=int(raw)))),
]
