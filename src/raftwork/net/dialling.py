"""Which endpoint each connection goes to: names become numbers outside libzmq. Sans-IO.

1. libzmq is given numbers only. Given a name, it looks it up itself at every attempt to connect, in
   the one thread that carries all connections of a process: a name server that does not answer
   holds up every one of them, for seconds each time.
2. A name is looked up when it is first dialled, and again while its connection is down: addresses
   change. It may have several; each attempt takes the next.
3. What stays down is dialled anew although libzmq tries by itself (reconnects.py).
"""

from dataclasses import dataclass
from typing import NamedTuple, Protocol

from raftwork.addresses import number, parse_address
from raftwork.net.reconnects import Reconnects

#: While a connection is down, its host name is looked up again after so long (ms).
LOOK_UP_MS = 5_000


class Answer(NamedTuple):
    """The result of looking up a host name."""

    host: str
    #: Its addresses as numbers, the ones to try first in front; empty if there are none.
    numbers: tuple[str, ...]
    #: Why there are none; empty if there are some.
    error: str = ""


class Resolver(Protocol):
    """Looks names up without blocking."""

    def ask(self, host: str) -> None:
        """Have this name looked up; asking again before the answer came changes nothing."""
        ...

    def answers(self) -> list[Answer]:
        """The answers that came since the last call."""
        ...


class Dial(NamedTuple):
    """Disconnect the connection of `key` from `old`, if that is not None, and connect it to `new`.

    Both are libzmq's endpoints, of numbers; `ipv6` is what its option must be.
    """

    key: str
    old: str | None
    new: str
    ipv6: bool


class Unresolved(NamedTuple):
    """The address of `key` leads nowhere: `text` says why, and what to do. Empty: it does again."""

    key: str
    text: str


@dataclass(slots=True)
class _Target:
    host: str
    port: int
    #: Its addresses, as far as they are known.
    numbers: tuple[str, ...]
    #: A name, to be looked up at this time (ms) at the earliest if it is down; None: a number.
    look_up_at: int | None
    #: Attempts so far.
    attempt: int = 0
    #: The attempt is to be made.
    due: bool = True
    error: str = ""


class Dialler:
    """The addresses of a process's connections, by a key of each. Times are monotonic ms."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        self._reconnects = Reconnects()
        self._targets: dict[str, _Target] = {}
        self._connected: dict[str, str] = {}
        self._unresolved: list[Unresolved] = []

    def dial(self, key: str, address: str, now: int) -> None:
        """Connect `key` to this address, HOST:PORT, from now on. Raises ValueError.

        Given the same one again, it tries the next number, and looks a name up again: what answers
        is not what was meant.
        """
        host, port = parse_address(address)
        known = self._targets.get(key)
        if known is not None and (known.host, known.port) == (host, port):
            known.due = True
            known.look_up_at = None if known.look_up_at is None else now
            self.down(key, now)
            return
        found = number(host)
        numbers = () if found is None else (host.strip("[]"),)
        self._targets[key] = _Target(host, port, numbers, now if found is None else None)
        self.down(key, now)

    def redial(self, key: str, now: int) -> None:
        """Connect `key` anew to where it was: what its connection is made with has changed."""
        self._targets[key].due = True
        self.down(key, now)

    def up(self, key: str) -> None:
        """It is connected."""
        self._reconnects.up(key)

    def down(self, key: str, now: int) -> None:
        """Its connection was lost."""
        self._reconnects.down(key, now)

    def due(self, now: int) -> list[Dial]:
        """Drain the connections to make now."""
        answers, away = self._resolver.answers(), self._reconnects.away
        if not away:
            return []  # all is well: called in every turn
        self._hear(answers, away)
        for key in self._reconnects.due(now):
            self._targets[key].due = True
        dials = []
        for key in away:
            target = self._targets[key]
            if target.look_up_at is not None and now >= target.look_up_at:
                target.look_up_at = now + LOOK_UP_MS
                self._resolver.ask(target.host)
            if target.due and target.numbers:
                dials.append(self._attempt(key, target))
        return dials

    def unresolved(self) -> list[Unresolved]:
        """Drain the names that could not be looked up; each failure is reported once."""
        if not self._unresolved:
            return []
        out, self._unresolved = self._unresolved, []
        return out

    def _hear(self, answers: list[Answer], away: list[str]) -> None:
        for host, numbers, error in answers:
            for key in away:
                target = self._targets[key]
                if target.host != host:
                    continue
                if error != target.error:
                    text = cannot_resolve(host, error) if error else ""
                    self._unresolved.append(Unresolved(key, text))
                target.error = error
                if numbers and set(numbers) != set(target.numbers):
                    target.numbers, target.attempt, target.due = numbers, 0, True

    def _attempt(self, key: str, target: _Target) -> Dial:
        chosen = target.numbers[target.attempt % len(target.numbers)]
        target.attempt, target.due = target.attempt + 1, False
        old, new = self._connected.get(key), endpoint(chosen, target.port)
        self._connected[key] = new
        return Dial(key, old, new, ":" in chosen)


def endpoint(chosen: str, port: int) -> str:
    """libzmq's name for a port of a number."""
    return f"tcp://[{chosen}]:{port}" if ":" in chosen else f"tcp://{chosen}:{port}"


def cannot_resolve(host: str, error: str) -> str:
    """The error text for a host name that does not resolve."""
    return (
        f"cannot resolve the host {host!r}: {error}; is it spelled right, and does this machine"
        " know it (DNS, /etc/hosts)?"
    )
