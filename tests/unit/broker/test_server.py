"""The loop around a node: whom it hears, and when."""

import errno
import signal
import socket
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar, cast

import pytest
import zmq

from raftwork.broker import server
from raftwork.broker.access.admission import Admission
from raftwork.broker.disk_gauge import DiskGauge
from raftwork.broker.disk_space import DiskSpace
from raftwork.broker.net.throttle import REST, Throttle
from raftwork.broker.net.transport import Transport
from raftwork.broker.node import Node
from raftwork.broker.options import BrokerConfig
from raftwork.broker.own_facts import OwnFacts
from raftwork.broker.peer_events import AccessNotReloaded, AccessReloaded
from raftwork.broker.server import Server
from raftwork.broker.store import Store
from raftwork.errors import AccessListRefused

READING = 0.002


def test_a_host_that_is_none_is_named_with_the_reason_and_what_to_do() -> None:
    """F18: it was "No such device"."""
    with pytest.raises(OSError, match=r"'nohost\.invalid': .*; is it spelled right"):
        server._listen("nohost.invalid:1", {})


class Listening:
    """In place of Wires, where only these numbers are this machine's."""

    mine: ClassVar[set[str]] = set()

    def __init__(self, address: str, _others: object, _now: int, admission: object = None) -> None:
        self.at, _, _ = address.rpartition(":")
        if self.at not in self.mine:
            raise zmq.ZMQError(errno.EADDRNOTAVAIL)


@pytest.mark.parametrize(
    ("address", "found", "mine", "at", "warned"),
    [
        ("b1.example:1", ("127.0.1.1", "10.0.0.5"), {"127.0.1.1", "10.0.0.5"}, "10.0.0.5", False),
        ("b1.example:1", ("10.0.0.4", "10.0.0.5"), {"10.0.0.5"}, "10.0.0.5", False),
        ("b1.example:1", ("127.0.1.1",), {"127.0.1.1"}, "127.0.1.1", True),
        ("localhost:1", ("127.0.0.1", "::1"), {"127.0.0.1", "[::1]"}, "127.0.0.1", False),
        ("localhost:1", ("127.0.0.1", "::1"), {"[::1]"}, "[::1]", False),
    ],
)
def test_of_a_names_numbers_the_one_is_used_at_which_others_reach_this_machine(
    address: str,
    found: tuple[str, ...],
    mine: set[str],
    at: str,
    warned: bool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The first one was used: on Debian a machine's own name is 127.0.1.1 to itself."""
    monkeypatch.setattr(Listening, "mine", mine)
    monkeypatch.setattr(server, "Transport", Listening)
    monkeypatch.setattr(server, "look_up", lambda _host: found)
    assert cast("Listening", server._listen(address, {})).at == at
    assert ("no other machine reaches" in caplog.text) == warned


def test_a_name_of_other_machines_is_refused_with_the_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Listening, "mine", set())
    monkeypatch.setattr(server, "Transport", Listening)
    monkeypatch.setattr(server, "look_up", lambda _host: ("10.0.0.4", "10.0.0.5"))
    with pytest.raises(OSError, match=r"listen on b1\.example:1: Cannot assign"):
        server._listen("b1.example:1", {})


def test_an_error_of_the_loop_that_has_no_name_is_logged_with_its_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An OSError was shown as one of the data directory, and nothing else."""

    class Broken:
        def __init__(self, *_: object) -> None: ...
        def run(self) -> None:
            raise OSError("from anywhere")

    monkeypatch.setattr(server, "Server", Broken)
    options = BrokerConfig(name="a", cluster={"a": "127.0.0.1:1"}, data=tmp_path)
    assert server._serve(options, cast("Store", None), cast("Transport", None)) == 1
    assert "this replica stops" in caplog.text
    assert "in run" in caplog.text


class Clock:
    """In place of the module `time`."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def monotonic(self) -> float:
        return self.seconds

    def monotonic_ns(self) -> int:
        return int(self.seconds * 1e9)

    time_ns = monotonic_ns


class Flooded:
    """Wires on which clients and workers always have something to say, and brokers nothing."""

    congested, anyone, resolved = False, "the ROUTER", "the resolver"

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.heard = 0.0  # seconds
        self.violations = 0

    def poll(self, timeout: int, *, anyone: bool, patience: int) -> list[object]:
        if anyone:
            return [self.anyone]
        self._clock.seconds += timeout / 1_000
        return []

    def from_anyone(self) -> Iterator[tuple[bytes, memoryview, str]]:
        self._clock.seconds += READING
        self.heard += READING
        yield b"flood", memoryview(b"x"), ""

    def count_violation(self, routing: bytes) -> None:
        assert routing == b"flood"
        self.violations += 1

    def nothing(self, *_: object) -> list[tuple[bytes, bool]]:
        return []

    link_changes = from_peers = tidy = tend = nothing


class Deaf:
    """A node for which nothing is a frame."""

    wake_at, patient_until = 10**12, 0

    def __init__(self, *, leads: bool) -> None:
        self.leads = leads

    def receive(self, *_: object) -> bool:
        return False

    def nothing(self, *_: object) -> None:
        pass

    wake = turn = nothing


def running(transport: Flooded, node: Deaf) -> Server:
    """Without sockets and signals."""
    one = object.__new__(Server)
    one._http = None
    one._disk = DiskSpace()
    one._gauge = DiskGauge(Path(), 0, one._disk, int, lambda _event: None)
    one._transport, one._node = cast("Transport", transport), cast("Node", node)
    one._store = cast("Store", SimpleNamespace(tables_guard=nullcontext(), commit_ns=0))
    one._config = cast("BrokerConfig", SimpleNamespace(slow_turn=200))
    one._signals_fd, one._throttle, one._now = -1, Throttle(), 0
    one._admission = None
    one._facts = OwnFacts("a", 1, 0)
    one._chores_at = one._wall_base = 0
    return one


class Resolving(Flooded):
    """Wires on which the only news are answers of name servers, until they are taken."""

    answers = 0

    def poll(self, timeout: int, *, anyone: bool, patience: int) -> list[object]:
        return [self.resolved] if self.answers else []

    def tend(self, *_: object) -> None:  # type: ignore[override]
        self.answers = 0


def test_an_answer_of_a_name_server_is_taken_in_the_turn_that_it_wakes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Until it is taken, every wait for news ends at once."""
    clock = Clock()
    monkeypatch.setattr(server, "time", clock)
    transport = Resolving(clock)
    one = running(transport, Deaf(leads=True))
    for _ in range(3):
        transport.answers = 1
        one._turn()
        assert transport.answers == 0
        clock.seconds += 0.001


@pytest.mark.parametrize("leads", [False, True])
def test_only_a_leader_spends_all_its_time_on_who_floods_it(
    leads: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(server, "time", clock)
    transport = Flooded(clock)
    one = running(transport, Deaf(leads=leads))
    until = clock.seconds + 10
    while clock.seconds < until:
        one._turn()
    share = 1.0 if leads else 1 / (1 + REST)
    assert share * 0.9 < transport.heard / 10 < share * 1.1
    assert transport.violations == round(transport.heard / READING), "each of them is told of"


@pytest.mark.parametrize("quiet", [False, True])
def test_what_other_brokers_said_is_read_behind_a_turn_that_was_waited_for_with_patience(
    quiet: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And has its own turn if it leaves something to be done, but none of the wait's length."""
    clock = Clock()
    monkeypatch.setattr(server, "time", clock)
    did: list[str] = []

    class Late(Flooded):
        def late(self) -> list[object]:
            return ["the DEALER"]

        def from_peers(  # type: ignore[override]
            self, ready: Sequence[object]
        ) -> list[tuple[str, memoryview]]:
            return [("b", memoryview(b"ack"))] if ready == ["the DEALER"] else []

    class Patient(Deaf):
        patient_until = 1_000_000
        quiet = True

        def wake(self, now: int, _wall: int) -> None:  # type: ignore[override]
            did.append(f"wake {now}")

        def turn(self, _now: int) -> None:  # type: ignore[override]
            did.append("turn")
            clock.seconds = 100.125  # a slow disk

        def receive_peer(self, name: str, frame: memoryview, now: int) -> None:
            did.append(f"{name}: {bytes(frame).decode()} at {now}")
            self.quiet = quiet

    node = Patient(leads=True)
    one = running(Late(clock), node)
    one._turn()
    expected = ["wake 100000", "turn", "wake 100125", "b: ack at 100125"]
    assert did == (expected if quiet else [*expected, "turn"])
    did.clear()
    node.patient_until = 0
    one._turn()
    assert not any("ack" in each for each in did)


class Reloading:
    """Of an Admission: a list that changes once, and then cannot be read."""

    digest = "abc"

    def __init__(self) -> None:
        self.answers: list[frozenset[str]] = [frozenset({"key"})]

    def reload(self) -> frozenset[str]:
        if not self.answers:
            raise AccessListRefused("access.toml, line 7: no")
        return self.answers.pop()


def test_sighup_has_the_access_list_read_again_and_ends_nothing() -> None:
    told: list[object] = []
    cut: list[object] = []
    one = object.__new__(Server)
    one._node = cast("Node", SimpleNamespace(tell=told.append))
    one._transport = cast("Transport", SimpleNamespace(cut=lambda keys, now: cut.append(keys)))
    one._admission, one._stop_by = None, None
    hup = bytes([signal.SIGHUP])
    one._obey(hup, 0)  # without keys there is nothing to read again
    assert told == []
    one._admission = cast("Admission", Reloading())
    one._obey(hup, 0)
    one._obey(hup, 0)
    assert cut == [{"key"}]
    assert told == [AccessReloaded("abc", 1), AccessNotReloaded("access.toml, line 7: no")]
    assert one._stop_by is None


@pytest.mark.parametrize("abstract", [False, True])
def test_a_service_manager_is_told_that_it_listens(
    abstract: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"{tmp_path.name}-notify" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"\0{name}" if abstract else name)
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}" if abstract else name)
        server.tell_service_manager("READY=1")
        assert manager.recv(64) == b"READY=1"
    server.tell_service_manager("READY=1")  # nobody is there: it is none of the broker's business
