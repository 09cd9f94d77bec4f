"""Entries, transactions, restarts: what makes the machine replicated."""

import apsw
import pytest

from raftwork.broker.machine import (
    TABLES,
    VERSION,
    ClusterSettings,
    create_or_migrate,
    level_two,
)
from raftwork.broker.machine.commands import (
    TIME_MAX,
    Assign,
    Command,
    Fail,
    Finish,
    Lose,
    Release,
    Tick,
    commands,
    encode_batch,
)
from raftwork.errors import OtherRelease, StoreError
from raftwork.features.effects import (
    Assigned,
    Done,
    Settled,
)
from raftwork.features.queue_settings import Configure, ConfigureThree
from raftwork.messages import Loss, State
from raftwork.release import RELEASE
from raftwork.wire import pack, unpack
from tests.unit.broker.machine.driver import FAILURE, START, WORKER, Driver, spec_of


def test_the_commands_of_an_entry_see_each_other(driver: Driver) -> None:
    applied = driver.apply(
        driver.put("a", "b"), Assign(WORKER, [1, 2]), Finish([(1, b"v")]), Release([2])
    )
    assert applied.replies == [Done()] * 4
    assert [driver.state(i) for i in "ab"] == [State.SUCCEEDED, State.QUEUED]
    assert driver.db.execute("SELECT * FROM running").fetchall() == []


def test_many_entries_may_share_one_transaction_and_one_flush(driver: Driver) -> None:
    other = Driver()
    batches: list[list[Command]] = [
        [driver.put("a", "b", "c")],
        [Assign(WORKER, [1, 2, 3])],
        [Finish([(1, b"v")]), Release([2])],
        [Assign(WORKER, [2])],
    ]
    driver.db.execute("BEGIN")
    for batch in batches:
        driver.machine.apply(encode_batch(START, batch))
    driver.machine.flush()
    driver.db.execute("COMMIT")
    for batch in batches:
        other.apply(*batch)
    assert driver.machine.digest() == other.machine.digest()
    driver.reopen()
    assert list(driver.machine.running()) == list(other.machine.running())


def test_a_flush_with_nothing_new_writes_nothing(driver: Driver) -> None:
    driver.start("a")
    before = driver.db.total_changes()
    driver.machine.flush()
    assert driver.db.total_changes() == before


def test_the_digest_tells_states_apart() -> None:
    one, two = Driver(), Driver()
    assert one.machine.digest() == two.machine.digest()
    one.enqueue("a")
    assert one.machine.digest() != two.machine.digest()
    two.enqueue("a")
    assert one.machine.digest() == two.machine.digest()
    one.finish(one.assign(1)[0], b"1")
    two.finish(two.assign(1)[0], b"2")
    assert one.machine.digest() != two.machine.digest()


#: Rows where this history leaves none.
FILLED = (
    "INSERT INTO timer VALUES (1, 1, 1)",
    "INSERT INTO start VALUES (1, 1, 1)",
    "INSERT INTO lane VALUES (1, 1, 0, '', '', '', 1)",
    "INSERT INTO laned VALUES (1, 1, 1)",
    "INSERT INTO key_order VALUES (1, '', 0)",
    "INSERT INTO key_waiting VALUES (1, '', 1, 1)",
    "INSERT INTO gate VALUES ('', '', 0, 0, 0, 0, 0, 0)",
    "INSERT INTO unique_key VALUES ('', '', '', 1, '', 0, 0, 1)",
    "INSERT INTO quota VALUES ('', x'')",
    "INSERT INTO tag VALUES ('', '', 1, 1, 1)",
    "INSERT INTO checkpoint VALUES (1, x'')",
    "INSERT INTO edge VALUES (1, 0, 2, 0)",
    "INSERT INTO unmet VALUES (2, 1, 0, 0)",
    "INSERT INTO flow VALUES (1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)",
    "INSERT INTO unmade VALUES (1, 0, x'', x'', '')",
    "INSERT INTO pin VALUES (1, 1, '')",
    "INSERT INTO signal VALUES (1, '', 0, x'')",
    "INSERT INTO node VALUES (1, 1, 1)",
    "INSERT INTO schedule VALUES (1, '', '', x'', x'', 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)",
    "INSERT INTO tick VALUES (1, 1, 0)",
    "INSERT INTO name VALUES (99, '')",
    "INSERT INTO worker VALUES (99, x'', '')",
    "INSERT INTO attempt VALUES (1, 1, 0, 0, 0, '', x'')",
    "INSERT INTO audit VALUES (1, 0, '', '', '', 0)",
    "INSERT INTO mark VALUES (1, '', 0, '')",
)


def test_the_digest_covers_every_table(driver: Driver) -> None:
    driver.enqueue("waits")
    driver.start("runs")
    driver.lose(driver.start("dead", spec=spec_of(at_most_once=True)))
    made = driver.db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
    tables = TABLES | level_two.TABLES
    assert [name for (name,) in made] == list(tables)
    for sql in FILLED:
        driver.db.execute(sql)
    for table in tables:
        before = driver.machine.digest()
        driver.db.execute(f"DELETE FROM {table}")
        assert driver.machine.digest() != before, table


def test_making_the_tables_twice_keeps_what_is_there(driver: Driver) -> None:
    driver.start("a")
    before = driver.machine.digest()
    create_or_migrate(driver.db)
    driver.reopen()
    assert driver.machine.digest() == before


@pytest.mark.parametrize(
    ("version", "remedy"), [(VERSION - 2, "start all brokers with empty"), (VERSION + 1, "newer")]
)
def test_tables_of_another_version_are_refused_and_the_error_says_what_to_do(
    driver: Driver, version: int, remedy: str
) -> None:
    driver.db.execute("UPDATE machine SET version = ?", (version,))
    with pytest.raises(StoreError, match=rf"version {version}, .* version {VERSION} .*{remedy}"):
        driver.reopen()


@pytest.mark.parametrize(
    "entry",
    [
        b"",
        b"\xc1",
        pack(7),
        pack([START]),
        pack([-1, []]),
        pack([1.5, []]),
        pack([True, []]),
        pack([TIME_MAX + 1, []]),
        pack([START, {}]),
    ],
)
def test_an_entry_that_cannot_be_read_stops_the_replica(driver: Driver, entry: bytes) -> None:
    stops(driver, entry)


def stops(driver: Driver, entry: bytes, said: str = "") -> None:
    """The entry is refused with a sentence, and a rollback leaves all as it was."""
    driver.enqueue("before")
    before = driver.machine.digest()
    driver.db.execute("BEGIN")
    with pytest.raises(OtherRelease, match=rf"newer release.*{RELEASE}.*{said}.*start this broker"):
        driver.machine.apply(entry)
    driver.db.execute("ROLLBACK")
    driver.reopen()
    assert driver.machine.digest() == before


@pytest.mark.parametrize(
    "command",
    [
        [99],
        [2, b"w", ["1"]],
        [3, [[1, "text"]]],
        [5, -1, 0],
        "tick",
        [],
        [4, 1],
        [4, 1, b"no failure", 0],
    ],
)
def test_a_command_that_cannot_be_read_stops_the_replica(driver: Driver, command: object) -> None:
    """Its neighbours are not carried out without it: a newer release's replicas carry out all."""
    good = [commands.plain(driver.put(task)) for task in ("a", "b")]
    stops(driver, pack([START, [good[0], command, good[1]]]))


#: Where each of these has records, the places of its fields, and one field more.
NEWER = [
    (Assign(WORKER, [1]), [2, WORKER, [1], 7]),
    (Finish([(1, b"v")]), [3, [[1, b"v"]], 7]),
    (Finish([(1, b"v")]), [3, [[1, b"v", 7]]]),
    (Fail(1, FAILURE, 0), [4, 1, FAILURE, 0, False, 7]),
    (Release([1]), [6, [1], 7]),
    (Lose([(1, True)], Loss("w")), [7, [[1, True, 7]], ["w", None, None, None, 0]]),
    (Lose([(1, True)], Loss("w")), [7, [[1, True]], ["w", None, None, None, 0, 7]]),
    (Lose([(1, True)], Loss("w")), [7, [[1, True]], ["w", None, None, None, 0], 7]),
    (Configure("q", b""), [51, "q", b"", 7]),
    (ConfigureThree("q", None, None, None), [50, "q", None, None, None, 7]),
    (Tick(), [8, 7]),
]


@pytest.mark.parametrize(("command", "more"), NEWER)
def test_a_field_more_than_is_known_stops_the_replica(
    driver: Driver, command: Command, more: list[object]
) -> None:
    """Wherever it is, in the command or in a record within."""
    stops(driver, pack([START, [more]]), f"{type(command).__name__} with")


def test_a_failure_with_a_field_more_stops_the_replica(driver: Driver) -> None:
    token = driver.start("a")
    failure = pack([*unpack(FAILURE), "log", b"t", 7])  # type: ignore[misc]
    stops(driver, encode_batch(START, [Fail(token, failure, 0)]), "Failure with 6 fields")


def test_an_entry_with_a_part_more_stops_the_replica(driver: Driver) -> None:
    stops(driver, pack([START, [], 1]), "3 parts")


def test_fewer_fields_are_an_older_releases(driver: Driver) -> None:
    token = driver.start("a")
    applied = driver.apply_raw(pack([START, [[4, token, FAILURE, 0], [7, [[9, True]]]]]))
    assert applied.replies == [Done(), Done()]
    assert driver.state("a") is State.FAILED


def test_times_at_their_upper_end_do_not_overflow() -> None:
    driver = Driver(ClusterSettings(result_ttl=2**61))
    driver.now = TIME_MAX
    driver.finish(driver.start("a", spec=spec_of(result_ttl=2**63 - 1)))
    driver.fail(driver.start("b", spec=spec_of(retries=1)), 2**63 - 1)
    assert (driver.state("a"), driver.state("b")) == (State.SUCCEEDED, State.QUEUED)


def test_anything_but_a_refusal_stops_the_replica(driver: Driver) -> None:
    driver.enqueue("a")
    driver.db.execute("DROP TABLE waiting")
    with pytest.raises(apsw.SQLError):
        driver.machine.apply(encode_batch(START, [Assign(WORKER, [1])]))


def test_tables_that_contradict_themselves_stop_the_replica(driver: Driver) -> None:
    driver.enqueue("a")
    driver.db.execute("DELETE FROM waiting")
    with pytest.raises(AssertionError, match="neither ran nor waited"):
        driver.machine.apply(encode_batch(START, [Assign(WORKER, [1])]))


def test_a_machine_made_anew_after_a_rollback_goes_on_from_the_last_commit(driver: Driver) -> None:
    driver.enqueue("a")
    before = driver.machine.digest()
    driver.db.execute("BEGIN")
    driver.machine.apply(encode_batch(START, [Assign(WORKER, [1])]))
    driver.machine.flush()
    driver.db.execute("ROLLBACK")
    driver.reopen()
    assert driver.machine.digest() == before
    assert driver.effects(Assign(WORKER, [1])) == [Assigned(WORKER, [(1, 1, 1)])]


def test_a_restart_reads_no_waiting_task(driver: Driver) -> None:
    """Its cost must not grow with the backlog, so its plans may scan small tables only."""
    seen: list[str] = []

    def trace(_cursor: apsw.Cursor, sql: str, _bindings: object) -> bool:
        seen.append(sql)
        return True

    driver.start("a")
    driver.db.exec_trace = trace
    driver.reopen()
    driver.db.exec_trace = None
    assert len(seen) >= 5
    for sql in seen:
        plan = driver.db.execute(f"EXPLAIN QUERY PLAN {sql}", tuple([1] * sql.count("?")))
        for _, _, _, step in plan:
            assert not str(step).startswith(("SCAN task", "SCAN waiting")), (sql, step)


def test_an_entry_applied_gives_the_same_answer_on_every_replica() -> None:
    one, two = Driver(), Driver()
    entry = encode_batch(START, [one.put("b", "a"), Assign(WORKER, [2, 1]), Finish([(1, b"v")])])
    assert one.apply_raw(entry) == two.apply_raw(entry)
    two.reopen()
    entry = encode_batch(START, [Finish([(2, b"w")]), Tick()])
    applied = one.apply_raw(entry)
    assert applied == two.apply_raw(entry)
    assert applied.effects == [Settled(2, 1, "b", "default", State.SUCCEEDED, b"w")]
