"""A pool around another one: its tasks come sealed, and what they come to leaves sealed."""

import threading
import time
from collections.abc import Callable, Iterator

import msgpack
import pytest

from raftwork.attempt_ends import Replacement
from raftwork.crypto import Encryption
from raftwork.features.flow_graph import Graph, Node, decode_graph, encode_graph
from raftwork.messages import (
    PAYLOAD_MAX,
    About,
    Failure,
    PushedTask,
    Spec,
    State,
    decode_ending,
    decode_failure,
    encode_failure,
    encode_spec,
)
from raftwork.messages.failures import Grown
from raftwork.messages.flow_values import Reference, as_shard, packed_input, packed_reference
from raftwork.sealed_failures import open_failure, seal_failure
from raftwork.sealing import ARGUMENTS, CHECKPOINT, REPLACING, RESULT, Bound, marks_of
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


def _spawn(text: str) -> str:
    current().spawn(Child(), text)
    return text


class Child:
    def as_child(self, args: tuple[object, ...], kwargs: dict[str, object]) -> tuple[bytes, Node]:
        return encode_spec(Spec("add", "q")), Node(1, pack([list(args), kwargs]), [], "child")


def _replace(text: str) -> Replacement:
    spec, node = Child().as_child((text,), {})
    return Replacement(encode_graph(Graph([spec], [node, Node(0, pack(None), [])])))


TASKS: dict[str, Callable[..., object]] = {
    "add": lambda x, y: x + y,
    "fail": _fail,
    "left": _left,
    "spawn": _spawn,
    "replace": _replace,
    "shard": lambda text: [text, list(current().shard or ())],
    "failed": lambda failed: failed.message,
}


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


@pytest.mark.parametrize("how", ["withdrawn", "cancelled"])
def test_what_is_handed_back_unstarted_can_be_given_to_a_pool_again(
    pool: SealedPool, how: str
) -> None:
    """A worker parks what it takes back, and starts it later."""
    about = About("", checkpoint=CODEC.seal(pack("left"), Bound(CHECKPOINT, "id-3")))
    waiting = pushed(3, "left", about=about)
    gate = threading.Event()
    TASKS["wait"] = lambda: gate.wait(20)
    try:
        pool.start([pushed(1, "wait"), pushed(2, "wait"), waiting])
        deadline = time.monotonic() + 20
        while len(pool.running()) < 2:
            assert time.monotonic() < deadline
            pool.collect()
            time.sleep(0.001)
        back = pool.withdraw() if how == "withdrawn" else pool.cancel({3})
        assert back == [waiting]
    finally:
        gate.set()
    outcome = ended(pool, *back)[3].outcome
    assert unpack(CODEC.open(outcome.data, Bound(RESULT, "id-3"))) == "left"


def test_arguments_that_replaced_others_are_opened_under_the_id_that_is_kept(
    pool: SealedPool,
) -> None:
    newer = CODEC.seal(pack([[1, 2], {}]), Bound(REPLACING, "id-9", "add", "q"))
    outcome = ended(pool, pushed(1, "add", 0, 0)._replace(payload=newer))[1].outcome
    assert unpack(CODEC.open(outcome.data, Bound(RESULT, "id-1"))) == 3
    for name, queue in (("shard", "q"), ("add", "other")):
        spec = encode_spec(Spec(name, queue))
        moved = pushed(2, "add", 0, 0)._replace(payload=newer, spec=spec)
        told = open_failure(CODEC, decode_failure(ended(pool, moved)[2].outcome.data), "id-2")
        assert told.type == "CannotDecrypt"


def test_checkpoints_come_and_go_sealed(pool: SealedPool) -> None:
    sealed = CODEC.seal(pack({"at": 7}), Bound(CHECKPOINT, "id-1"))
    task = pushed(1, "left", about=About(checkpoint=sealed))
    outcome = ended(pool, task)[1].outcome
    assert unpack(CODEC.open(outcome.data, Bound(RESULT, "id-1"))) == {"at": 7}


def test_nothing_is_kept_of_tasks_that_are_over(pool: SealedPool) -> None:
    ended(pool, *(pushed(token, "add", token, 1) for token in range(1, 20)))
    assert pool._held == {}


def node(token: int, name: str, payload: bytes, *inputs: bytes, flow: str = "f") -> PushedTask:
    """A task of a flow."""
    bound = Bound(ARGUMENTS, f"id-{token}", name, "q", marks_of(flow))
    about = About(flow=flow, inputs=list(enumerate(inputs)))
    spec = encode_spec(Spec(name, "q"))
    return PushedTask(token, bound.task, 1, spec, CODEC.seal(payload, bound), about)


def of_flow(value: object, flow: str = "f") -> bytes:
    return CODEC.seal(pack(value), Bound(RESULT, "before", marks=marks_of(flow)))


FIRST = packed_reference(Reference(0))


def test_the_values_that_a_node_waited_for_are_opened_and_its_own_is_its_flows(
    pool: SealedPool,
) -> None:
    task = node(1, "add", msgpack.packb([[FIRST, 1], {}]), of_flow(7))
    outcome = ended(pool, task)[1].outcome
    assert unpack(CODEC.open(outcome.data, Bound(RESULT, "f", marks=marks_of("f")))) == 8
    told = seal_failure(CODEC, encode_failure(Failure("E", "hush", "")), "before", marks_of("f"))
    failed = node(2, "failed", msgpack.packb([[FIRST], {}]), packed_input(State.FAILED, told))
    outcome = ended(pool, failed)[2].outcome
    assert unpack(CODEC.open(outcome.data, Bound(RESULT, "id-2"))) == "hush"


def test_a_value_of_another_flow_is_none(pool: SealedPool) -> None:
    task = node(1, "add", msgpack.packb([[FIRST, 1], {}]), of_flow(7, "other"))
    outcome = ended(pool, task)[1].outcome
    told = open_failure(CODEC, decode_failure(outcome.data), "id-1")
    assert (outcome.ok, told.type) == (False, "CannotDecrypt")


@pytest.mark.parametrize("name", ["spawn", "replace"])
def test_the_tasks_that_a_task_makes_leave_sealed(pool: SealedPool, name: str) -> None:
    outcome = ended(pool, node(1, name, pack([["hush"], {}])))[1].outcome
    assert b"hush" not in outcome.data
    grown = decode_ending(outcome.data)
    assert isinstance(grown, Grown)
    graph = decode_graph(grown.spawned or grown.replaced)
    made = graph.nodes[0].payload
    assert unpack(CODEC.open(made, Bound(ARGUMENTS, "child", "add", "q"))) == [["hush"], {}]
    marks = CODEC.marks(made)
    if name == "spawn":
        assert unpack(CODEC.open(grown.value, Bound(RESULT, "id-1"))) == "hush"
        assert marks == marks_of("f")
    else:
        assert marks == [*marks_of("f"), *marks_of("id-1")]


def test_what_is_too_large_once_it_is_sealed_fails(pool: SealedPool) -> None:
    outcome = ended(pool, node(1, "replace", pack([["x" * (PAYLOAD_MAX - 20)], {}])))[1].outcome
    told = open_failure(CODEC, decode_failure(outcome.data), "id-1")
    assert (told.type, outcome.final) == ("PayloadTooLarge", True)


def test_a_task_of_a_broadcast_has_the_call_and_its_shard(pool: SealedPool) -> None:
    """Brokers say which of how many it is, beside the call, which they cannot read."""
    broadcast = node(1, "shard", pack([["hush"], {}, {"sentry-trace": "x"}]))
    payload = as_shard(broadcast.payload, 1, 2)
    member = broadcast._replace(id="id-1.2", payload=payload)
    outcome = ended(pool, member)[1].outcome
    assert unpack(CODEC.open(outcome.data, Bound(RESULT, "id-1.2"))) == ["hush", [1, 2]]
    for other in ("id-1.x", "id-12", "id-2.1"):
        assert not ended(pool, member._replace(id=other))[1].outcome.ok
