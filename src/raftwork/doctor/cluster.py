"""What may be wrong with a cluster, by what each broker says of itself. Sans-IO."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from raftwork.client.may_stop import VOTERS, objection
from raftwork.doctor.finding import Finding, error, warning, well

if TYPE_CHECKING:
    from collections.abc import Mapping

    from raftwork.messages import BrokerStatus

#: A broker that is so many entries behind will be long in catching up.
BEHIND: Final = 10_000


def look(statuses: Mapping[str, BrokerStatus | None]) -> list[Finding]:
    """All of it; by the brokers' names, None of one that does not answer."""
    told = {name: status for name, status in statuses.items() if status is not None}
    return [
        reached(statuses),
        leader(statuses),
        may_stop(statuses),
        lag(told),
        links(told),
        releases(told),
        level(told),
        size(len(statuses)),
    ]


def reached(statuses: Mapping[str, BrokerStatus | None]) -> Finding:
    """Whether all answer."""
    away = [name for name, status in statuses.items() if status is None]
    if not away:
        return well("brokers", f"all {len(statuses)} brokers answer")
    here = len(statuses) - len(away)
    text = f"{', '.join(away)} of {len(statuses)} brokers do not answer"
    if here < len(statuses) // 2 + 1:
        return error("brokers", f"{text}: no majority is left", "start them again")
    return warning("brokers", text, "start them again: one more is one too many")


def leader(statuses: Mapping[str, BrokerStatus | None]) -> Finding:
    """Whether there is one that serves."""
    leading = [s for s in statuses.values() if s is not None and s.active]
    if not leading:
        return error("leader", "no broker leads", "see what the brokers' logs wait for")
    first = max(leading, key=lambda status: status.epoch)
    return well("leader", f"{first.name} leads, in epoch {first.epoch}")


def may_stop(statuses: Mapping[str, BrokerStatus | None]) -> Finding:
    """Which of them may be stopped now."""
    may = [name for name in statuses if objection(name, statuses) is None]
    if len(may) == len(statuses):
        return well("may-stop", "any one broker may be stopped")
    if may:
        text = f"{', '.join(may)} may be stopped, one of them, and no other"
        return warning("may-stop", text, "wait until the others are whole before you stop more")
    why = objection(next(iter(statuses)), statuses) if statuses else "there is none"
    text = f"no broker may be stopped: {why}"
    return warning("may-stop", text, "bring the others back first, or run three brokers")


def lag(told: Mapping[str, BrokerStatus]) -> Finding:
    """Whether some have not got everything, or not applied it."""
    most = max((status.committed for status in told.values()), default=0)
    behind = {
        name: most - status.applied
        for name, status in told.items()
        if status.role not in VOTERS or most - status.applied > BEHIND
    }
    if not behind:
        return well("lag", "all brokers are level")
    words = ", ".join(f"{name} by {count} entries" for name, count in behind.items())
    return warning("lag", f"behind: {words}", "wait; if it grows, look at that machine's disk")


def links(told: Mapping[str, BrokerStatus]) -> Finding:
    """Whether all reach each other."""
    cut = [
        f"{name} does not reach {other}"
        for name, status in told.items()
        for other in status.unreached
        if other in told
    ]
    if not cut:
        return well("links", "the brokers reach each other")
    remedy = "look at the network between them, and at their addresses in --cluster"
    return error("links", "; ".join(cut), remedy)


def releases(told: Mapping[str, BrokerStatus]) -> Finding:
    """Whether all run the same."""
    found = {name: status.release or "0.1" for name, status in told.items()}
    if len(set(found.values())) <= 1:
        return well("releases", f"all run raftwork {next(iter(found.values()), '')}")
    words = ", ".join(f"{name} {release}" for name, release in found.items())
    return warning("releases", f"they run different releases: {words}", "upgrade the older ones")


def level(told: Mapping[str, BrokerStatus]) -> Finding:
    """Whether the cluster does all that its brokers could."""
    levels = [status for status in told.values() if status.level]
    if not levels:
        return well("level", "the cluster's level is not known")
    now, could = max(s.level for s in levels), min(s.levels[1] for s in levels)
    if could > now:
        text = f"all brokers could run level {could}, and the cluster is at {now}"
        return warning("level", text, "raftwork upgrade finish, once you will not go back")
    return well("level", f"the cluster is at level {now}")


def size(count: int) -> Finding:
    """Whether it survives the loss of a broker."""
    if count % 2 and count > 1:
        return well("size", f"{count} brokers survive the loss of {count // 2}")
    if count == 1:
        return warning("size", "one broker alone: with it everything stands still", "run three")
    text = f"{count} brokers survive the loss of {(count - 1) // 2}, as {count - 1} do"
    return warning("size", text, "run an odd number")
