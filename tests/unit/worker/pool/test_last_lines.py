"""What a task logged comes with its end also where its code had no say in that."""

import logging
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from raftwork.messages import Outcome, decode_failure
from raftwork.sealed_failures import open_failure
from raftwork.worker.last_lines import LOG_BYTES_MAX
from raftwork.worker.pool import Pool
from raftwork.worker.pool.process import ProcessPool
from raftwork.worker.pool.sealed import SealedPool
from raftwork.worker.pool.thread import ThreadPool
from raftwork.worker.task_logs import keep_last_lines
from raftwork.worker.time_limits import TimeLimits
from tests.unit.worker.pool.drive import collect, failure, job, until, wait_for
from tests.unit.worker.pool.test_sealed import CODEC, pushed

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning"),
    pytest.mark.usefixtures("_kept"),
]

log = logging.getLogger("shop")


def die(words: str) -> None:
    log.warning("%s", words)
    os.write(1, b"printed\n")
    log.warning("last")
    os.kill(os.getpid(), signal.SIGKILL)


def die_talking() -> None:
    for number in range(1_000):
        log.warning("%d %s", number, "x" * 100)
    os.kill(os.getpid(), signal.SIGKILL)


def speak(go: str) -> None:
    log.warning("begun")
    wait_for(go)


def speak_sealed() -> None:
    speak(os.environ["GO"])


REGISTRY: dict[str, Callable[..., object]] = {
    "die": die,
    "die_talking": die_talking,
    "speak": speak,
    "speak_sealed": speak_sealed,
}


@pytest.fixture
def go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Whoever waits for it goes on at the test's end, however that ends."""
    made = tmp_path / "go"
    monkeypatch.setenv("GO", str(made))
    yield made
    made.touch()


@pytest.fixture
def _kept() -> Iterator[None]:
    make = logging.getLogRecordFactory()
    keep_last_lines()
    yield
    logging.setLogRecordFactory(make)


def lines(outcome: Outcome) -> list[str]:
    """Without their times."""
    return [line.split(" ", 1)[1] for line in decode_failure(outcome.data).log.splitlines()]


@pytest.mark.parametrize("capture", [False, True], ids=["logged", "printed too"])
def test_a_task_whose_process_died_has_left_its_last_lines(capture: bool) -> None:
    pool = ProcessPool(REGISTRY, "w", 1, capture=capture)
    pool.start([job(7, "die", "first"), job(8, "die", "of another")])
    ends = collect(pool, 2)
    pool.close()
    printed = ["INFO raftwork.worker.output: printed"] if capture else []
    for token, words in ((7, "first"), (8, "of another")):
        outcome = ends[token].outcome
        assert outcome.loss is not None and outcome.loss.signal == signal.SIGKILL
        assert sorted(lines(outcome)) == sorted(
            [f"WARNING shop: {words}", *printed, "WARNING shop: last"]
        )
        assert failure(ends[token]).message == "the process that ran it was killed by signal 9"


def test_of_many_lines_the_last_ones_are_kept() -> None:
    pool = ProcessPool(REGISTRY, "w", 1)
    pool.start([job(7, "die_talking")])
    outcome = collect(pool, 1)[7].outcome
    pool.close()
    assert lines(outcome)[-1].startswith("WARNING shop: 999 ")
    assert LOG_BYTES_MAX // 2 < len(decode_failure(outcome.data).log) <= LOG_BYTES_MAX


@pytest.mark.parametrize("kind", [ProcessPool, ThreadPool])
def test_a_task_that_runs_too_long_fails_with_its_last_lines(
    kind: Callable[..., Pool], go: Path
) -> None:
    pool = kind(REGISTRY, "w", 1)
    task = job(7, "speak", str(go))
    pool.start([task])
    limits = TimeLimits(pool.notes.with_last_lines)
    try:
        until(lambda: bool(pool.collect() or lines(limits.passed(task))), "it logs")
        assert lines(limits.passed(task)) == ["WARNING shop: begun"]
        assert decode_failure(limits.passed(task).data).type == "TimeLimitExceeded"
    finally:
        go.touch()
        collect(pool, 1)
        pool.close()


@pytest.mark.usefixtures("go")
def test_they_leave_sealed_where_contents_do_and_the_rest_is_readable() -> None:
    pool = SealedPool(ProcessPool(REGISTRY, "w", 2), CODEC)
    late, dying = pushed(7, "speak_sealed"), pushed(8, "die", "secret")
    pool.start([late, dying])
    limits = TimeLimits(pool.notes.with_last_lines)
    try:
        until(lambda: bool(decode_failure(limits.passed(late).data).log), "it logs")
        told = decode_failure(limits.passed(late).data)
        lost = collect(pool, 1)[8].outcome
    finally:
        pool.close()
    for found, id_, words in ((told, "id-7", "begun"), (decode_failure(lost.data), "id-8", "last")):
        assert found.message and not found.message.startswith("encrypted")
        assert words not in found.log and "WARNING" not in found.log
        assert words in open_failure(CODEC, found, id_).log
        assert open_failure(CODEC, found, id_).message == found.message
        assert "no key" in open_failure(None, found, id_).log
        assert "another task's" in open_failure(CODEC, found, "other").log
