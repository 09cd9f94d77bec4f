"""Tasks that fork: by hand, with multiprocessing, with programs that outlive them."""

import pytest

from tests.strangers.place import Place

TASKS = """
import asyncio, multiprocessing, os, signal, sys, time
from raftwork import App
app = App()

@app.task
def fork(how):
    pid = os.fork()
    if pid == 0:
        if how == "exit": sys.exit(3)
        if how == "raise": raise ValueError("of the copy")
        print("a copy's last words")
        return "the copy's"
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

@app.task
def add(x, y): return x + y

def _begin(queue):
    queue.put("begun")
    time.sleep(3600)

@app.task
def terminate():
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    child = context.Process(target=_begin, args=(queue,))
    child.start()
    queue.get()
    child.terminate()
    child.join(20)
    code = child.exitcode
    child.kill()
    return code

def _state(queue):
    queue.put([
        signal.getsignal(signal.SIGTERM) == signal.SIG_DFL,
        signal.getsignal(signal.SIGINT) == signal.default_int_handler,
        signal.set_wakeup_fd(-1), len(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
    ])

@app.task
def state():
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    child = context.Process(target=_state, args=(queue,))
    child.start()
    return queue.get()

@app.task
async def leave():
    async def sub():
        sys.exit(5)
    await asyncio.gather(sub())

@app.task
async def wait(path):
    while not os.path.exists(path):
        await asyncio.sleep(0.01)
    return "undisturbed"
"""

FORKS = """
from tasks import add, fork
for how in "exit", "raise", "return":
    print(fork.enqueue(how).result(timeout=60))
    print(f"sum={add.enqueue(1, 2).result(timeout=60)}")
"""
CHILDREN = """
from tasks import state, terminate
print(terminate.enqueue().result(timeout=60))
print(state.enqueue().result(timeout=60))
"""
EXITS = """
from tasks import leave, wait
from raftwork import TaskFailed
other = wait.enqueue("go")
for _ in range(2):
    try: leave.enqueue().result(timeout=60)
    except TaskFailed as failed: print(failed.type)
open("go", "w").close()
print(other.result(timeout=60))
"""

POOLS = pytest.mark.parametrize("pool", ["process", "thread", "async"])


@POOLS
def test_a_task_that_forks_by_hand_ends_nothing(alone: Place, pool: str) -> None:
    """F1: the copy answered in its original's name, and the slot's next task ended the worker."""
    alone.write("tasks.py", TASKS)
    worker = alone.worker(f"--pool {pool} --concurrency 1")
    alone.write("ask.py", FORKS)
    asked = alone.sh("python ask.py")
    assert asked.out.split() == ["3", "sum=3", "1", "sum=3", "0", "sum=3"], asked.err
    assert worker.stop() == 0
    assert "ValueError: of the copy" in worker.text
    assert "a copy's last words" in worker.text


@POOLS
def test_the_children_of_tasks_can_be_stopped(alone: Place, pool: str) -> None:
    """F4: they ran the worker's handlers of SIGTERM and SIGINT."""
    alone.write("tasks.py", TASKS)
    alone.worker(f"--pool {pool} --concurrency 1")
    alone.write("ask.py", CHILDREN)
    asked = alone.sh("python ask.py")
    assert asked.out.splitlines() == ["-15", "[True, True, -1, 0]"], asked.err


def test_a_coroutine_that_exits_ends_no_other(alone: Place) -> None:
    """F2: every running task failed as cancelled, for good; the second time the worker ended."""
    alone.write("tasks.py", TASKS)
    worker = alone.worker("--pool async --concurrency 4")
    alone.write("ask.py", EXITS)
    asked = alone.sh("python ask.py")
    assert asked.out.split() == ["SystemExit", "SystemExit", "undisturbed"], asked.err
    assert worker.stop() == 0
