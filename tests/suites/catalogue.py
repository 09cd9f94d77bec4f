"""The suites, and why what fails of them fails."""

import re
from collections.abc import Mapping
from typing import NamedTuple


class Suite(NamedTuple):
    """Tests of another project."""

    name: str
    #: The package whose version counts; None: Python itself.
    package: str | None
    what: str
    #: For pytest.
    arguments: tuple[str, ...]
    #: The least that must pass.
    least: int
    #: Of the worker.
    slots: int = 6
    #: By patterns of names: why such a test does not pass.
    reasons: Mapping[str, str] = {}

    def reason(self, test: str) -> str | None:
        """Why it fails, if that is known."""
        return next((why for like, why in self.reasons.items() if re.search(like, test)), None)


SUITES = (
    Suite(
        name="cpython",
        package=None,
        what="`test.test_concurrent_futures`: the tests for every executor",
        arguments=("--pyargs", "tests.suites.cpython"),
        least=31,
    ),
)
