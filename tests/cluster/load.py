"""A steady stream of tasks, and whether every acknowledged one came back."""

import threading
import uuid
from types import TracebackType
from typing import Self

from raftwork import App, Run, Unavailable
from tests.cluster.harness import PATIENCE, Cluster

#: Tasks of one request.
BATCH = 10


class Load:
    """Enqueues `add` tasks from a thread, one batch after the other, until the block ends.

    What is unavailable is enqueued again under the same ids, as the error's text invites.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._app = App(brokers=cluster.brokers, timeout=PATIENCE)
        self._end = threading.Event()
        self._failed = False  # the block ended with an error: what is not acknowledged may stay so
        self._thread = threading.Thread(target=self._run)
        self._error: BaseException | None = None
        #: Every acknowledged run with the value it must have.
        self.runs: list[tuple[Run[int], int]] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._failed = kind is not None
        self._end.set()
        self._thread.join()
        if self._failed:
            self._app.close()

    def wait_for_more(self, count: int = 100) -> None:
        """Until `count` more tasks have been acknowledged than now."""
        goal = len(self.runs) + count
        self._cluster.wait_until(
            lambda: len(self.runs) >= goal or self._error, f"{count} more tasks acknowledged"
        )
        assert self._error is None, self._error

    def check(self) -> None:
        """After the block: every acknowledged task has its value, also when asked afresh."""
        assert self._error is None, self._error
        assert self.runs
        try:
            for run, value in self.runs:
                assert run.result(timeout=PATIENCE) == value, self._cluster.story()
        finally:
            self._app.close()
        with App(brokers=self._cluster.brokers, timeout=PATIENCE) as fresh:
            for run, value in self.runs[:: max(1, len(self.runs) // 100)]:
                assert fresh.run(run.id).result(timeout=PATIENCE) == value

    def _run(self) -> None:
        number = 0
        try:
            while not self._end.is_set():
                self._enqueue(number)
                number += BATCH
        except BaseException as error:  # noqa: BLE001 - it is raised where the test looks
            self._error = error

    def _enqueue(self, first: int) -> None:
        calls = [(n, 1) for n in range(first, first + BATCH)]
        ids = [str(uuid.uuid4()) for _ in calls]
        task = self._app.named("add")
        while True:
            try:
                runs = task.enqueue_many(calls, ids=ids)
            except Unavailable:
                if self._failed:
                    raise
                continue
            self.runs += [(run, x + y) for run, (x, y) in zip(runs, calls, strict=True)]
            return
