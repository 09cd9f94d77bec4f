"""One fault of each kind on real processes under load breaks no promise."""

from pathlib import Path

import pytest

from raftwork.chaos import socket_filters
from raftwork.chaos.history import Asked, Journal, Stored, now
from raftwork.chaos.nemesis import ROLES, Fault, Kind
from raftwork.chaos.processes import Brokers
from raftwork.chaos.run import Plan, Trial
from tests.chaos.conftest import leader_of, under_load, wait_until


def skip_unless_possible(kind: Kind, brokers: Brokers) -> None:
    """Faults of links need the rights of a debugger; ending none of them needs the same."""
    if kind in ("partition", "lossy"):
        try:
            socket_filters.heal(brokers.running())
        except PermissionError as error:
            pytest.skip(f"no right to the brokers' sockets: {error}")


@pytest.mark.parametrize(
    "fault",
    [Fault(kind, role) for kind, roles in ROLES.items() for role in roles if role != "random"],
    ids=lambda fault: f"{fault.kind}-{fault.role}",
)
def test_one_fault_breaks_no_promise(fault: Fault, brokers: Brokers, tmp_path: Path) -> None:
    skip_unless_possible(fault.kind, brokers)
    with under_load(brokers, tmp_path) as load:
        load.trial.strike(fault)


@pytest.mark.parametrize("direction", ["in", "out"])
def test_a_leader_cut_off_in_one_direction_is_replaced(
    direction: socket_filters.Direction, brokers: Brokers, tmp_path: Path
) -> None:
    """A leader that hears nobody must resign; one whom nobody hears must be given up."""
    skip_unless_possible("partition", brokers)
    with under_load(brokers, tmp_path) as load:
        leader_of(brokers)
        running, old = brokers.running(), brokers.see()
        assert old.leader is not None and old.epoch is not None
        with load.trial.struck(f"partition-{direction}", "leader", old.leader):
            socket_filters.cut(running, old.leader, direction)
            load.wait_for_more()  # which the old leader cannot commit
            socket_filters.heal(running)
        load.trial.wait_until_whole()
        epoch = old.epoch
        wait_until(lambda: (brokers.see().epoch or 0) > epoch, "a later epoch")


def test_a_loss_would_be_found(brokers: Brokers, tmp_path: Path) -> None:
    """A task that was acknowledged in a client's history only, and that no broker has."""
    plan = Plan(faults=(), every=1.0, lasting=1.0, duration=0.0, clients=1)
    trial = Trial(brokers, tmp_path, plan, print)
    with trial.load(), trial.struck("forgery", "client", "ghost"):
        journal = Journal(tmp_path / "history" / "ghost")
        journal.write(Asked(now(), "ghost", "ghost-1", 1), Stored(now(), "ghost", "ghost-1"))
    report = trial.report()
    assert not report.good
    (lost,) = report.verdict.findings["lost"]
    assert lost.startswith("ghost-1: ")
    assert not report.troubles
