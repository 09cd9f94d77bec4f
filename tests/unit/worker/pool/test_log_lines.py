"""What running code logs can be followed, in every pool, while it runs and once more at its end."""

import logging
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from raftwork.sealing import LOG, Bound
from raftwork.worker.pool import Pool
from raftwork.worker.pool.engine import EnginePool
from raftwork.worker.pool.process import ProcessPool
from raftwork.worker.pool.sealed import SealedPool
from raftwork.worker.pool.thread import ThreadPool
from raftwork.worker.task_lines import BEGINNING
from raftwork.worker.task_logs import keep_last_lines
from tests.unit.worker.pool.drive import collect, job, until, wait_for
from tests.unit.worker.pool.test_sealed import CODEC, pushed

pytestmark = pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")

log = logging.getLogger("shop")


def speak(go: str) -> None:
    log.warning("one %s", 1)
    wait_for(go)
    log.warning("last")


def fork() -> None:
    if os.fork() == 0:
        log.warning("of a copy")
        os._exit(0)
    os.wait()
    log.warning("of the task")


REGISTRY: dict[str, Callable[..., object]] = {"speak": speak, "fork": fork}


@pytest.fixture
def _kept() -> Iterator[None]:
    make = logging.getLogRecordFactory()
    keep_last_lines()
    yield
    logging.setLogRecordFactory(make)


@pytest.fixture(params=[ProcessPool, ThreadPool])
def pool(_kept: None, request: pytest.FixtureRequest) -> Iterator[Pool]:
    made: Pool = request.param(REGISTRY, "w", 1)
    yield made
    made.close()


def texts(pool: Pool, token: int) -> list[str]:
    found = pool.notes.lines(token, BEGINNING)
    assert found is not None
    return [line.data.decode() for line in found.lines]


def test_lines_are_there_while_it_runs_and_once_more_when_it_has_ended(
    pool: Pool, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    pool.start([job(7, "speak", str(go)), job(8, "speak", str(go))])
    until(lambda: bool(pool.collect() or texts(pool, 7)), "it logs")
    found = pool.notes.lines(7, BEGINNING)
    assert found is not None
    assert [line.data for line in found.lines] == [b"WARNING shop: one 1"]
    go.write_text("")
    collect(pool, 1)
    rest = pool.notes.lines(7, found.read)
    assert rest is not None
    assert [line.data for line in rest.lines] == [b"WARNING shop: last"]


def test_a_copy_of_its_process_does_not_speak_for_it(pool: Pool) -> None:
    pool.start([job(7, "fork")])
    collect(pool, 1)
    assert texts(pool, 7) == ["WARNING shop: of the task"]


@pytest.mark.usefixtures("_kept")
def test_what_nobody_follows_any_more_is_let_go_of() -> None:
    pool = ThreadPool(REGISTRY, "w", 1)
    for token in range(5):
        pool.start([job(token, "fork")])
        collect(pool, 1)
    assert len(pool.notes._logs) == 1
    pool.close()


@pytest.mark.usefixtures("_kept")
def test_they_leave_sealed_where_the_contents_do() -> None:
    pool = SealedPool(ThreadPool(REGISTRY, "w", 1), CODEC)
    pool.start([pushed(7, "fork")])
    collect(pool, 1)
    found = pool.notes.lines(7, BEGINNING)
    assert found is not None
    (line,) = found.lines
    assert line.sealed
    assert CODEC.open(line.data, Bound(LOG, "id-7")) == b"WARNING shop: of the task"
    pool.close()


def test_of_code_that_runs_elsewhere_there_are_none() -> None:
    made = partial(ThreadPoolExecutor, 1)
    pool = EnginePool(made, "tests.unit.worker.pool.engine_tasks:app", ["127.0.0.1:1"], "w", 1)
    assert pool.notes.lines(7, BEGINNING) is None
    pool.close()
