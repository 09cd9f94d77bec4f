"""A function's annotations, read once: which arguments change, and what is said of wrong ones."""

import logging
from collections.abc import Callable
from datetime import date
from typing import Any, NamedTuple

import pytest

from raftwork.conversion import NO_TYPES, Annotations, Unknown
from raftwork.conversion.compiler import Compiler
from raftwork.errors import NotSerializable

DAY = date(2027, 1, 1)


def typed(day: date, /, n: int, *more: date, until: "date | None" = None, **rest: date) -> date:
    return day


def signature(function: Callable[..., object]) -> Annotations:
    return Annotations("t.f", function)


def test_each_argument_is_converted_by_its_parameter() -> None:
    sig = signature(typed)
    args, kwargs = sig.out((DAY, 1, DAY), {"until": None, "x": DAY})
    assert args == ["2027-01-01", 1, "2027-01-01"]
    assert kwargs == {"until": None, "x": "2027-01-01"}
    assert sig.into(args, kwargs) == ([DAY, 1, DAY], {"until": None, "x": DAY})
    assert sig.result_out(DAY) == "2027-01-01"
    assert sig.reads is not None and sig.reads("2027-01-01") == DAY


@pytest.mark.parametrize(
    ("args", "kwargs", "told"),
    [
        ((3, 1), {}, "argument 1 'day' of t.f: expected date, got int 3"),
        ((DAY, 1, DAY, "x"), {}, r"argument 4 '\*more' of t.f: expected date, got str 'x'"),
        ((DAY, 1), {"until": 3}, "argument 'until' of t.f: expected date, got int 3"),
        ((DAY, 1), {"other": 3}, "argument 'other' of t.f: expected date, got int 3"),
    ],
)
def test_a_wrong_one_is_named_by_its_parameter(
    args: tuple[object, ...], kwargs: dict[str, object], told: str
) -> None:
    with pytest.raises(NotSerializable, match=told):
        signature(typed).out(args, kwargs)
    plain = tuple("2027-01-01" if each is DAY else each for each in args)
    with pytest.raises(TypeError, match=told):
        signature(typed).into(plain, kwargs)


def test_a_wrong_value_is_named_by_its_function() -> None:
    sig = signature(typed)
    with pytest.raises(NotSerializable, match=r"the result of t.f: expected date, got int 3"):
        sig.result_out(3)
    sig.compiled()
    assert sig.reads is not None
    with pytest.raises(NotSerializable, match=r"the result of t.f: expected date, got None"):
        sig.reads(None)


def plainly(a: int, b: "str", c: Any = 1) -> "list":  # type: ignore[type-arg]
    return []


def bare(a, b):  # type: ignore[no-untyped-def]
    ...


@pytest.mark.parametrize("function", [plainly, bare, int, print])
def test_a_plain_function_is_never_compiled(
    function: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("it was compiled")

    monkeypatch.setattr(Compiler, "shape", never)
    sig = signature(function)
    assert sig.plain and sig.compiled().plain and sig.reads is None


def test_one_that_turns_out_to_be_plain_is_so_from_then_on() -> None:
    def nested(a: list[int], b: "dict[str, list[str]]") -> int | None:
        return None

    sig = signature(nested)
    assert not sig.plain  # nobody has looked
    assert sig.out(([1], {}), {}) == (([1], {}), {})
    seen: bool = vars(sig)["plain"]
    assert seen and sig.reads is None


def late(x: "Late") -> "Missing":  # type: ignore[name-defined]  # noqa: F821
    ...


def test_what_cannot_be_read_stays_plain_and_is_said_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    sig = signature(late)
    monkeypatch.setitem(late.__globals__, "Late", date)  # defined later than the function
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert sig.out((DAY,), {}) == (["2027-01-01"], {})
    (record,) = caplog.records
    assert "t.f: its value stays plain, as its annotation cannot be read" in record.getMessage()
    assert sig.reads is None


def test_a_rich_value_without_an_annotation_is_refused_with_what_helps() -> None:
    refused = NotSerializable("argument 1 'a' of t.f: date")
    with pytest.raises(NotSerializable, match="date; annotate the parameter, and it arrives as"):
        signature(bare).rescue(refused, (DAY,), {})
    with pytest.raises(NotSerializable, match=r"object$"):
        signature(bare).rescue(NotSerializable("of t.f: object"), (object(),), {})


@pytest.mark.parametrize(
    "value", [2**70, "\ud800", [("a", {"b": [2**70]})]], ids=["number", "text", "within"]
)
def test_no_annotation_is_suggested_where_none_would_help(value: object) -> None:
    with pytest.raises(NotSerializable, match=r"no$"):
        signature(bare).rescue(NotSerializable("no"), (1, value), {"b": value})


def test_what_is_within_itself_is_refused_as_anything_else_that_cannot_travel() -> None:
    endless: list[object] = []
    endless.append(endless)
    for sig in (signature(bare), Unknown(NO_TYPES)):
        with pytest.raises(NotSerializable, match=r"deeper than 100$"):
            sig.rescue(NotSerializable("deeper than 100"), (endless,), {})


class Chained(NamedTuple):
    day: date
    rest: "Chained | None" = None


def chain(a: Chained) -> Chained:
    return a


def test_a_typed_value_that_is_nested_too_deep_is_named() -> None:
    deep = Chained(DAY)
    for _ in range(3_000):
        deep = Chained(DAY, deep)
    told = r"argument 1 'a' of t.f: nested too deep, or within itself"
    with pytest.raises(NotSerializable, match=told):
        signature(chain).out((deep,), {})
    with pytest.raises(NotSerializable, match=r"the result of t\.f: nested too deep"):
        signature(chain).result_out(deep)


def test_by_name_it_goes_by_what_it_is() -> None:
    unknown = Unknown(NO_TYPES)
    refused = NotSerializable("no")
    assert unknown.rescue(refused, (DAY,), {"a": {3}}) == (["2027-01-01"], {"a": [3]})
    with pytest.raises(NotSerializable, match="no"):
        unknown.rescue(refused, (object(),), {})
