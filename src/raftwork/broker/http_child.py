"""The process that answers HTTP for a broker (raftwork.web): started, started again, ended with it.

A broker's loop serves no HTTP: it would wait for whoever reads slowly. Nothing that this child
does, nor its end, is more to the broker than a line in the log.
"""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from raftwork.broker.peer_events import HttpEnded
from raftwork.net.tended_child import TendedChild

if TYPE_CHECKING:
    from collections.abc import Callable

    from raftwork.broker.events import Event
    from raftwork.broker.options import BrokerConfig
    from raftwork.keys import Key


class HttpChild:
    """Of one broker. `tend` looks after it now and then; times are monotonic ms."""

    def __init__(
        self,
        config: BrokerConfig,
        tell: Callable[[Event], None],
        key: Key | None = None,
        spawn: Callable[..., subprocess.Popen[bytes]] = subprocess.Popen,
    ) -> None:
        """`key` is the one with which it asks the brokers (access/admission.py)."""
        self._config, self._key, self._spawn = config, key, spawn
        self._child = TendedChild(self._start, lambda why: tell(HttpEnded(config.http, why)))

    def tend(self, now: int) -> None:
        """Start it, unless it runs, or has to wait. Never raises."""
        self._child.tend(now)

    def close(self) -> None:
        """End it, as this broker's end does in any case."""
        self._child.close()

    def _start(self) -> subprocess.Popen[bytes]:
        config = self._config
        rest = [address for name, address in config.cluster.items() if name != config.name]
        command = [sys.executable, "-P", "-m", "raftwork.web", "--http", config.http]
        command += ["--name", config.name, "--data", str(config.data)]
        command += ["--brokers", ",".join([config.reached, *rest])]
        if self._key is not None:
            command += ["--access", str(config.access)]
        if config.http_tokens is not None:
            command += ["--tokens", str(config.http_tokens)]
        if config.http_key is not None:
            command += ["--app-key", str(config.http_key)]
        # Its standard input ends with us, however we do, and it with that (web/server.py). A key is
        # handed over by it, too: in a command or a file others would see it.
        child = self._spawn(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        if self._key is not None:
            assert child.stdin is not None
            try:
                child.stdin.write(self._key.secret)
            except OSError:
                child.kill()
                child.wait()
                raise
        return child
