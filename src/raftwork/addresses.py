"""A broker's address as everybody writes it: HOST:PORT, an IPv6 host in brackets."""

import re

#: What ZeroMQ takes for a host. With any other it refuses to connect, which would end a process
#: that was told such an address by a broker.
_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*|\[[A-Za-z0-9:.%_-]+\]")


def parse_address(text: str) -> tuple[str, int]:
    """Host (with its brackets, if any) and port. Raises ValueError."""
    host, _, digits = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if ":" in host and not bracketed:
        raise ValueError(
            f"a broker's address is HOST:PORT, not {text!r} (an IPv6 host goes into brackets)"
        )
    if not _HOST.fullmatch(host):
        raise ValueError(f"a broker's address is HOST:PORT, not {text!r}")
    if not (digits.isascii() and digits.isdigit() and 0 < int(digits) < 65536):
        raise ValueError(f"a broker's address {text!r} has no port between 1 and 65535")
    return host, int(digits)
