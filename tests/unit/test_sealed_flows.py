"""Flows whose contents are sealed: graphs, and values that brokers put together unread."""

import msgpack
import pytest

from raftwork.crypto import Encryption
from raftwork.errors import BadMessage, CannotDecrypt, PayloadTooLarge
from raftwork.features.flow_graph import Graph, Node, decode_graph, encode_graph
from raftwork.messages import PAYLOAD_MAX, Extras, Failure, Spec, State, encode_failure, encode_spec
from raftwork.messages.flow_values import Failure as FailedValue
from raftwork.messages.flow_values import (
    Reference,
    joined,
    packed_input,
    packed_reference,
    unpack_value,
)
from raftwork.sealed_failures import seal_failure
from raftwork.sealed_flows import open_value, seal_graph
from raftwork.sealing import ARGUMENTS, RESULT, Bound, marks_of
from raftwork.wire import pack, unpack

CODEC = Encryption([b"k" * 32])
MARKS = marks_of("f")
FIRST = packed_reference(Reference(0))


def sealed(value: object, task: str = "f/1") -> bytes:
    return CODEC.seal(pack(value), Bound(RESULT, task, marks=MARKS))


def opened(data: bytes, task: str = "f") -> object:
    return unpack_value(open_value(CODEC, data, task, marks_of(task)))


def test_each_task_of_a_graph_is_sealed_under_its_id_and_joins_are_not() -> None:
    spec = encode_spec(Spec("job", "q"))
    by_arguments = Extras(unique="arguments abc")
    nodes = [
        Node(1, pack([["secret"], {}]), []),
        Node(1, pack([["secret"], {}]), [0], "own", "key", by_arguments),
        Node(0, pack([1]), [0, 8]),
    ]
    graph = encode_graph(Graph([spec], nodes, [nodes[0]._replace(inputs=[16])]))
    made = decode_graph(seal_graph(CODEC, graph, MARKS, "f"))
    ids = ["f/1", "own", "f/end/1"]
    for node, task in zip([*made.nodes[:2], *made.callbacks], ids, strict=True):
        assert b"secret" not in node.payload
        bound = Bound(ARGUMENTS, task, "job", "q")
        assert unpack(CODEC.open(node.payload, bound)) == [["secret"], {}]
        assert CODEC.marks(node.payload) == MARKS
    assert made.nodes[2] == nodes[2]
    assert made.nodes[1]._replace(payload=b"", extras=Extras()) == nodes[1]._replace(
        payload=b"", extras=Extras()
    )
    assert made.nodes[1].extras.unique not in {"", "arguments abc"}
    assert seal_graph(CODEC, graph, MARKS, "f") == encode_graph(made)  # it may be sent again


def test_arguments_that_are_too_large_once_they_are_sealed_are_refused() -> None:
    node = Node(1, b"x" * (PAYLOAD_MAX - 10), [])
    graph = encode_graph(Graph([encode_spec(Spec("job", "q"))], [node, Node(0, b"\xc0", [])]))
    with pytest.raises(PayloadTooLarge, match="once they are encrypted"):
        seal_graph(CODEC, graph, MARKS, "f")


def test_brokers_put_values_into_lists_unread() -> None:
    first, second, spread = (packed_reference(Reference(n, n == 2)) for n in range(3))
    template = msgpack.packb([first, [second], spread])
    inputs = {0: sealed("a"), 1: sealed(["b"], "f/2"), 2: sealed(["c", "d"], "f/3")}
    assert opened(joined(template, inputs)) == ["a", [["b"]], "c", "d"]
    whole = joined(msgpack.packb(first), {0: joined(template, inputs)})
    assert opened(whole) == ["a", [["b"]], "c", "d"]
    again = joined(msgpack.packb([spread]), {2: whole})  # a list of brokers' making is spread, too
    assert opened(again) == ["a", [["b"]], "c", "d"]


def test_a_failure_among_values_has_its_texts() -> None:
    told = seal_failure(CODEC, encode_failure(Failure("E", "secret", "tb")), "f/1", MARKS)
    data = pack([msgpack.unpackb(packed_input(State.FAILED, told)), msgpack.unpackb(sealed(1))])
    assert b"secret" not in data
    assert opened(data) == [FailedValue("E", "secret", "tb", "failed"), 1]


@pytest.mark.parametrize("forged", [7, "x", None, ["x"], [[1]], {"a": 1}])
def test_brokers_cannot_make_up_a_value(forged: object) -> None:
    with pytest.raises(CannotDecrypt, match="not encrypted"):
        opened(pack(forged))
    assert open_value(Encryption([b"k" * 32], plain=True), pack(forged), "f", ()) == pack(forged)


def test_nor_take_one_of_another_flow() -> None:
    with pytest.raises(CannotDecrypt, match="another task's"):
        opened(sealed(1), "g")
    with pytest.raises(CannotDecrypt):
        opened(joined(msgpack.packb([FIRST]), {0: sealed(1)}), "g")


def test_who_has_no_key_is_told() -> None:
    for data in (
        sealed(1),
        joined(msgpack.packb([FIRST]), {0: sealed(1)}),
    ):
        with pytest.raises(CannotDecrypt, match="no key for contents"):
            unpack_value(data)


def test_whatever_a_template_is_replicas_end_with_it() -> None:
    """A client's, also a signal's value: an error that is none of ours would stop every replica."""
    assert joined(sealed(1), {}) == sealed(1)
    strange = [msgpack.packb(msgpack.ExtType(kind, b"\xc1")) for kind in (0, 3, 4, 5, 6)]
    for template in strange:
        assert joined(template, {}) == template
    for kind in (1, 2):
        with pytest.raises(BadMessage):
            joined(msgpack.packb(msgpack.ExtType(kind, b"\xc1")), {})
    for depth in (501, 1_000, 1_020, 5_000):
        with pytest.raises(BadMessage):
            joined(b"\x91" * depth + b"\x01", {})
