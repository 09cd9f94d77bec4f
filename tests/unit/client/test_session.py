"""Requests and watches, whoever leads and whatever is dropped."""

import pytest

from raftwork.client.backpressure import PAUSE_FIRST_MS, PAUSE_MAX_MS
from raftwork.client.calls import Call
from raftwork.client.requests import RETRY_WINDOW_MS, WINDOW_BYTES, WINDOW_REQUESTS
from raftwork.client.result_registry import Slot
from raftwork.errors import (
    PayloadTooLarge,
    ProtocolError,
    QueueFull,
    RaftworkError,
    Unavailable,
    UnknownTask,
    UnknownWorker,
    Unsupported,
)
from raftwork.features.dead_letters import DeadPurged
from raftwork.features.drain import DrainWorker, WorkerDraining
from raftwork.features.enqueue import Enqueue, Enqueued
from raftwork.features.results import (
    Answer,
    Ask,
    Results,
    Watch,
    Watched,
)
from raftwork.messages import (
    WATCH_IDS_MAX,
    Code,
    HelloFirst,
    Leader,
    Refused,
    Result,
    State,
)
from raftwork.wire import pack
from tests.unit.client.playing import A, B, C, Play

ALIVE = (A, Leader(1, "a", A, active=True, time=50_000))


def succeeded(id_: str) -> Result:
    return Result(id_, State.SUCCEEDED, b"\x03")


def test_an_enqueue_goes_to_the_leader_and_ends_with_its_acknowledgement() -> None:
    play = Play()
    play.formed()
    number = play.enqueue("t1")
    assert [to for to, _ in play.heard] == [A]
    play.say(A, Enqueued(number))
    assert [(a.call.number, a.error) for a in play.answers] == [(number, None)]
    assert play.session.wake_at is not None
    play.run(10_000)
    assert play.session.wake_at is None


def test_a_request_made_before_there_is_a_leader_goes_out_with_the_first_one() -> None:
    play = Play()
    play.enqueue("t1")
    play.up(B)
    play.lead(B, epoch=7)
    assert [(to, type(m)) for to, m in play.heard][-1] == (B, Enqueue)


def test_a_new_leader_gets_the_same_request_at_once_with_the_same_ids_and_created() -> None:
    play = Play()
    play.formed()
    play.enqueue("t1", "t2")
    play.run(200)
    play.lead(B, epoch=2, time=99_999)
    first, second = play.enqueues
    assert play.heard[-1][0] == B
    assert first == second


def test_created_is_the_leaders_time_at_the_first_attempt() -> None:
    play = Play()
    play.up(A)
    play.lead(A, time=50_000)
    play.run(700)
    play.enqueue("t1")
    assert play.enqueues[0].created == 50_700


def test_an_unanswered_request_goes_again_after_waits_that_double() -> None:
    play = Play()
    play.formed()
    play.enqueue("t1", timeout=60_000)
    play.run(8_000, answering=ALIVE)
    # at 0, 0.5, 1.5, 3.5 and 7.5 s
    assert len(play.enqueues) == 5
    assert len(set(play.enqueues)) == 1


def test_a_second_acknowledgement_changes_nothing() -> None:
    play = Play()
    play.formed()
    number = play.enqueue("t1")
    play.say(A, Enqueued(number), Enqueued(number))
    assert len(play.answers) == 1


def test_a_leader_that_forgot_the_session_is_greeted_and_asked_again() -> None:
    play = Play()
    play.formed()
    play.now += 1_000
    play.enqueue("t1")
    play.watch("w1")
    play.heard.clear()
    play.say(A, HelloFirst())
    assert play.hellos == [A]
    assert len(play.enqueues) == 1
    assert play.watches == [["w1"]]


def test_not_leader_keeps_the_request_for_the_next_leader() -> None:
    play = Play()
    play.formed()
    number = play.enqueue("t1")
    play.say(A, Refused(number, Code.NOT_LEADER, ""))
    assert not play.answers
    play.lead(B, epoch=2)
    assert play.heard[-1] == (B, play.enqueues[0])


def test_a_leader_that_claims_and_refuses_is_not_asked_in_a_circle() -> None:
    play = Play()
    play.formed()
    number = play.enqueue("t1")
    for _ in range(20):
        play.say(A, Refused(number, Code.NOT_LEADER, ""))
        play.lead(A)
    assert len(play.enqueues) == 1


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (Code.PROTOCOL, ProtocolError),
        (Code.PAYLOAD_TOO_LARGE, PayloadTooLarge),
        (Code.QUEUE_FULL, QueueFull),
        (Code.UNKNOWN_TASK, UnknownTask),
        (Code.UNSUPPORTED, Unsupported),
        (Code.OTHER, RaftworkError),
    ],
)
def test_a_refusal_ends_the_request_with_the_error_of_its_code(
    code: Code, error: type[RaftworkError]
) -> None:
    play = Play()
    play.formed()
    number = play.enqueue("t1")
    play.say(A, Refused(number, code, "the text"))
    (answer,) = play.answers
    assert type(answer.error) is error
    assert str(answer.error) == "the text"


def test_unavailable_names_the_ids_in_order_and_what_each_broker_said() -> None:
    play = Play()
    play.up(A, B)
    play.say(B, Leader(3, "c", C, active=False, time=0))
    play.enqueue("t2", "t1", timeout=3_000)
    play.run(2_999)
    assert not play.answers
    play.run(1)
    error = play.answers[0].error
    assert isinstance(error, Unavailable)
    assert error.ids == ("t2", "t1")
    assert str(error) == (
        "no answer in time from a leader with a majority (127.0.0.1:7701: no answer, "
        "127.0.0.1:7702: not the leader, names c, 127.0.0.1:7703: no connection)"
    )


def test_unavailable_without_any_broker_asks_whether_they_run() -> None:
    play = Play()
    play.enqueue("t1", timeout=3_000)
    play.run(3_000)
    told = str(play.answers[0].error)
    assert "127.0.0.1:7703: no connection; are the brokers running, and are these" in told


def test_unavailable_says_that_a_leader_was_there_and_did_not_acknowledge() -> None:
    play = Play()
    play.formed()
    play.enqueue("t1", timeout=3_000)
    play.run(3_000, answering=ALIVE)
    assert "127.0.0.1:7701: leads epoch 1, did not acknowledge" in str(play.answers[0].error)


def test_a_broker_of_another_version_is_named_in_unavailable() -> None:
    play = Play(A)
    play.up(A)
    play.say(A, Refused(0, Code.PROTOCOL, "this broker speaks version 2"))
    play.enqueue("t1", timeout=200)
    play.run(200)
    assert "refused: this broker speaks version 2" in str(play.answers[0].error)


def test_no_request_is_retried_beyond_what_brokers_remember() -> None:
    play = Play()
    play.enqueue("t1", timeout=10 * RETRY_WINDOW_MS)
    play.run(RETRY_WINDOW_MS)
    assert isinstance(play.answers[0].error, Unavailable)


def test_requests_beyond_the_window_wait_and_follow_in_order() -> None:
    play = Play()
    play.formed()
    numbers = [play.enqueue(f"t{i}", f"u{i}") for i in range(WINDOW_REQUESTS + 3)]
    assert len(play.enqueues) == WINDOW_REQUESTS
    play.say(A, Enqueued(numbers[5]), Enqueued(numbers[9]))
    assert [e.request for e in play.enqueues[WINDOW_REQUESTS:]] == numbers[-3:-1]


def test_the_window_is_bounded_in_bytes_but_never_shut_to_a_single_request() -> None:
    play = Play()
    play.formed()
    first = play.enqueue("big", size=WINDOW_BYTES + 1)
    second = play.enqueue("small")
    assert [e.request for e in play.enqueues] == [first]
    play.say(A, Enqueued(first))
    assert [e.request for e in play.enqueues] == [first, second]


def test_a_request_that_never_left_the_backlog_ends_at_its_deadline_too() -> None:
    play = Play()
    play.formed()
    for i in range(WINDOW_REQUESTS):
        play.enqueue(f"t{i}", f"u{i}", timeout=60_000)
    late = play.enqueue("late", "later", timeout=1_000)
    play.run(1_000, answering=ALIVE)
    assert [a.call.number for a in play.answers] == [late]
    assert late not in {e.request for e in play.enqueues}


def test_an_ask_is_answered_with_its_results() -> None:
    play = Play()
    play.formed()
    number = play.call(Ask(0, ["t1"]), Answer, 1_000)
    assert play.told(Ask) == [Ask(number, ["t1"])]
    running = Result("t1", State.RUNNING, b"")
    play.say(A, Answer(number, [running]))
    assert play.answers[0].message == Answer(number, [running])


def test_an_answer_to_another_kind_of_request_ends_no_call() -> None:
    play = Play()
    play.formed()
    number = play.call(DrainWorker(0, "w1"), WorkerDraining)
    play.say(A, Enqueued(number), Answer(number, []), DeadPurged(number, 1))
    assert play.answers == []
    play.say(A, WorkerDraining(number))
    assert [a.message for a in play.answers] == [WorkerDraining(number)]


def test_closing_ends_every_request_that_is_out() -> None:
    play = Play()
    play.formed()
    for i in range(WINDOW_REQUESTS + 1):
        play.enqueue(f"t{i}")
    play.session.abandon("closed")
    play.collect()
    assert len(play.answers) == WINDOW_REQUESTS + 1
    assert all(isinstance(a.error, Unavailable) and len(a.error.ids) == 1 for a in play.answers)


# ---- watches ------------------------------------------------------------------------------------


def test_outcomes_of_watched_tasks_are_delivered_once() -> None:
    play = Play()
    play.formed()
    play.watch("t1", "t2")
    assert play.watches == [["t1", "t2"]]
    play.say(A, Results([succeeded("t2")]), Results([succeeded("t2"), succeeded("other")]))
    assert play.outcomes == [succeeded("t2")]


def test_a_watch_is_registered_anew_on_a_new_epoch_without_what_has_come() -> None:
    play = Play()
    play.formed()
    play.watch("t1", "t2", "t3")
    (watch,) = play.told(Watch)
    play.say(A, Watched(watch.request), Results([succeeded("t2")]))
    play.heard.clear()
    play.lead(A, epoch=2)
    assert play.watches == [["t1", "t3"]]
    play.lead(B, epoch=3)
    assert play.heard[-1] == (B, play.told(Watch)[-1])
    assert play.watches == [["t1", "t3"]] * 2


def enqueue_watched(play: Play, task: str) -> int:
    call = Call(
        Enqueue(0, 0, b"spec", pack([(task, b"")])),
        Enqueued,
        play.now + 10_000,
        ids=(task,),
        slot=Slot(task),
    )
    call.watch()
    play.session.submit(call, play.now)
    play.collect()
    return call.number


def test_a_watch_that_came_with_its_enqueue_is_a_watch_as_any_other() -> None:
    play = Play()
    play.formed()
    numbers = [enqueue_watched(play, "t1"), enqueue_watched(play, "t2")]
    assert [sent.watch for sent in play.enqueues] == [True, True]
    play.say(A, *(Enqueued(number, watched=True) for number in numbers))
    play.say(A, Results([succeeded("t1")]))
    assert play.outcomes == [succeeded("t1")]
    assert play.watches == []
    play.lead(B, epoch=2)
    assert play.watches == [["t2"]]
    play.say(B, Results([succeeded("t2")]))
    assert play.outcomes[1:] == [succeeded("t2")]


def test_a_leader_that_does_not_watch_what_it_stores_is_asked_when_a_caller_waits() -> None:
    play = Play()
    play.formed()
    play.say(A, Enqueued(enqueue_watched(play, "t1")))
    play.lead(B, epoch=2)
    assert play.watches == []
    play.watch("t1")
    assert play.watches == [["t1"]]


def test_a_watch_at_a_leader_that_leads_no_more_is_registered_with_the_next_one() -> None:
    play = Play()
    play.formed()
    number = enqueue_watched(play, "t1")
    play.lead(B, epoch=2)
    play.say(A, Enqueued(number, watched=True))
    assert play.heard[-1] == (B, play.told(Watch)[-1])
    assert play.watches == [["t1"]]


def test_an_enqueue_that_ended_before_it_was_answered_is_not_watched() -> None:
    play = Play()
    play.formed()
    number = enqueue_watched(play, "t1")
    play.run(10_000, answering=ALIVE)
    play.say(A, Enqueued(number, watched=True))
    play.lead(B, epoch=2)
    assert play.watches == []


def test_a_watch_is_registered_anew_after_a_reconnection() -> None:
    play = Play()
    play.formed()
    play.watch("t1")
    play.say(A, Watched(play.told(Watch)[0].request))
    play.heard.clear()
    play.down(A)
    play.up(A)
    play.lead(A)
    assert play.watches == [["t1"]]


def test_an_unconfirmed_watch_goes_again_and_a_confirmed_one_does_not() -> None:
    play = Play()
    play.formed()
    play.watch("t1")
    play.run(600, answering=ALIVE)
    assert play.watches == [["t1"]] * 2
    play.say(A, Watched(play.told(Watch)[0].request))
    play.run(3_000, answering=ALIVE)
    assert play.watches == [["t1"]] * 2


def test_a_dropped_outcome_is_found_by_watching_again_after_a_quiet_while() -> None:
    play = Play()
    play.formed()
    play.watch("t1")
    play.say(A, Watched(play.told(Watch)[0].request))
    play.run(5_100, answering=ALIVE)
    assert play.watches == [["t1"]] * 2


def test_a_watch_waits_for_ever() -> None:
    play = Play()
    play.watch("t1")
    play.run(3_600_000)
    play.up(C)
    play.lead(C, epoch=9)
    play.say(C, Results([succeeded("t1")]))
    assert play.outcomes == [succeeded("t1")]


def test_an_unwatched_task_is_not_registered_again_and_costs_no_pings() -> None:
    play = Play()
    play.formed()
    play.watch("t1", "t2")
    play.say(A, Watched(play.told(Watch)[0].request))
    play.session.unwatch(["t1"])
    play.heard.clear()
    play.lead(A, epoch=2)
    assert play.watches == [["t2"]]
    play.session.unwatch(["t2"])
    play.say(A, Watched(play.told(Watch)[0].request))
    play.run(60_000)
    assert play.session.wake_at is None


def test_many_watches_go_in_frames_the_broker_takes() -> None:
    play = Play()
    play.formed()
    ids = [f"t{i}" for i in range(WATCH_IDS_MAX + 1)]
    play.watch(*ids)
    assert [len(w) for w in play.watches] == [WATCH_IDS_MAX, 1]


def test_a_state_that_is_not_final_is_no_outcome_but_unknown_is() -> None:
    play = Play()
    play.formed()
    play.watch("t1", "t2")
    unknown = Result("t2", State.UNKNOWN, b"")
    play.say(A, Results([Result("t1", State.RUNNING, b""), unknown]))
    assert play.outcomes == [unknown]


def test_a_request_to_drain_goes_to_every_new_leader_until_one_answers() -> None:
    play = Play()
    play.formed()
    number = play.call(DrainWorker(0, "w1"), WorkerDraining)
    play.lead(B, epoch=2)
    sent = [(to, message) for to, message in play.heard if isinstance(message, DrainWorker)]
    assert sent == [(A, DrainWorker(number, "w1")), (B, DrainWorker(number, "w1"))]
    play.say(B, WorkerDraining(number))
    assert [(a.call.number, a.error) for a in play.answers] == [(number, None)]


def test_a_worker_that_is_not_there_is_an_error_of_its_own() -> None:
    play = Play()
    play.formed()
    number = play.call(DrainWorker(0, "w1"), WorkerDraining)
    play.say(A, Refused(number, Code.UNKNOWN_WORKER, "no worker named 'w1'"))
    assert [type(answer.error) for answer in play.answers] == [UnknownWorker]


# ---- no room ----------------------------------------------------------------------------------


def full(number: int) -> Refused:
    return Refused(number, Code.QUEUE_FULL, "queue 'q' is full")


def test_an_enqueue_without_room_ends_at_once_unless_it_is_patient() -> None:
    play = Play()
    play.formed()
    play.say(A, full(play.enqueue("t1")))
    (answer,) = play.answers
    assert isinstance(answer.error, QueueFull)
    play.answers.clear()
    play.say(A, full(play.enqueue("t2", wait_when_full=True)))
    assert play.answers == []


def test_a_patient_enqueue_asks_again_with_growing_pauses_until_there_is_room() -> None:
    play = Play()
    play.formed()
    number = play.enqueue("t1", "t2", wait_when_full=True)
    pauses = []
    for _ in range(8):
        play.say(A, full(number))
        before, sent = play.now, len(play.enqueues)
        while len(play.enqueues) == sent:
            play.run(1, ALIVE)
        pauses.append(play.now - before)
    assert len(set(play.enqueues)) == 1
    first, longest = pauses[0], max(pauses)
    assert PAUSE_FIRST_MS / 2 <= first <= PAUSE_FIRST_MS * 1.5
    assert PAUSE_MAX_MS / 2 <= pauses[-1] <= longest <= PAUSE_MAX_MS * 1.5 + 1
    play.say(A, Enqueued(number))
    assert [(a.call.number, a.error) for a in play.answers] == [(number, None)]


def test_a_patient_enqueue_ends_as_full_at_its_deadline() -> None:
    play = Play()
    play.formed()
    number = play.enqueue("t1", timeout=2_000, wait_when_full=True)
    play.say(A, full(number))
    while not play.answers:
        sent = len(play.enqueues)
        play.run(1, ALIVE)
        if len(play.enqueues) > sent:
            play.say(A, full(number))
    (answer,) = play.answers
    assert isinstance(answer.error, QueueFull)
    assert play.now == 3_000
    play.run(60_000, ALIVE)
    assert play.session.wake_at is None


def test_a_patient_enqueue_that_is_unanswered_at_its_deadline_may_be_stored() -> None:
    play = Play()
    play.formed()
    number = play.enqueue("t1", timeout=2_000, wait_when_full=True)
    play.say(A, full(number))
    play.run(3_000, ALIVE)
    (answer,) = play.answers
    assert isinstance(answer.error, Unavailable)


def test_an_answer_that_its_broker_cannot_say_ends_the_call_with_its_outcome_unknown() -> None:
    play = Play()
    play.formed()
    number = play.enqueue("t1", "t2")
    play.say(A, Refused(number, Code.UNAVAILABLE, "what was asked for may have been done"))
    (answer,) = play.answers
    assert isinstance(answer.error, Unavailable)
    assert answer.error.ids == ("t1", "t2")


def test_calls_that_wait_for_room_hold_up_no_others() -> None:
    play = Play()
    play.formed()
    for n in range(WINDOW_REQUESTS):
        play.say(A, full(play.enqueue(f"t{n}", wait_when_full=True)))
    sent = len(play.enqueues)
    play.say(A, Enqueued(play.enqueue("other")))
    assert len(play.enqueues) == sent + 1
    assert [a.error for a in play.answers] == [None]


def test_a_patient_enqueue_goes_to_the_next_leader_as_the_same_request() -> None:
    play = Play()
    play.formed()
    number = play.enqueue("t1", wait_when_full=True)
    play.say(A, full(number))
    play.lead(B, epoch=2, time=99_999)
    play.run(200)
    first, second = play.enqueues
    assert (first, play.heard[-1][0]) == (second, B)


def test_a_client_that_closes_fails_calls_that_wait_for_room() -> None:
    play = Play()
    play.formed()
    number = play.enqueue("t1", wait_when_full=True)
    play.say(A, full(number))
    play.session.abandon("closing")
    play.collect()
    (answer,) = play.answers
    assert isinstance(answer.error, Unavailable)
