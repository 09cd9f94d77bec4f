"""Golden conversations: scripts with the whole trace of what the replicas say and do, in English.

Each file in `conversations/` holds prose (`#`), commands (`>`) and, below each command, what came
of it. `pytest tests/unit/consensus --rewrite` writes the traces anew: commit the result only when
every changed line is understood.

Commands: start a b c · wait MS · propose NAME TEXT · barrier NAME TOKEN · transfer NAME ·
isolate NAME… · heal · crash NAME · restart NAME · wipe NAME · unlink NAME OTHER · compact NAME.
Heartbeats and answers that bring no news are left out; `1.4` is the entry of term 1 at index 4.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from raftwork.consensus.core import Entry, Kind, Message, Peer, Position, Role, Snapshot
from raftwork.consensus.durable_replica import COMPACT_MS
from raftwork.consensus.membership import decode_roster
from raftwork.consensus.raft import Config
from raftwork.consensus.raft.messages import (
    Append,
    AppendReply,
    ChunkReply,
    PreVote,
    PreVoteReply,
    RaftMessage,
    SnapshotChunk,
    TimeoutNow,
    Vote,
    VoteReply,
    decode_hard_state,
)
from raftwork.errors import NotLeader
from tests.sim.store import Disk, Image
from tests.unit.consensus.cluster import Cluster, Event, peer

SCRIPTS = sorted((Path(__file__).parent / "conversations").glob("*.txt"))


def at(position: Position) -> str:
    return f"{position.epoch}.{position.seq}"


def holder(incarnation: bytes) -> str:
    """A directory by its name, and its number if it is not the name's first."""
    name, generation = chr(incarnation[0]), incarnation[-1]
    return f"{name}({generation + 1})" if generation else name


def entry(it: Entry) -> str:
    match it.kind:
        case Kind.DATA:
            return f"{at(it.at)} {it.data.decode()!r}"
        case Kind.NOOP:
            return f"{at(it.at)} no-op"
        case Kind.ROSTER:
            return f"{at(it.at)} roster {who(decode_roster(it.data))}"


def who(roster: dict[str, bytes]) -> str:
    return " ".join(holder(incarnation) for incarnation in roster.values())


def words(message: RaftMessage) -> str:
    """A message as one would say it."""
    match message:
        case PreVote():
            return (
                f"would you vote for me in term {message.term}? My log ends at {at(message.last)}"
            )
        case Vote():
            wish = ", as the leader wishes" if message.transfer else ""
            return f"vote for me in term {message.term}{wish}! My log ends at {at(message.last)}"
        case Append():
            listed = ", ".join(entry(each) for each in message.entries)
            known = f"; committed up to {message.commit}" if message.commit else ""
            return f"after {at(message.prev)} append {listed or '-'} (term {message.term}{known})"
        case SnapshotChunk():
            end = message.offset + len(message.data)
            return f"snapshot {at(message.at)}, bytes {message.offset} to {end} of {message.size}"
        case TimeoutNow():
            return f"take over from term {message.term}!"
        case _:
            return answer(message)


def answer(message: PreVoteReply | VoteReply | AppendReply | ChunkReply) -> str:
    match message:
        case PreVoteReply(granted=True):
            return f"I would, in term {message.term}"
        case PreVoteReply():
            return f"I would not; my term is {message.term}"
        case VoteReply():
            return f"{'my vote is yours' if message.granted else 'no'}, in term {message.term}"
        case AppendReply(ok=True):
            return f"I have all up to {message.at} (term {message.term})"
        case AppendReply():
            hint = f"; we may agree at {at(message.hint)}" if message.hint.seq else ""
            return f"I lack {message.at}{hint} (term {message.term})"
        case ChunkReply():
            return f"snapshot {at(message.at)}: I have {message.wanted} bytes"


class Conversation:
    """Carries out a script and writes down what happens."""

    def __init__(self) -> None:
        self.cluster: Cluster
        self.lines: list[str] = []
        self._seen: dict[str, tuple[Role, bool]] = {}
        self._known: dict[tuple[str, str], tuple[int, int]] = {}
        self._generation: dict[str, int] = {}
        self._disks: dict[str, Disk] = {}

    def do(self, command: str) -> list[str]:
        self.lines = []
        verb, *args = command.split()
        commands: dict[str, Callable[..., None]] = {
            "start": self.start, "wait": self.wait, "propose": self.propose,
            "barrier": self.barrier, "transfer": self.transfer, "isolate": self.isolate,
            "heal": self.heal, "crash": self.crash, "restart": self.restart, "wipe": self.wipe,
            "unlink": self.unlink, "compact": self.compact,
        }  # fmt: skip
        commands[verb](*args)
        return self.lines

    # ---- commands -------------------------------------------------------------------------------

    def start(self, *names: str) -> None:
        config = Config(chunk_bytes=200, chunk_window=2, apply_within=0)
        self.cluster = Cluster("".join(names), config=config, padding=300)
        self.cluster.watch = self.heard
        self.cluster.lost = self.lost
        for name in names:
            self.changed(name)

    def wait(self, length: str) -> None:
        self.cluster.sleep(int(length))

    def propose(self, name: str, text: str) -> None:
        try:
            self.cluster.propose(name, text.encode())
        except NotLeader as refusal:
            self.say(f"{name} refuses: {refusal}")

    def barrier(self, name: str, token: str) -> None:
        self.cluster[name].core.barrier(int(token), self.cluster.now)
        self.cluster.turn(name)

    def transfer(self, name: str) -> None:
        self.cluster[name].core.transfer(self.cluster.now)
        self.cluster.turn(name)

    def isolate(self, *names: str) -> None:
        self.cluster.cut(*names)

    def heal(self) -> None:
        self.cluster.heal()

    def crash(self, name: str) -> None:
        self._disks[name] = self.cluster.crash(name)

    def restart(self, name: str) -> None:
        self.cluster.start(peer(name, self._generation.get(name, 0)), self._disks[name])
        self.changed(name)

    def wipe(self, name: str) -> None:
        self._generation[name] = self._generation.get(name, 0) + 1
        self._disks[name] = Disk(Image())

    def unlink(self, name: str, other: str) -> None:
        self.cluster[name].core.link(other, False, self.cluster.now)

    def compact(self, name: str) -> None:
        self.cluster[name].store._tail = 0
        self.cluster.sleep(COMPACT_MS)
        self.cluster.turn(name)
        self.say(f"{name}'s log begins after {at(self.cluster[name].store.base)}")

    # ---- the trace ------------------------------------------------------------------------------

    def say(self, line: str) -> None:
        self.lines.append(f"{self.cluster.now:6} {line}")

    def heard(self, name: str, src: Peer | None, message: RaftMessage | None) -> None:
        if src is None or message is None:
            self.changed(name)
        elif self.news(src.name, name, message):
            self.say(f"{src.name} → {name}: {words(message)}")

    def lost(self, src: Peer, to: str, message: RaftMessage) -> bool:
        return False

    def news(self, src: str, to: str, message: RaftMessage) -> bool:
        """Whether the message is more than a heartbeat or the answer to one."""
        if isinstance(message, Append):
            return bool(message.entries)
        if isinstance(message, AppendReply) and message.ok:
            before, self._known[src, to] = self._known.get((src, to)), (message.term, message.at)
            return before != (message.term, message.at)
        return True

    def changed(self, name: str) -> None:
        member = self.cluster[name]
        for event in member.events:
            line = self.deed(name, event)
            if line:
                self.say(f"  {name} {line}")
        member.events.clear()
        status = member.core.status
        state = (status.role, status.active)
        if status.role is not self._seen.get(name, (None, False))[0]:
            self.say(f"  {name} is a {status.role} in term {status.epoch}")
        self._seen[name] = state

    def deed(self, name: str, event: Event) -> str | None:
        what = event.what
        match event.kind:
            case "append" if isinstance(what, Entry):
                return f"appends {entry(what)}"
            case "apply" if isinstance(what, Entry):
                return f"applies {entry(what)}"
            case "rewind" if isinstance(what, Position):
                return f"drops its log after {at(what)}"
            case "state" if isinstance(what, bytes):
                hard = decode_hard_state(what)
                vote = f" and its vote for {holder(hard.vote)}" if hard.vote else ""
                return f"saves term {hard.term}{vote}"
            case "roster" if isinstance(what, dict):
                return f"counts {who(what)} from here on"
            case "activated" | "deactivated":
                return f"is {event.kind}"
            case "read":
                return f"lets barrier {what} pass"
            case "snapshot" if isinstance(what, Position):
                return f"makes a snapshot of {at(what)}"
            case "switch" if isinstance(what, Snapshot):
                return f"replaces all it has by snapshot {at(what.at)}"
            case _:
                assert not isinstance(what, Message) or event.kind == "send"
                return None


def played(script: str) -> str:
    """The script with its traces as they come out now."""
    conversation = Conversation()
    out: list[str] = []
    for line in script.splitlines():
        if line.startswith(">"):
            out.append(line)
            out.extend(conversation.do(line[1:].strip()))
        elif line.startswith("#") or not line.strip():
            out.append(line)
    return "\n".join(out) + "\n"


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_the_conversation_goes_as_written(path: Path, rewrite: bool) -> None:
    script = path.read_text(encoding="utf-8")

    now = played(script)

    if rewrite:
        path.write_text(now, encoding="utf-8")
    assert rewrite or now == script


def test_there_are_conversations() -> None:
    assert len(SCRIPTS) >= 10
