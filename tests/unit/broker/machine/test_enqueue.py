"""A task enters once, or the whole batch is refused with a reason."""

import apsw
import pytest

from raftwork.broker.machine import ClusterSettings
from raftwork.broker.machine.commands import encode_batch
from raftwork.durations import ms_in_words
from raftwork.errors import (
    BadMessage,
    OtherRelease,
    PayloadTooLarge,
    ProtocolError,
    QueueFull,
    RaftworkError,
    Unsupported,
)
from raftwork.features.effects import Done, EnqueuedAndAssigned, Queued
from raftwork.features.enqueue import Admit, check
from raftwork.features.enqueue import Admit as Enqueue
from raftwork.features.task_batch import AS_BEFORE, read_tasks
from raftwork.features.upgrade import Raise
from raftwork.messages import (
    BATCH_BYTES_MAX,
    BATCH_TASKS_MAX,
    ID_MAX,
    NAME_MAX,
    PAYLOAD_MAX,
    Code,
    Extras,
    Spec,
    State,
    decode_spec,
    encode_spec,
)
from raftwork.release import LEVELS
from raftwork.wire import pack
from tests.unit.broker.machine.driver import WORKER, Driver, spec_of, tasks_of


def test_new_tasks_wait_in_the_order_of_the_batch(driver: Driver) -> None:
    effects = driver.enqueue("b", "a", payload=b"p")
    assert effects == [Queued("default", spec_of(), 1, [("b", b"p"), ("a", b"p")])]
    assert driver.waiting_ids() == ["b", "a"]
    assert driver.counts() == (2, 0, 0, 0, 0)


def test_an_enqueue_may_hand_out_its_first_tasks(driver: Driver) -> None:
    command = driver.put("a", "b", "c", "d")._replace(begin=[(WORKER, 1), (b"two", 2)])
    assert driver.effects(command) == [
        EnqueuedAndAssigned(WORKER, spec_of(), [(1, 1, "a", b"payload")]),
        EnqueuedAndAssigned(b"two", spec_of(), [(2, 2, "b", b"payload"), (3, 3, "c", b"payload")]),
        Queued("default", spec_of(), 4, [("d", b"payload")]),
    ]
    assert driver.waiting_ids() == ["d"]
    assert driver.counts() == (1, 3, 0, 0, 0)
    assert [(r.worker, r.attempt) for r in driver.machine.running()] == [
        (WORKER, 1),
        (b"two", 1),
        (b"two", 1),
    ]
    driver.reopen()
    driver.finish(2)
    assert driver.state("b") is State.SUCCEEDED


def test_only_new_tasks_are_handed_out_by_an_enqueue(driver: Driver) -> None:
    driver.enqueue("a", "c")
    command = driver.put("a", "b", "c")._replace(begin=[(WORKER, 3)])
    assert driver.effects(command) == [
        EnqueuedAndAssigned(WORKER, spec_of(), [(1, 3, "b", b"payload")])
    ]
    assert driver.effects(command) == []
    assert driver.waiting_ids() == ["a", "c"]


def test_a_refused_enqueue_hands_out_nothing(driver: Driver) -> None:
    driver.enqueue("a")
    driver.refusal(driver.put("b", "a", payload=b"other")._replace(begin=[(WORKER, 2)]))


def test_numbers_grow_over_all_queues(driver: Driver) -> None:
    driver.enqueue("a")
    (effect,) = driver.enqueue("b", spec=spec_of("other"))
    assert isinstance(effect, Queued)
    assert (effect.queue, effect.first) == ("other", 2)


def test_a_batch_sent_again_is_done_and_changes_nothing(driver: Driver) -> None:
    driver.enqueue("a", "b")
    before = driver.machine.digest()
    assert driver.enqueue("a", "b") == []
    assert driver.machine.digest() == before


def test_only_the_new_tasks_of_a_batch_enter(driver: Driver) -> None:
    driver.enqueue("a", "c")
    effects = driver.enqueue("a", "b", "c", "d")
    assert effects == [Queued("default", spec_of(), 3, [("b", b"payload"), ("d", b"payload")])]
    assert driver.waiting_ids() == ["a", "c", "b", "d"]
    assert driver.counts()[0] == 4


@pytest.mark.parametrize("fate", ["waiting", "running", "delayed", "finished", "forgotten"])
def test_a_known_id_is_skipped_whatever_became_of_its_task(driver: Driver, fate: str) -> None:
    spec = spec_of(retries=1)
    driver.enqueue("a", spec=spec)
    if fate != "waiting":
        (token,) = driver.assign(1)
        if fate == "delayed":
            driver.fail(token, driver.now + 10_000)
        elif fate in ("finished", "forgotten"):
            driver.finish(token)
            driver.tick(2_000 if fate == "forgotten" else 0)
    assert driver.result("a").forgotten == (fate == "forgotten")
    before = driver.machine.digest()
    assert driver.enqueue("a", spec=spec) == []
    assert driver.machine.digest() == before


@pytest.mark.parametrize("fate", ["waiting", "finished", "forgotten"])
@pytest.mark.parametrize("other", ["payload", "spec"])
def test_a_known_id_with_other_contents_refuses_the_whole_batch(
    driver: Driver, fate: str, other: str
) -> None:
    driver.enqueue("used")
    if fate != "waiting":
        driver.finish(driver.assign(1)[0])
        driver.tick(2_000 if fate == "forgotten" else 0)
    changed = (
        driver.put("new", "used", payload=b"changed")
        if other == "payload"
        else driver.put("new", "used", spec=spec_of(timeout=5))
    )
    refusal = driver.refusal(changed)
    assert refusal.code is Code.PROTOCOL
    assert "'used'" in refusal.text
    assert driver.state("new") is State.UNKNOWN


CALL = pack([[1], {"x": [2]}])
TRACED = pack([[1], {"x": [2]}, {"headers": {"traceparent": "1"}}])
OTHERS = [
    CALL,
    pack([[1], {"x": [2]}, {"headers": {}}]),
    pack([[1], {"x": [2]}, {"headers": {"traceparent": "2", "tracestate": "z"}}]),
    pack([[1], {"x": [2]}, {"headers": {"x": "y" * 20_000}}]),
    b"\x93" + CALL[1:] + b"\x81\xa7headers\x81\xa1x\xa1\xff",  # no text: nobody reads it here
]


@pytest.mark.parametrize("keyed", [False, True], ids=["plain", "keyed"])
def test_the_same_call_with_other_headers_is_the_same_call(driver: Driver, keyed: bool) -> None:
    def put(payload: bytes) -> Admit:
        made = driver.put("a", payload=payload)
        return made._replace(tasks=pack([["a", payload, "key"]])) if keyed else made

    driver.apply(put(TRACED))
    before = driver.machine.digest()
    for payload in OTHERS:
        assert driver.effects(put(payload)) == []
    assert driver.machine.digest() == before
    assert driver.refusal(put(pack([[1], {"x": [3]}, {"headers": {}}]))).code is Code.PROTOCOL


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\x93",
        b"\x93\xc1\xc0\xc0",
        b"\x93\xc0\xc0" + b"\x91" * 5_000,
        b"\x93" + b"\x91" * 5_000,
        pack([[], {}, {"headers": {}, "map": "star"}]),
        b"\x93\x90\x80\x81\xa7headers" + b"\x91" * 5_000,
        pack([[], {}, {b"headers": {}}]),
        pack([[], {}, {"headers": {}}]) + b"more",
    ],
)
def test_a_payload_that_is_no_such_call_is_compared_as_it_is(
    driver: Driver, payload: bytes
) -> None:
    driver.enqueue("a", payload=payload)
    assert driver.enqueue("a", payload=payload) == []
    assert driver.refusal(driver.put("a", payload=payload + b"\xc0")).code is Code.PROTOCOL


def test_below_level_two_headers_are_contents_as_replicas_of_then_take_them() -> None:
    driver = Driver(level=LEVELS.most - 1)
    driver.enqueue("a", payload=TRACED)
    assert driver.enqueue("a", payload=TRACED) == []
    assert driver.refusal(driver.put("a", payload=CALL)).code is Code.PROTOCOL


@pytest.mark.parametrize("keyed", [False, True], ids=["plain", "keyed"])
def test_what_was_stored_below_level_two_is_the_same_call_above_it(keyed: bool) -> None:
    """A client whose answer was lost asks again after the raise."""
    driver = Driver(level=LEVELS.most - 1)
    row = ["a", TRACED, "key"] if keyed else ["a", TRACED]
    driver.apply(driver.put("a")._replace(tasks=pack([row])))
    driver.apply(Raise(LEVELS.most, "later"))
    assert driver.effects(driver.put("a")._replace(tasks=pack([row]))) == []
    assert driver.refusal(driver.put("a", payload=pack([[1], {}]))).code is Code.PROTOCOL


def test_a_number_that_is_taken_stops_the_replica_and_takes_no_row_away(driver: Driver) -> None:
    driver.enqueue("a")
    driver.machine.state.seq -= 1

    with pytest.raises(apsw.ConstraintError):
        driver.apply(driver.put("b"))

    assert driver.db.execute("SELECT seq, id FROM task").fetchall() == [(1, "a")]


def test_an_id_twice_in_a_batch_is_one_task(driver: Driver) -> None:
    driver.enqueue("a", "b", "a")
    assert driver.waiting_ids() == ["a", "b"]
    assert driver.counts()[0] == 2


def test_an_id_twice_in_a_batch_with_other_contents_is_refused(driver: Driver) -> None:
    command = Admit(driver.now, spec_of(), tasks_of(("a", b"1"), ("b", b"1"), ("a", b"2")))
    refusal = driver.refusal(command)
    assert refusal.code is Code.PROTOCOL and "'a'" in refusal.text


def test_an_empty_batch_makes_no_queue(driver: Driver) -> None:
    assert driver.enqueue() == []
    assert driver.machine.queues() == []


@pytest.mark.parametrize("task", ["nul\0inside", "quote\"'\\", "\u2028", "é" * ID_MAX, "𝄞"])
def test_any_text_is_an_id(driver: Driver, task: str) -> None:
    driver.enqueue(task, task + "x" if len(task) < ID_MAX else "x")
    assert driver.enqueue(task) == []
    assert driver.state(task) is State.QUEUED
    assert driver.state(task[:3]) is (State.QUEUED if len(task) <= 3 else State.UNKNOWN)


# ---- the window -------------------------------------------------------------------------------


def test_a_first_attempt_longer_ago_than_the_window_is_refused(driver: Driver) -> None:
    window = driver.settings.enqueue_window
    driver.now += window + 60_000
    late = Admit(driver.now - window - 60_000, spec_of(), tasks_of(("a", b"")))
    refusal = driver.refusal(late)
    assert refusal.code is Code.PROTOCOL
    assert f"first tried {ms_in_words(window + 60_000)} ago" in refusal.text
    assert f"after {ms_in_words(window)} an id" in refusal.text
    assert driver.effects(late._replace(created=driver.now - window)) != []


def test_the_window_is_measured_by_machine_time_not_by_the_entry(driver: Driver) -> None:
    driver.tick(driver.settings.enqueue_window + 10)
    driver.now -= driver.settings.enqueue_window + 10  # an entry of a leader whose clock is behind
    assert driver.refusal(driver.put("a")).code is Code.PROTOCOL


# ---- limits -----------------------------------------------------------------------------------


def test_more_unfinished_tasks_than_the_limit_are_refused() -> None:
    driver = Driver(ClusterSettings(tasks=3))
    driver.enqueue("a", "b")
    refusal = driver.refusal(driver.put("c", "d"))
    assert refusal.code is Code.QUEUE_FULL
    assert "4" in refusal.text and "3" in refusal.text
    driver.enqueue("c")
    (token,) = driver.assign(1)
    driver.reopen()
    assert driver.refusal(driver.put("d")).code is Code.QUEUE_FULL
    driver.finish(token)
    driver.enqueue("d")


def test_what_is_stored_already_is_done_although_the_queue_is_full() -> None:
    driver = Driver(ClusterSettings(tasks=2))
    driver.enqueue("a", "b")
    assert driver.enqueue("a", "b") == []
    check(driver.machine.state, spec_of(), tasks_of(("a", b"payload"), ("b", b"payload")))


def test_a_queue_too_many_is_refused() -> None:
    driver = Driver(ClusterSettings(queues=1))
    driver.enqueue("a")
    refusal = driver.refusal(driver.put("b", spec=spec_of("other")))
    assert refusal.code is Code.QUEUE_FULL and "queues" in refusal.text
    driver.enqueue("b")


def test_full_tombstones_refuse_enqueues_and_none_is_dropped_before_its_time() -> None:
    driver = Driver(ClusterSettings(results=0, tombstones=2, tombstone_ttl=500))
    for task in "ab":
        driver.finish(driver.start(task))
    assert [r.forgotten for r in driver.machine.lookup(["a", "b"])] == [True] * 2
    driver.reopen()
    assert driver.refusal(driver.put("d")).code is Code.QUEUE_FULL
    assert driver.enqueue("a") == []
    driver.tick(500)
    driver.enqueue("d")


# ---- malformed --------------------------------------------------------------------------------

LIMITS = ClusterSettings()
LARGE = tasks_of(("a", b"x" * PAYLOAD_MAX), ("b", b"x" * (PAYLOAD_MAX + 1)))


@pytest.mark.parametrize(
    ("spec", "tasks", "said"),
    [
        (b"\xc1", tasks_of(("a", b"")), "msgpack"),
        (pack([1, "n", 7]), tasks_of(("a", b"")), "Spec"),
        (spec_of(), b"\xc1", "msgpack"),
        (spec_of(), pack({}), "array"),
        (spec_of(), pack({"a": 1}), "max_map_len"),
        (spec_of(), pack([["a", b""], 7]), "array"),
        (spec_of(), pack([["a", b""], "ab"]), "array"),
        (spec_of(), pack([["a", b""], ["b"]]), "array"),
        (spec_of(), pack([["a", b""], [b"b", b""]]), "string"),
        (spec_of(), pack([["a", b""], ["b", "text"]]), "bytes"),
        (spec_of(), pack([["a", b"", b"k"]]), "key"),
    ],
)
def test_a_malformed_batch_is_refused_before_the_log_and_stops_the_replica_behind_it(
    driver: Driver, spec: bytes, tasks: bytes, said: str
) -> None:
    with pytest.raises(ProtocolError, match=said):
        check(driver.machine.state, spec, tasks)
    with pytest.raises(OtherRelease, match=said):
        driver.machine.apply(encode_batch(driver.now, [Enqueue(driver.now, spec, tasks)]))


@pytest.mark.parametrize(
    ("spec", "tasks", "said"),
    [
        (pack([1, *decode_spec(spec_of()), "new"]), tasks_of(("a", b"")), "fields instead of 24"),
        (pack([2, "n", "q"]), tasks_of(("a", b"")), "unknown message tag 2"),
        (spec_of(), pack([["a", b""], ["b", b"", "", [], 1]]), "5 fields instead of 4"),
    ],
)
def test_a_newer_clients_batch_is_refused_before_the_log_and_stops_the_replica_behind_it(
    driver: Driver, spec: bytes, tasks: bytes, said: str
) -> None:
    """What is not known here must not be dropped: the task would not be what was asked for."""
    with pytest.raises(Unsupported, match=rf"{said}.*upgrade the brokers"):
        check(driver.machine.state, spec, tasks)
    with pytest.raises(OtherRelease, match=rf"newer release.*{said}"):
        driver.machine.apply(encode_batch(driver.now, [Enqueue(driver.now, spec, tasks)]))


@pytest.mark.parametrize(
    ("spec", "tasks", "error", "said"),
    [
        (
            encode_spec(Spec("", "q")),
            tasks_of(("a", b"")),
            ProtocolError,
            "a task's name must have 1 to 255 characters, got 0",
        ),
        (
            encode_spec(Spec("n", "")),
            tasks_of(("a", b"")),
            ProtocolError,
            "a queue's name must have 1 to 255 characters, got 0",
        ),
        (spec_of("q" * (NAME_MAX + 1)), tasks_of(("a", b"")), ProtocolError, str(NAME_MAX + 1)),
        (
            encode_spec(Spec("n" * LIMITS.spec_bytes, "q")),
            tasks_of(("a", b"")),
            PayloadTooLarge,
            f"{LIMITS.spec_bytes}",
        ),
        (spec_of(), tasks_of(("a", b""), ("", b"")), ProtocolError, str(ID_MAX)),
        (spec_of(), tasks_of(("i" * (ID_MAX + 1), b"")), ProtocolError, str(ID_MAX)),
        (spec_of(), pack([["a", b"", "k" * (ID_MAX + 1)]]), ProtocolError, str(ID_MAX)),
        (spec_of(), LARGE, PayloadTooLarge, f"{PAYLOAD_MAX + 1} bytes; {PAYLOAD_MAX}"),
        (
            spec_of(),
            tasks_of(*((str(i), b"") for i in range(BATCH_TASKS_MAX + 1))),
            PayloadTooLarge,
            f"{BATCH_TASKS_MAX + 1} tasks; {BATCH_TASKS_MAX}",
        ),
        (
            spec_of(),
            tasks_of(*((str(i), b"x" * PAYLOAD_MAX) for i in range(16))),
            PayloadTooLarge,
            f"{BATCH_BYTES_MAX}",
        ),
    ],
)
def test_a_batch_beyond_a_limit_is_refused_before_and_after_the_log(
    driver: Driver, spec: bytes, tasks: bytes, error: type[RaftworkError], said: str
) -> None:
    with pytest.raises(error, match=said):
        check(driver.machine.state, spec, tasks)
    refusal = driver.refusal(Admit(driver.now, spec, tasks))
    assert said in refusal.text
    too_large = error is PayloadTooLarge
    assert refusal.code is (Code.PAYLOAD_TOO_LARGE if too_large else Code.PROTOCOL)


def test_validate_gives_the_spec_and_the_tasks(driver: Driver) -> None:
    spec, tasks = check(driver.machine.state, spec_of("q"), tasks_of(("a", b"1"), ("b", b"2")))
    assert spec.queue == "q"
    assert tasks == (("a", "b"), (b"1", b"2"), (), ())
    assert check(driver.machine.state, spec_of(), pack([]))[1] == ((), (), (), ())


def test_keys_stay_with_their_tasks_from_the_enqueue_to_every_hand_out(driver: Driver) -> None:
    tasks = pack([["a", b"1", "red"], ["b", b"2"], ["c", b"3", "blue"]])
    (queued,) = driver.effects(Admit(driver.now, spec_of(), tasks))
    assert queued == Queued(
        "default", spec_of(), 1, [("a", b"1"), ("b", b"2"), ("c", b"3")], ["red", "", "blue"]
    )
    assert [task.key for task in driver.waiting()] == ["red", "", "blue"]
    driver.release(*driver.assign(1))
    assert [task.key for task in driver.machine.waiting_by([1, 2])] == ["red", ""]


def test_the_same_id_with_another_key_is_other_contents(driver: Driver) -> None:
    driver.effects(Admit(driver.now, spec_of(), pack([["a", b"1", "red"]])))
    driver.effects(Admit(driver.now, spec_of(), pack([["a", b"1", "red"]])))
    for task in (["a", b"1", "blue"], ["a", b"1"]):
        refusal = driver.refusal(Admit(driver.now, spec_of(), pack([task])))
        assert "other contents" in refusal.text


def test_the_longest_names_fit() -> None:
    driver = Driver()
    longest = encode_spec(Spec("𝄞" * NAME_MAX, "𝄞" * NAME_MAX, 2**63 - 1, 2**63 - 1))
    driver.enqueue("a", spec=longest)
    assert driver.waiting_ids("𝄞" * NAME_MAX) == ["a"]


def test_validate_refuses_what_does_not_fit() -> None:
    driver = Driver(ClusterSettings(tasks=1))
    with pytest.raises(QueueFull, match=r"2 unfinished tasks, 1"):
        check(driver.machine.state, spec_of(), tasks_of(("a", b""), ("b", b"")))


def test_one_refused_command_does_not_touch_the_others_of_its_entry(driver: Driver) -> None:
    driver.enqueue("used")
    applied = driver.apply(
        driver.put("a"), driver.put("used", "b", payload=b"changed"), driver.put("c")
    )
    assert [type(reply) is Done for reply in applied.replies] == [True, False, True]
    assert driver.waiting_ids() == ["used", "a", "c"]
    assert [w.seq for w in driver.waiting()] == [1, 2, 3]


# ---- what several tasks have in common -----------------------------------------------------------


def test_extras_that_are_those_of_the_task_before_need_not_be_said_again(driver: Driver) -> None:
    """And it is the same batch: whoever sends it again says them or not."""
    extras = Extras(tenant="acme", tags=[("customer", "7")])
    short = pack([["a", b"1", "", extras], ["b", b"2", "", AS_BEFORE], ["c", b"3"]])
    whole = pack([["a", b"1", "", extras], ["b", b"2", "", extras], ["c", b"3", ""]])
    spec = spec_of()
    assert driver.apply(Admit(driver.now, spec, short)).replies == [Done()]
    tenants = [tenant for (tenant,) in driver.db.execute("SELECT tenant FROM task ORDER BY seq")]
    assert tenants == ["acme", "acme", ""]
    assert driver.apply(Admit(driver.now, spec, whole)).replies == [Done()]
    assert driver.counts()[0] == 3


@pytest.mark.parametrize("odd", [1, -1, False, "", 0.0, [0]])
def test_nothing_else_stands_for_extras(driver: Driver, odd: object) -> None:
    batch = pack([["a", b"1", "", Extras(tenant="t")], ["b", b"2", "", odd]])
    with pytest.raises(BadMessage):
        read_tasks(batch, driver.settings)


def test_of_the_first_task_there_is_none_before(driver: Driver) -> None:
    tasks = read_tasks(pack([["a", b"1", "", AS_BEFORE]]), driver.settings)
    assert tasks.extras == [Extras()]
