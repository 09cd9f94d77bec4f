"""Kills what a test run has started and left, once the run is gone, however that came.

    python -m tests.reaper VARIABLE=VALUE   # whatever has this in its environment

It waits for the end of its standard input, which the run holds open: a run that is killed
closes it, too. Processes of their own sessions, which the end of the run would not reach, are found
by their environment.
"""

import contextlib
import os
import sys

import psutil


def reap(name: str, value: str) -> None:
    """SIGKILL to every process of that environment but this one."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.pid != os.getpid() and process.environ().get(name) == value:
                process.kill()


if __name__ == "__main__":
    sys.stdin.read()
    reap(*sys.argv[1].split("=", 1))
