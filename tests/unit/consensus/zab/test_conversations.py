"""Golden conversations of Zab: scripts with the whole trace of what the replicas say and do.

Each file in `conversations/` holds prose (`#`), commands (`>`) and, below each command, what came
of it. `pytest tests/unit/consensus --rewrite` writes the traces anew: commit the result only when
every changed line is understood.

Commands: start a b c · wait MS · propose NAME TEXT · barrier NAME TOKEN · transfer NAME ·
isolate NAME… · heal · drop SRC DST COUNT · crash NAME · restart NAME · wipe NAME ·
unlink NAME OTHER · compact NAME. Pings and answers that bring no news are left out; `1.4` is the
zxid of epoch 1 and counter 4.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from raftwork.consensus.core import Entry, Kind, Position, Role, Snapshot
from raftwork.consensus.durable_replica import COMPACT_MS
from raftwork.consensus.membership import decode_roster
from raftwork.consensus.zab.messages import (
    Ack,
    AckEpoch,
    Commit,
    Diff,
    FollowerInfo,
    Frame,
    Framed,
    LeaderInfo,
    Mode,
    NewLeader,
    Notification,
    Ping,
    Propose,
    Resign,
    Snap,
    SnapReply,
    Trunc,
    UpToDate,
    Vote,
    ZabMessage,
    decode_framed,
    decode_hard_state,
)
from raftwork.consensus.zab.messages import decode as decode_message
from raftwork.errors import NotLeader
from tests.unit.consensus.cluster import Event
from tests.unit.consensus.network import MAKERS, Network

SCRIPTS = sorted((Path(__file__).parent / "conversations").glob("*.txt"))


def at(position: Position) -> str:
    return f"{position.epoch}.{position.seq}"


def entry(it: Entry) -> str:
    if it.kind is Kind.ROSTER:
        return f"{at(it.at)} roster {who(decode_roster(it.data))}"
    return f"{at(it.at)} {it.data.decode()!r}"


def who(roster: dict[str, bytes]) -> str:
    """Directories by their names, with a number if one is not the name's first."""
    return " ".join(
        f"{chr(i[0])}({i[-1] + 1})" if i[-1] else chr(i[0]) for i in sorted(roster.values())
    )


def vote(it: Vote) -> str:
    return f"{it.name} (epoch {it.epoch}, {at(it.zxid)})" if it.name else "nobody"


def words(message: ZabMessage | Framed) -> str:
    """A message as one would say it."""
    match message:
        case Notification(mode=Mode.LOOKING):
            return f"round {message.round}: I vote for {vote(message.vote)}"
        case Notification(mode=Mode.FOLLOWING):
            return f"round {message.round}: I follow {message.vote.name}"
        case Notification():
            return f"round {message.round}: I lead"
        case FollowerInfo():
            return f"session {message.session.number}: I have accepted epoch {message.accepted}"
        case AckEpoch():
            ends = ", ".join(map(at, message.ends))
            whose = "" if message.accepted else ", though not from you"
            return (
                f"I accept epoch {message.epoch}{whose}; I am in {message.current}, my history "
                f"ends at {ends}"
            )
        case Ack():
            return f"in epoch {message.current} I have all up to {at(message.zxid)}"
        case Snap():
            end = message.offset + len(message.data)
            return f"snapshot {at(message.at)}, bytes {message.offset} to {end} of {message.size}"
        case SnapReply():
            return f"snapshot {at(message.at)}: I have {message.wanted} bytes"
        case Frame():
            return f"#{message.seq} {words(decode_framed(message.body))}"
        case _:
            return order(message)


def order(message: Framed) -> str:
    match message:
        case LeaderInfo():
            return f"accept epoch {message.epoch}!"
        case Diff():
            return f"go on from {at(message.after)}"
        case Trunc():
            return f"drop your log after {at(message.to)}"
        case Propose():
            known = f"; committed up to {at(message.committed)}" if any(message.committed) else ""
            return f"proposals {', '.join(map(entry, message.entries))}{known}"
        case NewLeader():
            return f"that was all before epoch {message.epoch}: enter it!"
        case UpToDate():
            return f"you are up to date; committed up to {at(message.committed)}"
        case Commit():
            return f"committed up to {at(message.zxid)}"
        case Ping():
            return f"are you there ({message.round})?"
        case Resign():
            return f"I resign and vote for {vote(message.vote)}"


class Conversation:
    """Carries out a script and writes down what happens."""

    def __init__(self) -> None:
        self.network: Network
        self.lines: list[str] = []
        self._roles: dict[str, Role] = {}
        self._said: dict[tuple[str, str], str] = {}
        self._drop: dict[tuple[str, str], int] = {}

    def do(self, command: str) -> list[str]:
        self.lines = []
        verb, *args = command.split()
        commands: dict[str, Callable[..., None]] = {
            "start": self.start, "wait": self.wait, "propose": self.propose, "drop": self.drop,
            "barrier": self.barrier, "transfer": self.transfer, "isolate": self.isolate,
            "heal": self.heal, "crash": self.crash, "restart": self.restart, "wipe": self.wipe,
            "unlink": self.unlink, "compact": self.compact,
        }  # fmt: skip
        commands[verb](*args)
        self.look()
        return self.lines

    # ---- commands -------------------------------------------------------------------------------

    def start(self, *names: str) -> None:
        self.network = Network(MAKERS["zab"], "".join(names))
        self.network.heard = self.heard
        self.network.turned = self.look
        self.network.lost = self.lost

    def wait(self, length: str) -> None:
        self.network.sleep(int(length))

    def propose(self, name: str, text: str) -> None:
        try:
            self.network.propose(name, text.encode())
        except NotLeader as refusal:
            self.say(f"{name} refuses: {refusal}")

    def barrier(self, name: str, token: str) -> None:
        self.network[name].core.barrier(int(token), self.network.now)
        self.network.turn(name)

    def transfer(self, name: str) -> None:
        self.network[name].core.transfer(self.network.now)
        self.network.turn(name)

    def isolate(self, *names: str) -> None:
        self.network.cut(*names)

    def heal(self) -> None:
        self.network.heal()

    def drop(self, src: str, to: str, count: str) -> None:
        self._drop[src, to] = int(count)

    def crash(self, name: str) -> None:
        self.look()
        self.network.crash(name, hint=False)
        self._roles.pop(name)

    def restart(self, name: str) -> None:
        self.network.start(name)

    def wipe(self, name: str) -> None:
        self.network.wipe(name)

    def unlink(self, name: str, other: str) -> None:
        self.network[name].core.link(other, False, self.network.now)
        self.network.turn(name)

    def compact(self, name: str) -> None:
        place = self.network[name]
        place.store._tail = 0
        self.network.sleep(COMPACT_MS)
        self.network.turn(name)
        self.say(f"{name}'s log begins after {at(place.store.base)}")

    # ---- the trace ------------------------------------------------------------------------------

    def say(self, line: str) -> None:
        self.lines.append(f"{self.network.now:6} {line}")

    def lost(self, src: str, to: str, body: bytes) -> bool:
        if self._drop.get((src, to), 0) <= 0:
            return False
        self._drop[src, to] -= 1
        self.say(f"{src} → {to}: (lost) {words(decode_message(body))}")
        return True

    def heard(self, src: str, to: str, body: bytes) -> None:
        message = decode_message(body)
        if isinstance(message, Frame) and isinstance(decode_framed(message.body), Ping):
            return
        said = words(message)
        if isinstance(message, Ack):
            before, self._said[src, to] = self._said.get((src, to)), said
            if said == before:
                return
        self.say(f"{src} → {to}: {said}")

    def look(self) -> None:
        """What each has done since it was last looked at."""
        for name in self.network.up():
            place = self.network[name]
            for event in place.events:
                line = self.deed(event)
                if line:
                    self.say(f"  {name} {line}")
            place.events.clear()
            role = place.core.status.role
            if self._roles.get(name) is not role:
                self._roles[name] = role
                self.say(f"  {name} is a {role}")

    def deed(self, event: Event) -> str | None:
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
                return f"saves: accepted epoch {hard.accepted}, current epoch {hard.current}"
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
