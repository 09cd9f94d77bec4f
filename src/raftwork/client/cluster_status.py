"""The status of every broker, requested concurrently over short-lived sockets."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from raftwork.client.addresses import key_in_use
from raftwork.errors import BadMessage, PermissionDenied, Unavailable
from raftwork.features import from_broker, to_broker
from raftwork.keys import Key
from raftwork.messages import FRAME_BYTES_MAX, BrokerStatus, Code, Refused, StatusRequest
from raftwork.net.denials import Denials
from raftwork.net.leader_claims import learnable
from raftwork.net.links import LinkOptions, Links
from raftwork.net.resolving import LookUp, look_up, reason

_REQUEST = to_broker.encode(StatusRequest(1))
_WITH_FACTS = to_broker.encode(StatusRequest(1, facts=True))
#: A turn takes so long at most: what could not be opened is tried again.
_TURN_S = 0.1


@dataclass(slots=True)
class Answers:
    """The answers by address, in the order of asking."""

    #: None for a broker that did not answer.
    statuses: dict[str, BrokerStatus | None] = field(default_factory=dict)
    #: Why a broker could not be asked.
    failures: dict[str, str] = field(default_factory=dict)
    #: How far the clock of a broker is ahead of this machine's, ms, where it tells.
    ahead: dict[str, int] = field(default_factory=dict)


def gather(
    brokers: Sequence[str],
    timeout: float,
    *,
    follow: bool = False,
    look_up: LookUp = look_up,
    key: Key | None = None,
    facts: bool = False,
    reached: bool = False,
) -> Answers:
    """The status that each broker reports within `timeout` seconds.

    The brokers are addresses `host:port`. With `follow`, brokers named in the answers are asked
    too, each within that time: with `reached` those alone that whoever names them reaches. With
    `facts` they also say what they count. The key is that of RAFTWORK_KEY, if any, unless one is
    given. Raises Unavailable if no socket can be opened, and PermissionDenied if no broker lets it
    ask.
    """
    asking = _Asking(look_up, key or key_in_use(), _WITH_FACTS if facts else _REQUEST)
    try:
        for address in brokers:
            asking.ask(address, timeout)
        while asking.open and (left := asking.left()) > 0:
            for status in asking.wait(left):
                away = status.unreached if reached else ()
                named = [at for name, at in status.cluster if name not in away] if follow else []
                for address in named:
                    if learnable(address, asking.answers.statuses, len(brokers)):
                        asking.ask(address, timeout)
    finally:
        asking.close()
    return asking.answers


class _Asking:
    """The links, and the brokers that have not answered yet."""

    def __init__(self, look_up: LookUp, key: Key | None, request: bytes) -> None:
        self.answers = Answers()
        #: Until when (s, monotonic) each may still answer.
        self.open: dict[str, float] = {}
        self._denials = Denials()
        self._request = request
        try:
            self._links = Links(look_up, LinkOptions(FRAME_BYTES_MAX), key)
        except OSError as error:
            why = f"cannot open a connection: {reason(error)}"
            raise Unavailable(why) from error

    def ask(self, address: str, timeout: float) -> None:
        if address not in self.answers.statuses:
            self.answers.statuses[address] = None
            self.open[address] = time.monotonic() + timeout
            self._links.connect(address, _now())

    def left(self) -> float:
        """Seconds until the last of them has had its time."""
        return max(self.open.values()) - time.monotonic()

    def wait(self, seconds: float) -> list[BrokerStatus]:
        """The answers of a turn, which takes so long at most."""
        came = []
        for ready in self._links.poll(math.ceil(min(seconds, _TURN_S) * 1_000)):
            for address, up in self._links.changes(ready, _now()):
                if up:  # one is asked without a session: what it says of itself needs none
                    self._denials.link_up(address)
                    self._links.send(address, self._request)
                else:
                    self._denials.link_down(address)
            for address, frame in self._links.frames(ready):
                status = _read(frame)
                if isinstance(status, Refused):
                    self._denied(address, status.text)
                elif status is not None and self.open.pop(address, None) is not None:
                    self.answers.statuses[address] = status
                    if status.wall:
                        self.answers.ahead[address] = status.wall - time.time_ns() // 1_000_000
                    came.append(status)
        self._links.tend(_now())
        for address, text in (*self._links.unopened(), *self._links.unresolved()):
            self.answers.failures[address] = text
        for address, text in self._links.denials():
            self._denied(address, text)
        if (why := self._denials.verdict(self.answers.statuses, _now())) is not None:
            raise PermissionDenied(why)
        return came

    def _denied(self, address: str, text: str) -> None:
        self._denials.denied(address, text, _now())
        self.answers.failures[address] = text
        self.open.pop(address, None)

    def close(self) -> None:
        self._links.close()


def _read(frame: bytes) -> BrokerStatus | Refused | None:
    """The status, or that it may not be asked for."""
    try:
        message = from_broker.decode(frame)
    except BadMessage:
        return None
    if isinstance(message, Refused) and message.code == Code.PERMISSION_DENIED:
        return message
    return message if isinstance(message, BrokerStatus) else None


def _now() -> int:
    return time.monotonic_ns() // 1_000_000
