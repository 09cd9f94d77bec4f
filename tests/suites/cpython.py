"""CPython's own tests of executors, over ours: the 31 of them that are about every executor.

The classes are those of `test.test_concurrent_futures`, which most builds of Python bring along.
Three tests run programs (`python -I -c …`) that name the class to be tested: there its import is
replaced, and what they have the worker print they print themselves, once its result is there.
"""

# pyright: reportMissingImports=false
import unittest
from typing import Any
from unittest import mock

from test import support
from test.test_concurrent_futures import (
    executor,
    test_as_completed,
    test_init,
    test_shutdown,
    test_wait,
    util,
)

from raftwork.executor import Executor

assert_python_ok = test_shutdown.assert_python_ok
_PRINTS = 't.submit(sleep_and_print, 1.0, "apple")'
_IMPORTS = "from concurrent.futures import Executor\n"
#: Its first parameter is the App.
_OURS = "import functools, raftwork.executor as e; Executor = functools.partial(e.Executor, None)\n"


class _OnRaftwork(util.ExecutorMixin):
    executor_type = Executor
    executor_kwargs: dict[str, Any] = {"pickle": True}  # tuples stay tuples  # noqa: RUF012

    def tearDown(self) -> None:
        super().tearDown()
        # What the test before has left behind is noted there, and no failure by itself.
        assert not support.environment_altered, "a thread was left behind"


class ExecutorTest(_OnRaftwork, executor.ExecutorTest, util.BaseTestCase):
    """submit, map, references."""


class ShutdownTest(_OnRaftwork, test_shutdown.ExecutorShutdownTest, util.BaseTestCase):
    """shutdown, and the end of the interpreter."""

    def setUp(self) -> None:
        super().setUp()
        self.enterContext(mock.patch.object(test_shutdown, "assert_python_ok", _adapted))


class AsCompletedTest(_OnRaftwork, test_as_completed.AsCompletedTests, util.BaseTestCase):
    """as_completed."""


class WaitTest(_OnRaftwork, test_wait.WaitTests, util.BaseTestCase):
    """wait."""


class InitializerTest(_OnRaftwork, test_init.InitializerMixin, util.BaseTestCase):
    """An initializer."""


class FailingInitializerTest(_OnRaftwork, test_init.FailingInitializerMixin, util.BaseTestCase):
    """An initializer that raises."""


def _adapted(flag: str, program: str) -> Any:
    assert _IMPORTS in program, "the test is not as it was: adapt it anew"
    program = program.replace(_IMPORTS, _OURS)
    program = program.replace(_PRINTS, f'{_PRINTS}.add_done_callback(lambda _: print("apple"))')
    return assert_python_ok(flag, program)


if __name__ == "__main__":
    unittest.main()
