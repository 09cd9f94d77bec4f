"""What tasks say of themselves, in every pool."""

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from typing import cast

import pytest

from raftwork.errors import AttemptOver, NotSerializable, PayloadTooLarge
from raftwork.features.checkpoints import CHECKPOINT_BYTES_MAX, Verdict
from raftwork.messages import About, PushedTask, Spec, encode_spec
from raftwork.wire import pack, unpack
from raftwork.worker.context import Context, current
from raftwork.worker.pool import Pool
from raftwork.worker.pool.coroutine import AsyncPool, run_beside
from raftwork.worker.pool.process import ProcessPool
from raftwork.worker.pool.shared_notes import SharedNotes
from raftwork.worker.pool.thread import ThreadPool
from raftwork.worker.task_notes import Asked
from tests.unit.worker.pool.drive import collect, job, until, value

pytestmark = pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")


def speak(parts: int) -> None:
    for part in range(1, parts + 1):
        current().progress(part / parts, f"{part} é")
    leave(b"over")


def leave(what: object) -> str:
    try:
        current().checkpoint(what)
    except Exception as error:  # noqa: BLE001 - the test looks at it
        return type(error).__name__
    return "kept"


async def leave_later(what: object) -> str:
    await current().acheckpoint(what)
    return "kept"


def leave_twice() -> float:
    current().checkpoint(1)
    began = time.monotonic()
    current().checkpoint(2)
    return time.monotonic() - began


def facts() -> list[object]:
    c = current()
    return [
        c.name,
        c.queue,
        c.priority,
        c.key,
        dict(c.tags),
        c.checkpointed,
        c.tick,
        c.flow,
        c.parent,
    ]


def of_a_copy() -> int:
    pid = os.fork()
    if pid == 0:
        current().progress(0.5)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


REGISTRY: dict[str, Callable[..., object]] = {
    "speak": speak,
    "leave": leave,
    "leave later": leave_later,
    "leave twice": leave_twice,
    "facts": facts,
    "of a copy": of_a_copy,
}


@pytest.fixture(params=["process", "thread", "async"])
def pool(request: pytest.FixtureRequest) -> Iterator[Pool]:
    if request.param == "async":
        yield from _async_pool()
        return
    made: Pool = (ProcessPool if request.param == "process" else ThreadPool)(REGISTRY, "w", 2)
    yield made
    made.close()


def _async_pool() -> Iterator[Pool]:
    import threading

    loop = asyncio.new_event_loop()
    over, made = threading.Event(), AsyncPool(REGISTRY, "w", 2, loop)
    thread = threading.Thread(target=run_beside, args=(loop, over.wait))
    thread.start()
    yield made
    made.close()
    over.set()
    thread.join(10)


def asked(pool: Pool) -> Asked:
    """The next checkpoint that a task asks for."""
    found: list[Asked] = []

    def came() -> bool:
        assert pool.collect() == []
        found.extend(pool.notes.asked())
        return bool(found)

    until(came, "a checkpoint is asked for")
    (one,) = found
    return one


def test_of_a_thousand_words_the_last_stand(pool: Pool) -> None:
    pool.start([job(7, "speak", 1_000)])
    one = asked(pool)
    (said,) = [each for each in pool.notes.said() if each.token == 7]
    assert said[:3] == (7, 1.0, "1000 é")
    assert 0 <= time.monotonic_ns() // 1_000_000 - said.at < 10_000
    pool.notes.answer(one.token, one.number, Verdict.KEPT)
    collect(pool, 1)


@pytest.mark.parametrize("name", ["leave", "leave later"])
@pytest.mark.parametrize("what", ["small", "x" * 50_000])
def test_a_checkpoint_is_kept_before_its_code_goes_on(pool: Pool, name: str, what: str) -> None:
    pool.start([job(7, name, what)])
    one = asked(pool)
    assert (one.token, unpack(one.value)) == (7, what)
    assert pool.collect() == []
    pool.notes.answer(7, one.number, Verdict.KEPT)
    assert value(collect(pool, 1)[7]) == "kept"


def test_code_of_an_attempt_that_is_over_is_told_so(pool: Pool) -> None:
    pool.start([job(7, "leave", 1)])
    one = asked(pool)
    pool.notes.answer(7, one.number, Verdict.VOID)
    assert value(collect(pool, 1)[7]) == AttemptOver.__name__


def test_another_attempts_verdict_is_nobodys(pool: Pool) -> None:
    for token in (7, 8):
        pool.start([job(token, "leave", 1)])
        one = asked(pool)
        pool.notes.answer(token - 1, one.number, Verdict.VOID)
        assert pool.collect() == []
        pool.notes.answer(token, one.number, Verdict.KEPT)
        assert value(collect(pool, 1)[token]) == "kept"


def test_what_cannot_be_left_is_refused_at_once(pool: Pool) -> None:
    pool.start([job(1, "leave", "x" * CHECKPOINT_BYTES_MAX)])
    assert value(collect(pool, 1)[1]) == PayloadTooLarge.__name__


def test_checkpoints_are_a_second_apart(pool: Pool) -> None:
    pool.start([job(7, "leave twice")])
    for _ in range(2):
        one = asked(pool)
        pool.notes.answer(7, one.number, Verdict.KEPT)
    assert cast("float", value(collect(pool, 1)[7])) > 0.9


def test_code_knows_its_task(pool: Pool) -> None:
    spec = encode_spec(Spec("facts", "bulk", priority=105))
    about = About("customer", [("a", "b")], pack([1, 2]))
    pool.start([PushedTask(7, "id", 1, spec, pack([[], {}]), about)])
    known: list[object] = [*("facts", "bulk", 5, "customer", {"a": "b"}, [1, 2]), None, None, None]
    assert value(collect(pool, 1)[7]) == known


def test_code_of_an_ordinary_task_knows_that_it_is_one(pool: Pool) -> None:
    pool.start([job(7, "facts")])
    known: list[object] = [*("facts", "default", 0, None, {}), None, None, None, None]
    assert value(collect(pool, 1)[7]) == known


def test_a_forked_copy_says_nothing(pool: Pool) -> None:
    if isinstance(pool, AsyncPool):
        pytest.skip("a copy of a loop's process ends where it comes back to the loop")
    pool.start([job(7, "of a copy")])
    assert value(collect(pool, 1)[7]) == 1
    assert [each for each in pool.notes.said() if each.token == 7] == []


def test_outside_its_task_nobody_speaks_for_it() -> None:
    with pytest.raises(RuntimeError, match="has ended, or this code is not its own"):
        Context("id", 1, 1, "w").progress(0.5)


@pytest.mark.parametrize(("part", "error"), [(1.5, ValueError), ("1", TypeError), (-1, ValueError)])
def test_progress_that_means_nothing_is_refused(part: object, error: type[Exception]) -> None:
    from raftwork.worker.context import running

    context = Context("id", 1, 1, "w")
    with running(lambda: context), pytest.raises(error, match="progress"):
        context.progress(part)  # type: ignore[arg-type]
    with (
        running(lambda: context),
        pytest.raises(NotSerializable, match="the checkpoint cannot be sent"),
    ):
        context.checkpoint({1})


def test_what_a_dead_child_was_writing_is_not_read() -> None:
    notes = SharedNotes(1)
    child = notes.of_child(0, None)  # type: ignore[arg-type]
    child.say(7, 0.5, "half")
    notes._memory[0] = 3  # it died of the next write
    assert notes.said() == []
    notes.of_child(0, None).say(8, 0.1, "")  # type: ignore[arg-type]
    assert [each.token for each in notes.said()] == [8]
