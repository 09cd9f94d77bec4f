"""What can be set for a queue at run time: a field each, with all that is to be known of it.

`Queue.set`, the options of `raftwork queue set`, the tables and the documentation are made of this.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Final, NamedTuple

from raftwork.messages import NAME_MAX

#: Of a limit: beyond it no sum with what waits could be stored.
LIMIT_MAX: Final = 2**53


class Setting(NamedTuple):
    """What one setting may be, and what it means."""

    kind: type[str] | type[int]
    #: The greatest number, or the most characters of a name; the least is 1.
    most: int
    #: Of a number: what it counts.
    unit: str = ""
    #: The fact of a queue that it bounds, as `raftwork status` names it.
    bounds: str = ""
    help: str = ""
    #: What holds where it is not set.
    unset: str = ""


def _about(setting: Setting) -> Mapping[str, Setting]:
    return MappingProxyType({"setting": setting})


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueSettings:
    """What is set for a queue; None where nothing is."""

    #: The load balancer of its tasks.
    balancer: str | None = field(
        default=None,
        metadata=_about(
            Setting(
                str,
                NAME_MAX,
                help="How its tasks are given to workers",
                unset="as the cluster's are",
            )
        ),
    )
    #: Tasks that may wait, those that wait for a retry among them.
    max_length: int | None = field(
        default=None,
        metadata=_about(
            Setting(
                int,
                LIMIT_MAX,
                unit="tasks",
                bounds="queued",
                help="Tasks that may wait",
                unset="no limit",
            )
        ),
    )
    #: Bytes of their arguments, packed.
    max_bytes: int | None = field(
        default=None,
        metadata=_about(
            Setting(
                int,
                LIMIT_MAX,
                unit="bytes",
                bounds="bytes",
                help="Bytes of arguments that may wait",
                unset="no limit",
            )
        ),
    )


#: By name, in the order of the fields.
SETTINGS: Final[Mapping[str, Setting]] = MappingProxyType(
    {each.name: each.metadata["setting"] for each in fields(QueueSettings)}
)
