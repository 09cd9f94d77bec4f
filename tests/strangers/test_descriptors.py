"""Programs that have too many files open for a while: calls fail in time, and then work again."""

import pytest

from tests.strangers.place import Place

PROGRAM = """
import os, resource, time
from raftwork import App, Unavailable

resource.setrlimit(resource.RLIMIT_NOFILE, (120, 4096))
for free in (0, 0, 1, 3, 9, 17, 19, 21):  # the first time, not even a module can be read
    app = App(timeout=0.3)
    held = []
    try:
        while True:
            held.append(os.open("/dev/null", os.O_RDONLY))
    except OSError:
        pass
    for _ in range(free):
        os.close(held.pop())
    began = time.monotonic()
    try:
        app.enqueue("t.add", 1, 2)
        assert free > 9, "it has a connection after all"
    except Unavailable as error:
        assert "Too many open files" in str(error), (free, error)
        assert len(error.ids) == 1, (free, error.ids)
    assert time.monotonic() - began < 20
    for fd in held:
        os.close(fd)
    app._timeout = 20_000
    app.enqueue("t.add", 1, 2)
    app.close()
print("done")
"""


def test_a_program_that_ran_out_of_files_recovers(alone: Place) -> None:
    """R7: the call hung, or every later one said that the App is closed; or libzmq aborted."""
    alone.write("program.py", PROGRAM)
    done = alone.sh("python program.py")
    assert (done.code, done.out) == (0, "done\n"), done.err


TASKS = """
import os, time
from raftwork import App
app = App()

@app.task
def hog(seconds):
    held = []
    try:
        while True: held.append(os.open("/dev/null", os.O_RDONLY))
    except OSError:
        time.sleep(seconds)
    for fd in held: os.close(fd)
    return len(held) > 100

@app.task
def add(x, y): return x + y
"""


@pytest.mark.parametrize("pool", ["thread", "async"])
def test_a_task_that_opens_all_files_does_not_end_its_worker(alone: Place, pool: str) -> None:
    """The load could not be read, and that ended the worker with all its other tasks."""
    alone.write("tasks.py", TASKS)
    worker = alone.start(
        f"bash -c 'ulimit -n 256; exec raftwork worker tasks:app --pool {pool} --concurrency 2'"
    )
    hog = alone.sh("raftwork enqueue tasks.hog 3 --wait --timeout 60")
    assert (hog.code, hog.out) == (0, "true\n"), worker.text
    assert alone.sh("raftwork enqueue tasks.add 1 2 --wait --timeout 60").out == "3\n"
    assert worker.stop() == 0


def test_a_worker_with_too_few_files_for_its_slots_says_so(alone: Place) -> None:
    alone.write("tasks.py", TASKS)
    for files in (32, 64):
        done = alone.sh(f"ulimit -n {files}; timeout 60 raftwork worker tasks:app --concurrency 40")
        assert done.code == 1
        assert f"this process may open {files} files" in done.err
        assert "Traceback" not in done.err
