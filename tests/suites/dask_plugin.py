"""For pytest: everything that Dask computes by default it computes on Raftwork."""

from collections.abc import Iterator

import dask.config
import pytest

from raftwork.executor import Executor


@pytest.fixture(autouse=True, scope="session")
def on_raftwork() -> Iterator[None]:
    with Executor(max_workers=8, pickle=True) as executor, dask.config.set(scheduler=executor):
        yield
