"""Headers go with a call, outside its arguments."""

from typing import Any, cast

import pytest

from raftwork import PayloadTooLarge, current
from raftwork.client.per_call import HEADERS_BYTES_MAX
from raftwork.client.uniqueness import key_of
from raftwork.messages import PushedTask, Spec, encode_spec
from raftwork.serialization import call_packer, headers_of, pack_call
from raftwork.wire import pack, unpack
from raftwork.worker.runner import Runner
from tests.unit.client.cluster import app_and_cluster

TRACE = {"traceparent": "00-4bf9-00f0-01", "tenant": "é"}


def test_they_travel_behind_the_arguments_of_each_call() -> None:
    app, cluster = app_and_cluster()
    task = app.task(name="t")(lambda *_: None)
    task.options(headers=TRACE).enqueue(1)
    task.options(headers=TRACE).enqueue_many([(1,), (2,)])
    app.named("elsewhere", headers=TRACE).enqueue(x=1)
    task.options(headers={}).enqueue(1)
    payloads = [payload for _, tasks in cluster.batches for _, payload in tasks]
    more = {"headers": TRACE}
    assert payloads == [
        *([[1], {}, more], [[1], {}, more], [[2], {}, more]),
        *([[], {"x": 1}, more], [[1], {}]),
    ]


def test_the_tasks_code_reads_them_and_its_arguments_are_what_they_were() -> None:
    def code(x: int) -> object:
        return [x, dict(current().headers)]

    for headers in (TRACE, None):
        besides = {"headers": headers} if headers else None
        payload = pack_call(call_packer(), "t", (1,), {}, (), besides)
        task = PushedTask(7, "id", 1, encode_spec(Spec("t", "default")), payload)
        outcome = Runner({"t": code}, "w").run_once(task).outcome
        assert outcome.ok and unpack(outcome.data) == [1, headers or {}]


def test_other_clients_may_send_anything() -> None:
    assert headers_of(pack([[], {}, {"headers": {"a": 1, "b": "x"}, "other": 1}])) == {"b": "x"}
    strange: list[object] = [[[], {}, 5], [[], {}, {"headers": 3}], 7, [[], {}]]
    for payload in strange:
        assert headers_of(pack(payload)) == {}


@pytest.mark.parametrize(
    ("headers", "error", "told"),
    [
        ([("a", "b")], TypeError, "headers must be a mapping of str to str, got list"),
        ({"a": 1}, TypeError, "got str to int"),
        ({1: "a"}, TypeError, "got int to str"),
        ({"a": "\ud800"}, ValueError, "lone surrogate"),
        ({"k": "é" * 4096}, PayloadTooLarge, "headers of 8193 bytes, more than 8192"),
    ],
)
def test_wrong_ones_are_named_before_anything_is_sent(
    headers: object, error: type[Exception], told: str
) -> None:
    app, cluster = app_and_cluster()
    with pytest.raises(error, match=told):
        app.named("t", headers=cast("Any", headers))
    assert cluster.batches == []
    app.named("t", headers={"k": "x" * (HEADERS_BYTES_MAX - 1)}).enqueue()


def test_a_trace_makes_no_other_task_of_equal_arguments() -> None:
    plain = key_of(pack([[1], {"b": 1, "a": 2}]))
    assert key_of(pack([[1], {"a": 2, "b": 1}, {"headers": TRACE}])) == plain
    assert key_of(pack([[1], {"a": 2, "b": 1}, {"headers": TRACE, "map": "star"}])) != plain
