"""The cluster as a program sees it: what is set for all of it."""

import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from raftwork.client.ids import new_ids
from raftwork.client.leadership import TRANSFER_WAIT_S, Step, Transferred, moves
from raftwork.client.options import Duration, label, milliseconds, seconds
from raftwork.client.per_call import instant
from raftwork.client.reply import Reply
from raftwork.features.cluster_settings import (
    MS,
    SETTINGS,
    AskClusterSettings,
    ClusterSettingsSet,
    ClusterSettingsTold,
    SetClusterSettings,
    Setting,
    ToldSetting,
)
from raftwork.features.cluster_settings import changes as packed
from raftwork.features.marks import ROWS_MAX, TEXT_MAX, AskMarks, MarkSet, MarksTold, SetMark
from raftwork.features.transfer import LeadershipTold
from raftwork.messages import NAME_MAX

if TYPE_CHECKING:
    from raftwork.client.caller import Caller


@dataclass(frozen=True, slots=True)
class ClusterSetting:
    """One setting of the cluster, in its `unit`: times are seconds (`s`)."""

    value: float
    default: float
    unit: str
    least: float
    most: float
    #: What it means.
    help: str


class Mark(NamedTuple):
    """What somebody marked, and when, by the cluster's clock (UTC)."""

    at: datetime
    text: str


class Cluster:
    """The cluster behind an App. Made by `App.cluster`.

    Every method raises Unavailable if no leader answers in the App's timeout.
    """

    def __init__(self, app: "Caller") -> None:
        self.caller = app

    def settings(self) -> dict[str, ClusterSetting]:
        """What is set now, by name, with all that the leader's release knows of each."""
        return _told(self._ask().result())

    async def asettings(self) -> dict[str, ClusterSetting]:
        """As `settings`, for coroutines."""
        return _told(await self._ask().aresult())

    def set(self, **changes: Duration | None) -> None:
        """Change settings (docs/options.md) at once and for every later leader.

        Times are seconds or a `timedelta`. None is the default; what is not given stays. What is
        stored stays, but results and dead tasks over a new limit are dropped, the oldest first.
        Raises TypeError and ValueError for what cannot be meant, and Unsupported if the brokers are
        of a release that does not know a setting.
        """
        self._set(changes).result()

    async def aset(self, **changes: Duration | None) -> None:
        """As `set`, for coroutines."""
        await self._set(changes).aresult()

    def mark(self, text: str) -> None:
        """Mark this moment, such as a deployment: 1 to 200 characters.

        It is an event of the kind `marked`, and a line in the dashboard's charts. Every broker
        keeps the newest thousand. Raises TypeError, ValueError.
        """
        self._mark(text).result()

    async def amark(self, text: str) -> None:
        """As `mark`, for coroutines."""
        await self._mark(text).aresult()

    def marks(self, since: datetime | None = None, limit: int = 100) -> list[Mark]:
        """The newest marks, newest first, at most `limit` (1 to 1,000) of those since a time."""
        return _marks(self._ask_marks(since, limit).result())

    async def amarks(self, since: datetime | None = None, limit: int = 100) -> list[Mark]:
        """As `marks`, for coroutines."""
        return _marks(await self._ask_marks(since, limit).aresult())

    def transfer(self, to: str | None = None, *, wait: Duration = TRANSFER_WAIT_S) -> Transferred:
        """Have the named broker lead, or any but the one that does; says who leads then.

        Where it cannot yet, as it is down or behind, it is tried again for `wait` seconds. Tasks
        wait meanwhile, and none is lost. Raises ProtocolError where there is no such broker, and
        TimeoutError, which says why another one leads.
        """
        steps = self._moves(to, wait)
        try:
            step = next(steps)
            while True:
                time.sleep(step.pause)
                step = steps.send(self.caller.call(step.asked, LeadershipTold).result())
        except StopIteration as end:
            return _transferred(end)

    async def atransfer(
        self, to: str | None = None, *, wait: Duration = TRANSFER_WAIT_S
    ) -> Transferred:
        """As `transfer`, for coroutines."""
        import asyncio  # a program without coroutines does not wait for it

        steps = self._moves(to, wait)
        try:
            step = next(steps)
            while True:
                await asyncio.sleep(step.pause)
                step = steps.send(await self.caller.call(step.asked, LeadershipTold).aresult())
        except StopIteration as end:
            return _transferred(end)

    # ---- requests -----------------------------------------------------------------------------

    @staticmethod
    def _moves(to: str | None, wait: Duration) -> Generator[Step, LeadershipTold, Transferred]:
        return moves("" if to is None else label("to", to, NAME_MAX), seconds("wait", wait))

    def _mark(self, text: str) -> Reply[MarkSet]:
        (made,) = new_ids(1)
        return self.caller.call(SetMark(0, made, label("text", text, TEXT_MAX)), MarkSet)

    def _ask_marks(self, since: datetime | None, limit: int) -> Reply[MarksTold]:
        at = 0 if since is None else instant("since", since)
        if not 1 <= limit <= ROWS_MAX:
            raise ValueError(f"limit must be between 1 and {ROWS_MAX}, got {limit}")
        return self.caller.call(AskMarks(0, at, limit), MarksTold)

    def _ask(self) -> Reply[ClusterSettingsTold]:
        return self.caller.call(AskClusterSettings(0), ClusterSettingsTold)

    def _set(self, changes: Mapping[str, Duration | None]) -> Reply[ClusterSettingsSet]:
        if unknown := changes.keys() - SETTINGS.keys():
            valid = ", ".join(SETTINGS)
            raise TypeError(
                f"no such setting: {', '.join(sorted(unknown))}; the settings are {valid}"
            )
        if not changes:
            raise TypeError("at least one setting is required")
        values = {name: checked(name, value) for name, value in changes.items()}
        return self.caller.call(SetClusterSettings(0, packed(values)), ClusterSettingsSet)


def _transferred(end: StopIteration) -> Transferred:
    assert isinstance(end.value, Transferred)
    return end.value


def _marks(told: MarksTold) -> list[Mark]:
    begin = datetime.fromtimestamp(0, UTC)
    return [Mark(begin + timedelta(milliseconds=row.time), row.text) for row in told.marks]


def checked(name: str, value: Duration | None) -> int | None:
    """The value as brokers take it. Raises TypeError, ValueError."""
    setting = SETTINGS[name]
    if value is None:
        return None
    if setting.unit == MS:
        stored = milliseconds(name, value)
    elif type(value) is int:
        stored = value
    else:
        raise TypeError(f"{name} must be an int or None, got {type(value).__name__}")
    if not setting.least <= stored <= setting.most:
        raise ValueError(f"{name} must be between {bounds(setting)}, got {value}")
    return stored


def bounds(setting: Setting) -> str:
    """What it may be, in the unit in which people say it."""
    least, most = outside(setting.unit, setting.least), outside(setting.unit, setting.most)
    return f"{least} and {most} {'s' if setting.unit == MS else setting.unit}"


def outside(unit: str, value: int) -> int | float:
    """A stored value as people say it: times in seconds."""
    if unit != MS:
        return value
    return value / 1_000 if value % 1_000 else value // 1_000


def _told(told: ClusterSettingsTold) -> dict[str, ClusterSetting]:
    return {each.name: _setting(each) for each in told.settings}


def _setting(told: ToldSetting) -> ClusterSetting:
    unit = told.unit
    value, default, least, most = (
        outside(unit, number) for number in (told.value, told.default, told.least, told.most)
    )
    return ClusterSetting(value, default, "s" if unit == MS else unit, least, most, told.help)
