"""The process pool: deaths are charged to the right task, and nothing survives the worker."""

import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from raftwork.errors import PoolBroken
from raftwork.hooks import Hooks
from raftwork.worker.pool import process
from raftwork.worker.pool.channel import receive
from raftwork.worker.pool.fork_server import Kill
from raftwork.worker.pool.process import ProcessPool
from raftwork.worker.pool.recycling import Recycling, peak_memory
from tests.unit.worker.pool.drive import (
    alive,
    collect,
    failure,
    job,
    until,
    until_running,
    value,
    wait_for,
)

pytestmark = pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")


def die(number: int) -> None:
    os.kill(os.getpid(), number)


def spin() -> None:
    while True:
        pass


def spin_with_helper(path: str) -> None:
    helper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"])
    note(path, helper.pid)
    spin()


def note(path: str, *pids: int) -> None:
    partial = Path(path + ".part")
    partial.write_text(" ".join(map(str, (os.getpid(), *pids))))
    partial.rename(path)


def note_and_wait(path: str, go: str) -> None:
    note(path)
    wait_for(go)


def count_run(directory: str, name: int) -> None:
    with open(os.path.join(directory, str(name)), "a") as file:
        file.write("x")


def count_pid(directory: str, name: int) -> int:
    count_run(directory, name)
    return os.getpid()


def grow(size: int) -> int:
    """Has had so many bytes resident."""
    assert len(b"x" * size) == size
    return os.getpid()


def stdin_is_empty() -> bool:
    return os.read(0, 1) == b""


def ignores_stops() -> int:
    os.kill(os.getpid(), signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGINT)
    helper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"])
    helper.terminate()
    return helper.wait(20)


REGISTRY: dict[str, Callable[..., object]] = {
    "add": lambda x, y: x + y,
    "count": count_run,
    "count_pid": count_pid,
    "grow": grow,
    "die": die,
    "exit": os._exit,
    "hangup": lambda: int(signal.getsignal(signal.SIGHUP)),  # type: ignore[arg-type]
    "ignores_stops": ignores_stops,
    "note_and_wait": note_and_wait,
    "pid": os.getpid,
    "sleep": time.sleep,
    "spin": spin,
    "spin_with_helper": spin_with_helper,
    "stdin": stdin_is_empty,
    "wait": wait_for,
}


@pytest.fixture
def pool() -> Iterator[ProcessPool]:
    """Two children."""
    pool = ProcessPool(REGISTRY, "w", 2)
    yield pool
    pool.close()


@pytest.mark.parametrize(
    ("name", "argument", "exited", "killed"),
    [("die", 9, None, 9), ("exit", 3, 3, None), ("die", 10, None, 10)],
)
def test_a_death_is_a_loss_of_the_task_that_ran_and_of_no_other(
    pool: ProcessPool,
    tmp_path: Path,
    name: str,
    argument: int,
    exited: int | None,
    killed: int | None,
) -> None:
    pool.start([job(n, "count", str(tmp_path), n) for n in range(1, 101)])
    collect(pool, 100)  # short tasks: children get many ahead

    pool.start([job(500, name, argument)])
    pool.start([job(n, "count", str(tmp_path), n) for n in range(501, 600)])

    ends = collect(pool, 100)
    loss = ends.pop(500).outcome.loss
    assert loss is not None
    assert (loss.exit, loss.signal) == (exited, killed)
    assert loss.memory is not None and loss.memory > 2**20
    assert all(end.outcome.ok for end in ends.values())
    runs = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert set(runs.values()) == {"x"}  # none was run twice
    assert len(runs) == 199


@pytest.mark.parametrize("most", [1, 7])
def test_a_child_is_replaced_after_so_many_tasks_and_none_is_lost_or_run_twice(
    tmp_path: Path, most: int
) -> None:
    pool = ProcessPool(REGISTRY, "w", 2, Recycling(tasks=most))
    try:
        pool.start([job(n, "count_pid", str(tmp_path), n) for n in range(1, 61)])
        ends = collect(pool, 60)
    finally:
        pool.close()
    runs = Counter(str(value(end)) for end in ends.values())
    assert max(runs.values()) <= most
    assert {path.read_text() for path in tmp_path.iterdir()} == {"x"}
    assert len(list(tmp_path.iterdir())) == 60


def test_a_child_is_replaced_once_it_had_too_much_memory() -> None:
    ours = peak_memory()  # of all tests before: more than a fresh process has
    pool = ProcessPool(REGISTRY, "w", 1, Recycling(memory=ours + 50 * 2**20))
    try:
        pool.start([job(1, "pid"), job(2, "pid")])
        first = {value(end) for end in collect(pool, 2).values()}
        pool.start([job(3, "grow", ours + 100 * 2**20), job(4, "pid")])
        third, fourth = (value(end) for _, end in sorted(collect(pool, 2).items()))
    finally:
        pool.close()
    assert first == {third}
    assert fourth != third


@pytest.mark.parametrize("name", ["spin", "sleep"])
def test_code_is_stopped_whatever_it_does(pool: ProcessPool, name: str) -> None:
    pool.start([job(1, name, *([3600.0] if name == "sleep" else []))])
    until_running(pool, 1)

    pool.stop({1})

    assert failure(collect(pool, 1)[1]).type == "ProcessDied"
    pool.start([job(n, "add", 1, 1) for n in (2, 3)])
    assert {value(end) for end in collect(pool, 2).values()} == {2}


def test_what_a_stopped_task_had_started_dies_with_it(pool: ProcessPool, tmp_path: Path) -> None:
    path = tmp_path / "pids"
    pool.start([job(1, "spin_with_helper", str(path))])
    until(path.exists, "the task runs")
    child, helper = map(int, path.read_text().split())

    pool.stop({1})
    collect(pool, 1)

    until(lambda: not alive(child) and not alive(helper), "both are gone")


def test_a_stop_that_comes_too_late_kills_nobody_else(pool: ProcessPool, tmp_path: Path) -> None:
    pool.start([job(1, "pid"), job(2, "pid")])
    before = {value(end) for end in collect(pool, 2).values()}
    go = str(tmp_path / "go")
    pool.start([job(3, "wait", go), job(4, "wait", go)])
    until_running(pool, 3, 4)

    pool.stop({1, 2})
    for slot in range(2):
        pool._ask(Kill(slot, 1))  # as if token 1 had ended while this was under way

    (tmp_path / "go").touch()
    assert all(end.outcome.ok for end in collect(pool, 2).values())
    pool.start([job(n, "pid") for n in (5, 6)])
    assert {value(end) for end in collect(pool, 2).values()} <= before


def test_children_read_no_input_and_leave_stops_to_the_worker(pool: ProcessPool) -> None:
    pool.start([job(1, "stdin"), job(2, "ignores_stops")])

    ends = collect(pool, 2)

    assert value(ends[1]) is True
    assert value(ends[2]) == -signal.SIGTERM  # but the programs of a task are stopped as usual


@pytest.mark.parametrize("found", [signal.SIG_IGN, signal.SIG_DFL])
def test_children_have_the_hangup_that_the_worker_was_started_with(found: signal.Handlers) -> None:
    """Under nohup it is ignored, or a closed terminal ends what the worker outlives."""
    before = signal.signal(signal.SIGHUP, found)
    try:
        pool = ProcessPool(REGISTRY, "w", 1)
    finally:
        signal.signal(signal.SIGHUP, before)
    pool.start([job(1, "hangup")])
    assert value(collect(pool, 1)[1]) == found
    pool.close()


def test_deaths_are_noticed_although_the_module_blocks_their_signal() -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
    try:
        pool = ProcessPool(REGISTRY, "w", 1)
        pool.start([job(1, "die", 9), job(2, "add", 1, 1)])
        ends = collect(pool, 2)
        pool.close()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    assert failure(ends[1]).type == "ProcessDied"
    assert value(ends[2]) == 2


def test_a_child_that_takes_long_to_start_runs_nothing_and_is_no_slot_until_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "_RESTART_PAUSE_NS", 100_000_000)
    hooks = Hooks()
    hooks.child_start(lambda: wait_for(str(tmp_path / "go")))
    pool = ProcessPool(REGISTRY, "w", 2, hooks=hooks)
    try:
        pool.start([job(1, "add", 1, 1)])
        until(lambda: pool.collect() == [] and pool.slots == 0, "no slot")
        assert [task.token for task in pool.withdraw()] == [1]  # for another worker
        (tmp_path / "go").touch()
        until(lambda: pool.collect() == [] and pool.slots == 2, "they have started")
        pool.start([job(2, "add", 1, 1)])
        assert value(collect(pool, 1)[2]) == 2
    finally:
        pool.close()


def test_a_child_that_dies_while_it_runs_nothing_is_said(
    pool: ProcessPool, caplog: pytest.LogCaptureFixture
) -> None:
    pool.start([job(n, "pid") for n in (1, 2)])
    pid = int(str(value(collect(pool, 2)[1])))
    os.kill(pid, signal.SIGKILL)
    wanted = "a process of the pool, which ran no task, was killed by signal 9"
    until(lambda: pool.collect() == [] and wanted in caplog.text, "the log has it")


def test_an_idle_child_that_dies_is_replaced(pool: ProcessPool) -> None:
    pool.start([job(n, "pid") for n in (1, 2)])
    pids = {int(str(value(end))) for end in collect(pool, 2).values()}

    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    until(lambda: not any(map(alive, pids)), "they are gone")

    pool.start([job(3, "add", 1, 1)])
    assert value(collect(pool, 1)[3]) == 2


@pytest.fixture
def stillbirth(tmp_path: Path) -> Iterator[Path]:
    """A file; while it exists, a pool's processes exit at their birth, with the status in it.

    They are told from the fork server by their parent, which is not this process.
    """
    file, tester = tmp_path / "stillbirth", os.getpid()

    def hook() -> None:
        if os.getppid() != tester and file.exists():
            os._exit(int(file.read_text()))

    os.register_at_fork(after_in_child=hook)  # for ever, unlike the file
    yield file
    file.unlink(missing_ok=True)


@pytest.mark.parametrize("status", ["0", "1"])
def test_a_pool_whose_processes_die_at_birth_has_no_slots_and_does_not_spin(
    stillbirth: Path, status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "_RESTART_PAUSE_NS", 300_000_000)
    monkeypatch.setattr(process, "_RESTART_PAUSE_MAX_NS", 600_000_000)
    stillbirth.write_text(status)
    pool = ProcessPool(REGISTRY, "w", 2)
    try:
        pool.start([job(1, "add", 1, 1)])
        pauses: set[int] = set()

        def bound() -> bool:
            assert pool.collect() == []
            pauses.update(c.restart_at - c.started_at for c in pool._children if not c.present)
            return pool.slots == 0 and 600_000_000 in pauses and pool._children[0].failed_starts > 3

        until(bound, "the pauses are as long as they may be")
        assert pauses == {300_000_000, 600_000_000}
        assert [task.token for task in pool.withdraw()] == [1]
        stillbirth.unlink()
        until(lambda: pool.collect() == [] and pool.slots == 2, "they start")
        pool.start([job(2, "add", 1, 1)])
        assert value(collect(pool, 1)[2]) == 2
    finally:
        pool.close()


def test_a_limit_below_what_a_process_begins_with_lets_each_do_one_task(tmp_path: Path) -> None:
    pool = ProcessPool(REGISTRY, "w", 1, Recycling(memory=1))
    try:
        pool.start([job(n, "count_pid", str(tmp_path), n) for n in range(1, 6)])
        ends = collect(pool, 5)
        assert len({value(end) for end in ends.values()}) == 5
    finally:
        pool.close()


def test_without_its_fork_server_the_pool_is_broken(pool: ProcessPool) -> None:
    pool.start([job(1, "sleep", 3600.0), job(2, "sleep", 3600.0)])
    until_running(pool, 1, 2)

    os.kill(pool._fork_server, signal.SIGKILL)

    def broken() -> bool:
        try:
            pool.collect()
        except PoolBroken:
            return True
        return False

    until(broken, "the pool says so")


def test_a_worker_with_many_open_files_has_a_pool_all_the_same() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 1200:
        pytest.skip(f"only {soft} files may be open here (of {hard})")
    opened = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]
    try:
        pool = ProcessPool(REGISTRY, "w", 1)
        pool.start([job(1, "add", 1, 1)])
        assert value(collect(pool, 1)[1]) == 2
        pool.close()
    finally:
        for descriptor in opened:
            os.close(descriptor)


def test_closing_leaves_no_process(tmp_path: Path) -> None:
    pool = ProcessPool(REGISTRY, "w", 2)
    path = tmp_path / "pids"
    pool.start([job(1, "spin_with_helper", str(path))])
    until(path.exists, "the task runs")
    pids = [int(pid) for pid in path.read_text().split()]

    pool.close()

    until(lambda: not any(map(alive, pids)), "they are gone")
    assert not alive(pool._fork_server)


WORKER = """
import sys
from raftwork.worker.pool.fork_server import Kill
from tests.unit.worker.pool.drive import job
from tests.unit.worker.pool.test_process import REGISTRY
from raftwork.worker.pool.process import ProcessPool
pool = ProcessPool(REGISTRY, "w", 2)
pool.start([job(1, "spin_with_helper", sys.argv[1])])
print(pool._fork_server, flush=True)
while True: pool.collect()
"""


@pytest.mark.parametrize("group", [False, True])
def test_nothing_survives_a_worker_that_is_killed(tmp_path: Path, group: bool) -> None:
    path = tmp_path / "pids"
    worker = subprocess.Popen(
        [sys.executable, "-c", WORKER, str(path)],
        stdout=subprocess.PIPE,
        start_new_session=True,
        cwd=Path(__file__).parents[4],
    )
    assert worker.stdout is not None
    fork_server = int(worker.stdout.readline())
    until(path.exists, "the task runs")
    pids = [fork_server, *map(int, path.read_text().split())]
    assert all(map(alive, pids))

    os.killpg(worker.pid, signal.SIGKILL) if group else worker.kill()
    worker.wait()
    worker.stdout.close()

    until(lambda: not any(map(alive, pids)), "fork server, child and its helper are gone")


def test_nothing_is_read_where_nothing_came(
    pool: ProcessPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = 0

    def counted(end: socket.socket, flags: int = 0) -> bytes:
        nonlocal reads
        reads += 1
        return receive(end, flags)

    monkeypatch.setattr(process, "receive", counted)
    for token in range(1, 6):
        pool.start([job(token, "add", 1, 2)])
        assert value(collect(pool, 1)[token]) == 3
    assert reads == 5


LAST_WORDS = """
import sys, time
from pathlib import Path
from tests.unit.worker.pool.drive import alive, job
from tests.unit.worker.pool.test_process import REGISTRY
from raftwork.worker.pool.process import ProcessPool
_, pids, words, killed, name, *more = sys.argv
def say(running):
    left = [pid for pid in Path(pids).read_text().split() if alive(int(pid))]
    Path(words + ".part").write_text(repr(([(h.token, h.held.name) for h in running], left)))
    Path(words + ".part").rename(words)
pool = ProcessPool(REGISTRY, "w", 2, killed_notice=say)
pool.start([job(1, name, pids, *more)])
while not Path(pids).exists(): pool.collect()
if killed == "killed":
    print(pool._fork_server, flush=True)
    while True: pool.collect()
pool.close()
"""
LAST_WORDS_OF = (sys.executable, "-c", LAST_WORDS)


def test_of_a_killed_worker_is_told_what_ran_once_nothing_of_it_runs_any_more(
    tmp_path: Path,
) -> None:
    pids, words = tmp_path / "pids", tmp_path / "words"
    with subprocess.Popen(
        [*LAST_WORDS_OF, str(pids), str(words), "killed", "spin_with_helper"],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[4],
    ) as worker:
        assert worker.stdout is not None
        fork_server = int(worker.stdout.readline())
        worker.kill()
    until(words.exists, "it is told")
    assert words.read_text() == repr(([(1, "RUNNING")], []))
    until(lambda: not alive(fork_server), "the fork server is gone")


BUSY = """
from raftwork.worker.pool.fork_server import ForkServer
from tests.unit.worker.pool.drive import until
def obey(self, obeyed=ForkServer._obey):
    more = obeyed(self)
    if not more:
        until(lambda: not any(map(alive, self._children.values())), "the children have left")
        self._reap()
    return more
ForkServer._obey = obey
"""


def test_what_ended_once_its_worker_was_killed_is_told_as_well(tmp_path: Path) -> None:
    """Its process finds nobody to tell, and has left before the fork server has its turn."""
    pids, words, go = tmp_path / "pids", tmp_path / "words", tmp_path / "go"
    code = LAST_WORDS.replace("pool = ", f"{BUSY}pool = ")
    with subprocess.Popen(
        [sys.executable, "-c", code, str(pids), str(words), "killed", "note_and_wait", str(go)],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[4],
    ) as worker:
        assert worker.stdout is not None
        worker.stdout.readline()
        worker.kill()
    go.touch()
    until(words.exists, "it is told")
    assert words.read_text() == repr(([(1, "RUNNING")], []))


def test_for_a_worker_that_ends_by_itself_nobody_speaks(tmp_path: Path) -> None:
    pids, words = tmp_path / "pids", tmp_path / "words"
    command = [*LAST_WORDS_OF, str(pids), str(words), "closed", "spin_with_helper"]
    subprocess.run(command, check=True, cwd=Path(__file__).parents[4], timeout=60)
    assert not words.exists()  # its fork server has ended, as `close` waits for that
