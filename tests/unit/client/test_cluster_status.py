"""Asking every broker for its own facts."""

import errno

import pytest

from raftwork import Unavailable
from raftwork.client import links
from raftwork.client.cluster_status import gather

NOBODY, NOBODY_ELSE = "127.0.0.1:1", "127.0.0.1:2"


def test_brokers_that_say_nothing_are_listed_in_order_with_nothing() -> None:
    answers = gather([NOBODY_ELSE, NOBODY], 0.05).statuses
    assert list(answers.items()) == [(NOBODY_ELSE, None), (NOBODY, None)]


def test_without_a_file_to_open_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_files: int) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(links, "_room", full)
    with pytest.raises(Unavailable, match="Too many open files"):
        gather([NOBODY], 0.05)
