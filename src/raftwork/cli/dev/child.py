"""What `raftwork dev` starts: a command of ours that does not outlive its parent.

python -m raftwork.cli.dev.child COMMAND ARGUMENT…
"""

import ctypes
import os
import signal
import sys
from contextlib import suppress
from typing import Final

from raftwork.addresses import same_place
from raftwork.cli import main
from raftwork.cli.output import err
from raftwork.client.app import App
from raftwork.errors import LoadError
from raftwork.worker.loader import load

_PR_SET_PDEATHSIG: Final = 1


def end_with_parent() -> None:
    """SIGTERM when the parent dies, even by SIGKILL: it would leave the port and the data taken."""
    parent = os.getppid()
    with suppress(OSError, AttributeError):  # as yet Linux alone has it
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM))
    if os.getppid() != parent:
        sys.exit(1)


def queues(target: str, address: str) -> list[str]:
    """The flag for all queues in which a task of the App may wait; none where it does not load."""
    try:
        app = load(target)
    except LoadError:
        return []  # the worker says why
    if not isinstance(app, App):
        return []
    if not any(same_place(address, each) for each in app.brokers):
        err(
            f"{target} names its brokers itself ({', '.join(app.brokers)}): a program that imports"
            f" it enqueues there, not here, unless it says {address}, or none (then"
            " RAFTWORK_BROKERS decides)"
        )
    named = {task.chosen.queue for task in app.tasks.values()} | {"default"}
    return ["--queues", ",".join(sorted(named))]


if __name__ == "__main__":
    end_with_parent()
    arguments = sys.argv[1:]
    if arguments[0] == "worker" and "--queues" not in arguments:
        arguments += queues(arguments[1], os.environ["RAFTWORK_BROKERS"])
    main(arguments, prog_name="raftwork")
