"""Packets between the worker and a child: one job or one outcome each, whole or not at all.

A SOCK_SEQPACKET pair keeps packets apart and keeps them when a process dies: what a dead child had
sent is still read, what it had not taken is still in the queue, and taking a packet is atomic, so
that a job taken back is known not to have begun. Large packets travel as an open file.
"""

import array
import os
import socket
import tempfile
from typing import BinaryIO

#: Longer ones go by a file: a packet must fit the socket's buffer.
INLINE_MAX = 32 * 1024
_BUFFER = 1024 * 1024
_FD_SPACE = socket.CMSG_SPACE(array.array("i").itemsize)


def pair() -> tuple[socket.socket, socket.socket]:
    """Two connected ends."""
    kind = getattr(socket, "SOCK_SEQPACKET", socket.SOCK_DGRAM)
    ends = socket.socketpair(socket.AF_UNIX, kind)
    for end in ends:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
    return ends


def send(end: socket.socket, packet: bytes, flags: int = 0) -> None:
    """Send one packet. With MSG_DONTWAIT raises BlockingIOError if the buffer is full."""
    if len(packet) <= INLINE_MAX:
        end.send(packet, flags)
        return
    with _memory_file() as file:
        file.write(packet)
        file.flush()
        socket.send_fds(end, [b"\0"], [file.fileno()], flags)


def receive(end: socket.socket, flags: int = 0) -> bytes:
    """Receive one packet; empty if the other end is closed. BlockingIOError as for `send`."""
    packet, ancillary, _, _ = end.recvmsg(INLINE_MAX, _FD_SPACE, flags)
    if not ancillary:
        return packet
    (fd,) = array.array("i", ancillary[0][2])
    with open(fd, "rb", buffering=0) as file:
        file.seek(0)
        return file.readall()


def send_with_end(end: socket.socket, packet: bytes, passed: socket.socket) -> None:
    """Send one small packet, and with it another end."""
    socket.send_fds(end, [packet], [passed.fileno()])


def receive_with_end(end: socket.socket, flags: int = 0) -> tuple[bytes, socket.socket | None]:
    """As `receive`, of small packets; and the end that came with it."""
    # Not by `recv_fds`, which drops the flags.
    packet, ancillary, _, _ = end.recvmsg(INLINE_MAX, _FD_SPACE, flags)
    if not ancillary:
        return packet, None
    (fd,) = array.array("i", ancillary[0][2])
    os.set_inheritable(fd, False)  # not for the programs that a task starts
    return packet, socket.socket(fileno=fd)


def _memory_file() -> BinaryIO:
    if hasattr(os, "memfd_create"):
        return open(os.memfd_create("raftwork"), "w+b")
    return tempfile.TemporaryFile()
