"""How attempts end: what workers report is proposed once, and what they leave out in time."""

from random import Random

import pytest

from raftwork.broker.machine import ClusterSettings, Running
from raftwork.broker.machine.commands import (
    TIME_MAX,
    Command,
    Expire,
    Fail,
    Finish,
    Grew,
    HoldBack,
    Lose,
    LoseSaying,
    Postpone,
    Release,
)
from raftwork.broker.workers.reports import EXPIRY_GRACE_MS, FINISH_BYTES
from raftwork.broker.workers.retry_backoff import retry_at
from raftwork.broker.workers.validation import LOST_LOG_MAX, failure_of, growth_of, log_of
from raftwork.features.flow_graph import Graph, Node, encode_graph
from raftwork.features.limit_settings import SHUT_MAX_MS, changes
from raftwork.features.limits import ConfigureLimit
from raftwork.messages import (
    PAYLOAD_MAX,
    Acknowledged,
    Backoff,
    Failure,
    Held,
    Holding,
    LimitReached,
    Loss,
    Outcome,
    Report,
    ResumeAsked,
    RetryAsked,
    Spec,
    Started,
    State,
    Stop,
    decode_failure,
    encode_failure,
    encode_spec,
)
from raftwork.messages.failures import Grown
from raftwork.wire import pack
from tests.unit.broker.registry_harness import FAILURE, ONCE, OTHER, RegistryHarness


@pytest.fixture
def harness() -> RegistryHarness:
    harness = RegistryHarness()
    harness.hello()
    harness.sent()
    return harness


def test_an_outcome_is_acknowledged_after_the_machine_decided_not_before(
    harness: RegistryHarness,
) -> None:
    (token,) = harness.give()
    harness.report(Outcome(token, True, b"v"))
    assert harness.frames(Acknowledged) == []
    assert harness.commit() == [Finish([(token, b"v")])]
    assert harness.frames(Acknowledged) == [Acknowledged(1, 1, [token])]


def test_a_repeated_report_is_proposed_once_and_acknowledged(harness: RegistryHarness) -> None:
    (token,) = harness.give()
    for _ in range(3):
        harness.report(Outcome(token, True, b"v"))
    assert harness.commit() == [Finish([(token, b"v")])]
    harness.sent()
    harness.report(Outcome(token, True, b"v"))
    assert harness.commit() == []
    assert harness.frames(Acknowledged) == [Acknowledged(1, 1, [token])]


def test_a_report_about_somebody_elses_token_is_acknowledged_and_changes_nothing(
    harness: RegistryHarness,
) -> None:
    (token,) = harness.give()
    harness.hello(1, me=OTHER, routing=b"v")
    harness.sent()
    harness.report(Outcome(token, True, b"stolen"), routing=b"v")
    assert harness.commit() == []
    assert harness.sent()[0] == (b"v", Acknowledged(1, 1, [token]))


def test_a_failure_waits_for_its_retry_and_is_acknowledged(harness: RegistryHarness) -> None:
    spec = Spec("job", "default", retries=1, backoff=1_000)
    (token,) = harness.give(spec=spec)
    harness.report(Outcome(token, False, FAILURE))
    (fail,) = harness.commit()
    assert isinstance(fail, Fail)
    assert 1_000 <= fail.retry_at - harness.queues.time <= 1_250
    assert harness.frames(Acknowledged) == [Acknowledged(1, 1, [token])]


def test_a_final_failure_has_no_retry(harness: RegistryHarness) -> None:
    (token,) = harness.give(spec=Spec("job", "default", retries=3))
    harness.report(Outcome(token, False, FAILURE, final=True))
    harness.commit()
    assert harness.state() is State.FAILED


def test_no_backoff_is_longer_than_its_bound(harness: RegistryHarness) -> None:
    spec = Spec("job", "default", retries=1, backoff=1_000, max_backoff=300)
    (token,) = harness.give(spec=spec)
    harness.report(Outcome(token, False, FAILURE))
    (fail,) = harness.commit()
    assert isinstance(fail, Fail)
    assert fail.retry_at - harness.queues.time == 300


@pytest.mark.parametrize(
    "spec",
    [
        Spec("job", "default", retries=1 << 60, backoff=2**63 - 1, max_backoff=2**63 - 1),
        Spec("job", "default", retries=1, backoff=0, max_backoff=0),
    ],
)
def test_any_backoff_gives_a_time_the_machine_takes(harness: RegistryHarness, spec: Spec) -> None:
    (token,) = harness.give(spec=spec)
    harness.report(Outcome(token, False, FAILURE))
    (fail,) = harness.commit()
    assert isinstance(fail, Fail)
    assert fail.retry_at <= TIME_MAX
    assert harness.frames(Acknowledged) == [Acknowledged(1, 1, [token])]


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x90", b"x" * (PAYLOAD_MAX + 1)])
def test_a_malformed_failure_is_a_failure_all_the_same(
    harness: RegistryHarness, data: bytes
) -> None:
    """The machine would refuse it, and the task would run for ever."""
    (token,) = harness.give()
    harness.report(Outcome(token, False, data))
    harness.commit()
    assert harness.state() is State.FAILED
    assert harness.frames(Acknowledged) == [Acknowledged(1, 1, [token])]


def test_a_newer_workers_failure_is_stored_as_this_release_knows_it(
    harness: RegistryHarness,
) -> None:
    """In the log a field more would stop every replica."""
    (token,) = harness.give()
    harness.report(Outcome(token, False, pack([1, "E", "m", "t", "log", b"t", "new"])))
    harness.commit()
    stored = encode_failure(Failure("E", "m", "t", "log", b"t"))
    assert harness.queues.machine.lookup(["0"])[0].data == stored


def test_a_value_over_the_limit_fails_the_task_with_both_sizes(harness: RegistryHarness) -> None:
    (token,) = harness.give()
    harness.report(Outcome(token, True, b"x" * (PAYLOAD_MAX + 1)))
    harness.commit()
    failure = decode_failure(harness.queues.machine.lookup(["0"])[0].data)
    assert failure.type == "PayloadTooLarge"
    assert str(PAYLOAD_MAX) in failure.message
    assert str(PAYLOAD_MAX + 1) in failure.message


def test_values_are_cut_into_several_commands_by_size(harness: RegistryHarness) -> None:
    tokens = harness.give(5)
    harness.report(*(Outcome(t, True, b"x" * (FINISH_BYTES // 2)) for t in tokens))
    finishes = harness.commit()
    assert [len(f.outcomes) for f in finishes if isinstance(f, Finish)] == [2, 2, 1]


def test_a_released_task_waits_again_and_the_worker_has_room(harness: RegistryHarness) -> None:
    (token,) = harness.give()
    harness.report(released=[token])
    assert harness.commit() == [Release([token])]
    assert harness.state() is State.QUEUED
    assert harness.registry.available()[0].busy == 0


def test_what_began_cannot_be_handed_back_as_if_it_had_not(harness: RegistryHarness) -> None:
    (token,) = harness.give(spec=ONCE)
    harness.report(started=[token])
    harness.report(released=[token])
    harness.commit()
    assert harness.state() is State.LOST


def test_a_token_in_one_report_twice_counts_once(harness: RegistryHarness) -> None:
    (token,) = harness.give()
    harness.report(Outcome(token, True, b"1"), Outcome(token, True, b"2"), released=[token, token])
    assert harness.commit() == [Finish([(token, b"1")])]
    assert harness.registry.available()[0].busy == 0


# ---- time limits ------------------------------------------------------------------------------


def test_a_task_over_its_limit_expires_only_if_the_worker_says_nothing(
    harness: RegistryHarness,
) -> None:
    (token,) = harness.give(spec=Spec("job", "default", timeout=2_000))
    harness.report(started=[token])
    seen: list[Command] = []
    for _ in range(10):
        seen += harness.pass_time(1_000)
        assert not seen or harness.now - 10_000 > 2_000 + EXPIRY_GRACE_MS
        harness.report()
    assert [type(c) for c in seen] == [Expire]
    assert harness.state() is State.FAILED
    assert harness.frames(Stop) == [Stop(1, 1, [token])]


def test_what_has_not_begun_does_not_expire(harness: RegistryHarness) -> None:
    harness.give(spec=Spec("job", "default", timeout=1))
    for _ in range(20):
        assert harness.pass_time(1_000) == []
        harness.report()


def test_a_start_told_by_the_hello_counts_for_the_limit(harness: RegistryHarness) -> None:
    (token,) = harness.give(spec=Spec("job", "default", timeout=1_000))
    harness.new_leader()
    harness.hello(2, Holding(token, Held.RUNNING, 60_000))
    (expire,) = harness.pass_time(1_100)
    assert isinstance(expire, Expire)


def test_a_start_that_is_told_again_brings_no_second_end(harness: RegistryHarness) -> None:
    (token,) = harness.give(spec=Spec("job", "default", timeout=1_000))
    began, ended = Report(1, [Started(token, 60_000)], [], [], 0), []
    for _ in range(3):
        harness.now += 1_000
        assert harness.registry.report(b"w", began, harness.now, harness.queues.time)
        harness.registry.pass_time(harness.now, harness.queues.time)
        ended += harness.registry.commands()
    assert [type(command) for command in ended] == [Expire]


RETRY = encode_failure(RetryAsked(90_000, "Retry", "busy", ""))


def test_a_pause_that_the_code_asks_for_is_exact_and_has_no_bound(harness: RegistryHarness) -> None:
    spec = Spec("job", "default", retries=1, backoff=1_000, max_backoff=2_000)
    (token,) = harness.give(spec=spec)
    harness.report(Outcome(token, False, RETRY))
    (fail,) = harness.commit()
    failure = encode_failure(Failure("Retry", "busy", ""))
    assert fail == Fail(token, failure, harness.queues.time + 90_000, False)
    assert harness.state() is State.QUEUED


def test_a_retry_counts_as_a_failure(harness: RegistryHarness) -> None:
    (token,) = harness.give(spec=Spec("job", "default", retries=0))
    harness.report(Outcome(token, False, RETRY))
    harness.commit()
    assert harness.state() is State.FAILED


def test_an_attempt_that_resumes_waits_again_and_counts_for_nothing(
    harness: RegistryHarness,
) -> None:
    (token,) = harness.give(spec=Spec("job", "default", retries=0))
    harness.report(Outcome(token, False, encode_failure(ResumeAsked())))
    assert harness.commit() == [Postpone(token, harness.queues.time)]
    assert harness.state() is State.QUEUED
    assert harness.frames(Acknowledged) == [Acknowledged(1, 1, [token])]
    (again,) = harness.assign()
    (run,) = harness.queues.machine.running()
    assert (run.token, run.attempt, run.failures, run.losses) == (again, 2, 0, 0)


def test_a_task_that_may_run_once_does_not_resume(harness: RegistryHarness) -> None:
    (token,) = harness.give(spec=ONCE)
    harness.report(Outcome(token, False, encode_failure(ResumeAsked())))
    harness.commit()
    assert harness.state() is State.FAILED


@pytest.mark.parametrize(
    ("kind", "pauses"),
    [
        (Backoff.EXPONENTIAL, [100, 200, 400, 700]),
        (Backoff.LINEAR, [100, 200, 300, 400]),
        (Backoff.CONSTANT, [100, 100, 100, 100]),
    ],
)
def test_the_pause_grows_as_the_options_say(kind: Backoff, pauses: list[int]) -> None:
    spec = encode_spec(Spec("t", "q", backoff=100, max_backoff=700, backoff_kind=kind))
    for failures, least in enumerate(pauses):
        run = Running(1, 1, "t", "q", b"", spec, failures + 1, failures, 0, 0)
        most = min(least + least // 4, 700)
        found = {retry_at(run, 5_000, Random(seed)) - 5_000 for seed in range(50)}
        assert least <= min(found) <= max(found) <= most
        assert len(found) > 1 or least == 700  # tasks that failed together part


def test_the_last_lines_of_a_log_go_into_the_log_from_level_two_on() -> None:
    outcome = Outcome(1, False, encode_failure(Failure("E", "m", "t", "last words")))
    assert decode_failure(failure_of(outcome, 2).failure).log == "last words"
    assert failure_of(outcome, 1).failure == FAILURE


def test_a_limit_that_was_reached_shuts_its_gates_and_counts_for_nothing(
    harness: RegistryHarness,
) -> None:
    harness.queues.apply(ConfigureLimit("stripe", changes(concurrency=5)))
    (token,) = harness.give(spec=Spec("job", "default", limits=("stripe",)))
    asked = encode_failure(LimitReached(30_000, "", "429"))
    harness.report(Outcome(token, False, asked))
    failure = encode_failure(Failure("RateLimited", "429", ""))
    assert harness.commit() == [HoldBack(token, harness.queues.time + 30_000, "", failure)]
    assert harness.state() is State.QUEUED
    gate = harness.queues.machine.gates.find(("stripe", ""))
    assert (gate.held, gate.shut_until) == (0, harness.queues.time + 30_000)


def test_no_worker_shuts_a_limit_for_ever(harness: RegistryHarness) -> None:
    (token,) = harness.give()
    harness.report(Outcome(token, False, encode_failure(LimitReached(2**62, "", "429"))))
    (held_back,) = harness.commit()
    assert isinstance(held_back, HoldBack)
    assert held_back.until == harness.queues.time + SHUT_MAX_MS


# ---- tasks that tasks make ----------------------------------------------------------------------


def graph(*ids: str) -> bytes:
    nodes = [Node(1, b"", id=id_) for id_ in ids]
    spec = encode_spec(Spec("t", "default"))
    return encode_graph(Graph([spec], [*nodes, Node(0, pack(None))]))


def test_what_code_made_is_proposed_with_its_outcome(harness: RegistryHarness) -> None:
    (token,) = harness.give()
    ended = Grown(b"v", graph("c1"), b"")
    harness.report(Outcome(token, False, encode_failure(ended)))
    (command,) = harness.commit()
    assert isinstance(command, Grew)
    assert command[:4] == (token, *ended)
    assert harness.queues.machine.states(["c1"]) == [State.QUEUED]


@pytest.mark.parametrize(
    ("ended", "kind"),
    [
        (Grown(b"v", graph(""), b""), "ProtocolError"),
        (Grown(b"v", b"\x00", b""), "ProtocolError"),
        (Grown(b"v" * (PAYLOAD_MAX + 1), graph("c1"), b""), "PayloadTooLarge"),
    ],
)
def test_what_may_not_go_into_the_log_fails_the_attempt_for_good(
    harness: RegistryHarness, ended: Grown, kind: str
) -> None:
    (token,) = harness.give()
    harness.report(Outcome(token, False, encode_failure(ended)))
    (command,) = harness.commit()
    assert isinstance(command, Fail)
    assert (decode_failure(command.failure).type, command.final) == (kind, True)


def test_below_level_two_the_attempt_fails_and_says_what_to_do() -> None:
    outcome = Outcome(1, False, encode_failure(Grown(b"v", graph("c1"), b"")))
    assert growth_of(outcome, 1, ClusterSettings()) is None
    words = decode_failure(failure_of(outcome, 1).failure)
    assert words.type == "Unsupported"
    assert "raftwork upgrade finish" in words.message


@pytest.mark.parametrize(
    ("level", "log", "kept"),
    [
        *((2, "its last lines", True), (2, "", False), (1, "its last lines", False)),
        *((2, "ö" * (LOST_LOG_MAX // 2), True), (2, "ö" * LOST_LOG_MAX, False)),
    ],
)
def test_what_a_lost_task_logged_goes_with_its_loss_where_the_log_may_have_it(
    level: int, log: str, kept: bool
) -> None:
    data = encode_failure(Failure("ProcessDied", "killed", "", log))
    assert log_of(Outcome(1, False, data, loss=Loss(signal=9)), level) == (log if kept else "")


def test_a_loss_without_a_proper_failure_is_one_all_the_same() -> None:
    assert log_of(Outcome(1, False, b"garbage", loss=Loss()), 2) == ""


def test_a_loss_is_proposed_with_the_last_lines_and_without_where_there_are_none(
    harness: RegistryHarness,
) -> None:
    tokens = harness.give(2)
    by = Loss("w", signal=9)
    said = encode_failure(Failure("ProcessDied", "killed", "", "last"))
    silent = encode_failure(Failure("ProcessDied", "killed", ""))
    outcomes = [Outcome(t, False, d, loss=by) for t, d in zip(tokens, (said, silent), strict=True)]
    harness.report(*outcomes)
    proposed = [c for c in harness.commit() if isinstance(c, Lose | LoseSaying)]
    assert proposed == [LoseSaying(tokens[0], by, "last"), Lose([(tokens[1], True)], by)]
