"""What came into a queue, ended and failed in the last minute."""

from raftwork.client.overview import Overview, overview
from raftwork.messages import BrokerStatus, QueueStatus
from raftwork.web.queue_rates import QueueRates, Rates
from tests.unit.web.seen import status


def seen(*queues: QueueStatus, leads: bool = True) -> Overview:
    told: BrokerStatus = status("a")._replace(queues=list(queues), active=leads)
    return overview({told.address: told})


def test_rates_are_over_the_last_minute() -> None:
    rates = QueueRates()
    for at in range(0, 101, 5):  # 2 a second come in, 1 ends, and each fifth of those fails
        mail = QueueStatus("mail", at + 7, 0, at * 4 // 5, at // 5, 0)
        rates.add(1_000 + at, seen(mail))
    assert rates.of("mail") == Rates(2.0, 1.0, 0.2)


def test_where_little_was_seen_there_is_nothing_and_nothing_is_negative() -> None:
    rates = QueueRates()
    assert rates.of("mail") == Rates()
    rates.add(0, seen(QueueStatus("mail", 0, 0, 9, 0, 0)))
    rates.add(1, seen(QueueStatus("mail", 0, 0, 99, 0, 0)))
    assert rates.of("mail") == Rates()  # it came too soon after the first
    rates.add(10, seen(QueueStatus("mail", 0, 0, 1, 0, 0)))
    assert rates.of("mail") == Rates()  # it was deleted, and is another one
    rates.add(20, seen(QueueStatus("mail", 0, 0, 2, 0, 0), leads=False))
    rates.add(30, seen())
    assert rates.of("none") == Rates()
