"""The limits of a trial, which some of its tasks name. No other trial on the cluster has them."""

from collections.abc import Mapping
from types import MappingProxyType

from raftwork import App, Unsupported
from raftwork.chaos.history import Limited, now
from raftwork.client.limits import LimitFields
from raftwork.features.limit_settings import rate_of

#: Seconds that a call may take.
_TIMEOUT_S = 30.0
#: What each kind of limit allows. A rate is that of a key: so it is slow, which leaves little to
#: the clock's slack, and yet the load finds its way through.
LIMITS: Mapping[str, LimitFields] = MappingProxyType(
    {
        "few": {"concurrency": 2},
        "keyed": {"concurrency": 1, "per": "key"},
        "paced": {"rate": "2/s", "burst": 1, "per": "key"},
    }
)


def limit_name(trial: str, kind: str) -> str:
    """What the limit of this kind is called in the trial whose names begin so."""
    return f"{trial}-{kind}"


class TrialLimits:
    """Sets the limits of one trial, and deletes them."""

    def __init__(self, brokers: str, trial: str) -> None:
        self._brokers, self._trial = brokers, trial
        self._set: list[str] = []

    def begin(self) -> list[Limited]:
        """Set them, on a cluster whose level knows limits; as the history has them."""
        events = []
        with App(brokers=self._brokers, timeout=_TIMEOUT_S) as app:
            for kind, fields in LIMITS.items():
                name = limit_name(self._trial, kind)
                try:
                    app.limits.set(name, **fields)
                except Unsupported:
                    return []
                self._set.append(name)
                events.append(_limited(name, fields))
        return events

    def end(self) -> None:
        """No task of the trial is unfinished: they go. Raises Unavailable."""
        if not self._set:
            return
        with App(brokers=self._brokers, timeout=_TIMEOUT_S) as app:
            for name in self._set:
                app.limits.delete(name)


def _limited(name: str, fields: LimitFields) -> Limited:
    rate = 0.0
    if text := fields.get("rate"):
        tasks, period_ms = rate_of(text)
        rate = tasks * 1_000 / period_ms
    concurrency, burst = fields.get("concurrency") or 0, fields.get("burst") or 1
    return Limited(now(), name, concurrency, rate, burst, int("per" in fields))
