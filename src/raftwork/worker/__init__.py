"""The worker: runs tasks for the leader, in processes, threads or coroutines.

`agent` decides (sans-IO), `pool` runs code, `main` is the loop around them, `run` the process.
"""

from raftwork.errors import LoadError
from raftwork.worker.loader import load
from raftwork.worker.pool.engine import maker
from raftwork.worker.pool.recycling import Recycling
from raftwork.worker.run import run_worker

__all__ = ["load", "LoadError", "maker", "Recycling", "run_worker"]
