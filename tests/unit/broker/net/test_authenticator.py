"""Real sockets: who is let in, who is told why not, and what becomes of those that are revoked."""

import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
import zmq

from raftwork.broker.access.access_list import Grant
from raftwork.broker.access.admission import Admission
from raftwork.broker.access.edit_access import allowed, revoked
from raftwork.broker.events import Event
from raftwork.broker.net.authenticator import listen_with
from raftwork.broker.net.refused_addresses import REFUSED_MAX, SILENT_MAX, WINDOW_MS
from raftwork.broker.net.transport import Transport
from raftwork.broker.peer_events import KeyNotKnown, StrangersSlowed
from raftwork.errors import AccessListRefused
from raftwork.keys import Key, Role, new_key, read_key, replace_key, write_key
from raftwork.messages import FRAME_BYTES_MAX
from raftwork.net.links import LinkOptions, Links
from raftwork.testing.processes import free_addresses

PATIENCE_S = 20.0


def now() -> int:
    return time.monotonic_ns() // 1_000_000


class Broker:
    """The sockets of a broker called `a`, with a key and a list."""

    def __init__(self, directory: Path, *others: Key) -> None:
        self.key = new_key("a", [Role.PEER])
        self.file = directory / "access.toml"
        text = ""
        for each in (self.key, *others):
            grant = Grant(each.name, each.roles, each.queues)
            text = allowed(text, str(self.file), grant, each.public)
        self.file.write_text(text)
        self.admission = Admission(self.key, str(self.file), ["a"])
        (self.address,) = free_addresses(1)
        self.transport = Transport(self.address, {}, now(), admission=self.admission)
        self.events: list[Event] = []
        self.transport.tell = self.events.append
        self.heard: list[tuple[bytes, bytes, str]] = []
        self.lost: list[bytes] = []

    def turn(self) -> None:
        ready = self.transport.poll(1, anyone=True)
        if self.transport.anyone in ready:
            for routing, frame, user in self.transport.from_anyone():
                self.heard.append((routing, bytes(frame), user))
        self.lost += self.transport.tidy()


@pytest.fixture
def ada() -> Key:
    return new_key("ada", [Role.CLIENT])


@pytest.fixture
def broker(tmp_path: Path, ada: Key) -> Iterator[Broker]:
    made = Broker(tmp_path, ada)
    yield made
    made.transport.close(0)


class Client:
    """A process with these keys that says what it can, again and again."""

    def __init__(self, broker: Broker, key: Key | None, brokers: tuple[Key, ...] = ()) -> None:
        if key is not None:
            trusted = {each.name: (each.public,) for each in brokers or (broker.key,)}
            key = Key(key.name, key.roles, key.queues, key.public, key.secret, trusted, "FILE")
        self.links = Links(lambda host: (host,), LinkOptions(FRAME_BYTES_MAX), key)
        self.address = broker.address
        self.links.connect(broker.address, now())
        self.denials: list[str] = []
        self.up = False

    def turn(self) -> None:
        for ready in self.links.poll(1):
            for _, up in self.links.changes(ready, now()):
                self.up = up
                if up:
                    self.links.send(self.address, b"hello")
        self.links.tend(now())
        self.denials += [text for _, text in self.links.denials()]


def until(condition: Callable[[], object], *turns: Broker | Client) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        for each in turns:
            each.turn()


def test_a_key_on_the_list_is_let_in_and_each_of_its_frames_is_under_it(
    broker: Broker, ada: Key
) -> None:
    client = Client(broker, ada)
    until(lambda: broker.heard, broker, client)
    assert [(frame, user) for _, frame, user in broker.heard] == [(b"hello", ada.public)]
    assert not client.denials
    client.links.close()


def test_from_where_a_key_was_let_in_nobody_is_slowed(broker: Broker, ada: Key) -> None:
    client = Client(broker, ada)
    until(lambda: broker.heard, broker, client)
    client.links.close()
    keys = broker.transport._keys
    assert keys is not None
    for _ in range(REFUSED_MAX + 1):
        keys._refused("", "127.0.0.1")
        keys._refused("", "10.0.0.9")
    keys._addresses.tend(now() + 10 * WINDOW_MS)
    assert keys._addresses.slowed == ("10.0.0.9",)


@pytest.mark.skipif(sys.platform != "linux", reason="other kernels let all in")
def test_who_comes_and_goes_without_a_word_is_slowed_and_nobody_beside_him(
    broker: Broker, ada: Key
) -> None:
    host, _, port = broker.address.rpartition(":")
    client = Client(broker, ada)
    until(lambda: broker.heard, broker, client)

    def connect(source: str) -> socket.socket:
        return socket.create_connection((host, int(port)), 5, (source, 0))

    deadline = now() + PATIENCE_S * 1_000
    while not slowed(broker):  # what is silent for some seconds the broker closes
        assert now() < deadline
        with ExitStack() as silent:
            for _ in range(2 * REFUSED_MAX):
                silent.enter_context(connect("127.0.0.2"))
                connect("127.0.0.2").close()
            for _ in range(REFUSED_MAX // 2):
                silent.enter_context(connect("127.0.0.3"))
            window_ends = now() + WINDOW_MS
            until(lambda end=window_ends: slowed(broker) or now() > end, broker, client)  # type: ignore[misc]
    assert slowed(broker) == ("127.0.0.2",)
    client.links.close()


@pytest.mark.skipif(sys.platform != "linux", reason="other kernels let all in")
def test_where_many_close_at_once_strangers_wait_and_those_who_are_known_do_not(
    broker: Broker, ada: Key
) -> None:
    host, _, port = broker.address.rpartition(":")
    client = Client(broker, ada)
    until(lambda: broker.heard, broker, client)
    keys, deadline = broker.transport._keys, now() + PATIENCE_S * 1_000
    assert keys is not None

    def connects(source: str) -> bool:
        try:
            socket.create_connection((host, int(port)), 0.01, (source, 0)).close()
        except TimeoutError:
            return False
        return True

    while keys._addresses.known is None:
        assert now() < deadline
        for _ in range(50):
            connects("127.0.0.2")
        broker.turn()
        broker.transport.tend(now())
    assert keys._addresses.known == ("127.0.0.1",)
    assert sum(connects("127.0.0.2") for _ in range(40)) < 30
    # A packet or two may be late on a busy machine.
    assert sum(connects("127.0.0.1") for _ in range(40)) > 30
    told = [each for each in broker.events if isinstance(each, StrangersSlowed)]
    assert len(told) == 1
    assert told[0].closed > SILENT_MAX
    client.links.close()


def slowed(broker: Broker) -> tuple[str, ...]:
    broker.transport.tend(now())
    keys = broker.transport._keys
    assert keys is not None
    return keys._addresses.slowed


def test_strangers_are_turned_away_and_told_why(broker: Broker, ada: Key) -> None:
    unknown = new_key("ada", [Role.CLIENT])  # the name alone is nobody
    for key, brokers, why in (
        (unknown, (), "not let in"),
        (None, (), "this process has none"),
        (ada, (unknown,), "none of the brokers whose keys are in FILE"),
    ):
        client = Client(broker, key, brokers)
        until(lambda client=client: client.denials, broker, client)  # type: ignore[misc]
        assert why in client.denials[0]
        assert not client.up
        client.links.close()
    assert not broker.heard
    told = {event.key for event in broker.events if isinstance(event, KeyNotKnown)}
    assert told == {unknown.public}


class Rotating:
    """A process whose key is in a file, and the broker that it talks to."""

    def __init__(self, directory: Path, broker: Broker, key: Key) -> None:
        self.file = str(directory / "ada.key")
        write_key(replace(key, brokers={"a": (broker.key.public,)}), self.file)
        self.client = Client(broker, None)
        self.client.links.close()
        self.client.links = Links(
            lambda host: (host,), LinkOptions(FRAME_BYTES_MAX), read_key(self.file)
        )
        self.client.links.connect(broker.address, now())


def test_a_key_that_was_replaced_is_read_again_where_the_old_one_is_not_let_in(
    broker: Broker, ada: Key, tmp_path: Path
) -> None:
    rotating = Rotating(tmp_path, broker, ada)
    until(lambda: broker.heard, broker, client := rotating.client)
    new = new_key("ada", ada.roles, brokers={"a": (broker.key.public,)})
    replace_key(new, rotating.file)
    text = revoked(broker.file.read_text(), "", "ada")
    broker.file.write_text(allowed(text, "", Grant("ada", ada.roles), new.public))
    broker.transport.cut(broker.admission.reload(), now())
    until(lambda: not client.up, broker, client)
    until(lambda: broker.heard[-1][2] == new.public, broker, client)
    assert not client.denials
    # It is not let in now either, and its file says nothing else: that is told.
    broker.file.write_text(revoked(broker.file.read_text(), "", "ada"))
    broker.transport.cut(broker.admission.reload(), now())
    until(lambda: client.denials, broker, client)
    assert new.public in client.denials[0]
    client.links.close()


def test_a_brokers_key_that_was_replaced_is_found_in_the_refreshed_file(
    broker: Broker, ada: Key, tmp_path: Path
) -> None:
    rotating = Rotating(tmp_path, broker, ada)
    until(lambda: broker.heard, broker, client := rotating.client)
    new = new_key("a", [Role.PEER])
    replace_key(replace(read_key(rotating.file), brokers={"a": (new.public,)}), rotating.file)
    text = allowed(broker.file.read_text(), "", Grant("a", new.roles), new.public)
    broker.file.write_text(text)
    broker.transport.close(0)
    admission = Admission(new, str(broker.file), ["a"])
    broker.transport = Transport(broker.address, {}, now(), admission=admission)
    broker.heard.clear()
    until(lambda: broker.heard, broker, client)
    assert not client.denials
    client.links.close()


def test_of_several_brokers_keys_the_one_that_fits_is_found(broker: Broker, ada: Key) -> None:
    others = tuple(new_key(name, [Role.PEER]) for name in "xyz")
    client = Client(broker, ada, (*others, broker.key))
    until(lambda: broker.heard, broker, client)
    assert not client.denials
    client.links.close()


def test_a_client_with_a_key_learns_that_a_broker_has_none(broker: Broker, ada: Key) -> None:
    client = Client(broker, ada)
    client.links.close()
    (address,) = free_addresses(1)
    bare = Transport(address, {}, now())
    broker.address = address
    client = Client(broker, ada)

    def turn() -> bool:
        bare.poll(1, anyone=True)
        return bool(client.denials)

    until(turn, client)
    # Which of the two is told hangs on whose end closes first.
    assert "it has no key" in client.denials[0] or "or has no key" in client.denials[0]
    client.links.close()
    bare.close(0)


def test_what_is_revoked_is_cut_within_a_second_and_not_let_in_again(
    broker: Broker, ada: Key
) -> None:
    client = Client(broker, ada)
    until(lambda: broker.heard, broker, client)
    ((routing, _, _),) = broker.heard
    broker.file.write_text(revoked(broker.file.read_text(), "", "ada"))
    changed = broker.admission.reload()
    assert changed == {ada.public}
    began = now()
    broker.transport.cut(changed, began)
    until(lambda: broker.lost and not client.up, broker, client)
    assert now() - began < 1_000
    assert broker.lost == [routing]
    until(lambda: client.denials, broker, client)
    assert "not let in" in client.denials[0]
    client.links.close()
    keys = broker.transport._keys
    assert keys is not None
    for _ in range(REFUSED_MAX + 1):
        keys._refused("", "127.0.0.1")
    keys._addresses.tend(now() + 10 * WINDOW_MS)
    assert keys._addresses.slowed == ("127.0.0.1",), "it was let in from there once"


def test_a_list_that_cannot_be_read_again_changes_nothing(broker: Broker, ada: Key) -> None:
    digest = broker.admission.digest
    broker.file.write_text("nonsense")
    with pytest.raises(AccessListRefused):
        broker.admission.reload()
    assert broker.admission.knows(ada.public)
    assert broker.admission.digest == digest


def test_a_broker_that_its_own_list_does_not_know_is_refused(tmp_path: Path, ada: Key) -> None:
    broker = Broker(tmp_path, ada)
    broker.transport.close(0)
    with pytest.raises(AccessListRefused, match="the broker b has no key in it"):
        Admission(broker.key, str(broker.file), ["a", "b"])
    with pytest.raises(AccessListRefused, match=r"the key ada.* is not in it as a broker's"):
        Admission(ada, str(broker.file), ["a"])


def test_a_routing_id_that_another_key_takes_is_heard_only_once_its_owner_is_gone(
    broker: Broker, ada: Key
) -> None:
    keys = broker.transport._keys
    assert keys is not None

    class Frame:
        def __init__(self, user: str) -> None:
            self.user = user

        def get(self, _name: str) -> str:
            return self.user

    assert keys.user(b"r", Frame("one")) == "one"  # type: ignore[arg-type]
    assert keys.user(b"r", Frame("one")) == "one"  # type: ignore[arg-type]
    assert keys.user(b"r", Frame("two")) is None  # type: ignore[arg-type]
    assert keys.user(b"r", Frame("two")) == "two"  # type: ignore[arg-type]
    keys.gone([b"r"])
    assert keys.user(b"r", Frame("one")) == "one"  # type: ignore[arg-type]


def test_without_a_handler_nobody_is_let_in() -> None:
    """libzmq lets everybody in then, unless it is told otherwise."""
    mine, other = new_key("a", [Role.PEER]), new_key("ada", [Role.CLIENT])
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    router = context.socket(zmq.ROUTER)
    router.setsockopt(zmq.ZAP_DOMAIN, b"raftwork")
    listen_with(router, mine)
    port = router.bind_to_random_port("tcp://127.0.0.1")
    key = Key("ada", other.roles, ("*",), other.public, other.secret, {"a": (mine.public,)})
    links = Links(lambda host: (host,), LinkOptions(FRAME_BYTES_MAX), key)
    links.connect(f"127.0.0.1:{port}", now())
    deadline, denials, ups = time.monotonic() + PATIENCE_S, list[object](), list[bool]()
    while not (denials or ups):
        assert time.monotonic() < deadline
        for ready in links.poll(10):
            ups += [up for _, up in links.changes(ready, now()) if up]
        links.tend(now())
        denials += links.denials()
    assert denials
    links.close()
    context.destroy(linger=0)
