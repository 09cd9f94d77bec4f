"""A loopback of one's own, so that ports as the README prints them are free.

Root or not: without rights a user namespace lends them, where the kernel allows that.
"""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

_PREPARE = "ip link set lo up && echo ready && exec sleep infinity"


@contextmanager
def own_loopback(env: dict[str, str]) -> Iterator[tuple[str, ...] | None]:
    """What to put before a command so that it runs there; None where that is not permitted."""
    root = os.geteuid() == 0
    unshare = ["unshare", "--net"] if root else ["unshare", "--user", "--map-root-user", "--net"]
    try:
        holder = subprocess.Popen(
            [*unshare, "--kill-child", "--fork", "sh", "-c", _PREPARE],
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
    except FileNotFoundError:
        yield None
        return
    try:
        assert holder.stdout is not None
        if holder.stdout.readline() != "ready\n":
            yield None
            return
        with open(f"/proc/{holder.pid}/task/{holder.pid}/children") as children:
            inside = children.read().split()[0]
        entry = [] if root else ["--user", "--preserve-credentials"]
        yield ("nsenter", "--target", inside, "--net", *entry)
    finally:
        holder.kill()  # and with it what it holds the namespace by
        holder.wait()
        holder.stdout.close()  # type: ignore[union-attr]
