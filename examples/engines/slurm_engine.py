"""raftwork worker tasks:app --concurrency 100 --pool executor --executor slurm_engine:make

Each task is a job of Slurm's, by submitit: for tasks of minutes. The directory `jobs` must be one
that all nodes share.
"""

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future, InvalidStateError
from contextlib import suppress
from typing import Any

import submitit


class JobFuture(Future[Any]):
    """Of a job, which it cancels."""

    job: "submitit.Job[Any]"

    def cancel(self) -> bool:
        self.job.cancel()
        return super().cancel()


class Jobs(Executor):
    """Jobs as futures. submitit has no way to be told of their ends, so a thread asks."""

    def __init__(self, engine: submitit.AutoExecutor, every_s: float) -> None:
        self._engine, self._every_s = engine, every_s
        self._futures: list[JobFuture] = []
        threading.Thread(target=self._watch, daemon=True).start()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future = JobFuture()
        future.job = self._engine.submit(fn, *args, **kwargs)
        self._futures.append(future)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        for future in list(self._futures) if cancel_futures else ():
            future.cancel()

    def _watch(self) -> None:
        while True:
            for future in [each for each in self._futures if each.done() or each.job.done()]:
                self._futures.remove(future)
                with suppress(InvalidStateError):  # it was cancelled
                    self._end(future)
            time.sleep(self._every_s)

    def _end(self, future: JobFuture) -> None:
        try:
            future.set_result(future.job.result())
        except submitit.core.utils.UncompletedJobError as error:  # killed, or out of time
            future.set_exception(error)


def make() -> Executor:
    cluster = os.environ.get("SUBMITIT_CLUSTER", "slurm")  # "local" runs processes here
    engine = submitit.AutoExecutor(folder="jobs", cluster=cluster)
    engine.update_parameters(timeout_min=60, name="raftwork")
    return Jobs(engine, every_s=0.1 if cluster == "local" else 5.0)
