"""What is set for the broker's sockets, and for libzmq in its process."""

import ctypes
import secrets

import zmq

#: Seconds for which the other end's kernel may be silent until a connection is closed.
SILENCE_S = 3


def unpredictable_ids() -> None:
    """Have the next ROUTER count its connections from somewhere else than all others.

    libzmq begins at C's rand(), which it does not seed, and ends the process when it comes to an id
    that is claimed already: a thousand connections could end three brokers.
    """
    ctypes.CDLL(None).srand(secrets.randbits(32))


def notice_silence(zsocket: zmq.Socket[bytes]) -> None:
    """Have the kernel close connections whose other end is gone without a word.

    libzmq's own heartbeats would, too. But one that is due on a connection whose owner closed it
    while more had come than we read ahead ends the process: any client could do that to us.
    """
    zsocket.setsockopt(zmq.TCP_KEEPALIVE, 1)
    zsocket.setsockopt(zmq.TCP_KEEPALIVE_IDLE, 1)
    zsocket.setsockopt(zmq.TCP_KEEPALIVE_INTVL, 1)
    zsocket.setsockopt(zmq.TCP_KEEPALIVE_CNT, SILENCE_S)
    zsocket.setsockopt(zmq.TCP_MAXRT, SILENCE_S * 1_000)
