"""The process that answers HTTP for a broker (raftwork.web): started, started again, ended with it.

A broker's loop serves no HTTP: it would wait for whoever reads slowly. Nothing that this child
does, nor its end, is more to the broker than a line in the log.
"""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Final

from raftwork.broker.peer_events import HttpEnded
from raftwork.net.backoff import Pauses

if TYPE_CHECKING:
    from collections.abc import Callable

    from raftwork.broker.events import Event
    from raftwork.broker.options import BrokerConfig
    from raftwork.keys import Key

#: Before it is started again: the first time, and at most, ms.
AGAIN_MS: Final = 1_000
AGAIN_MAX_MS: Final = 60_000


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
        self._config, self._tell, self._key, self._spawn = config, tell, key, spawn
        self._pauses = Pauses[str](AGAIN_MS, AGAIN_MAX_MS)
        self._child: subprocess.Popen[bytes] | None = None

    def tend(self, now: int) -> None:
        """Start it, unless it runs, or has to wait. Never raises."""
        child = self._child
        if child is not None:
            if child.poll() is None:
                return
            self._child = None
            self._failed(f"it ended with status {child.returncode}", now)
        if self._pauses.lasts("http", now):
            return
        try:
            self._child = self._start()
        except OSError as error:
            self._failed(f"it cannot be started: {error.strerror or error}", now)

    def _failed(self, why: str, now: int) -> None:
        self._pauses.failed("http", now)
        self._tell(HttpEnded(self._config.http, why))

    def close(self) -> None:
        """End it, as this broker's end does in any case."""
        child, self._child = self._child, None
        if child is not None:
            child.kill()
            child.wait()

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
        child = self._spawn(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, bufsize=0)
        if self._key is not None:
            assert child.stdin is not None
            try:
                child.stdin.write(self._key.secret)
            except OSError:
                child.kill()
                child.wait()
                raise
        return child
