"""What a limit allows, and how it is said. Values, no I/O.

How far a limit is used is not here but in its gates (raftwork/broker/machine/gates.py).
"""

import re
from functools import lru_cache
from typing import Any, Final, NamedTuple

from raftwork.durations import RETRY_AFTER_MAX_S
from raftwork.errors import BadMessage, NewerMessage
from raftwork.messages import NAME_MAX
from raftwork.wire import pack, unpack

CONCURRENCY_MAX: Final = 1_000_000
#: More would pass in a millisecond than machine time tells apart.
PER_SECOND_MAX: Final = 1_000_000
PERIOD_MAX_MS: Final = 31 * 86_400_000
BURST_MAX: Final = 10_000
RATE_LENGTH_MAX: Final = 32
#: For so long code may shut what it counts for, ms.
SHUT_MAX_MS: Final = RETRY_AFTER_MAX_S * 1_000
#: Limits that one task counts for.
LIMITS_OF_TASK_MAX: Final = 8
#: Later than any machine time.
NEVER: Final = 2**63 - 1
#: Until when a limit is paused that is only resumed by somebody: later than any leader time.
ENDLESS: Final = 2**53
#: The limit of this name and a task's holds for that task, whether it names it or not.
TASK_PREFIX: Final = "task:"

#: Kind of the timers that look whether a gate is idle.
GATE_TIMER: Final = 4

#: The limit, and the tenant or key that this gate of it is for; or nothing, and a queue's name.
GateName = tuple[str, str]

_UNITS_MS: Final = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_RATE: Final = re.compile(r"([0-9]{1,10})/([0-9]{0,10})([smhd])")
_PER: Final = ("", "tenant", "key")
#: What can be set for a limit.
FIELDS: Final = ("concurrency", "rate", "burst", "per")


class Quota(NamedTuple):
    """What a limit allows. Stored packed: a later field needs a default that means what was."""

    concurrency: int = 0  # tasks at once; 0 is any number
    tasks: int = 0  # hand-outs in a period; 0 is any number
    period: int = 0  # ms
    burst: int = 1  # hand-outs at once, after a pause that was long enough
    per: str = ""  # counts apart by each "tenant" or "key"
    paused_until: int = 0  # machine time
    #: Machine time of the last word on what it allows; it grows with each. What a gate owed before
    #: is no more than it could owe now, and what code had shut is open (broker/machine/gates.py).
    since: int = 0

    @property
    def interval(self) -> int:
        """Between two hand-outs at this rate, in us, rounded up; 0 if there is no rate."""
        return -(-self.period * 1_000 // self.tasks) if self.tasks else 0

    @property
    def rate(self) -> str | None:
        """As people write it."""
        return rate_text(self.tasks, self.period) if self.tasks else None


def rate_of(text: str) -> tuple[int, int]:
    """Hand-outs, and the ms in which so many are allowed, of a rate such as `100/m`.

    Raises ValueError.
    """
    match = _RATE.fullmatch(text)
    if match is None:
        raise ValueError(
            f"a rate must be like 100/m, 5/s or 1/10s (units s, m, h, d), got {text!r:.80}"
        )
    count, times, unit = match.groups()
    tasks, period = int(count), int(times or 1) * _UNITS_MS[unit]
    if not 0 < period <= PERIOD_MAX_MS:
        days = PERIOD_MAX_MS // _UNITS_MS["d"]
        raise ValueError(f"a rate's period must be from 1 s to {days} d, got {times}{unit}")
    if not 0 < tasks <= PER_SECOND_MAX * period // 1_000:
        raise ValueError(
            f"a rate must be from 1 task a period to {PER_SECOND_MAX} a second, got {text}"
        )
    return tasks, period


def rate_objection(text: str) -> str:
    """What is wrong with a rate; empty if nothing is."""
    try:
        rate_of(text)
    except ValueError as error:
        return str(error)
    return ""


def rate_text(count: int, period: int) -> str:
    """What `rate_of` reads as this."""
    unit = max((unit for unit, ms in _UNITS_MS.items() if period % ms == 0), key=_UNITS_MS.get)  # type: ignore[arg-type]
    times = period // _UNITS_MS[unit]
    return f"{count}/{'' if times == 1 else times}{unit}"


def objection(name: str, value: object) -> str:
    """What is wrong with a setting of a limit that is not None; empty if nothing is."""
    most = {"concurrency": CONCURRENCY_MAX, "burst": BURST_MAX}.get(name)
    if most is not None:
        if type(value) is not int:
            return f"{name} must be an int or None, got {type(value).__name__}"
        if not 1 <= value <= most:
            return f"{name} must be between 1 and {most}, got {value}"
    elif name == "rate":
        if type(value) is not str:
            return f"rate must be a str such as '100/m' or None, got {type(value).__name__}"
        return rate_objection(value)
    elif value not in _PER[1:]:
        return f"per must be 'tenant', 'key' or None, got {value!r:.80}"
    return ""


def name_objection(name: str) -> str:
    """What is wrong with a limit's name; empty if nothing is."""
    if not 1 <= len(name) <= NAME_MAX:
        return f"a limit's name must have 1 to {NAME_MAX} characters, got {len(name)}"
    if "," in name or name != name.strip():
        return f"a limit's name must not contain a comma or have spaces around it: {name!r:.80}"
    return ""


def changes(**values: object) -> bytes:
    """Settings by their names, as records carry them; None clears one."""
    return pack({name: values[name] for name in sorted(values)})


def changes_of(packed: bytes) -> dict[str, object]:
    """Raises BadMessage for what is no such thing, NewerMessage for a setting that is not known."""
    values: Any = unpack(packed)
    if type(values) is not dict or any(type(name) is not str for name in values):
        raise BadMessage("a limit's settings must be a map by their names")
    if unknown := values.keys() - set(FIELDS):
        names = ", ".join(sorted(unknown))
        raise NewerMessage(
            f"no such setting of a limit: {names:.200}; there are {', '.join(FIELDS)}"
        )
    for name, value in values.items():
        if value is not None and (wrong := objection(name, value)):
            raise BadMessage(wrong)
    return dict(values)


def changed(quota: Quota, values: dict[str, object]) -> Quota:
    """With these settings, which are none that `objection` is against; None clears one."""
    new: dict[str, Any] = {}
    for name, value in values.items():
        if name == "rate":
            assert value is None or isinstance(value, str)
            new["tasks"], new["period"] = rate_of(value) if value else (0, 0)
        else:
            new[name] = Quota._field_defaults[name] if value is None else value
    return quota._replace(**new)


# ---- gates ------------------------------------------------------------------------------------


@lru_cache(maxsize=20_000)
def gates_text(names: tuple[GateName, ...]) -> str:
    """Names as a task's row has them."""
    from json import dumps  # clients load this module, and do not wait for that one

    return dumps(list(names), ensure_ascii=False, separators=(",", ":"))


@lru_cache(maxsize=20_000)
def gates_named(text: str) -> tuple[GateName, ...]:
    """What `gates_text` made of them."""
    from json import loads

    return tuple((limit, key) for limit, key in loads(text)) if text else ()
