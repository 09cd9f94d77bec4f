"""Arguments are bound as Python binds them."""

import functools
import inspect
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raftwork.signatures import binder, misfit


def plain(a: int, b: int = 2) -> None: ...
def nothing() -> None: ...
def only(a: int, /, b: int, *, c: int, d: int = 4) -> None: ...
def rest(a: int, *args: int, c: int = 3, **kwargs: int) -> None: ...
def named(self: int, name: int = 1, *, args: int, kwargs: int = 2, id: int = 3) -> None: ...  # noqa: A002
def keyword_only(*, c: int, d: int = 4) -> None: ...
def positional_only(a: int, b: int = 1, /) -> None: ...
async def coroutine(a: int) -> None: ...


@functools.wraps(plain)
def wrapper(*args: Any, **kwargs: Any) -> None: ...


class Caller:
    def method(self, a: int, *, self_: int = 1) -> None: ...
    @staticmethod
    def static(a: int, b: int = 1) -> None: ...
    def __call__(self, a: int, /, *, name: int = 1) -> None: ...


FUNCTIONS = [
    plain,
    nothing,
    only,
    rest,
    named,
    keyword_only,
    positional_only,
    coroutine,
    wrapper,
    lambda x, y=1: None,
    functools.partial(plain, 1),
    functools.partial(rest, 1, name=4),
    functools.partial(functools.partial(plain, b=1), b=5),
    functools.partial(Caller().method),
    functools.lru_cache(lambda a, *, b=1: None),
    Caller().method,
    Caller.static,
    vars(Caller)["static"],
    Caller(),
]
NAMES = st.sampled_from(["a", "b", "c", "d", "self", "name", "args", "kwargs", "id", "other"])


def error_of(call: Callable[..., object], args: list[int], kwargs: dict[str, int]) -> str | None:
    try:
        made = call(*args, **kwargs)
    except TypeError as error:
        return str(error)
    if inspect.iscoroutine(made):
        made.close()
    return None


@given(
    st.sampled_from(FUNCTIONS),
    st.lists(st.integers(), max_size=4),
    st.dictionaries(NAMES, st.integers(), max_size=3),
)
def test_what_python_refuses_is_refused_in_its_words(
    function: Callable[..., object], args: list[int], kwargs: dict[str, int]
) -> None:
    stub = binder(function)
    assert stub is not None
    assert error_of(stub, args, kwargs) == error_of(function, args, kwargs)
    assert misfit(binder(function), list(args), dict(kwargs)) == error_of(function, args, kwargs)


@pytest.mark.parametrize("function", [print, functools.partial(print, 1), dict, Caller, "x".join])
def test_what_cannot_be_told_is_let_through(function: Callable[..., object]) -> None:
    assert binder(function) is None
    assert misfit(binder(function), [1] * 9, {}) is None
