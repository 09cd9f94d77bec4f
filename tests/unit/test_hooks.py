"""An App's hooks as decorators."""

import pytest

from raftwork import App
from raftwork.hooks import TaskOutcome


def test_a_hook_gives_its_function_back_and_keeps_the_order() -> None:
    app = App(brokers="127.0.0.1:1")

    @app.on_child_start
    def first() -> int:
        return 1

    @app.on_child_start
    def second() -> int:
        return 2

    assert [function() for function in app.hooks.child_start.functions] == [1, 2]
    assert (first(), second()) == (1, 2)
    assert app.hooks.child_start and not app.hooks.worker_start
    assert not App(brokers="127.0.0.1:1").hooks.child_start


def test_what_cannot_be_a_hook_is_refused() -> None:
    app = App(brokers="127.0.0.1:1")

    async def later() -> None:
        pass

    with pytest.raises(TypeError, match="no event loop runs"):
        app.on_worker_stop(later)
    with pytest.raises(TypeError, match="got str"):
        app.on_worker_stop("name")  # type: ignore[type-var]


def test_an_outcome_says_whether_the_code_returned() -> None:
    assert TaskOutcome(None, 0.1).ok
    assert not TaskOutcome(ValueError(), 0.1).ok
