"""The states of a Zab replica, and every way from one to another.

This table is what the core goes by: `Node.move` looks up where an event leads, and an event that
has no place in a state ends the process; a message that has none is nonsense, and the link's
session is begun again. docs/consensus.md shows it as a diagram.
"""

from collections.abc import Mapping
from enum import StrEnum


class State(StrEnum):
    """Where a replica stands."""

    #: Phase 0: electing.
    LOOKING = "looking"
    # A follower, by what it says (core: `last_word`).
    #: Phase 1: FOLLOWERINFO.
    JOINING = "joining"
    #: Phase 1: ACKEPOCH.
    ACCEPTED = "accepted the epoch"
    #: Phase 2: ACK, and what it stores is not the leader's whole history yet.
    SYNCING = "synchronising"
    #: Phase 3.
    UP_TO_DATE = "up to date"
    # A leader, by what it waits for.
    #: Phase 1: a quorum's FOLLOWERINFO.
    ELECTED = "elected"
    #: Phase 1: a quorum's ACKEPOCH.
    OFFERING = "offering an epoch"
    #: Phase 2: a quorum's ACK of NEWLEADER.
    TAKING_OVER = "taking over"
    #: Phase 3, but the initial history is not applied yet.
    ESTABLISHED = "established"
    ACTIVE = "active leader"


class Event(StrEnum):
    """What may lead from one state to another."""

    WON = "a quorum votes for it"
    FOUND = "a leader is elected, or says that it leads"
    LEADERINFO = "LEADERINFO"
    DIFF = "DIFF"
    TRUNC = "TRUNC"
    PROPOSE = "PROPOSE"
    NEWLEADER = "NEWLEADER"
    UPTODATE = "UPTODATE"
    COMMIT = "COMMIT"
    BROKEN = "a gap or nonsense in the link"
    INFORMED = "a quorum's FOLLOWERINFO"
    ACCEPTED = "a quorum's ACKEPOCH"
    ACKNOWLEDGED = "a quorum's ACK of NEWLEADER"
    APPLIED = "the initial history is applied"
    LOST = "the leader is lost, left or too old"
    LEFT = "without a quorum, with a worse history, stopped or resigned"


_FOLLOWING = {
    Event.BROKEN: State.JOINING,
    Event.FOUND: State.JOINING,
    Event.LOST: State.LOOKING,
}
_LEADING = {Event.LEFT: State.LOOKING}

TRANSITIONS: Mapping[State, Mapping[Event, State]] = {
    State.LOOKING: {Event.WON: State.ELECTED, Event.FOUND: State.JOINING},
    State.JOINING: {Event.LEADERINFO: State.ACCEPTED, **_FOLLOWING},
    State.ACCEPTED: {Event.DIFF: State.SYNCING, Event.TRUNC: State.SYNCING, **_FOLLOWING},
    State.SYNCING: {
        Event.PROPOSE: State.SYNCING,
        Event.NEWLEADER: State.SYNCING,
        Event.UPTODATE: State.UP_TO_DATE,
        **_FOLLOWING,
    },
    State.UP_TO_DATE: {
        Event.PROPOSE: State.UP_TO_DATE,
        Event.COMMIT: State.UP_TO_DATE,
        **_FOLLOWING,
    },
    State.ELECTED: {Event.INFORMED: State.OFFERING, **_LEADING},
    State.OFFERING: {Event.ACCEPTED: State.TAKING_OVER, **_LEADING},
    State.TAKING_OVER: {Event.ACKNOWLEDGED: State.ESTABLISHED, **_LEADING},
    State.ESTABLISHED: {Event.APPLIED: State.ACTIVE, **_LEADING},
    State.ACTIVE: _LEADING,
}
