"""What a leader does with acknowledgements that it reads behind a turn."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import cast

from raftwork.broker.server import Server


def test_the_first_acknowledgement_has_its_turn_before_the_second_is_read() -> None:
    did: list[str] = []
    node = SimpleNamespace(quiet=True)

    def receive_peer(name: str, _frame: bytes, _now: int) -> None:
        did.append(name)
        node.quiet = name == "c"  # the first one commits, and the other leaves nothing to be done

    def turn(_now: int) -> None:
        did.append("turn")
        node.quiet = True

    def from_peers(_ready: object) -> Iterator[tuple[str, bytes]]:
        yield from (("b", b""), ("c", b""))

    node.receive_peer, node.turn, node.wake = receive_peer, turn, lambda _now, _wall: None
    transport = SimpleNamespace(from_peers=from_peers, late=list)
    server = SimpleNamespace(_node=node, _transport=transport, _wall_base=0)
    Server._hear_late(cast("Server", server))
    assert did == ["b", "turn", "c"]
