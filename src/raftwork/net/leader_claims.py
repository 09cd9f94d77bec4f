"""What clients and workers learn from brokers: which others to ask, and which one leads."""

from collections.abc import Collection, Iterable
from typing import TypeVar

from raftwork.addresses import dialled

#: Brokers that are asked because others named them: a hostile one could name ever new addresses.
NAMED_MAX = 32

T = TypeVar("T")


def learnable(address: str, known: Collection[str], given: int) -> bool:
    """Whether a broker that another one named is to be asked, too.

    Not one that is known, nor an address that cannot be dialled, nor more than `NAMED_MAX` besides
    the `given` ones.
    """
    return address not in known and len(known) < given + NAMED_MAX and dialled(address)


def leading(claims: Iterable[tuple[int, T]]) -> T | None:
    """The leader among those that claim to lead, each with its epoch.

    The highest epoch wins. A deposed leader that claims for ever is harmless: it commits nothing,
    and the true one outbids it.
    """
    return max(claims, key=lambda claim: claim[0], default=(0, None))[1]
