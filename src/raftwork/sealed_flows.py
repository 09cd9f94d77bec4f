"""What flows hand from task to task, sealed: the arguments in a graph, and values on their way.

A flow's tasks have its mark, and those that replace a task have that one's: see crypto.py, rule 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from raftwork.errors import PayloadTooLarge
from raftwork.features.flow_graph import (
    GRAPH_BYTES_MAX,
    Graph,
    Node,
    decode_graph,
    encode_graph,
)
from raftwork.messages import PAYLOAD_MAX, Failure, Spec, decode_spec
from raftwork.messages.flow_values import opened
from raftwork.sealed_failures import open_failure
from raftwork.sealing import ARGUMENTS, RESULT, Bound, Codec

#: Unique keys that are made of arguments begin with it (uniqueness.py).
BY_ARGUMENTS = "arguments "


def seal_graph(codec: Codec, data: bytes, marks: Sequence[bytes], flow: str = "") -> bytes:
    """A packed graph whose tasks' arguments are sealed. Raises PayloadTooLarge.

    `flow` is its id, of which nodes without ids of their own have theirs.
    """
    graph = decode_graph(data)
    specs = [decode_spec(spec) for spec in graph.specs]

    def sealed(node: Node, made: str) -> Node:
        if not node.spec:
            return node
        return _seal(codec, node, node.id or made, specs[node.spec - 1], marks)

    nodes = [sealed(node, f"{flow}/{at}") for at, node in enumerate(graph.nodes, 1)]
    ends = [sealed(node, f"{flow}/end/{at}") for at, node in enumerate(graph.callbacks, 1)]
    packed = encode_graph(Graph(graph.specs, nodes, ends))
    if len(packed) > GRAPH_BYTES_MAX:
        raise PayloadTooLarge(
            f"a flow of {len(packed)} bytes once it is encrypted, more than {GRAPH_BYTES_MAX}: let"
            " a task add the rest by current().spawn or replace"
        )
    return packed


def _seal(codec: Codec, node: Node, task: str, spec: Spec, marks: Sequence[bytes]) -> Node:
    made = codec.seal(node.payload, Bound(ARGUMENTS, task, spec.name, spec.queue, marks))
    check_size(spec.name, made)
    return node._replace(
        payload=made, extras=node.extras._replace(unique=unguessable(codec, node.extras.unique))
    )


def check_size(name: str, made: bytes) -> None:
    """Raise PayloadTooLarge for arguments that are too large once they are sealed."""
    if len(made) > PAYLOAD_MAX:
        raise PayloadTooLarge(
            f"the arguments of {name} are {len(made)} bytes once they are encrypted, more than"
            f" {PAYLOAD_MAX}"
        )


def unguessable(codec: Codec, unique: str) -> str:
    """A unique key from which nobody finds the arguments that it may be made of."""
    if not unique.startswith(BY_ARGUMENTS):
        return unique
    return BY_ARGUMENTS + codec.fingerprint(unique)


class _Opener(NamedTuple):
    """Of values that may be made of others' values, which have one of these marks."""

    codec: Codec
    task: str
    marks: Sequence[bytes] | None

    def value(self, data: bytes) -> bytes:
        """See Opener."""
        return self.codec.open(data, Bound(RESULT, self.task, marks=self.marks))

    def failure(self, failure: Failure) -> Failure:
        """See Opener."""
        return open_failure(self.codec, failure, self.task, self.marks)


def open_value(codec: Codec, data: bytes, task: str, marks: Sequence[bytes] | None) -> bytes:
    """A packed value of this task, or of others with one of these marks; lists of such, too.

    Raises CannotDecrypt, BadMessage.
    """
    return opened(data, _Opener(codec, task, marks))
