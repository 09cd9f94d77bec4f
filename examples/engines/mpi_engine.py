"""mpiexec -n 3 python -m mpi4py.futures -m raftwork worker tasks:app --concurrency 2 \\
    --pool executor --executor mpi_engine:make

The first process is the worker, the others run tasks.
"""

from concurrent.futures import Executor

from mpi4py.futures import MPIPoolExecutor


def make() -> Executor:
    executor: Executor = MPIPoolExecutor()
    return executor
