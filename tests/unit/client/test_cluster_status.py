"""Asking every broker for its own facts."""

import errno
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import zmq

from raftwork import Unavailable
from raftwork.client.cluster_status import gather
from raftwork.features import from_broker, to_broker
from raftwork.messages import BrokerStatus, StatusRequest
from raftwork.net import links

NOBODY, NOBODY_ELSE = "127.0.0.1:1", "127.0.0.1:2"


def test_brokers_that_say_nothing_are_listed_in_order_with_nothing() -> None:
    answers = gather([NOBODY_ELSE, NOBODY], 0.05).statuses
    assert list(answers.items()) == [(NOBODY_ELSE, None), (NOBODY, None)]


def test_without_a_file_to_open_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_files: int) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(links, "_room", full)
    with pytest.raises(Unavailable, match="Too many open files"):
        gather([NOBODY], 0.05)


def test_a_broker_is_asked_without_a_session_which_it_would_have_to_keep() -> None:
    """R 4: status said a hello that no broker needs, and left its session behind."""
    with zmq.Context() as context, ThreadPoolExecutor(1) as threads:
        broker = context.socket(zmq.ROUTER)
        broker.linger = 0
        address = f"127.0.0.1:{broker.bind_to_random_port('tcp://127.0.0.1')}"
        asked = threads.submit(gather, [address], 10.0)
        assert broker.poll(10_000)
        routing, frame = broker.recv_multipart()
        request = to_broker.decode(frame)
        assert isinstance(request, StatusRequest)
        facts = ("a", address, "raft", "leader", True, 1, "a", 0, 0)
        wall = time.time_ns() // 1_000_000 - 60_000
        status = BrokerStatus(request.request, *facts, [], [])._replace(wall=wall)
        broker.send_multipart([routing, from_broker.encode(status)])
        answers = asked.result(10)
        assert answers.statuses == {address: status}
        assert -120_000 < answers.ahead[address] <= -60_000
        assert not broker.poll(50)
        broker.close()


@pytest.mark.parametrize(
    ("reached", "asked"), [(True, {NOBODY_ELSE}), (False, {NOBODY, NOBODY_ELSE})]
)
def test_of_the_brokers_that_one_names_those_are_asked_that_it_reaches(
    reached: bool, asked: set[str]
) -> None:
    """The others may not have heard yet which key we have."""
    with zmq.Context() as context, ThreadPoolExecutor(1) as threads:
        broker = context.socket(zmq.ROUTER)
        broker.linger = 0
        address = f"127.0.0.1:{broker.bind_to_random_port('tcp://127.0.0.1')}"
        asking = threads.submit(gather, [address], 0.5, follow=True, reached=reached)
        assert broker.poll(10_000)
        routing, _ = broker.recv_multipart()
        facts = ("a", address, "raft", "leader", True, 1, "a", 0, 0)
        cluster = (("a", address), ("b", NOBODY), ("c", NOBODY_ELSE))
        status = BrokerStatus(1, *facts, [], [])._replace(cluster=cluster, unreached=("b",))
        broker.send_multipart([routing, from_broker.encode(status)])
        assert asking.result(10).statuses.keys() == {address} | asked
        broker.close()
