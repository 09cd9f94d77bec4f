"""What a worker calls for an executor, and what it refuses."""

import pickle
from typing import cast

import pytest

from raftwork import Reject, Retry
from raftwork.references import EXECUTOR_TASK
from raftwork.worker.executor_calls import served

#: As of an App in this package.
HERE = "tests.unit.tasks:app"


class Trap:
    """Notices that it is unpickled."""

    sprung = False

    def __setstate__(self, _state: object) -> None:
        Trap.sprung = True

    def __getstate__(self) -> object:
        return 1


def add(x: int, y: int = 0) -> int:
    return x + y


def later() -> None:
    raise Retry("later")


def odd() -> None:
    raise OSError(2, object())


def call(target: str, how: dict[str, object], *, pickles: bool = False) -> list[object]:
    return cast("list[object]", served(target, pickles=pickles)[EXECUTOR_TASK](how))


def by_reference(name: str, *args: object, **kwargs: object) -> dict[str, object]:
    function = name if ":" in name else f"{__name__}:{name}"
    return {"by": "reference", "function": function, "args": list(args), "kwargs": kwargs}


def test_functions_of_the_apps_own_package_are_called() -> None:
    assert call(HERE, by_reference("add", 1, y=2)) == ["value", 3]


@pytest.mark.parametrize(
    ("target", "function"),
    [
        (HERE, "os:system"),
        (HERE, "testsuite:f"),
        ("shop:app", f"{__name__}:add"),
        ("", "os:system"),
    ],
)
def test_others_are_not(target: str, function: str) -> None:
    with pytest.raises(Reject, match=f"alone, not '{function}': start it with --pickle"):
        call(target, by_reference(function, "true"))


@pytest.mark.parametrize(
    "name", ["pickle.loads", "cast", "add.__globals__.get", "pytest.raises", "Trap.__class__"]
)
def test_what_a_module_of_the_app_only_imports_is_not_its_own(name: str) -> None:
    with pytest.raises(Reject, match=f"is not defined as '{__name__}:{name}'"):
        call(HERE, by_reference(name, b""))


def test_nothing_is_unpickled_unless_that_is_permitted() -> None:
    how: dict[str, object] = {"by": "pickle", "call": pickle.dumps((add, (Trap(),), {}))}
    for refused in (how, by_reference("add", 1) | {"first": how | {"id": "x"}}):
        with pytest.raises(Reject, match="this worker unpickles nothing: start it with --pickle"):
            call(HERE, refused)
    assert not Trap.sprung
    sent: dict[str, object] = {"by": "pickle", "call": pickle.dumps((add, (1, 2), {}))}
    kind, data = call("", sent, pickles=True)
    assert (kind, pickle.loads(cast("bytes", data))) == ("pickled", 3)
    assert call("", by_reference("operator:add", 1, 2), pickles=True) == ["value", 3]


@pytest.mark.parametrize("function", ["no_such:f", f"{__name__}:nothing"])
def test_what_is_not_there_is_refused_for_good(function: str) -> None:
    with pytest.raises(Reject, match=r"cannot import 'no_such'|has no function 'nothing'"):
        call("", by_reference(function), pickles=True)


def test_an_exception_comes_back_with_what_it_takes_to_raise_it_again() -> None:
    kind, name, args, text, trace = call(HERE, by_reference("add", 1, "a"))
    assert (kind, name) == ("raised", "builtins:TypeError")
    assert args == [text] and "unsupported operand" in str(text)
    assert "in add" in str(trace) and str(trace).count("File ") == 1
    assert call(HERE, by_reference("odd"))[2] is None, "its arguments cannot be sent"


def test_how_an_attempt_ends_is_no_exception_of_the_functions() -> None:
    with pytest.raises(Retry):
        call(HERE, by_reference("later"))
