"""A function is found by its reference, or has none."""

import functools
import operator
from collections.abc import Callable

import pytest

from raftwork.references import flat, reference, referred


class Holder:
    @staticmethod
    def static(x: int) -> int:
        return x

    def method(self) -> None: ...


def function(x: int) -> int:
    return x


def test_what_can_be_imported_back_has_one() -> None:
    for each in (function, Holder.static, operator.add, pow):
        text = reference(each)
        assert text is not None
        assert referred(text) is each


@pytest.mark.parametrize(
    "each",
    [lambda: 1, Holder().method, functools.partial(function, 1), 7, None],
    ids=["lambda", "bound method", "partial", "number", "nothing"],
)
def test_what_cannot_has_none(each: object) -> None:
    assert reference(each) is None


def test_another_function_of_the_same_name_is_not_it(monkeypatch: pytest.MonkeyPatch) -> None:
    before: Callable[[int], int] = function
    monkeypatch.setitem(globals(), "function", Holder.static)
    assert reference(before) is None


@pytest.mark.parametrize("text", ["no_such_module:f", "operator:nothing", "operator:", "sys:path"])
def test_what_is_not_there_is_said(text: str) -> None:
    with pytest.raises(LookupError):
        referred(text)


def test_a_partial_is_a_call_of_its_function() -> None:
    nested = functools.partial(functools.partial(print, 7), sep="1")
    assert flat(nested, (2,), {"y": 3}) == (print, (7, 2), {"sep": "1", "y": 3})
