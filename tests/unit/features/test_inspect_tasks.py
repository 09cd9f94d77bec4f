"""One task, and pages of them: what is told, and that a page is bounded work."""

import pytest

from raftwork.broker.machine.commands import Assign, Fail, Finish
from raftwork.client.run_info import report
from raftwork.features import inspect_tasks, search_tasks
from raftwork.features.checkpoints import Note
from raftwork.features.enqueue import Admit
from raftwork.features.history import NameWorker, Ran
from raftwork.features.inspect_tasks import ListTasks, ShowTask, TaskPage, TaskShown
from raftwork.features.pause_queue import Delete
from raftwork.features.progress import Said, TellProgress, Told
from raftwork.messages import (
    PROTOCOL,
    Code,
    Extras,
    Failure,
    OnConflict,
    Refused,
    Spec,
    State,
    WorkerHello,
    encode_failure,
)
from raftwork.messages.shared import encode_spec
from raftwork.wire import INT_MAX, pack
from tests.unit.broker.request_harness import RequestHarness

WORKER = b"w"
UUID7 = "0199c1a2-7f2b-7c3e-8d4f-5a6b7c8d9e0f"
UUID7_MS = 0x0199C1A27F2B


@pytest.fixture
def harness() -> RequestHarness:
    return RequestHarness()


def put(harness: RequestHarness, *ids: str, **options: object) -> None:
    """Enqueue: `tags`, `created`, and fields of a Spec."""
    tags = options.pop("tags", None)
    created = options.pop("created", 0)
    spec = encode_spec(Spec(**{"name": "m.f", "queue": "default"} | options))  # type: ignore[arg-type]
    rest = ("", Extras(tags=list(tags.items()))) if isinstance(tags, dict) else ()
    assert isinstance(created, int)
    harness.queues.apply(Admit(created, spec, pack([[i, b"args", *rest] for i in ids])))


def show(harness: RequestHarness, task: str, *, body: bool = False) -> TaskShown:
    (answer,) = harness.told(ShowTask(1, task, body))
    assert isinstance(answer, TaskShown), answer
    return answer


def listed(harness: RequestHarness, **asked: object) -> list[str]:
    return [task.id for task in page(harness, **asked).tasks]


def page(harness: RequestHarness, **asked: object) -> TaskPage:
    asked.setdefault("tag", [])
    everything = ListTasks(1, INT_MAX, 200, State.UNKNOWN, "", "", [], 0)
    harness.say(everything._replace(**asked))  # type: ignore[arg-type]
    harness.barrier()
    for _ in range(99):
        for answer in harness.sent():
            assert isinstance(answer, TaskPage), answer
            return answer
    raise AssertionError("it never ended")


def test_a_task_that_waits_is_told_with_what_was_said_of_it(harness: RequestHarness) -> None:
    put(harness, "a", tags={"customer": "7"}, priority=130, created=5)
    told = show(harness, "a", body=True)
    assert (told.task.name, told.task.queue, told.task.state) == ("m.f", "default", State.QUEUED)
    assert (told.task.priority, told.task.enqueued, told.tags) == (130, 5, [("customer", "7")])
    assert (told.body, told.task.attempts, told.task.worker) == (b"args", 0, "")


def test_a_task_that_ended_is_told_with_its_worker_and_times(harness: RequestHarness) -> None:
    put(harness, "a", retries=1)
    harness.queues.apply(NameWorker(WORKER, "w1"))
    harness.queues.apply(Assign(WORKER, [1]))
    failure = encode_failure(Failure("ValueError", "no", ""))
    harness.queues.apply(Fail(1, failure, 0))
    harness.queues.apply(Assign(WORKER, [1]))
    running = show(harness, "a")
    assert (running.task.state, running.task.attempts, running.waits) == (State.RUNNING, 2, [])
    harness.queues.apply(Ran([(2, 40)]), Finish([(2, b"v")]))
    told = show(harness, "a", body=True)
    assert (told.task.name, told.task.worker, told.task.run_ms) == ("m.f", "w1", 40)
    assert (told.task.state, told.task.attempts, told.body) == (State.SUCCEEDED, 2, b"v")
    assert told.task.started == told.task.ended - 40
    assert [(a.number, a.worker, a.error) for a in told.attempts] == [(1, "w1", "ValueError: no")]
    assert show(harness, "a").body == b""


def test_who_claims_to_have_run_since_before_time_began_in_its_first_moment(
    harness: RequestHarness,
) -> None:
    put(harness, "a")
    harness.queues.apply(Assign(WORKER, [1]))
    harness.queues.apply(Ran([(1, 2**62)]), Finish([(1, b"v")]))
    assert show(harness, "a").task.started == 0


def test_how_far_a_task_is_is_told_while_it_runs(harness: RequestHarness) -> None:
    put(harness, "a", retries=1)
    me = WORKER * 16
    hello = WorkerHello(PROTOCOL, "w1", me, 1, "h", 1, 1, ["default"], [], False)
    harness.workers.hello(b"w1", hello, harness.now)
    harness.queues.apply(Assign(me, [1]))
    task = harness.machine.running_body(1)
    assert task is not None
    harness.workers.hand_out([(harness.workers.named("w1")[0], task, 1, 1)])
    harness.workers.receive(b"w1", TellProgress(1, [Told(1, 0.5, "half", 0)]), harness.now, 5_000)
    assert show(harness, "a").progress == Said(0.5, "half", 5_000)
    harness.queues.apply(Fail(1, encode_failure(Failure("ValueError", "no", "")), 0))
    assert show(harness, "a").progress is None


def test_a_checkpoint_is_told_with_the_contents_until_there_is_an_outcome(
    harness: RequestHarness,
) -> None:
    put(harness, "a", retries=1)
    assert show(harness, "a", body=True).checkpoint is None
    harness.queues.apply(Assign(WORKER, [1]), Note(1, 1, b"left"))
    assert show(harness, "a").checkpoint is None
    assert show(harness, "a", body=True).checkpoint == b"left"
    harness.queues.apply(Fail(1, encode_failure(Failure("ValueError", "no", "")), 0))
    assert show(harness, "a", body=True).checkpoint == b"left"
    harness.queues.apply(Assign(WORKER, [1]), Finish([(2, b"v")]))
    assert show(harness, "a", body=True).checkpoint is None


def test_the_error_of_a_failed_task_is_told(harness: RequestHarness) -> None:
    put(harness, "a")
    harness.queues.apply(Assign(WORKER, [1]))
    harness.queues.apply(Fail(1, encode_failure(Failure("ValueError", "x" * 900, "")), 0))
    error = show(harness, "a").task.error
    assert error == ("ValueError: " + "x" * 900)[:200]


def test_when_an_ordinary_task_was_enqueued_is_told_by_its_id(harness: RequestHarness) -> None:
    put(harness, UUID7, "mine", created=9)
    assert show(harness, UUID7).task.enqueued == UUID7_MS
    assert show(harness, "mine").task.enqueued == 0


def test_an_unknown_task_is_refused(harness: RequestHarness) -> None:
    (answer,) = harness.told(ShowTask(1, "nosuch"))
    assert isinstance(answer, Refused)
    assert answer.code is Code.UNKNOWN_TASK


def test_pages_are_newest_first_and_go_on_where_they_ended(harness: RequestHarness) -> None:
    put(harness, *"abcde")
    first = page(harness, limit=2)
    assert [task.id for task in first.tasks] == ["e", "d"]
    second = page(harness, limit=2, before=first.before)
    assert [task.id for task in second.tasks] == ["c", "b"]
    last = page(harness, limit=2, before=second.before)
    assert ([task.id for task in last.tasks], last.before) == (["a"], 0)


def test_filters_are_joined(harness: RequestHarness) -> None:
    put(harness, "a", name="mail.send", queue="mail", tags={"customer": "7"})
    put(harness, "b", name="mail.sort", tags={"customer": "8"})
    put(harness, "c", name="bill.send", tags={"customer": "7"})
    harness.queues.apply(Assign(WORKER, [1, 2]))
    harness.queues.apply(Finish([(1, b"v")]))
    assert listed(harness, name="mail.*") == ["b", "a"]
    assert listed(harness, name="mail.s") == []
    assert listed(harness, queue="mail") == ["a"]
    assert listed(harness, queue="nosuch") == []
    assert listed(harness, tag=["customer", "7"]) == ["c", "a"]
    assert listed(harness, tag=["customer", "7"], state=State.SUCCEEDED) == ["a"]
    assert listed(harness, state=State.RUNNING) == ["b"]
    assert listed(harness, state=State.RUNNING, tag=["customer", "7"]) == []
    assert listed(harness, state=State.QUEUED) == ["c"]
    assert listed(harness, state=State.LOST) == []


def test_since_ends_the_look_where_all_is_older(
    harness: RequestHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_tasks, "SLICE", 2)
    window = harness.machine.settings.enqueue_window
    late = 3 * window
    for at, task in enumerate("abcdef"):
        put(harness, task, tags={"t": "1"}, created=1 + at)
    harness.queues.apply(Admit(0, *_one("undated")))
    harness.queues.time = late
    put(harness, "new", tags={"t": "1"}, created=late)
    told = page(harness, since=late - 1)
    assert ([task.id for task in told.tasks], told.before) == (["new"], 0)
    assert told.scanned < 8


def _one(task: str) -> tuple[bytes, bytes]:
    return encode_spec(Spec("m.f", "default")), pack([[task, b""]])


def test_a_request_looks_at_so_many_rows_and_says_where_to_go_on(
    harness: RequestHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_tasks, "SLICE", 2)
    monkeypatch.setattr(inspect_tasks, "WORK_MAX", 6)
    put(harness, *"abcdef", name="other")
    first = page(harness, name="m.f")
    assert (first.tasks, first.scanned, first.before) == ([], 4, 3)
    assert page(harness, name="m.f", before=3).before in {0, 1}


def test_what_a_statement_can_see_costs_a_part_of_what_a_task_does(
    harness: RequestHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_tasks, "WINDOW", 10)
    for name in ("mail.send", "bill.send"):
        put(harness, *(f"{name}-{at}" for at in range(30)), name=name)
    harness.queues.apply(Assign(WORKER, list(range(1, 61))))
    harness.queues.apply(Finish([(token, b"v") for token in range(1, 61)]))
    part = search_tasks.parts(harness.machine.state, search_tasks.Filter(name="mail.*"))
    newest = part(61)
    assert (newest.seqs, newest.scanned, newest.before) == ([], 10, 51)
    last = part(11)
    assert (list(last.seqs), last.before) == (list(range(10, 0, -1)), 1)
    assert part(1).before == 0
    harness.view.time = 5_000
    told = page(harness, name="mail.*", limit=2)
    assert [task.id for task in told.tasks] == ["mail.send-29", "mail.send-28"]
    assert told.scanned == 40
    assert told.as_of == 5_000


def test_a_part_that_is_full_ends_with_its_last_task(
    harness: RequestHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_tasks, "SLICE", 3)
    put(harness, *"abcdefgh")
    part = search_tasks.parts(harness.machine.state, search_tasks.Filter(state=State.QUEUED))
    parts, before = [], 9
    while before:
        each = part(before)
        parts.append((list(each.seqs), each.scanned))
        before = each.before
    assert parts == [([8, 7, 6], 3), ([5, 4, 3], 3), ([2, 1], 2)]


def test_what_has_no_value_is_found_by_its_error_without_looking_at_the_others(
    harness: RequestHarness,
) -> None:
    put(harness, *"abcdef")
    harness.queues.apply(NameWorker(WORKER, "w1"), Assign(WORKER, [1, 2, 3, 4]))
    harness.queues.apply(Finish([(1, b"v"), (4, b"v")]))
    harness.queues.apply(Fail(2, encode_failure(Failure("TimeoutError", "too slow", "")), 0))
    harness.queues.apply(Fail(3, encode_failure(Failure("ValueError", "no", "")), 0))
    told = page(harness, error="timeout")
    assert ([task.id for task in told.tasks], told.scanned) == (["b"], 2)
    assert listed(harness, error="TOO SLOW", worker="w1") == ["b"]
    assert listed(harness, error="too slow", worker="w2") == []
    assert listed(harness, state=State.FAILED) == ["c", "b"]
    assert page(harness, state=State.FAILED).scanned == 2
    assert listed(harness, state=State.LOST) == []
    assert listed(harness, worker="w1") == ["d", "c", "b", "a"]
    assert listed(harness, state=State.SUCCEEDED, worker="w1") == ["d", "a"]
    assert listed(harness, state=State.QUEUED, error="no") == []


def test_bad_questions_are_refused(harness: RequestHarness) -> None:
    for wrong in (
        ListTasks(1, 1, 0, State.UNKNOWN, "", "", [], 0),
        ListTasks(1, 1, 201, State.UNKNOWN, "", "", [], 0),
        ListTasks(1, 1, 1, State.UNKNOWN, "", "", ["k", ""], 0),
        ListTasks(1, 1, 1, State.UNKNOWN, "", "", ["k"], 0),
    ):
        (answer,) = harness.ask(wrong) or harness.told(wrong)
        assert isinstance(answer, Refused), wrong


def test_what_ended_in_a_queue_that_is_deleted_is_told_without_it(harness: RequestHarness) -> None:
    put(harness, "a")
    harness.queues.apply(Assign(WORKER, [1]))
    harness.queues.apply(Finish([(1, b"v")]))
    harness.queues.apply(Delete("default"))
    assert (show(harness, "a").task.queue, show(harness, "a").task.state) == ("", State.SUCCEEDED)
    assert listed(harness) == ["a"]


def test_whose_arguments_another_one_has_is_told_so(harness: RequestHarness) -> None:
    spec = encode_spec(Spec("m.f", "default", on_conflict=OnConflict.REPLACE))
    for task in "ab":
        rows = pack([[task, task.encode(), "", Extras(unique="k")]])
        harness.queues.apply(Admit(harness.machine.time, spec, rows))
    assert show(harness, "a", body=True).body == b"b"
    told = show(harness, "b", body=True)
    assert (told.body, told.task.error) == (b"", "task a has its arguments")
    assert report(told, None).error == "task a has its arguments"
    assert listed(harness) == ["b", "a"]
