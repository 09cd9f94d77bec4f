"""The states of a Raft replica, and every way from one to another (figure 4, with pre-vote).

This table is what the core goes by: `Node.move` looks up where an event leads, and an event that
has no place in a state ends the process. docs/consensus.md shows it as a diagram.
"""

from collections.abc import Mapping
from enum import StrEnum


class State(StrEnum):
    """Where a replica stands."""

    #: A learner is a follower that never campaigns.
    FOLLOWER = "follower"
    #: Only asking whether it could win; the term is still the old one.
    PRE_CANDIDATE = "pre-candidate"
    CANDIDATE = "candidate"
    #: Elected; its no-op is not committed and applied yet.
    LEADER = "leader"
    ACTIVE = "active leader"


class Event(StrEnum):
    """What may lead from one state to another."""

    TIMED_OUT = "no leader heard for a timeout"
    WOULD_WIN = "a majority would vote for it"
    TOLD = "TimeoutNow"
    WON = "a majority's votes"
    NOOP_APPLIED = "its no-op is committed and applied"
    FOLLOWS = "a leader or a later term is heard"
    GIVES_UP = "cannot win, is not answered by a majority, or was stopped"


_BACK = {Event.FOLLOWS: State.FOLLOWER, Event.GIVES_UP: State.FOLLOWER}

TRANSITIONS: Mapping[State, Mapping[Event, State]] = {
    State.FOLLOWER: {
        Event.TIMED_OUT: State.PRE_CANDIDATE,
        Event.TOLD: State.CANDIDATE,
        Event.FOLLOWS: State.FOLLOWER,
    },
    State.PRE_CANDIDATE: {
        Event.TIMED_OUT: State.PRE_CANDIDATE,
        Event.WOULD_WIN: State.CANDIDATE,
        **_BACK,
    },
    State.CANDIDATE: {
        Event.TIMED_OUT: State.PRE_CANDIDATE,
        Event.WON: State.LEADER,
        **_BACK,
    },
    State.LEADER: {Event.NOOP_APPLIED: State.ACTIVE, **_BACK},
    State.ACTIVE: _BACK,
}
