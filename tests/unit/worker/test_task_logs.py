"""The last lines of a task's log are in its failure."""

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from raftwork.messages import PushedTask, Spec, decode_failure, encode_spec
from raftwork.wire import pack
from raftwork.worker import context
from raftwork.worker.context import carry_into_threads
from raftwork.worker.last_lines import LOG_BYTES_MAX, LastLines
from raftwork.worker.runner import Runner
from raftwork.worker.task_logs import keep_last_lines

log = logging.getLogger("shop")


@pytest.fixture(autouse=True)
def _kept() -> Iterator[None]:
    make = logging.getLogRecordFactory()
    keep_last_lines()
    carry_into_threads()
    yield
    logging.setLogRecordFactory(make)
    threading.Thread.start = context._start  # type: ignore[method-assign]
    ThreadPoolExecutor.submit = context._submit  # type: ignore[method-assign]


def job() -> PushedTask:
    return PushedTask(7, "id", 1, encode_spec(Spec("t", "default")), pack([[], {}]))


def log_of(function: Callable[[], object]) -> str:
    return decode_failure(Runner({"t": function}, "w").run_once(job()).outcome.data).log


def test_lines_of_the_task_its_threads_and_coroutines_are_kept_in_order() -> None:
    async def fail() -> None:
        log.warning("first %s", 1)
        await asyncio.to_thread(log.error, "second")
        thread = threading.Thread(target=log.error, args=("third",))
        thread.start()
        thread.join()
        raise ValueError

    log.error("before")
    lines = log_of(fail).splitlines()
    assert [line.split(" ", 1)[1] for line in lines] == [
        "WARNING shop: first 1",
        "ERROR shop: second",
        "ERROR shop: third",
    ]


def test_the_last_four_kibibytes_are_kept() -> None:
    def fail() -> None:
        for number in range(1_000):
            log.error("line %d", number)
        raise ValueError

    kept = log_of(fail)
    assert kept.endswith("line 999")
    assert LOG_BYTES_MAX - 100 < len(kept.encode()) <= LOG_BYTES_MAX


def test_a_line_is_cut_and_may_have_any_characters() -> None:
    lines = LastLines()
    lines.add("é" * 10_000)
    lines.add("\ud800")
    text = str(lines)
    assert len(text.encode()) < 2_000
    assert text.endswith("\\ud800")


def test_values_that_cannot_be_formatted_cost_their_line() -> None:
    class Broken:
        def __str__(self) -> str:
            raise RuntimeError

    def fail() -> None:
        log.error("%s", Broken())
        raise ValueError

    assert log_of(fail).endswith("<could not be formatted: RuntimeError>")


def test_levels_that_a_logger_does_not_take_are_not_kept() -> None:
    def fail() -> None:
        logging.getLogger("quiet").debug("nobody's")
        raise ValueError

    logging.getLogger("quiet").setLevel(logging.INFO)
    assert log_of(fail) == ""


def test_two_coroutines_keep_their_own() -> None:
    async def fail() -> None:
        log.error("mine")
        await asyncio.sleep(0)
        raise ValueError

    async def both() -> list[str]:
        runner = Runner({"t": fail}, "w")
        ends = await asyncio.gather(runner.run_async(job()), runner.run_async(job()))
        return [decode_failure(end.outcome.data).log for end in ends]

    assert [kept.count("mine") for kept in asyncio.run(both())] == [1, 1]
