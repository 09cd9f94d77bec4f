"""Where the brokers are, and who this process is: an argument, the environment, or the default."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from raftwork.addresses import parse_address
from raftwork.errors import KeyRefused

if TYPE_CHECKING:
    from raftwork.keys import Key
    from raftwork.sealing import Codec

#: Used when neither the program nor RAFTWORK_BROKERS names any.
DEFAULT_BROKERS = "127.0.0.1:7701,127.0.0.1:7702,127.0.0.1:7703"


def broker_addresses(brokers: str | Sequence[str] | None) -> tuple[str, ...]:
    """The brokers to connect to: `brokers` if given, else RAFTWORK_BROKERS, else the default.

    A string is a comma-separated list. Raises ValueError for none at all or a malformed one.
    """
    if brokers is None:
        named = os.environ.get("RAFTWORK_BROKERS")
        try:
            return broker_addresses(named or DEFAULT_BROKERS)
        except ValueError as error:
            raise ValueError(f"RAFTWORK_BROKERS: {error}") from None
    parts = brokers.split(",") if isinstance(brokers, str) else list(brokers)
    found = tuple(dict.fromkeys(part.strip() for part in parts if part.strip()))
    if not found:
        raise ValueError("at least one broker address is required")
    for address in found:
        parse_address(address)
    return found


def key_in_use(file: "str | os.PathLike[str] | None" = None) -> "Key | None":
    """The key in `file` if that is given, else in RAFTWORK_KEY, else none. Raises KeyRefused."""
    chosen = file if file is not None else os.environ.get("RAFTWORK_KEY")
    if not chosen:
        return None
    from raftwork.keys import read_key

    return read_key(chosen)


def codec_in_use(codec: "Codec | None" = None) -> "Codec | None":
    """The codec if one is given, else that of the keys in RAFTWORK_SECRETS, else none.

    The file has keys as `raftwork keys secret` prints them, one a line, the newest first. Raises
    KeyRefused.
    """
    file = os.environ.get("RAFTWORK_SECRETS")
    if codec is not None or not file:
        return codec
    from raftwork.keys import read_secrets

    secrets = read_secrets(file)
    try:
        from raftwork.crypto import Encryption
    except ImportError:
        raise KeyRefused(
            "RAFTWORK_SECRETS is set, and there is no library to encrypt with: pip install"
            " 'raftwork[crypto]'"
        ) from None
    return Encryption(secrets)
