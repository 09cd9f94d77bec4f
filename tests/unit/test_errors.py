"""Errors are values of a program: they go to other processes, and are copied."""

import copy
import pickle
from collections.abc import Callable

import pytest

from raftwork import errors
from raftwork.errors import NotLeader, RaftworkError, TaskFailed, Unavailable

WAYS: list[Callable[[RaftworkError], RaftworkError]] = [
    lambda error: pickle.loads(pickle.dumps(error)),
    copy.copy,
    copy.deepcopy,
]


def _all() -> list[RaftworkError]:
    special = [TaskFailed("ValueError", "nope", "Traceback …"), NotLeader("b"), NotLeader()]
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
