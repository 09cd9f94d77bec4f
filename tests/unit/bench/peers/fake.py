"""A peer without a server, for the tests of what measures one.

It leaves a process of a session of its own behind, whose pid it writes to where $FAKE_PEER says;
there it is told how to behave, too.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.peers.measures import Effort, Running, Sample

VARIABLE = "FAKE_PEER"


@contextmanager
def start(_: Path) -> Iterator[Running]:
    where = Path(os.environ[VARIABLE])
    left = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(600)"],
        start_new_session=True,
        stdout=subprocess.DEVNULL,
    )
    (where / "pid").write_text(str(left.pid))
    behaviour = (where / "behaviour").read_text()
    if behaviour == "fails":
        raise RuntimeError("no server today")
    if behaviour == "hangs":
        time.sleep(600)
    yield Running("Fake 1.0", {"enqueue": _measure})


def _measure(effort: Effort) -> Sample:
    return Sample(effort.seconds * 100, {"p99 ms": 3.0})
