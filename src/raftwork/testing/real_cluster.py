"""`raftwork_cluster`: a real broker for tests, and workers of it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from raftwork.client.app import App
from raftwork.testing.processes import Child, LocalCluster

#: For a broker, or a worker, to be there, s.
START_S: Final = 30.0


class RealCluster:
    """One broker with an address of its own, from `__enter__` to `__exit__`."""

    def __init__(self, directory: Path) -> None:
        self._local = LocalCluster(directory, names=("test",))
        self._numbers = count(1)

    @property
    def brokers(self) -> str:
        """Its address, as App(brokers=…) and RAFTWORK_BROKERS take it."""
        return self._local.brokers

    def connect(self, app: App) -> App:
        """Have an App use this cluster; returns it. RuntimeError if it is connected elsewhere."""
        if app.brokers != (self.brokers,) and app.connected:
            raise RuntimeError(f"{app!r} is connected already: connect it before it is used")
        app.brokers = (self.brokers,)
        return app

    @contextmanager
    def worker(self, target: str, *flags: str) -> Iterator[Child]:
        """A worker of MODULE:APP inside the block; MODULE is found as the test finds it.

        It is told to drain at the end, and killed if it does not. Raises TimeoutError with its log.
        """
        name = f"worker-{next(self._numbers)}"
        where = ("--brokers", self.brokers, "--name", name, *flags)
        path = os.pathsep.join([os.getcwd(), *filter(None, sys.path)])
        child = self._local.start(name, ["worker", target, *where], {"PYTHONPATH": path})
        try:
            yield child
        finally:
            try:
                if child.alive:
                    child.stop(START_S)
            finally:
                child.kill_group()  # whatever it is at: the next test's tasks are not for it

    def __enter__(self) -> Self:
        self._local.start_broker("test", "--hand-over-timeout", "0")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._local.close()
