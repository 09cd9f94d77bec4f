"""Which releases work together: protocol versions and levels, as hellos name them. Sans-IO."""

from typing import NamedTuple

from raftwork.errors import NewerMessage
from raftwork.messages import PROTOCOL, PROTOCOL_OLDEST, Code, Refused
from raftwork.release import RELEASE, Levels

#: Characters of what another broker calls its release.
_SHOWN = 40


class Member(NamedTuple):
    """What another broker says of itself."""

    release: str
    levels: Levels


def version_objection(newest: int, oldest: int) -> str | None:
    """Why a speaker of these versions of the protocol is refused, or None.

    `oldest` is 0 for one that names a single version.
    """
    oldest = oldest or newest
    if newest >= PROTOCOL_OLDEST and oldest <= PROTOCOL:
        return None
    mine, theirs = _range(PROTOCOL, PROTOCOL_OLDEST), _range(newest, oldest)
    older = "the sender" if newest < PROTOCOL_OLDEST else "this broker"
    return (
        f"protocol version {theirs}, this broker of raftwork {RELEASE} speaks {mine}: start"
        f" {older} with a newer release"
    )


def unsupported(error: NewerMessage) -> Refused:
    """The answer to a frame that only a newer release knows."""
    text = f"raftwork {RELEASE} does not know this request ({error}): upgrade the brokers"
    return Refused(error.request, Code.UNSUPPORTED, text)


def level_objection(name: str, release: str, levels: Levels, level: int) -> str | None:
    """Why a broker that runs these levels has no place in a cluster at this one, or None.

    Nothing is known of one that names none, as of a cluster that has no level yet.
    """
    if not level or not levels.most or level in levels:
        return None
    return (
        f"this cluster is at level {level}; {name!r}, of raftwork {release[:_SHOWN] or '?'}, runs"
        f" {levels}: start it with raftwork {RELEASE}"
    )


def _range(newest: int, oldest: int) -> str:
    return f"{newest}" if newest == oldest else f"{oldest} to {newest}"
