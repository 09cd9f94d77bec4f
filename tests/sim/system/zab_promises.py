"""What a Zab replica promises: its epochs, and the history it acknowledged (Zab §III–V)."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache

from raftwork.consensus.core import ORIGIN, Peer, Position
from raftwork.consensus.quorum import majority
from raftwork.consensus.zab.messages import (
    Ack,
    AckEpoch,
    Frame,
    HardState,
    LeaderInfo,
    decode,
    decode_framed,
    decode_hard_state,
)
from tests.sim.system.disk import Facts
from tests.sim.system.promises import require

#: The tags of the messages that promise something, as they stand in a packed message.
_ACK_EPOCH, _ACK, _FRAME = 3, 4, 7
_NONE = HardState(0, b"", 0)


@lru_cache(64)  # few commits bring another one
def _decoded(state: bytes | None) -> HardState:
    return _NONE if state is None else decode_hard_state(state)


def _stored(facts: Facts) -> HardState:
    return _decoded(facts.state)


@dataclass(slots=True)
class ZabPromises:
    size: int = 3
    epochs: dict[Peer, HardState] = field(default_factory=dict)
    #: Of every name all it ever had: an answer to the last one may reach the next one.
    incarnations: dict[str, set[bytes]] = field(default_factory=lambda: defaultdict(set))
    #: The newest zxid each replica acknowledged in the epoch it had entered last.
    acknowledged: dict[Peer, tuple[int, Position]] = field(default_factory=dict)
    #: Of every epoch, how much of the log each name has had on disk since it entered it.
    entered: dict[int, dict[str, Position]] = field(default_factory=lambda: defaultdict(dict))

    def synced(self, peer: Peer, facts: Facts) -> None:
        """Epochs only grow, an epoch is accepted from one leader, what is acknowledged is kept."""
        self.incarnations[peer.name].add(peer.incarnation)
        now, before = _stored(facts), self.epochs.get(peer, _NONE)
        kept = before.current <= now.current <= now.accepted >= before.accepted
        one = now.accepted > before.accepted or now.source == before.source
        require(
            kept and one, "epochs only grow", lambda: f"{peer.name} goes from {before} to {now}"
        )
        require(
            facts.last.epoch <= now.accepted,
            "accepted before history",
            lambda: f"{peer.name} holds {facts.last} with {now}",
        )
        epoch, zxid = self.acknowledged.get(peer, (0, ORIGIN))
        same = now.accepted == now.current == epoch
        require(
            not same or zxid <= facts.last,
            "acknowledged is kept",
            lambda: f"{peer.name} acknowledged {zxid} in epoch {epoch}, and holds {facts.last}",
        )
        held = self.entered[now.current]
        held[peer.name] = max(held.get(peer.name, ORIGIN), facts.last)
        self.epochs[peer] = now

    def sends(self, peer: Peer, to: Peer, body: bytes, facts: Facts) -> None:
        if body[1] not in (_ACK_EPOCH, _ACK, _FRAME):
            return
        message, stored = decode(body), _stored(facts)

        def text() -> str:
            return f"{peer.name} says {message}, with {stored} and {facts.last} on disk"

        match message:
            case Ack():
                self._acknowledges(peer, message, stored, facts, text)
            case AckEpoch():
                kept = stored.accepted >= message.epoch and stored.current >= message.current
                require(kept, "promise before sync", text)
                mine = (
                    stored.accepted > message.epoch or stored.source in self.incarnations[to.name]
                )
                require(mine or not message.accepted, "promise before sync", text)
            case Frame():
                content = decode_framed(message.body)
                if isinstance(content, LeaderInfo):
                    offered = stored.accepted, stored.source
                    mine = offered == (content.epoch, peer.incarnation)
                    require(mine, "promise before sync", lambda: f"{text()}: {content}")
            case _:
                pass

    def _acknowledges(
        self,
        peer: Peer,
        message: Ack,
        stored: HardState,
        facts: Facts,
        text: Callable[[], str],
    ) -> None:
        require(stored.current >= message.current, "promise before sync", text)
        if stored.accepted == stored.current == message.current:
            require(facts.last >= message.zxid, "promise before sync", text)
            before = self.acknowledged.get(peer, (0, ORIGIN))
            self.acknowledged[peer] = max(before, (message.current, message.zxid))

    def committed(self, peer: Peer, at: Position, leads: int, held: int) -> None:
        """A quorum has entered the epoch with a history that reaches so far (l.2.2, l.3.2)."""
        holders = [name for name, last in self.entered[leads].items() if last >= at]
        text = f"{peer.name} commits {at} in {leads}, where only {holders} have it"
        require(len(holders) >= majority(self.size), "quorum of the epoch", text)

    def activated(self, peer: Peer, epoch: int, applied: Position) -> None:
        text = f"{peer.name} is active in {epoch}, with {sorted(self.entered[epoch])} in it"
        require(len(self.entered[epoch]) >= majority(self.size), "activation", text)
