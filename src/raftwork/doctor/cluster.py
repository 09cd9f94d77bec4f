"""What may be wrong with a cluster, by what each broker says of itself. Sans-IO."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from raftwork.client.may_stop import VOTERS, objection
from raftwork.doctor.finding import Finding, error, warning, well
from raftwork.durations import in_words

if TYPE_CHECKING:
    from collections.abc import Mapping

    from raftwork.messages import BrokerStatus

#: A broker that is so many entries behind will be long in catching up.
BEHIND: Final = 10_000
#: Clocks that differ by more are wrong, ms.
SKEW_MS: Final = 1_000


def look(
    statuses: Mapping[str, BrokerStatus | None], ahead: Mapping[str, int] | None = None
) -> list[Finding]:
    """All of it; by the brokers' names, None of one that does not answer.

    `ahead` is how far their clocks are ahead of one and the same, ms, as far as they tell.
    """
    told = {name: status for name, status in statuses.items() if status is not None}
    return [
        reached(statuses),
        leader(statuses),
        may_stop(statuses),
        lag(told),
        links(told),
        clocks(ahead or {}),
        disks(told),
        access(told),
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
    up = [name for name, status in statuses.items() if status is not None]
    may = [name for name in up if objection(name, statuses) is None]
    if statuses and len(may) == len(statuses):
        return well("may-stop", "any one broker may be stopped")
    if may:
        text = f"{', '.join(may)} may be stopped, one of them, and no other"
        return warning("may-stop", text, "wait until the others are whole before you stop more")
    why = objection(up[0], statuses) if up else "none answers"
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


def clocks(ahead: Mapping[str, int]) -> Finding:
    """Whether all have the same time: what is due when goes by the leader's, whoever that is."""
    if not ahead:
        return well("clocks", "the brokers do not tell their clocks")
    middle = sorted(ahead.values())[(len(ahead) - 1) // 2]
    wrong = {name: ms - middle for name, ms in ahead.items() if abs(ms - middle) > SKEW_MS}
    if not wrong:
        return well("clocks", "the brokers' clocks agree")
    words = ", ".join(
        f"that of {name} is {in_words(abs(ms) / 1_000)} {'ahead' if ms > 0 else 'behind'}"
        for name, ms in wrong.items()
    )
    remedy = "have chrony or the like set it: schedules, delays and expiries go by the clocks"
    return warning("clocks", f"the clocks differ by more than a second: {words}", remedy)


def disks(told: Mapping[str, BrokerStatus]) -> Finding:
    """Whether all have room for new tasks."""
    low = [
        f"{name} has {status.disk.free >> 20} MiB free, {status.disk.needed >> 20} MiB must be"
        for name, status in told.items()
        if status.disk.low
    ]
    if not low:
        return well("disks", "the brokers' disks have room")
    remedy = "make room there, or purge what need not run; new tasks are refused without a majority"
    return error("disks", "; ".join(low), remedy)


def access(told: Mapping[str, BrokerStatus]) -> Finding:
    """Whether all let the same keys in."""
    found = {name: status.access for name, status in told.items()}
    if len(set(found.values())) <= 1:
        with_keys = any(found.values())
        return well(
            "access", "all let the same keys in" if with_keys else "the brokers have no keys"
        )
    words = ", ".join(f"{name} {digest or 'none'}" for name, digest in found.items())
    text = f"the brokers' lists of keys differ, by their digests: {words}"
    return warning("access", text, "copy access.toml to each of them, and send it SIGHUP")


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
