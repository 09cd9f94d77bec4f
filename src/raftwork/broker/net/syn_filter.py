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
from typing import TYPE_CHECKING

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


def slow(listener: int, addresses: Sequence[str], let_in_of: int) -> bool:
    """Let one of so many connections in from these addresses, of IPv6 from their /64 networks.

    All others are let in as before. `listener` is the descriptor of a listening socket; `let_in_of`
    is a power of two. Returns False where the kernel cannot.
    """
    if sys.platform != "linux":
        return False
    listening = socket.socket(fileno=listener)
    try:
        if not addresses:
            listening.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)
            return True
        program = _program(addresses, let_in_of)
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


def _program(addresses: Sequence[str], let_in_of: int) -> list[Instruction]:
    found = [_unmapped(each) for each in addresses]
    fours = [struct.unpack("!I", each.packed)[0] for each in found if each.version == 4]
    sixes = [struct.unpack("!II8x", each.packed) for each in found if each.version == 6]
    # Each tests one address, and jumps to the lottery, which is at the end, if it is that.
    four: list[Instruction] = [(_LDW, 0, 0, _NETWORK + 12)]
    six: list[Instruction] = []
    lottery: list[Instruction] = [
        (_LDW, 0, 0, _RANDOM),
        (_AND, 0, 0, let_in_of - 1),
        (_JEQ, 0, 1, 0),
        (_RET, 0, 0, _KEEP),
        (_RET, 0, 0, _DROP),
    ]
    length_four, length_six = 1 + 2 * len(fours) + 1, 5 * len(sixes) + 1
    for number, word in enumerate(fours):
        left = length_four - (1 + 2 * number + 2) + length_six
        four += [(_JEQ, 0, 1, word), (_JA, 0, 0, left)]
    four.append((_RET, 0, 0, _KEEP))
    for number, (high, low) in enumerate(sixes):
        left = length_six - (5 * number + 5)
        six += [(_LDW, 0, 0, _NETWORK + 8), (_JEQ, 0, 3, high), (_LDW, 0, 0, _NETWORK + 12)]
        six += [(_JEQ, 0, 1, low), (_JA, 0, 0, left)]
    six.append((_RET, 0, 0, _KEEP))
    head: list[Instruction] = [
        (_LDB, 0, 0, _FLAGS_AT),
        (_AND, 0, 0, _SYN_ACK),
        (_JEQ, 1, 0, _SYN),
        (_RET, 0, 0, _KEEP),
        (_LDB, 0, 0, _NETWORK),  # which version of IP
        (_RSH, 0, 0, 4),
        (_JEQ, 1, 0, 4),
        (_JA, 0, 0, length_four),
    ]
    return [*head, *four, *six, *lottery]


def _unmapped(text: str) -> IPv4Address | IPv6Address:
    """The address as packets have it."""
    address = ip_address(text.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
