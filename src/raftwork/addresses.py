"""A broker's address in its usual form: HOST:PORT, an IPv6 host in brackets."""

import ipaddress
import re

#: A host name or number. Anything else is refused here, whether a user or a broker gave it.
_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*|\[[A-Za-z0-9:.%_-]+\]")
#: Names of loopback that every machine has, and its address.
LOCAL = {
    "localhost": "127.0.0.1",
    "localhost.localdomain": "127.0.0.1",
    "localhost4": "127.0.0.1",
    "localhost6": "::1",
    "ip6-localhost": "::1",
    "ip6-loopback": "::1",
}
#: Characters of an address: a host name has 253 at most.
ADDRESS_MAX = 300


def parse_address(text: str) -> tuple[str, int]:
    """The host (with its brackets, if any) and the port. Raises ValueError."""
    host, _, digits = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if ":" in host and not bracketed:
        raise ValueError(
            f"a broker's address must be HOST:PORT, got {text!r} (an IPv6 host goes into brackets)"
        )
    if not _HOST.fullmatch(host):
        raise ValueError(f"a broker's address must be HOST:PORT, got {text!r}")
    if not (digits.isascii() and digits.isdigit() and 0 < int(digits) < 65536):
        raise ValueError(f"a broker's address {text!r} has no port between 1 and 65535")
    return host, int(digits)


def number(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The host as a number, or None if it is a name to look up."""
    try:
        found = ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


def is_name(text: str) -> bool:
    """Whether the address has a host name, which must be looked up. Raises ValueError."""
    return number(parse_address(text)[0]) is None


def dialled(text: str) -> bool:
    """Whether this is an address to which a connection can be made."""
    try:
        return len(text) <= ADDRESS_MAX and not is_unspecified(text)
    except ValueError:
        return False


def is_unspecified(text: str) -> bool:
    """Whether it is 0.0.0.0 or [::]: good for listening, but not for connecting.

    Raises ValueError for a malformed address.
    """
    host, _ = parse_address(text)
    found = number(host)
    return found is not None and found.is_unspecified


def canonical(text: str) -> tuple[str, int]:
    """Host and port in a canonical form, equal for all spellings of one address.

    Names are not looked up; `localhost` alone becomes its number. Raises ValueError.
    """
    host, port = parse_address(text)
    found = number(host)
    if found is not None:
        return str(found), port
    name = host.lower().removesuffix(".")
    return LOCAL.get(name, name), port


def same_place(one: str, other: str) -> bool:
    """Whether both lead to the same broker, as far as can be told without looking names up."""
    try:
        return canonical(one) == canonical(other)
    except ValueError:
        return one == other
