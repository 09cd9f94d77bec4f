"""The load of a trial asks for everything that it is judged by."""

from collections import Counter
from pathlib import Path

from raftwork.chaos.history import (
    Called,
    Cancelled,
    Counted,
    Ended,
    Existing,
    Given,
    Kept,
    Wanted,
    read,
)
from raftwork.chaos.nemesis import Fault
from raftwork.chaos.processes import Brokers
from tests.chaos.conftest import under_load, wait_until

#: So often at least.
OFTEN = 3
ALL = (
    *("delay", "ordered", "unique", "limits", "inputs", "everywhere", "fails"),
    *("Existing", "Cancelled", "Kept", "Given", "Called", "Counted"),
)


def _seen(directory: Path) -> Counter[str]:
    """What a history has of what is not plain, by the option or the event."""
    counts: Counter[str] = Counter()
    for event in read(directory / "history"):
        match event:
            case Wanted():
                counts[event.option] += 1
            case Existing() | Cancelled() | Kept() | Given() | Called() | Counted():
                counts[type(event).__name__] += 1
            case Ended():
                counts[event.state] += 1
            case _:
                pass
    return counts


def test_a_load_of_all_kinds_keeps_its_promises_while_the_leader_is_killed(
    brokers: Brokers, tmp_path: Path
) -> None:
    asked = [name for name in ALL if name != "Counted"]  # that is the audit's
    with under_load(brokers, tmp_path) as load:
        load.trial.strike(Fault("kill", "leader"))
        wait_until(lambda: all(_seen(tmp_path)[name] >= OFTEN for name in asked), "all kinds")
    seen = _seen(tmp_path)
    assert [name for name in (*ALL, "failed", "cancelled") if seen[name] < OFTEN] == []
