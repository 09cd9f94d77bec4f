"""The lines above the tables: is it well, who leads and since when.

Each says in words what its colour says, too.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NamedTuple

from raftwork.cli.top.listing import clock
from raftwork.escapes import visible

if TYPE_CHECKING:
    from raftwork.cli.top.asking import Alarm, Picture

#: Alarms that are shown, the worst first.
_ALARMS_SHOWN: Final = 3


class Line(NamedTuple):
    """One line, and how it is written: bold, red, yellow, or empty."""

    text: str
    style: str = ""


def lines(picture: Picture, led_at: float, now: float) -> list[Line]:
    """For people; `led_at` is when a leader was seen last, 0 if never. Both are s since 1970."""
    if not picture.seen.at:
        return [Line("asking the brokers…")]
    said = [_leader(picture, led_at, now), _work(picture)]
    alarms = list(picture.alarms)
    said += [_alarm(each) for each in alarms[:_ALARMS_SHOWN]]
    if len(alarms) > _ALARMS_SHOWN:
        said.append(Line(f"and {len(alarms) - _ALARMS_SHOWN} more: raftwork doctor", "yellow"))
    if picture.running.failure:
        said.append(Line(f"what runs is not known: {visible(picture.running.failure)}", "yellow"))
    return said


def at(time: float) -> str:
    """A moment of the last day."""
    return f"{datetime.fromtimestamp(time, UTC):%H:%M:%SZ}"


def _leader(picture: Picture, led_at: float, now: float) -> Line:
    seen = picture.seen.overview
    if seen.leader is None:
        since = f" since {at(led_at)} ({clock(now - led_at)})" if led_at else ""
        why = picture.seen.failure or seen.headless()
        return Line(f"NO LEADER{since}: {visible(why)}", "bold red")
    answer = sum(row.status is not None for row in seen.brokers)
    since = ""
    if picture.since is not None:
        began = datetime.fromisoformat(picture.since).timestamp()
        since = f" since {at(began)} ({clock(now - began)})"
    return Line(
        f"{visible(seen.leader)} leads{since} · epoch {seen.epoch} · "
        f"{visible(seen.consensus or '')} · {answer} of {len(seen.brokers)} brokers answer",
        "bold",
    )


def _work(picture: Picture) -> Line:
    seen = picture.seen.overview
    active = [w for w in seen.workers if w.state == "active"]
    busy, slots = sum(w.running for w in active), sum(w.slots for w in active)
    queued = sum(q.queued for q in seen.queues)
    later = sum(q.scheduled for q in seen.queues)
    told = [
        f"{busy:,} of {slots:,} slots busy" if seen.leader else "",
        f"{queued:,} queued",
        f"{later:,} later" if later else "",
        f"{picture.ended:,.1f} ended/s" if seen.leader else "",
        f"{picture.failed:,.1f} failed/s" if seen.leader else "",
    ]
    return Line(" · ".join(each for each in told if each))


def _alarm(alarm: Alarm) -> Line:
    remedy = f" → {visible(alarm.remedy)}" if alarm.remedy else ""
    style = "red" if alarm.severity == "error" else "yellow"
    return Line(f"{alarm.severity.upper()}: {visible(alarm.text)}{remedy}", style)
