"""A pool around another one: its tasks come sealed, and what they come to leaves sealed."""

import time
from collections.abc import Callable, Iterator

import pytest

from raftwork.crypto import Encryption
from raftwork.messages import About, PushedTask, Spec, decode_failure, encode_spec
from raftwork.sealed_failures import open_failure
from raftwork.sealing import ARGUMENTS, CHECKPOINT, RESULT, Bound
from raftwork.wire import pack, unpack
from raftwork.worker.context import current
from raftwork.worker.pool.sealed import SealedPool
from raftwork.worker.pool.thread import ThreadPool
from raftwork.worker.runner import Ended

CODEC = Encryption([b"k" * 32])


def _fail(text: str) -> None:
    raise ValueError(text)


def _left() -> object:
    return current().checkpointed


TASKS: dict[str, Callable[..., object]] = {"add": lambda x, y: x + y, "fail": _fail, "left": _left}


@pytest.fixture
def pool() -> Iterator[SealedPool]:
    made = SealedPool(ThreadPool(TASKS, "w", 2), CODEC)
    yield made
    made.close()


def pushed(token: int, name: str, *args: object, about: About | None = None) -> PushedTask:
    bound = Bound(ARGUMENTS, f"id-{token}", name, "q")
    payload = CODEC.seal(pack([list(args), {}]), bound)
    return PushedTask(token, bound.task, 1, encode_spec(Spec(name, "q")), payload, about)


def ended(pool: SealedPool, *tasks: PushedTask) -> dict[int, Ended]:
    pool.start(tasks)
    found: dict[int, Ended] = {}
    deadline = time.monotonic() + 20
    while len(found) < len(tasks):
        assert time.monotonic() < deadline
        found |= {end.outcome.token: end for end in pool.collect()}
        time.sleep(0.001)
    return found


def test_a_task_is_opened_run_and_its_value_sealed(pool: SealedPool) -> None:
    outcome = ended(pool, pushed(1, "add", 1, 2))[1].outcome
    assert outcome.ok
    assert unpack(CODEC.open(outcome.data, Bound(RESULT, "id-1"))) == 3


def test_a_failures_texts_are_sealed(pool: SealedPool) -> None:
    outcome = ended(pool, pushed(1, "fail", "a secret"))[1].outcome
    assert not outcome.ok
    assert b"secret" not in outcome.data
    told = open_failure(CODEC, decode_failure(outcome.data), "id-1")
    assert (told.type, told.message) == ("ValueError", "a secret")
    assert "a secret" in told.traceback


def test_what_cannot_be_opened_fails_and_the_others_run(pool: SealedPool) -> None:
    moved = pushed(1, "add", 1, 2)._replace(id="other")
    plain = pushed(2, "add", 1, 2)._replace(payload=pack([[1, 2], {}]))
    ends = ended(pool, moved, plain, pushed(3, "add", 3, 4))
    assert [ends[token].outcome.ok for token in (1, 2, 3)] == [False, False, True]
    told = open_failure(CODEC, decode_failure(ends[1].outcome.data), "other")
    assert told.type == "CannotDecrypt"
    assert "another task's" in told.message


def test_checkpoints_come_and_go_sealed(pool: SealedPool) -> None:
    sealed = CODEC.seal(pack({"at": 7}), Bound(CHECKPOINT, "id-1"))
    task = pushed(1, "left", about=About(checkpoint=sealed))
    outcome = ended(pool, task)[1].outcome
    assert unpack(CODEC.open(outcome.data, Bound(RESULT, "id-1"))) == {"at": 7}


def test_nothing_is_kept_of_tasks_that_are_over(pool: SealedPool) -> None:
    ended(pool, *(pushed(token, "add", token, 1) for token in range(1, 20)))
    assert pool._ids == {}
