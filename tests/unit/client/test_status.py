"""Asking every broker for its own facts."""

from raftwork.client.status import gather

NOBODY, NOBODY_ELSE = "127.0.0.1:1", "127.0.0.1:2"


def test_brokers_that_say_nothing_are_listed_in_order_with_nothing() -> None:
    answers = gather([NOBODY_ELSE, NOBODY], 0.05).statuses
    assert list(answers.items()) == [(NOBODY_ELSE, None), (NOBODY, None)]
