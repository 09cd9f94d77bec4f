"""Who may connect at all: libzmq asks here for every handshake (ZAP), in the broker's own loop.

1. Without a handler libzmq lets every key in, whatever else is set. So the handler's socket is
   there before the ROUTER is bound, ZAP_ENFORCE_DOMAIN makes a missing one a refusal, and a broker
   with a key does not start where libzmq has no CURVE.
2. A key that is not let in is told so (400), and its owner does not try again by itself; silence
   would look like a broker that hangs.
3. What a frame's sender may do is asked for each frame, by the `User-Id` that is set here: what a
   client says of itself under that name counts for nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import zmq

from raftwork.keys import KEY_BYTES, Key, decoded, encoded
from raftwork.net.polling import SocketPoller

DOMAIN: Final = b"raftwork"
#: A handshake that takes longer is over, at whatever stage it is.
HANDSHAKE_MS: Final = 3_000
#: Handshakes answered in one turn: each costs about 1.3 ms of the I/O thread.
_TURN_HANDSHAKES: Final = 100
_ENDPOINT: Final = "inproc://zeromq.zap.01"
_PARTS: Final = 9


def require_curve() -> None:
    """Raises OSError where keys cannot work."""
    if not zmq.has("curve"):
        raise OSError(
            "libzmq was built without CURVE here, so no key would be asked for; install pyzmq's own"
            " wheel (pip install --force-reinstall pyzmq)"
        )


class Authenticator:
    """The handler of one context."""

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        poller: SocketPoller,
        allowed: Callable[[str], bool],
        refused: Callable[[str, str], None],
        let_in: Callable[[str, str], None] = lambda _address, _public: None,
    ) -> None:
        """`allowed(public)` is whether a key is let in; `let_in(address, public)` tells of one that
        is, and `refused(public, address)` of one that is not.

        Call it before anything in that context is bound.
        """
        self._poller, self._allowed = poller, allowed
        self._refused, self._let_in = refused, let_in
        self.socket: zmq.Socket[bytes] = context.socket(zmq.ROUTER)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.bind(_ENDPOINT)
        poller.register(self.socket)

    def answer(self) -> None:
        """Decide on the handshakes that wait, a bounded number."""
        self._poller.used(self.socket)
        for _ in range(_TURN_HANDSHAKES):
            if not self._poller.more(self.socket):
                return
            self._decide(self.socket.recv_multipart(zmq.NOBLOCK))

    def _decide(self, request: list[bytes]) -> None:
        if len(request) != _PARTS:
            return  # libzmq's own requests have these; unanswered, the handshake times out
        sender, _, version, number, domain, address, _, mechanism, key = request
        sound = domain == DOMAIN and mechanism == b"CURVE" and len(key) == KEY_BYTES
        public = encoded(key) if sound else ""
        if public and self._allowed(public):
            self._let_in(address.decode(errors="replace"), public)
            verdict = [b"200", b"", public.encode(), b""]
        else:
            self._refused(public, address.decode(errors="replace"))
            verdict = [b"400", b"no such key", b"", b""]
        self.socket.send_multipart([sender, b"", version, number, *verdict], zmq.NOBLOCK)


def listen_with(router: zmq.Socket[bytes], key: Key) -> None:
    """Have a ROUTER that is not bound yet take CURVE alone."""
    router.setsockopt(zmq.CURVE_SERVER, 1)
    router.setsockopt(zmq.CURVE_SECRETKEY, key.secret)
    router.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)
    router.setsockopt(zmq.HANDSHAKE_IVL, HANDSHAKE_MS)


def dial_with(dealer: zmq.Socket[bytes], key: Key, server: str) -> None:
    """Have a DEALER's next connection be for the holder of that public key alone."""
    dealer.setsockopt(zmq.CURVE_SERVERKEY, decoded(server))
    dealer.setsockopt(zmq.CURVE_PUBLICKEY, decoded(key.public))
    dealer.setsockopt(zmq.CURVE_SECRETKEY, key.secret)


def user_of(frame: zmq.Frame) -> str:
    """The public key under which a frame came; empty if there is none."""
    try:
        return str(frame.get("User-Id"))
    except zmq.ZMQError:
        return ""
