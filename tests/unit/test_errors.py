"""Errors are values of a program: they go to other processes, and are copied."""

import ast
import copy
import pickle
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import raftwork
from raftwork import App, errors
from raftwork.errors import (
    AppClosed,
    NotLeader,
    RaftworkError,
    TaskFailed,
    TaskLost,
    Unavailable,
)
from raftwork.messages import Code

WAYS: list[Callable[[RaftworkError], RaftworkError]] = [
    lambda error: pickle.loads(pickle.dumps(error)),
    copy.copy,
    copy.deepcopy,
]


def _all() -> list[RaftworkError]:
    special = [TaskFailed("ValueError", "nope", "Traceback …", "id"), NotLeader("b"), NotLeader()]
    special += [TaskLost("vanished", "id"), TaskLost("vanished", "id", "its last line")]
    special.append(Unavailable("no leader", ("id-1", "id-2")))
    known = {type(error) for error in special}
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    return [*special, *(kind("text") for kind in kinds if kind not in known)]


@pytest.mark.parametrize("error", _all())
def test_an_error_is_the_same_in_another_process(error: RaftworkError) -> None:
    """F17: a failed result in a child of multiprocessing broke the pool it was raised in."""
    error.add_note("from a child")
    for way in WAYS:
        other = way(error)
        assert type(other) is type(error)
        assert (str(other), vars(other)) == (str(error), vars(error))


SOURCES = sorted(Path(raftwork.__file__).parent.rglob("*.py"))
TREE = (errors.__doc__ or "").split("\n\n")[1]
#: They are caught before a caller sees them; RemoteTraceback is only ever a cause, as in the
#: executors of the standard library.
_INSIDE = {
    *("Misfit", "NotJSON", "NoVictim", "RemoteTraceback", "Taken", "WrongArguments"),
    *("UnknownFunction", "Forbidden", "NoApp", "TokensRefused", "Unfit", "TooManyViewers"),
    *("UnknownQueue", "JoinTooLarge"),
}
#: They are no errors: a task's code raises them.
_ENDS = {"RateLimited", "Reject", "Resume", "Retry"}


def _kinds() -> dict[str, type[RaftworkError]]:
    found = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    return {kind.__name__: kind for kind in found if issubclass(kind, RaftworkError)}


def test_the_tree_names_every_error_below_the_one_that_it_is() -> None:
    assert set(re.findall(r"[├└]── ([A-Z]\w+)", TREE)) == _kinds().keys() - {"RaftworkError"}
    above: dict[int, str] = {}
    for line in TREE.splitlines():
        name = re.search(r"[├└]── ([A-Z]\w+)", line)
        if name is not None:
            above[name.start(1)] = name[1]
            parent = above.get(name.start(1) - 4)
            if parent is not None and name.start(1) > 8:
                assert issubclass(_kinds()[name[1]], _kinds()[parent]), line


def _defined() -> Iterator[tuple[str, set[str]]]:
    """The classes of the package, with the names of their bases."""
    for path in SOURCES:
        if path.name != "errors.py":
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ClassDef):
                    yield node.name, {ast.unparse(base) for base in node.bases}


def test_no_other_module_has_errors_of_its_own() -> None:
    """Whoever reads the tree has seen all that a call may raise."""
    builtins = {"Exception", "BaseException", "RuntimeError", "ValueError", "OSError"}
    own = {name for name, bases in _defined() if bases & (builtins | _kinds().keys())}
    assert {name for name in own if not name.startswith("_")} == _INSIDE | _ENDS


def test_a_broker_refuses_with_each_code_and_one_error() -> None:
    assert {code: kind.__name__ for code, kind in errors.REFUSALS.items()} == {
        0: "RaftworkError",
        1: "ProtocolError",
        2: "PayloadTooLarge",
        3: "QueueFull",
        5: "UnknownTask",
        6: "UnknownWorker",
        7: "Unsupported",
        8: "PermissionDenied",
        12: "UnknownSchedule",
        13: "ScheduleConflict",
        14: "Unavailable",
    }
    assert {kind.code for kind in _kinds().values()} == set(Code)


def test_a_closed_app_says_so_by_an_error_of_its_own() -> None:
    """It was a RuntimeError alone, which no `except RaftworkError` sees."""
    app = App("127.0.0.1:1")
    app.close()
    with pytest.raises(AppClosed, match="this App is closed"):
        app.enqueue("t")
    assert issubclass(AppClosed, RuntimeError), "as it was"
