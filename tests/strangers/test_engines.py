"""Workers over engines that are somebody else's, by the examples as they stand.

Dask's is tried always. The others need what takes a while to install and to start: name them in
RAFTWORK_ENGINES=ray,mpi,slurm, with ray, mpi4py and an mpiexec, or submitit at hand.

`pip install mpich` brings MPI's mpiexec and library, where the system has none that mpi4py finds.
"""

import os
import re
import signal

import pytest

from tests.strangers.place import ROOT, Place, blocks

OPTED = os.environ.get("RAFTWORK_ENGINES", "").split(",")
WORKER = "raftwork worker tasks:app --concurrency 2 --pool executor --executor {}_engine:make"
MPI = "mpiexec -n 3 python -m mpi4py.futures -m " + WORKER


def asked(name: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(name not in OPTED, reason=f"opt in by RAFTWORK_ENGINES={name}")


@pytest.mark.parametrize(
    ("engine", "command", "dies"),
    [
        ("dask", WORKER, True),
        pytest.param("ray", WORKER, True, marks=asked("ray")),
        # MPI ends all of its processes if one dies.
        pytest.param("mpi", MPI, False, marks=asked("mpi")),
        pytest.param("slurm", WORKER, True, marks=asked("slurm")),
    ],
)
def test_tasks_run_there_and_come_back_from_a_process_that_died(
    alone: Place, engine: str, command: str, dies: bool
) -> None:
    (tasks,) = [text for _, title, text in blocks("howto-engines.md") if title == "tasks.py"]
    alone.write("tasks.py", tasks)
    example = f"{engine}_engine.py"
    alone.write(example, (ROOT / "examples/engines" / example).read_text())
    alone.env["SUBMITIT_CLUSTER"] = "local"
    worker = alone.start(command.format(engine), "worker")
    done = alone.sh("raftwork enqueue tasks.square 7 --wait --timeout 60", within=90)
    assert (done.code, done.out) == (0, "49\n"), done.err + worker.text
    if dies:
        done = alone.sh("raftwork enqueue tasks.dies_once --wait --timeout 60", within=90)
        assert (done.code, done.out) == (0, '"came back in attempt 2"\n'), done.err + worker.text
    if engine == "mpi":  # mpiexec passes signals on to all: it is told to the worker alone
        pid = re.search(r"pid: (\d+)", worker.text)
        assert pid
        os.kill(int(pid[1]), signal.SIGTERM)
        alone.wait_until(lambda: worker.code is not None, "the worker and its processes have ended")
        assert worker.code == 0, worker.text
    else:
        assert worker.stop() == 0, worker.text
