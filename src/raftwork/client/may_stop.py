"""Whether a broker may be stopped now: whether the others are enough without it. Sans-IO.

It is judged by what each broker says of itself, at one time. One that is behind counts for nothing:
it could not vote for what it has not got.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from raftwork.messages import BrokerStatus

#: Roles of brokers that are whole, and count.
VOTERS: Final = frozenset({"leader", "follower", "candidate"})
#: So many entries may be under way from one to another between two answers.
BEHIND_MAX: Final = 10_000


def objection(name: str, statuses: Mapping[str, BrokerStatus | None]) -> str | None:
    """Why that broker may not be stopped now; None if it may.

    `statuses` are by names, of every broker of the cluster; None of one that does not answer.
    """
    others = {each: status for each, status in statuses.items() if each != name}
    needed = len(statuses) // 2 + 1
    if needed > len(others):
        return f"{name} is one of {len(statuses)}, and the others alone are no majority"
    committed = max((s.committed for s in statuses.values() if s is not None), default=0)
    why = {each: _unfit(status, committed) for each, status in others.items()}
    fit = sum(reason is None for reason in why.values())
    if fit >= needed:
        return None
    told = ", ".join(f"{each} {reason}" for each, reason in why.items() if reason)
    return f"without {name} only {fit} of {len(statuses)} would go on, {needed} must: {told}"


def _unfit(status: BrokerStatus | None, committed: int) -> str | None:
    if status is None:
        return "does not answer"
    if status.role not in VOTERS:
        return f"is a {status.role}"
    if (behind := committed - status.committed) > BEHIND_MAX:
        return f"is {behind} entries behind"
    return None


def by_name(
    found: Mapping[str, BrokerStatus | None],
) -> dict[str, BrokerStatus | None]:
    """What was found at addresses, by the brokers' names; those that nobody answers for, too.

    Each broker tells where it found the others last.
    """
    told = {status.name: status for status in found.values() if status is not None}
    known = {name for status in told.values() for name, _ in status.cluster}
    return {name: told.get(name) for name in sorted(known | told.keys())}
