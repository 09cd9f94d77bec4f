"""raftwork worker tasks:app --concurrency 2 --pool executor --executor dask_engine:make"""

import os
from concurrent.futures import Executor

import dask
from dask.distributed import Client, LocalCluster

# A task that kills its process is Raftwork's to hand out again, not Dask's: losses are counted so.
dask.config.set({"distributed.scheduler.allowed-failures": 0})


def make() -> Executor:
    """A cluster that is there (DASK_SCHEDULER=host:8786), or one of this machine's processes."""
    address = os.environ.get("DASK_SCHEDULER") or LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None
    )
    # Without pure=False equal tasks would run once.
    executor: Executor = Client(address).get_executor(pure=False)
    return executor
