"""Every record has its handler, and every text its bounds."""

import pytest

from raftwork.broker.machine import machine
from raftwork.broker.machine.commands import commands
from raftwork.features import from_broker, to_broker
from raftwork.features.catalogue import FEATURES
from raftwork.features.results import Results
from raftwork.messages import (
    HelloFirst,
    Leader,
    PeerMessage,
    PeerWelcome,
    Refused,
    StatusRequest,
)
from raftwork.messages.bounds import unbounded
from raftwork.messages.registry import Frame, replies, worker_frames
from tests.unit.broker.nodes import World
from tests.unit.worker.conversation import Conversation

REQUESTS = [rule.request for feature in FEATURES for rule in feature.rules]


def test_every_frame_to_a_broker_has_one_place_to_go() -> None:
    assert set(World("a").nodes["a"]._routes) == set(to_broker.records.values())


def test_every_frame_of_a_broker_is_understood_by_its_client_worker_or_peer() -> None:
    workers = set(Conversation().agent._handlers)
    clients = {*replies.values(), Results, Refused, HelloFirst, Leader}
    peers = {PeerWelcome, PeerMessage}
    assert worker_frames < workers
    assert clients | workers | peers == set(from_broker.records.values())


def test_every_request_has_one_rule() -> None:
    assert len(set(REQUESTS)) == len(REQUESTS)
    assert set(REQUESTS) == replies.keys() - {StatusRequest}


def test_every_command_does_one_thing() -> None:
    done = [each.command for feature in FEATURES for each in feature.transitions]
    assert len(set(done)) == len(done)
    assert set(machine._APPLY) == set(commands.records.values())


def test_features_are_told_apart_in_refusals() -> None:
    assert len({feature.about for feature in FEATURES}) == len(FEATURES)


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda record: record.__name__)
def test_no_text_or_list_of_a_request_may_be_of_any_length(request_: type[Frame]) -> None:
    """It would go into the log, or come back in a refusal."""
    assert unbounded(request_) == []


#: Of what workers and brokers say, what is measured or replaced elsewhere, and where.
MEASURED = {
    "WorkerHello.name": "broker/workers/validation.py, which tells people of it",
    "WorkerHello.host": "the same",
    "WorkerHello.queues": "the same",
    "Report.outcomes.loss.worker": "broker/workers/reports.py has the name of the hello instead",
    "TellProgress.told.text": "broker/workers/task_notes.py drops a longer one",
    "TellLog.lines": "broker/workers/live_logs.py takes the first LINES_MAX",
    "TellLog.why": "broker/workers/live_logs.py takes the first WHY_MAX",
}


def test_no_text_or_list_of_a_worker_or_broker_may_be_of_any_length() -> None:
    """One of them would have the leader to itself."""
    others = [record for record in to_broker.records.values() if record not in replies]
    found = {f"{record.__name__}.{each}" for record in others for each in unbounded(record)}
    assert found == set(MEASURED)
