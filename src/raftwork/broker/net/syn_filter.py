"""Has the kernel drop most attempts to connect from some addresses, before they cost anything.

A socket filter (classic BPF, which takes no rights) on the listening socket looks at each packet
that begins a connection; a kernel that has none, as others than Linux's, lets all in. Connections
that are open have the filter from when they were made, and of those no packet is dropped.
"""

from __future__ import annotations

import ctypes
import socket
import struct
import sys
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

_SO_ATTACH_FILTER, _SO_DETACH_FILTER = 26, 27
# Instructions: load a byte, load a word, and, shift right, jump if equal, jump, return.
_LDB, _LDW, _AND, _RSH, _JEQ, _JA, _RET = 0x30, 0x20, 0x54, 0x74, 0x15, 0x05, 0x06
#: Offsets: into the network header, and of what is no part of the packet, such as a random number.
_NETWORK, _RANDOM = -0x100000, -0x1000 + 56
#: Of a TCP header, and the bits of it that tell the first packet of a connection: SYN without ACK.
_FLAGS_AT, _SYN, _SYN_ACK = 13, 0x02, 0x12
_KEEP, _DROP = 0xFFFFFFFF, 0

Instruction = tuple[int, int, int, int]


class _Jump(NamedTuple):
    to: str


class _Label(NamedTuple):
    name: str


_Line = Instruction | _Jump | _Label


def slow(
    listener: int,
    addresses: Sequence[str],
    let_in_of: int,
    known: Sequence[str] | None = None,
    strangers_of: int = 1,
) -> bool:
    """Let one of so many connections in from these addresses, of IPv6 from their /64 networks.

    All others are let in as before or, if some are `known`, those; and of connections from anywhere
    else one of `strangers_of`. `listener` is the descriptor of a listening socket, `let_in_of` and
    `strangers_of` are powers of two. Returns False where the kernel cannot.
    """
    if sys.platform != "linux":
        return False
    listening = socket.socket(fileno=listener)
    try:
        if not addresses and known is None:
            listening.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)
            return True
        program = _program(addresses, let_in_of, known, strangers_of)
        code = b"".join(struct.pack("HBBI", op, t, f, k & 0xFFFFFFFF) for op, t, f, k in program)
        held = ctypes.create_string_buffer(code, len(code))
        pointer = struct.pack("HL", len(program), ctypes.addressof(held))
        listening.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, pointer)
    except OSError:
        return False
    else:
        return True
    finally:
        listening.detach()


def _program(
    slowed: Sequence[str], let_in_of: int, known: Sequence[str] | None, strangers_of: int
) -> list[Instruction]:
    tests = [("slowed", slowed), ("keep", known or ())]
    rest = _Jump("keep" if known is None else "strangers")
    lines: list[_Line] = [
        (_LDB, 0, 0, _FLAGS_AT),
        (_AND, 0, 0, _SYN_ACK),
        (_JEQ, 1, 0, _SYN),
        _Jump("keep"),
        (_LDB, 0, 0, _NETWORK),  # which version of IP
        (_RSH, 0, 0, 4),
        (_JEQ, 1, 0, 4),
        _Jump("six"),
        (_LDW, 0, 0, _NETWORK + 12),
        *(line for label, found in tests for line in _fours(found, label)),
        rest,
        _Label("six"),
        *(line for label, found in tests for line in _sixes(found, label)),
        rest,
        _Label("slowed"),
        *_lottery(let_in_of),
        _Label("strangers"),
        *_lottery(strangers_of),
        _Label("keep"),
        (_RET, 0, 0, _KEEP),
    ]
    return _assembled(lines)


def _fours(addresses: Sequence[str], label: str) -> list[_Line]:
    """Jump there if the word that is loaded is one of these, as far as they are of IPv4."""
    lines: list[_Line] = []
    for address in map(_unmapped, addresses):
        if address.version == 4:
            lines += [(_JEQ, 0, 1, struct.unpack("!I", address.packed)[0]), _Jump(label)]
    return lines


def _sixes(addresses: Sequence[str], label: str) -> list[_Line]:
    """The same of IPv6, by the network."""
    lines: list[_Line] = []
    for address in map(_unmapped, addresses):
        if address.version == 6:
            high, low = struct.unpack("!II8x", address.packed)
            lines += [(_LDW, 0, 0, _NETWORK + 8), (_JEQ, 0, 3, high)]
            lines += [(_LDW, 0, 0, _NETWORK + 12), (_JEQ, 0, 1, low), _Jump(label)]
    return lines


def _lottery(let_in_of: int) -> list[_Line]:
    draw: list[_Line] = [(_LDW, 0, 0, _RANDOM), (_AND, 0, 0, let_in_of - 1), (_JEQ, 0, 1, 0)]
    return [*draw, (_RET, 0, 0, _KEEP), (_RET, 0, 0, _DROP)]


def _assembled(lines: Sequence[_Line]) -> list[Instruction]:
    """With jumps to labels made jumps over so many instructions."""
    places: dict[str, int] = {}
    count = 0
    for line in lines:
        if isinstance(line, _Label):
            places[line.name] = count
        else:
            count += 1
    code: list[Instruction] = []
    for line in lines:
        if isinstance(line, _Jump):
            code.append((_JA, 0, 0, places[line.to] - len(code) - 1))
        elif not isinstance(line, _Label):
            code.append(line)
    return code


def _unmapped(text: str) -> IPv4Address | IPv6Address:
    """The address as packets have it."""
    address = ip_address(text.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
