"""What a leadership counts of what it does, for longer than it lasts."""

from raftwork.broker.service_counters import ServiceCounters
from raftwork.features.results import Ask, Watch
from raftwork.messages import Outcome, Spec
from tests.unit.broker.leadership_harness import LeadershipHarness


class Counted:
    """A leadership whose counters have a clock that is moved by hand."""

    def __init__(self) -> None:
        self.ns = 0
        self.counters = ServiceCounters(lambda: self.ns)
        self.harness = LeadershipHarness(counters=self.counters)
        self.lead = self.harness.lead

    def ask(self, request: Ask | Watch) -> None:
        self.lead.request(b"c", request, 10, self.harness.now)


def test_a_commit_takes_from_its_proposal_until_it_is_applied() -> None:
    counted = Counted()
    counted.harness.enqueue("x")
    counted.harness.plan()
    assert counted.lead.now_counted == (1, 0)
    counted.ns += 3_000_000
    counted.harness.commit()
    told = counted.counters.told(*counted.lead.now_counted)
    assert (told.commits.sum_us, sum(told.commits.counts), told.proposals) == (3_000, 1, 0)


def test_a_read_takes_until_its_barrier_passed_and_those_of_one_barrier_count_each() -> None:
    counted = Counted()
    counted.ask(Ask(1, ["x"]))
    counted.ask(Ask(2, ["x"]))
    counted.harness.plan()
    counted.ns += 2_000_000
    (token,) = counted.harness.core.barriers
    counted.lead.read_ready(token)
    counted.lead.read_ready(token - 1)  # of a leadership that failed
    told = counted.counters.told(0, 0)
    assert (told.reads.sum_us, sum(told.reads.counts)) == (4_000, 2)
    assert told.requests == [("ask", 2)]


def test_what_clients_wait_for_is_counted_by_task() -> None:
    counted = Counted()
    counted.harness.enqueue("x")
    counted.harness.plan()
    counted.harness.commit()
    counted.ask(Watch(1, ["x"]))
    assert counted.lead.now_counted == (0, 1)


def test_an_enqueue_that_is_refused_is_counted_for_its_queue() -> None:
    counted = Counted()
    counted.harness.enqueue("x")
    counted.harness.plan()
    counted.harness.commit()
    counted.harness.enqueue("x", payload=b"other contents")
    counted.harness.plan()
    counted.harness.commit()
    counted.harness.enqueue("y", spec=Spec("job", "unknown"), payload=b"x" * (2 << 20))
    refused = counted.counters.told(0, 0).refused
    assert refused == [("default", "protocol", 1), ("other", "payload_too_large", 1)]


def test_reports_on_attempts_that_are_over_are_counted() -> None:
    counted = Counted()
    counted.harness.hello()
    counted.harness.report(Outcome(77, True, b""), Outcome(78, True, b""))
    assert counted.counters.told(0, 0).stale_reports == 2


def test_the_next_leadership_goes_on_counting() -> None:
    counted = Counted()
    for epoch in (1, 2):
        harness = LeadershipHarness(counters=counted.counters, epoch=epoch)
        harness.enqueue("x")
        harness.plan()
        harness.commit()
    assert counted.counters.told(0, 0).requests == [("enqueue", 2)]
    assert sum(counted.counters.told(0, 0).commits.counts) == 2
