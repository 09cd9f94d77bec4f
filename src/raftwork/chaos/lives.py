"""A history by tasks: all that is known of each."""

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from raftwork.chaos.history import (
    AUDIT,
    Asked,
    Called,
    Cancelled,
    Cancelling,
    Counted,
    Ended,
    Event,
    Existing,
    Finished,
    Found,
    Given,
    Kept,
    Limited,
    Looked,
    Refused,
    Started,
    Stored,
    Struck,
    Wanted,
)

_NO_OUTCOME = ("none", "unknown")


@dataclass(slots=True)
class Life:
    """All that is known of one task. Times are seconds, as in the history."""

    asked: Asked | None = None
    #: Its options, and what its code does, by the option.
    wanted: dict[str, str] = field(default_factory=dict)
    stored: float | None = None
    existing: list[Existing] = field(default_factory=list)
    refused: bool = False
    #: When somebody first asked for its cancel, and had that acknowledged.
    cancelling: float | None = None
    cancelled: float | None = None
    ends: list[Ended] = field(default_factory=list)
    looks: list[Looked] = field(default_factory=list)
    starts: list[Started] = field(default_factory=list)
    finished: dict[int, float] = field(default_factory=dict)  # when, by token
    found: dict[int, int] = field(default_factory=dict)  # checkpoints, by token
    kept: dict[int, int] = field(default_factory=dict)
    given: list[Given] = field(default_factory=list)
    called: list[Called] = field(default_factory=list)
    failures: int | None = None

    @property
    def outcomes(self) -> list[Ended]:
        """The reported ends that are outcomes."""
        return [end for end in self.ends if end.state not in _NO_OUTCOME]

    @property
    def audited(self) -> Ended | None:
        """What the audit was told."""
        return next((end for end in reversed(self.ends) if end.client == AUDIT), None)

    @property
    def is_lost(self) -> bool:
        """Whether it was acknowledged, and the audit found nothing that had to become of it."""
        if self.stored is None:
            return False
        if self.audited is None or self.audited.state in _NO_OUTCOME:
            return True
        return self.audited.state == "lost" and not (self.asked and self.asked.once)

    @property
    def began(self) -> float | None:
        """When its code first began."""
        return min((start.at for start in self.starts), default=None)

    @property
    def done(self) -> float | None:
        """When the code ended whose value is its outcome; None unless it succeeded."""
        tokens = {end.token for end in self.outcomes if end.state == "succeeded"}
        return min((at for token, at in self.finished.items() if token in tokens), default=None)


@dataclass(slots=True)
class Record:
    """What happened, by tasks; the faults; and the limits by their names."""

    tasks: dict[str, Life]
    struck: list[Struck]
    limits: dict[str, Limited]

    @property
    def clocks_set_at(self) -> float:
        """From when on the cluster's clock is another one: when the wall clocks of all were set."""
        return min(
            (s.at for s in self.struck if s.fault.startswith("clock") and s.role == "all"),
            default=math.inf,
        )


def record(history: Iterable[Event]) -> Record:
    """A history, in any order, by tasks."""
    lives: dict[str, Life] = defaultdict(Life)
    struck: list[Struck] = []
    limits: dict[str, Limited] = {}
    for event in history:
        match event:
            case Struck():
                struck.append(event)
            case Limited():
                limits[event.limit] = event
            case Started() | Finished() | Found() | Kept() | Given() | Called():
                _ran(lives[event.task], event)
            case Asked() | Wanted() | Stored() | Existing() | Refused() | Cancelling():
                _asked(lives[event.task], event)
            case Cancelled() | Ended() | Looked() | Counted():
                _told(lives[event.task], event)
            case _:
                pass
    return Record(dict(lives), struck, limits)


def _asked(life: Life, event: Asked | Wanted | Stored | Existing | Refused | Cancelling) -> None:
    match event:
        case Asked():
            # Enqueueing again under the same id is the same request: the first time counts.
            if life.asked is None or event.at < life.asked.at:
                life.asked = event
        case Wanted():
            life.wanted[event.option] = event.value
        case Stored():
            life.stored = _first(life.stored, event.at)
        case Existing():
            life.existing.append(event)
        case Refused():
            life.refused = True
        case Cancelling():
            life.cancelling = _first(life.cancelling, event.at)


def _told(life: Life, event: Cancelled | Ended | Looked | Counted) -> None:
    match event:
        case Cancelled():
            life.cancelled = _first(life.cancelled, event.at)
        case Ended():
            life.ends.append(event)
        case Looked():
            life.looks.append(event)
        case Counted():
            life.failures = event.failures


def _ran(life: Life, event: Started | Finished | Found | Kept | Given | Called) -> None:
    match event:
        case Started():
            life.starts.append(event)
        case Finished():
            life.finished[event.token] = event.at
        case Found():
            life.found[event.token] = event.value
        case Kept():
            life.kept[event.token] = event.value
        case Given():
            life.given.append(event)
        case Called():
            life.called.append(event)


def _first(known: float | None, at: float) -> float:
    return at if known is None else min(known, at)
