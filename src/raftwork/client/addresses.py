"""Where the brokers are: an argument, the environment, or the default."""

import os
from collections.abc import Sequence

#: Used when neither the program nor RAFTWORK_BROKERS names any.
DEFAULT_BROKERS = "127.0.0.1:7701,127.0.0.1:7702,127.0.0.1:7703"


def parse_address(text: str) -> str:
    """`host:port`, stripped; `[host]:port` for IPv6. Raises ValueError."""
    address = text.strip()
    host, colon, port = address.rpartition(":")
    if not (colon and host and port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise ValueError(f"a broker's address is host:port, not {text!r}")
    if any(c.isspace() or c in "/;,*" for c in host) or (":" in host and host[0] != "["):
        raise ValueError(f"a broker's address is host:port, not {text!r}")
    return address


def broker_addresses(brokers: str | Sequence[str] | None) -> tuple[str, ...]:
    """The brokers to speak to: `brokers` if given, else RAFTWORK_BROKERS, else the default.

    A string is a comma-separated list. Raises ValueError for none at all or a malformed one.
    """
    if brokers is None:
        brokers = os.environ.get("RAFTWORK_BROKERS") or DEFAULT_BROKERS
    parts = brokers.split(",") if isinstance(brokers, str) else list(brokers)
    found = tuple(dict.fromkeys(parse_address(part) for part in parts if part.strip()))
    if not found:
        raise ValueError("no broker's address is given")
    return found
