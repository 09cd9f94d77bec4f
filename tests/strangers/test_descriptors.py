"""Programs that have too many files open for a while: calls fail in time, and then work again."""

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
    assert time.monotonic() - began < 3
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
