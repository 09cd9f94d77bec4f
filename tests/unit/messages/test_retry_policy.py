"""After which exceptions a task is tried again."""

import pytest

from raftwork.messages import TIME_LIMIT_KINDS, Spec, is_retried

CONNECTION = ("builtins.ConnectionError", "builtins.OSError", "builtins.Exception")
VALUE = ("builtins.ValueError", "builtins.Exception")


@pytest.mark.parametrize(
    ("retry_on", "no_retry_on", "kinds", "expected"),
    [
        ((), (), VALUE, True),
        (("builtins.OSError",), (), CONNECTION, True),
        (("builtins.OSError",), (), VALUE, False),
        ((), ("builtins.ValueError",), VALUE, False),
        ((), ("builtins.ValueError",), CONNECTION, True),
        (("builtins.Exception",), ("builtins.OSError",), CONNECTION, False),
        (("builtins.OSError",), ("builtins.TimeoutError",), TIME_LIMIT_KINDS, False),
        (("builtins.TimeoutError",), (), TIME_LIMIT_KINDS, True),
    ],
)
def test_what_is_derived_counts_too_and_no_retry_on_goes_first(
    retry_on: tuple[str, ...], no_retry_on: tuple[str, ...], kinds: tuple[str, ...], expected: bool
) -> None:
    spec = Spec("t", "default", retry_on=retry_on, no_retry_on=no_retry_on)
    assert is_retried(spec, kinds) is expected
