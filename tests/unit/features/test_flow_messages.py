"""What is refused of a flow is told in the unit that its caller gave."""

import pytest

from raftwork.errors import ProtocolError
from raftwork.features.cluster_settings import ClusterSettings
from raftwork.features.flow_graph import Graph, Node, check_graph, encode_graph
from raftwork.features.task_batch import AT_MAX_MS


def test_a_signals_timeout_is_told_as_people_write_it() -> None:
    late = Node(0, b"\xc0", [], "id", signal="paid", timeout=AT_MAX_MS + 60_000)
    graph = encode_graph(Graph([], [late, Node(0, b"\x90")]))
    with pytest.raises(
        ProtocolError, match="at most 115740 d 17 h 46 min, got 115740 d 17 h 47 min"
    ):
        check_graph(graph, ClusterSettings())
