"""Annotations of single values: plain ones, and those that travel as text."""

from __future__ import annotations

import datetime as dt
import enum
import re
from collections.abc import Callable
from decimal import Decimal
from pathlib import PurePath
from typing import Final
from uuid import UUID

from raftwork.conversion.shapes import Shape, expected, foreign

_PLAIN: Final[dict[type, tuple[type, ...]]] = {
    type(None): (type(None),),
    bool: (bool,),
    int: (int, bool),
    float: (float, int, bool),
    str: (str,),
    bytes: (bytes,),
}
_DURATION = re.compile(
    r"(?P<sign>-?)P(?:(?P<days>\d+)D)?"
    r"(?:T(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?"
    r"(?:(?P<seconds>\d+)(?:\.(?P<micro>\d{1,6}))?S)?)?"
)


def scalar(kind: type) -> Shape | None:
    """The shape of this class, if it is that of a single value."""
    if kind in _PLAIN:
        return plain(kind)
    if issubclass(kind, enum.Enum):
        return _enum(kind)
    if issubclass(kind, PurePath):
        return _text(kind, str, kind)
    return _TEXTS.get(kind)


def plain(kind: type) -> Shape:
    """What the wire carries by itself. Unlike Python, an int is no bool, and a str no subclass."""
    kinds, words = _PLAIN[kind], "None" if kind is type(None) else kind.__name__

    def check(value: object) -> object:
        if type(value) not in kinds:
            raise expected(words, value)
        return value

    return Shape(words, check, check, rich=False)


def _text(
    kind: type, dump: Callable[..., object], load: Callable[..., object], *others: type
) -> Shape:
    """Travels as text; `others` are plain types that `load` takes as well."""
    words, takes = kind.__name__, (str, *others)
    read = foreign(words, load)

    def into(value: object) -> object:
        if type(value) not in takes:
            raise expected(words, value)
        return read(value)

    def out(value: object) -> object:
        if isinstance(value, kind):
            return dump(value)
        into(value)
        return value

    return Shape(words, out, into)


def _date_out(value: object) -> object:
    if isinstance(value, dt.datetime):  # which Python takes for a date
        raise expected("date", value)
    assert isinstance(value, dt.date)
    return value.isoformat()


def _duration(text: str | float) -> dt.timedelta:
    """Of ISO 8601 text, or seconds. Raises ValueError."""
    if not isinstance(text, str):
        return dt.timedelta(seconds=text)
    match = _DURATION.fullmatch(text)
    if match is None or text[-1] in "PT":
        raise ValueError("write it as P1DT2H3M4.5S, or as seconds")
    parts = {name: int(match[name] or 0) for name in ("days", "hours", "minutes", "seconds")}
    span = dt.timedelta(**parts, microseconds=int((match["micro"] or "").ljust(6, "0")))
    return -span if match["sign"] else span


def _duration_text(span: dt.timedelta) -> str:
    sign, span = ("-", -span) if span < dt.timedelta(0) else ("", span)
    micro = f".{span.microseconds:06}" if span.microseconds else ""
    return f"{sign}P{span.days}DT{span.seconds}{micro}S"


def _enum(kind: type[enum.Enum]) -> Shape:
    """By value; by name, if not all values are plain ones."""
    words = kind.__name__
    by_value = all(type(member.value) in (bool, int, float, str, bytes) for member in kind)

    def load(value: object) -> object:
        try:
            return kind(value) if by_value else kind[str(value)]
        except (ValueError, KeyError, TypeError):
            known = ", ".join(repr(m.value if by_value else m.name) for m in kind)
            raise expected(f"{words} ({known:.200})", value) from None

    def out(value: object) -> object:
        if isinstance(value, kind):
            return value.value if by_value else value.name
        load(value)
        return value

    return Shape(words, out, foreign(words, load))


_TEXTS: Final[dict[type, Shape]] = {
    dt.datetime: _text(dt.datetime, dt.datetime.isoformat, dt.datetime.fromisoformat),
    dt.date: _text(dt.date, _date_out, dt.date.fromisoformat),
    dt.time: _text(dt.time, dt.time.isoformat, dt.time.fromisoformat),
    dt.timedelta: _text(dt.timedelta, _duration_text, _duration, int, float),
    UUID: _text(UUID, str, UUID),
    Decimal: _text(Decimal, str, Decimal, int),
}
