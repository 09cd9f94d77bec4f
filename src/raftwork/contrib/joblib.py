"""joblib on a cluster: import this, then `with joblib.parallel_config("raftwork"):`.

The workers are to be started with `raftwork worker … --pickle`: what joblib sends is pickled.
"""

# It has no types: its methods' are guessed of bodies that are there to be overridden.
# pyright: reportIncompatibleMethodOverride=false

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pickle import PicklingError
from typing import TYPE_CHECKING, Any, Final

from raftwork.client.app import App
from raftwork.client.overview import observe
from raftwork.contrib.peers import peer
from raftwork.errors import NotSerializable, RaftworkError, Unavailable
from raftwork.executor import Executor, RunFuture

if TYPE_CHECKING:
    import joblib.parallel as _parallel
else:
    _parallel = peer("joblib.parallel", "joblib")
    peer("cloudpickle", "joblib")  # what is parallel are often functions of `__main__`

#: Between two questions how many slots there are, while nobody leads, s.
_AGAIN_S: Final = 0.05


class RaftworkBackend(_parallel.AutoBatchingMixin, _parallel.ParallelBackendBase):
    """Batches of calls as calls of an Executor.

    `app` is an App, or what App(brokers=…) takes; `queue` the queue of the calls. `n_jobs=-1` is
    as many jobs as the workers of that queue have slots when it is asked.
    """

    supports_retrieve_callback = True
    default_n_jobs = -1

    def __init__(
        self,
        app: App | str | None = None,
        queue: str = "default",
        nesting_level: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(nesting_level=nesting_level, **options)
        self._app = app if isinstance(app, App) else App(app)
        self._queue = queue
        self._executor: Executor | None = None
        #: Sent and not ended.
        self._sent: set[RunFuture[Any]] = set()

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """See ParallelBackendBase."""
        if n_jobs == 0:
            raise ValueError("n_jobs == 0 in Parallel has no meaning")
        if n_jobs is None:
            return 1
        return n_jobs if n_jobs > 0 else max(1, self._slots() + 1 + n_jobs)

    def _slots(self) -> int:
        """Of the workers of its queue. Raises Unavailable: not to know is not to have none."""
        brokers, key = ",".join(self._app.brokers), self._app.key
        limit = time.monotonic() + self._app.patience
        while (seen := observe(brokers, key=key)).leader is None:
            if time.monotonic() > limit:
                raise Unavailable(seen.headless())
            time.sleep(_AGAIN_S)
        serving = [each for each in seen.workers if self._queue in each.queues]
        return sum(each.slots for each in serving if each.state == "active")

    def configure(
        self,
        n_jobs: int | None = 1,
        parallel: Any = None,
        prefer: str | None = None,  # noqa: ARG002 - processes or threads: they are the worker's
        require: str | None = None,  # noqa: ARG002 - of shared memory joblib knows we have none
        *,
        initializer: Callable[..., object] | None = None,
        initargs: tuple[object, ...] = (),
        **_options: Any,
    ) -> int:
        """See ParallelBackendBase. One job takes no cluster."""
        jobs = self.effective_n_jobs(n_jobs)
        if jobs == 1:
            level = self.nesting_level
            raise _parallel.FallbackToBackend(_parallel.SequentialBackend(nesting_level=level))
        self.parallel = parallel
        self._executor = Executor(
            self._app,
            jobs,
            queue=self._queue,
            pickle=True,
            initializer=initializer,
            initargs=initargs,
        )
        return jobs

    def submit(
        self, func: Callable[[], object], callback: Callable[[Any], object] | None = None
    ) -> RunFuture[Any]:
        """See ParallelBackendBase. What cannot be sent is an error of its future.

        All but the first few come from a callback: what that raised, nobody would be told, and
        Parallel would wait for ever.
        """
        assert self._executor is not None, "configure comes first"
        try:
            future = self._executor.submit(func)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this call's
            future = RunFuture(threading.RLock())
            future.set_exception(_as_joblib_says(error))
        else:
            self._sent.add(future)
            future.add_done_callback(self._sent.discard)
        if callback is not None:
            future.add_done_callback(callback)
        return future

    def retrieve_result_callback(self, out: RunFuture[Any]) -> Any:
        """See ParallelBackendBase."""
        return out.result()

    def terminate(self) -> None:
        """See ParallelBackendBase."""
        if self._executor is not None:
            self._executor.shutdown(wait=False, cancel_futures=True)
            self._executor = None
        self.reset_batch_stats()

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """End what was sent; what runs in a process is killed after a while. See joblib."""
        self.terminate()
        sent = [future.run_id for future in list(self._sent) if not future.done()]
        if ids := [id_ for id_ in sent if id_ is not None]:
            with suppress(RaftworkError):  # it ends by itself
                self._app.cancel(ids=ids)
        if ensure_ready:
            self.configure(self.parallel.n_jobs, self.parallel, **self.parallel._backend_kwargs)  # noqa: SLF001


def _as_joblib_says(error: Exception) -> Exception:
    """As its other backends: programs catch PicklingError."""
    if not isinstance(error, NotSerializable):
        return error
    said = PicklingError(f"Could not pickle the task to send it to the workers: {error}")
    said.__cause__ = error
    return said


_parallel.register_parallel_backend("raftwork", RaftworkBackend)
