"""Somebody wants tasks done later, in time, or not at all."""

import re
from pathlib import Path

from tests.strangers.place import Place

PAGE = Path(__file__).parents[2] / "docs" / "howto-later.md"
_FILE = re.compile(r"```python title=\"([\w.]+)\"\n(.*?)```", re.DOTALL)
_LINES = re.compile(r"```sh\n(.*?)```", re.DOTALL)


def test_the_page_works_as_printed(alone: Place) -> None:
    for name, text in _FILE.findall(PAGE.read_text()):
        alone.write(name, text)
    alone.worker("--concurrency 2")
    done = alone.sh("python later.py")
    assert done.out.splitlines() == [
        "scheduled scheduled",
        "reminded Ada",
        "True reminded Grace",
        "cancelled expired",
        "failed DeadlineExceeded",
    ], done.err
    lines = [line for block in _LINES.findall(PAGE.read_text()) for line in block.splitlines()]
    assert len(lines) == 4
    for line in lines:
        said = alone.sh(line)
        unfinished = line == "raftwork result new-year"
        assert said.code == unfinished, (line, said)
        assert ("scheduled" in said.err) == unfinished
    # The slot of what was stopped at its deadline is free again.
    assert alone.sh("raftwork enqueue tasks.remind Ada --wait --timeout 60").code == 0
