"""Faults between running brokers, without privileges over the network: packets are dropped inside.

A socket filter (socket(7), SO_ATTACH_FILTER) on a broker's end of a connection drops what arrives
there before TCP sees it, acknowledgements included, as a cable that is cut in one direction does.
Sockets of another process are reached with pidfd_getfd(2), for which the kernel asks for the same
rights as for a debugger: those of root, or of the same user where ptrace is not restricted.

While brokers are cut off from each other no broker accepts new connections, because a new one's
owner cannot be told before it is there. Connections of clients and workers go on.
"""

import ctypes
import errno
import os
import socket
import struct
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Final, Literal

from raftwork.chaos.processes import Process

#: `in`: the victim receives nothing. `out`: nothing arrives from it.
Direction = Literal["both", "in", "out"]
#: A classic BPF program: (code, jump if true, jump if false, operand).
Program = tuple[tuple[int, int, int, int], ...]
Address = tuple[str, int]

_SO_ATTACH_FILTER: Final = 26
_SO_DETACH_FILTER: Final = 27
_SYS_PIDFD_GETFD: Final = 438

_LOAD_WORD, _JUMP_IF_AT_LEAST, _RETURN = 0x20, 0x35, 0x06
_RANDOM: Final = 0xFFFFF000 + 56  # SKF_AD_OFF + SKF_AD_RANDOM
_WHOLE: Final = 0xFFFFFFFF
_DROP: Final[Program] = ((_RETURN, 0, 0, 0),)

#: The process or its descriptor is gone by now.
_CLOSED: Final = (errno.EBADF, errno.ESRCH)

_libc = ctypes.CDLL(None, use_errno=True)


def cut(brokers: Mapping[str, Process], victim: str, direction: Direction) -> None:
    """Cut one broker off from the others. Raises PermissionError without a debugger's rights."""
    for process in brokers.values():
        for end in _sockets(process):
            if end.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                _attach(end, _DROP)
    _filter(brokers, victim, direction, _DROP)


def lose(brokers: Mapping[str, Process], victim: str, share: float) -> None:
    """Lose this share of the packets between one broker and the others, at random.

    Only on connections there are now. Raises PermissionError without a debugger's rights.
    """
    program = (
        (_LOAD_WORD, 0, 0, _RANDOM),
        (_JUMP_IF_AT_LEAST, 1, 0, int(share * _WHOLE)),
        (_RETURN, 0, 0, 0),
        (_RETURN, 0, 0, _WHOLE),
    )
    _filter(brokers, victim, "both", program)


def heal(brokers: Mapping[str, Process]) -> None:
    """End every fault of this module."""
    for process in brokers.values():
        for end in _sockets(process):
            with suppress(FileNotFoundError):  # it has none
                end.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)


def _filter(
    brokers: Mapping[str, Process], victim: str, direction: Direction, program: Program
) -> None:
    """On the victim's connections with the others, at the ends at which nothing is to arrive."""
    local = {name: {_local(s) for s in _sockets(process)} for name, process in brokers.items()}
    theirs = {address for name, ends in local.items() if name != victim for address in ends}
    for name, process in brokers.items():
        if direction == ("out" if name == victim else "in"):
            continue
        far = theirs if name == victim else local[victim]
        for end in _sockets(process):
            if _remote(end) in far:
                _attach(end, program)


def _sockets(process: Process) -> Iterator[socket.socket]:
    """Our own handles of the process's TCP sockets; each is closed before the next.

    A handle kept would keep the connection open when the process has closed it.
    """
    pidfd = os.pidfd_open(process.pid)
    try:
        for number in _descriptors(process.pid):
            if (descriptor := _libc.syscall(_SYS_PIDFD_GETFD, pidfd, number, 0)) < 0:
                if (error := ctypes.get_errno()) in _CLOSED:
                    continue
                raise OSError(error, os.strerror(error), f"the sockets of {process.name}")
            with socket.socket(fileno=descriptor) as handle:
                if handle.family in (socket.AF_INET, socket.AF_INET6):
                    yield handle
    finally:
        os.close(pidfd)


def _descriptors(pid: int) -> list[int]:
    numbers = []
    for name in os.listdir(f"/proc/{pid}/fd"):
        with suppress(FileNotFoundError):
            if os.readlink(f"/proc/{pid}/fd/{name}").startswith("socket:"):
                numbers.append(int(name))
    return numbers


def _local(end: socket.socket) -> Address:
    host, port = end.getsockname()[:2]
    return str(host), int(port)


def _remote(end: socket.socket) -> Address | None:
    try:
        host, port = end.getpeername()[:2]
    except OSError:  # not connected
        return None
    return str(host), int(port)


def _attach(end: socket.socket, program: Program) -> None:
    code = b"".join(struct.pack("=HBBI", *instruction) for instruction in program)
    memory = ctypes.create_string_buffer(code, len(code))
    option = struct.pack("HP", len(program), ctypes.addressof(memory))
    end.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, option)
