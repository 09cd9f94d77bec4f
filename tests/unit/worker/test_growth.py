"""Code that makes tasks, and code that is given the values of others."""

from typing import Any

import pytest

from raftwork import App, Failure, current, group, replace
from raftwork.errors import NotSerializable, PayloadTooLarge
from raftwork.features.flow_graph import decode_graph
from raftwork.messages import About, Outcome, PushedTask, Spec, State, decode_ending, encode_spec
from raftwork.messages import Failure as StoredFailure
from raftwork.messages.failures import Grown, encode_failure
from raftwork.messages.flow_values import Reference, packed_input, packed_reference
from raftwork.wire import pack, unpack
from raftwork.worker import context
from raftwork.worker.runner import Runner

app = App("127.0.0.1:1")


@app.task(name="child", queue="children")
def child(x: Any) -> Any:
    return x


def run(function: Any, payload: object = ((), {}), about: About | None = None) -> Outcome:
    task = PushedTask(7, "id", 1, encode_spec(Spec("t", "default")), pack(payload), about)
    return Runner({"t": function}, "w").run_once(task).outcome


def grown(outcome: Outcome) -> Grown:
    assert outcome.returned
    ended = decode_ending(outcome.data)
    assert isinstance(ended, Grown)
    return ended


def test_what_was_spawned_travels_with_the_value() -> None:
    ids: list[str] = []

    def code() -> int:
        ids.extend([current().spawn(child, 1), current().spawn(child.options(id="mine"), 2)])
        return 5

    ended = grown(run(code))
    graph = decode_graph(ended.spawned)
    assert unpack(ended.value) == 5
    assert [node.id for node in graph.nodes[:-1]] == ids
    assert ids[1] == "mine"
    assert [unpack(node.payload) for node in graph.nodes[:-1]] == [[[1], {}], [[2], {}]]
    assert len(graph.specs) == 1
    assert ended.replaced == b""


def test_an_attempt_that_fails_leaves_nothing_of_it() -> None:
    def code() -> None:
        current().spawn(child, 1)
        raise ValueError

    outcome = run(code)
    assert not outcome.returned
    assert isinstance(decode_ending(outcome.data), StoredFailure)


def test_what_is_returned_in_its_own_place_travels_alone() -> None:
    ended = grown(run(lambda: replace(group(child.s(1), child.s(2)))))
    assert len(decode_graph(ended.replaced).nodes) == 3
    assert (ended.value, ended.spawned) == (b"", b"")


def test_a_coroutine_spawns_too() -> None:
    async def code() -> None:
        current().spawn(child, 1)

    assert grown(run(code)).spawned


def test_what_cannot_be_spawned_is_refused_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    raised: list[type[BaseException]] = []

    def attempt(*args: Any) -> None:
        try:
            current().spawn(child, *args)
        except Exception as error:  # noqa: BLE001 - any of them
            raised.append(type(error))

    def code() -> None:
        attempt(object())
        attempt()
        attempt(b"x" * 2_000_000)
        monkeypatch.setattr(context, "NODES_MAX", 1)
        attempt(1)
        attempt(1)

    assert len(decode_graph(grown(run(code)).spawned).nodes) == 2
    assert raised == [NotSerializable, TypeError, PayloadTooLarge, PayloadTooLarge]


def test_outside_a_task_nothing_can_be_spawned() -> None:
    with pytest.raises(RuntimeError, match="outside a task"):
        current().spawn(child, 1)


def test_values_stand_where_their_references_were() -> None:
    failed = packed_input(State.FAILED, encode_failure(StoredFailure("E", "no", "trace")))
    inputs = [(0, pack({"a": 1})), (2, failed), (3, pack([3, 4]))]
    refs = [packed_reference(Reference(0)), packed_reference(Reference(2))]
    payload = ([refs, 5, [packed_reference(Reference(3, spread=True))]], {"k": refs[0]})
    seen: list[object] = []

    def code(*args: object, **kwargs: object) -> None:
        seen.extend([args, kwargs])
        assert (current().flow, current().parent) == ("f", "p")

    assert run(code, payload, About(flow="f", parent="p", inputs=inputs)).ok
    value = {"a": 1}
    assert seen == [([value, Failure("E", "no", "trace", "failed")], 5, [3, 4]), {"k": value}]


def test_a_value_that_did_not_come_fails_the_attempt() -> None:
    payload: tuple[list[object], dict[str, object]] = ([packed_reference(Reference(1))], {})
    outcome = run(lambda _x: None, payload, About(inputs=[(0, pack(1))]))
    assert not outcome.returned


@pytest.mark.parametrize(("how", "items"), [("one", [1, 2]), ("star", [[1], [2]])])
def test_one_task_takes_many_items(how: str, items: list[object]) -> None:
    async def later(x: int) -> int:
        return 2 * x

    for function in (lambda x: 2 * x, later):
        outcome = run(function, (items, {}, {"map": how}))
        assert unpack(outcome.data) == [2, 4]


def test_a_shard_knows_which_it_is() -> None:
    seen: list[object] = []
    run(lambda: seen.append(current().shard), ([], {}, {"shard": [1, 8]}))
    run(lambda: seen.append(current().shard))
    assert seen == [(1, 8), None]
