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
