"""Tasks that fork: by hand, with multiprocessing, with programs that outlive them."""

import json

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

@app.task
def terminate():
    child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(3600,))
    child.start()
    time.sleep(0.1)
    child.terminate()
    child.join(5)
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

POOLS = pytest.mark.parametrize("pool", ["process", "thread", "async"])


@POOLS
def test_a_task_that_forks_by_hand_ends_nothing(alone: Place, pool: str) -> None:
    """F1: the copy answered in its original's name, and the slot's next task ended the worker."""
    alone.write("tasks.py", TASKS)
    worker = alone.worker(f"--pool {pool} --concurrency 1")
    for how, status in (("exit", "3"), ("raise", "1"), ("return", "0")):
        forked = alone.sh(f"raftwork enqueue tasks.fork {how} --wait --timeout 10")
        assert (forked.out.strip(), forked.code) == (status, 0), forked.err
        added = alone.sh("raftwork enqueue tasks.add 1 2 --wait --timeout 10")
        assert added.out.strip() == "3", added.err
    assert worker.stop() == 0
    assert "ValueError: of the copy" in worker.text
    assert "a copy's last words" in worker.text


@POOLS
def test_the_children_of_tasks_can_be_stopped(alone: Place, pool: str) -> None:
    """F4: they ran the worker's handlers of SIGTERM and SIGINT."""
    alone.write("tasks.py", TASKS)
    alone.worker(f"--pool {pool} --concurrency 1")
    ended = alone.sh("raftwork enqueue tasks.terminate --wait --timeout 20")
    assert ended.out.strip() == "-15", ended.err
    state = alone.sh("raftwork enqueue tasks.state --wait --timeout 20")
    assert json.loads(state.out) == [True, True, -1, 0]


def test_a_coroutine_that_exits_ends_no_other(alone: Place) -> None:
    """F2: every running task failed as cancelled, for good; the second time the worker ended."""
    alone.write("tasks.py", TASKS)
    worker = alone.worker("--pool async --concurrency 4")
    other = alone.sh("raftwork enqueue tasks.wait go").out.strip()
    for _ in range(2):
        left = alone.sh("raftwork enqueue tasks.leave --wait --timeout 10")
        assert left.code == 1 and "SystemExit" in left.err, left.err
    alone.write("go", "")
    ended = alone.sh(f"raftwork result {other} --wait --timeout 10")
    assert "undisturbed" in ended.out, ended.err
    assert worker.stop() == 0
