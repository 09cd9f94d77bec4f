"""raftwork worker tasks:app --concurrency 8 --pool executor --executor ray_engine:make"""

from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

import ray


def call(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return function(*args, **kwargs)


class RayExecutor(Executor):
    """Ray has none of its own."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        remote = ray.remote(max_retries=0)(call)  # retries are Raftwork's
        future: Future[Any] = remote.remote(fn, args, kwargs).future()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        ray.shutdown()


def make() -> Executor:
    """Of the cluster at RAY_ADDRESS, or of one on this machine."""
    ray.init(log_to_driver=False, ignore_reinit_error=True)
    return RayExecutor()
