"""The agent's promises, as conversations with brokers and a pool."""

import pytest

from raftwork.messages import (
    Acknowledged,
    Drain,
    Goodbye,
    Heartbeat,
    Held,
    HelloFirst,
    Holding,
    Leader,
    Outcome,
    Ping,
    Push,
    Report,
    Stop,
    WorkerHello,
    decode_failure,
)
from raftwork.worker.agent import LOOK_MS, STUCK_MS, Load
from raftwork.worker.pool import Running
from raftwork.worker.prefetch import WINDOW_MAX
from raftwork.worker.runner import Ended, failure
from raftwork.worker.unacknowledged_outcomes import BYTES_MAX, RESEND_MS
from tests.unit.worker.conversation import A, B, C, Conversation, task


@pytest.fixture
def talk() -> Conversation:
    """A worker of two slots in session with broker A."""
    talk = Conversation()
    talk.join()
    return talk


# ---- sessions


def test_a_worker_without_a_leader_asks_every_broker() -> None:
    talk = Conversation().turn()

    assert [to for to, message in talk.sent if message == Ping()] == [A, B, C]
    assert not talk.all(WorkerHello)


def test_only_an_activated_leader_is_said_hello_to() -> None:
    talk = Conversation()

    talk.hear(A, Leader(4, "b", B, False, 0))
    assert not talk.all(WorkerHello)

    talk.hear(B, Leader(4, "b", B, True, 1))
    assert len(talk.heard_by(B, WorkerHello)) == 1


def test_the_highest_activated_epoch_wins(talk: Conversation) -> None:
    talk.join(B, epoch=5)

    talk.hear(A, Leader(4, "a", A, True, 1))

    assert len(talk.heard_by(A, WorkerHello)) == 1  # the first one, before
    assert len(talk.heard_by(B, WorkerHello)) == 1


def test_a_broker_that_only_others_know_is_learned_of() -> None:
    talk = Conversation().turn()
    talk.now += 200

    talk.hear(A, Leader(3, "d", "d:1", False, 0))

    assert talk.heard_by("d:1", Ping)


def test_a_silent_leader_makes_the_worker_ask_all(talk: Conversation) -> None:
    talk.pass_time(5_000)
    talk.forget()
    talk.pass_time(5_000)
    assert not talk.all(Ping)

    talk.pass_time(1_300, beating=False)

    assert {to for to, message in talk.sent if message == Ping()} == {A, B, C}


def test_news_that_repeats_does_not_storm() -> None:
    talk = Conversation().turn()

    for _ in range(1_000):
        talk.hear(A, Leader(3, "b", B, False, 0))
    talk.pass_time(50, beating=False)

    assert len(talk.heard_by(A, Ping)) == 1


def test_an_unanswered_hello_is_repeated_under_a_new_number() -> None:
    talk = Conversation()
    talk.hear(A, Leader(1, "a", A, True, 1))

    talk.pass_time(3_000, beating=False)

    sessions = [hello.session for hello in talk.all(WorkerHello)]
    assert sessions == list(range(1, len(sessions) + 1))
    assert 3 <= len(sessions) <= 4


def test_a_broker_that_lost_the_session_is_said_hello_once(talk: Conversation) -> None:
    talk.push(task(1))

    talk.hear(A, HelloFirst())
    talk.hear(A, HelloFirst())

    assert [hello.session for hello in talk.all(WorkerHello)] == [1, 2]
    assert talk.all(WorkerHello)[-1].holding == [Holding(1, Held.WAITING, 0)]


def test_a_lost_push_is_noticed_through_the_beat(talk: Conversation) -> None:
    talk.push(task(1))
    talk.beat(pushed=1)
    assert len(talk.all(WorkerHello)) == 1

    talk.beat(pushed=3)

    assert len(talk.all(WorkerHello)) == 2


def test_frames_of_older_sessions_and_lower_epochs_are_void(talk: Conversation) -> None:
    talk.push(task(1))
    talk.end(1)
    talk.join(B, epoch=2)
    talk.forget()

    for source, epoch, session in ((A, 1, 1), (B, 2, 1), (B, 1, 2), (A, 2, 2)):
        talk.hear(source, Push(epoch, session, [task(9)]))
        talk.hear(source, Acknowledged(epoch, session, [1]))
    talk.pass_time(RESEND_MS + 100)

    assert talk.started == []
    assert 1 in talk.reported()


def test_a_closed_connection_leads_to_a_new_session_without_a_storm(talk: Conversation) -> None:
    talk.agent.link_lost(A, talk.now)
    for _ in range(100):
        talk.agent.link_lost(A, talk.now)  # as does every frame it refuses
        talk.pass_time(10, beating=False)

    assert 2 <= len(talk.all(WorkerHello)) <= 4


def test_a_connection_made_again_is_used_at_once(talk: Conversation) -> None:
    talk.agent.link_lost(A, talk.now)
    talk.turn()

    talk.agent.link_made(A, talk.now)
    talk.turn()

    assert len(talk.all(WorkerHello)) == 2


# ---- tasks


def test_an_outcome_is_reported_until_it_is_acknowledged(talk: Conversation) -> None:
    talk.push(task(1))
    talk.end(1)
    assert talk.reported() == [1]

    talk.pass_time(2 * RESEND_MS + 100)
    assert talk.reported() == [1, 1, 1]

    talk.hear(A, Acknowledged(1, 1, [1]))
    talk.pass_time(5 * RESEND_MS)
    assert talk.reported() == [1, 1, 1]


def test_nothing_is_to_be_looked_at_or_sent_again_after_what_ended_and_was_acknowledged(
    talk: Conversation,
) -> None:
    """A worker with one task after the other woke once more for each, a while later."""
    talk.pass_time(10)  # the heartbeat is out
    for token in range(1, 4):
        talk.push(task(token))
        talk.end(token)
        talk.hear(A, Acknowledged(1, 1, [token]))
    assert talk.agent.wake_at - talk.now > RESEND_MS // 2


def test_what_was_acknowledged_out_of_order_is_not_sent_again_and_the_rest_is(
    talk: Conversation,
) -> None:
    talk.push(task(1), task(2), task(3))
    talk.end(1, 2, 3)
    talk.hear(A, Acknowledged(1, 1, [3]))
    talk.hear(A, Acknowledged(1, 1, [1]))
    talk.forget()
    talk.pass_time(RESEND_MS + 50)
    assert talk.reported() == [2]


def test_a_task_that_waits_for_its_start_is_looked_after_when_another_has_ended(
    talk: Conversation,
) -> None:
    talk.push(task(1), task(2))
    talk.end(1)
    assert talk.agent.look_at - talk.now <= LOOK_MS


def test_a_worker_has_more_than_it_can_run_only_when_all_its_slots_are_taken(
    talk: Conversation,
) -> None:
    talk.push(task(1), task(2))
    assert not talk.agent.saturated
    talk.push(task(3))
    assert talk.agent.saturated


def test_a_new_outcome_does_not_wait_behind_one_that_was_sent(talk: Conversation) -> None:
    talk.push(task(1), task(2))
    talk.end(1)
    talk.now += 1
    talk.end(2)

    assert talk.reported() == [1, 2]


def test_the_next_leader_gets_the_outcome_the_last_one_did_not_acknowledge(
    talk: Conversation,
) -> None:
    talk.push(task(1), task(2))
    talk.begin(2)
    talk.end(1)
    talk.forget()
    talk.now += 40

    talk.join(B, epoch=2)

    hello = talk.heard_by(B, WorkerHello)[0]
    assert set(hello.holding) == {Holding(1, Held.DONE, 0), Holding(2, Held.RUNNING, 40)}
    assert [o.token for report in talk.heard_by(B, Report) for o in report.outcomes] == [1]


def test_what_ends_between_two_leaders_is_kept(talk: Conversation) -> None:
    talk.push(task(1))
    talk.hear(A, Leader(2, "", "", False, 0))  # deposed
    talk.forget()
    talk.end(1)
    assert not talk.all(Report)

    talk.join(C, epoch=3)

    assert talk.reported() == [1]


def test_a_task_pushed_twice_runs_once(talk: Conversation) -> None:
    talk.push(task(1), task(2))
    talk.begin(1)
    talk.end(2)

    talk.push(task(1), task(2))
    talk.hear(A, HelloFirst())
    talk.welcome([])
    talk.push(task(1), task(2))

    assert talk.started == [1, 2]


def test_a_worker_that_was_paused_past_its_lease_stops_what_is_no_longer_its_own(
    talk: Conversation,
) -> None:
    talk.push(task(1), task(2))
    talk.push(task(3))
    talk.begin(1, 2)
    talk.end(1)
    talk.now += 60_000

    talk.hear(A, HelloFirst())
    talk.welcome([1, 2, 3])
    talk.forget()
    talk.pass_time(3 * RESEND_MS)
    talk.end(2)

    assert talk.reported() == []
    assert talk.stopped == set()  # it was told before
    assert talk.agent.turn(talk.now).start == []


def test_stopped_tasks_are_taken_from_the_pool(talk: Conversation) -> None:
    talk.push(task(1), task(2))

    talk.hear(A, Stop(1, 1, [1, 99]))

    assert talk.stopped == {1}
    talk.end(1)
    assert talk.reported() == []


def test_a_start_is_reported_only_of_a_task_that_still_runs(talk: Conversation) -> None:
    talk.push(task(1), task(2))
    talk.now += 20

    talk.agent.look([Running(1, talk.now - 5), Running(2, talk.now - 5)], 2, talk.now)
    talk.end(1)

    (report,) = talk.all(Report)
    assert [started.token for started in report.started] == [2]
    assert report.started[0].age == 5
    assert [outcome.token for outcome in report.outcomes] == [1]


def test_a_task_over_its_time_limit_is_stopped_and_fails(talk: Conversation) -> None:
    talk.push(task(1, timeout=500))
    talk.now += 300  # waiting does not count
    talk.begin(1)

    talk.pass_time(499)
    assert talk.stopped == set()
    talk.pass_time(1)

    assert talk.stopped == {1}
    ((outcome,),) = [report.outcomes for report in talk.all(Report) if report.outcomes]
    assert not outcome.ok
    assert decode_failure(outcome.data).type == "TimeLimitExceeded"
    talk.end(1)
    assert talk.reported() == [1]  # what the code still returned is nobody's


def test_a_slot_that_cannot_be_freed_is_offered_no_more(talk: Conversation) -> None:
    talk.push(task(1, timeout=500))
    talk.begin(1)
    talk.pass_time(600)
    talk.slots = 1

    talk.look()

    assert talk.all(WorkerHello)[-1].slots == 1


def test_a_queue_of_what_turned_out_long_goes_back_before_anybody_is_stuck(
    talk: Conversation,
) -> None:
    talk.push(*map(task, range(1, 801)))
    for token in range(1, 101):
        talk.end(token, elapsed=0.1)
    talk.begin(101, 102)
    talk.look(Running(101, talk.now), Running(102, talk.now))
    assert talk.released() == []
    talk.end(101, 102, elapsed=30.0)
    talk.begin(103, 104)
    talk.look(Running(103, talk.now), Running(104, talk.now))
    assert talk.released() == list(range(105, 801))


def test_what_waits_where_no_slot_is_left_goes_back(talk: Conversation) -> None:
    talk.push(task(1), task(2))
    talk.slots = 0
    talk.look()
    assert talk.all(WorkerHello)[-1].slots == 0
    talk.welcome([])
    talk.now += STUCK_MS
    talk.look()
    assert talk.released() == [1, 2]


# ---- the window


def test_nothing_is_held_ahead_before_run_times_are_known(talk: Conversation) -> None:
    assert [beat.window for beat in talk.all(Heartbeat)] == [0]


def test_the_window_grows_with_short_tasks_and_shrinks_with_long_ones(talk: Conversation) -> None:
    talk.push(*map(task, range(1, 101)))
    for token in range(1, 51):
        talk.end(token, elapsed=0.1)
    assert talk.all(Report)[-1].window == WINDOW_MAX

    for token in range(51, 55):
        talk.end(token, elapsed=10)
    assert 0 < talk.all(Report)[-1].window < WINDOW_MAX

    for token in range(55, 70):
        talk.end(token, elapsed=500)
    assert talk.all(Report)[-1].window == 0


def test_a_worker_that_knows_no_task_holds_none_ahead_however_fast_it_says_so(
    talk: Conversation,
) -> None:
    talk.push(task(1), task(2))
    talk.waiting = []
    unknown = Outcome(1, False, b"", unknown=True)
    talk.agent.ended([Ended(unknown, 1_000), Ended(unknown._replace(token=2), 1_000)], talk.now)
    talk.turn()
    assert talk.all(Report)[-1].window == 0


def test_what_waits_behind_long_tasks_goes_to_others(talk: Conversation) -> None:
    talk.push(*map(task, range(1, 9)))
    for token in range(1, 5):
        talk.end(token, elapsed=1)
    talk.begin(5, 6)
    talk.now += STUCK_MS

    talk.look(Running(5, talk.now - STUCK_MS), Running(6, talk.now - STUCK_MS))

    assert talk.released() == [7, 8]
    assert talk.all(Report)[-1].window == 0


def test_unacknowledged_outcomes_are_bounded(talk: Conversation) -> None:
    count = BYTES_MAX // 1_000_000 + 2
    talk.push(*map(task, range(1, count + 1)))
    for token in range(1, count):
        talk.waiting = [t for t in talk.waiting if t.token != token]
        talk.end(token, elapsed=0.1, data=bytes(1_000_000))
    talk.forget()

    talk.push(task(100))
    talk.pass_time(1_000)
    assert talk.started == []
    assert {beat.window for beat in talk.all(Heartbeat)} == {0}

    talk.hear(A, Acknowledged(1, 1, list(range(1, count))))
    assert talk.started == [count, 100]


def test_reports_of_large_outcomes_are_split(talk: Conversation) -> None:
    talk.push(*map(task, range(1, 5)))
    talk.agent.ended([], talk.now)
    for token in range(1, 5):
        talk.agent._decide(Outcome(token, True, bytes(700_000)))

    talk.turn()

    assert [len(report.outcomes) for report in talk.all(Report)] == [1, 1, 1, 1]


# ---- leaving


def test_a_draining_worker_hands_back_what_waits_and_finishes_what_runs(
    talk: Conversation,
) -> None:
    talk.push(task(1), task(2), task(3))
    talk.begin(1)

    talk.agent.drain(talk.now)
    talk.turn()
    assert talk.released() == [2, 3]
    assert talk.all(Heartbeat)[-1].draining

    talk.push(task(4))
    assert talk.released() == [2, 3, 4]
    assert not talk.finished()

    talk.end(1)
    assert not talk.finished()  # its outcome is not safe yet
    talk.hear(A, Acknowledged(1, 1, [1]))
    assert talk.finished()
    assert talk.sent[-1] == (A, Goodbye(1))


def test_a_leaders_word_drains_a_worker_as_a_signal_does(talk: Conversation) -> None:
    talk.push(task(1), task(2))
    talk.begin(1)

    talk.hear(B, Drain(1, 1))
    talk.hear(A, Drain(1, 7))
    assert not talk.released(), "only its leader's word in the present session counts"

    talk.hear(A, Drain(1, 1))
    talk.hear(A, Drain(1, 1))
    assert talk.released() == [2]
    assert [beat.draining for beat in talk.all(Heartbeat)] == [False, True]


def test_a_draining_worker_says_so_to_the_next_leader(talk: Conversation) -> None:
    talk.push(task(1))
    talk.begin(1)
    talk.agent.drain(talk.now)

    talk.join(B, epoch=2)

    assert talk.heard_by(B, WorkerHello)[0].draining


def test_an_idle_worker_drains_at_once_even_without_a_leader() -> None:
    talk = Conversation().turn()

    talk.agent.drain(talk.now)
    talk.turn()

    assert talk.finished()


def test_a_hard_stop_kills_everything_and_says_goodbye_at_once(talk: Conversation) -> None:
    talk.push(task(1), task(2), task(3))
    talk.begin(1, 2)
    talk.agent.ended([], talk.now)
    talk.agent._decide(Outcome(3, True, b"v"))

    turn = talk.agent.halt(talk.now)

    assert talk.finished()
    assert turn.stop == {1, 2}
    assert [type(message) for _, message in turn.send] == [Report, Goodbye]


def test_the_load_goes_out_once_a_second(talk: Conversation) -> None:
    talk.forget()
    talk.agent.sample(Load(0.5, 0.25, 1.5))

    talk.pass_time(3_000)

    beats = talk.all(Heartbeat)
    assert [(b.cpu, b.memory, b.load) for b in beats] == [(0.5, 0.25, 1.5)] * len(beats)
    assert len(beats) == 3


def test_a_heartbeat_goes_along_with_the_beat_before_it(talk: Conversation) -> None:
    """So neither end wakes for it alone."""

    def said(after: int, *, beat: bool = False) -> bool:
        talk.forget()
        talk.now += after
        if beat:
            talk.beat()
        talk.turn()
        return bool(talk.all(Heartbeat))

    talk.now = max(talk.now, talk.agent.heartbeat_at)
    assert said(0)
    assert not said(800, beat=True), "far too early"
    assert said(100, beat=True)
    assert not said(999)
    assert said(1), "without a beat it goes all the same"


def test_a_heartbeat_tells_how_long_tasks_took_that_gave_a_value(talk: Conversation) -> None:
    talk.push(task(1), task(2), task(3))
    talk.agent.ended(
        [
            Ended(Outcome(1, True, b""), 1 << 20),
            Ended(Outcome(2, True, b""), 1 << 30),
            Ended(failure(3, "ImportError", "at once"), 1 << 4),
        ],
        talk.now,
    )
    talk.agent.sample(Load(0.5, 0.25, None, 0.4, 7))
    talk.forget()

    talk.pass_time(1_000)

    beat = talk.all(Heartbeat)[-1]
    assert (beat.own, beat.place) == (0.4, 7)
    assert (beat.ended, beat.log_times) == (2, 50.0)
