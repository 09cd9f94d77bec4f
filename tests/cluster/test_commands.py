"""Every command as a user meets it: what it prints where, and how it exits."""

import json
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cluster.conftest import MakeCluster
from tests.cluster.harness import PATIENCE, Cluster, run_cli

ABSENT = ("--brokers", "127.0.0.1:1", "--timeout", "0.3")


# ---- broker -------------------------------------------------------------------------------------


def test_a_broker_announces_itself_and_runs_until_told(make_cluster: MakeCluster) -> None:
    cluster = make_cluster(("solo",))
    cluster.start()
    first = cluster["solo"].log.read_text().splitlines()[0]
    assert first == f"listening solo {cluster.local.addresses['solo']}"
    assert cluster["solo"].stop(timeout=5) == 0


@pytest.mark.skipif(not Path("/proc/net/if_inet6").exists(), reason="no IPv6 here")
def test_everything_speaks_ipv6(make_cluster: MakeCluster) -> None:
    cluster = make_cluster(("solo",))
    cluster.brokers = cluster.brokers.replace("127.0.0.1", "[::1]")
    cluster.local.addresses["solo"] = cluster.brokers
    cluster.start()
    cluster.start_worker("w1", "--pool", "thread")
    done = cluster.cli("enqueue", "add", "1", "2", "--wait", "--timeout", "20")
    assert (done.code, done.out, done.err) == (0, "3\n", "")


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (["--cluster", "a=127.0.0.1:7701", "--data", "d"], "--name"),
        (["--name", "a", "--data", "d"], "--cluster"),
        (["--name", "a", "--cluster", "a=127.0.0.1:7701"], "--data"),
        (["--name", "x", "--cluster", "a=127.0.0.1:7701", "--data", "d"], "'x' is not in"),
        (["--name", "a", "--cluster", "a=127.0.0.1", "--data", "d"], "HOST:PORT"),
        (["--name", "a", "--cluster", "a=10.0.0.1:7701", "--data", "d"], "--insecure"),
        (
            *(["--name", "a", "--cluster", "a=127.0.0.1:7701", "--data", "d", "--consensus", "x"],),
            "--consensus",
        ),
    ],
)
def test_a_broker_with_wrong_flags_exits_2_and_says_why(
    tmp_path: Path, flags: list[str], reason: str
) -> None:
    done = run_cli("broker", *flags, cwd=tmp_path)
    assert (done.code, done.out) == (2, "")
    assert reason in done.err
    assert not (tmp_path / "d").exists()


def test_a_broker_whose_port_is_taken_exits_1_and_names_it(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = run_cli(
            *("broker", "--name", "a", "--cluster", f"a={address}", "--data", "d"), cwd=tmp_path
        )
    assert (done.code, done.out) == (1, "")
    assert done.err == f"Error: cannot listen on {address}: Address already in use\n"


def test_a_directory_that_is_not_this_brokers_is_refused(make_cluster: MakeCluster) -> None:
    cluster = make_cluster()
    cluster.start()
    local = cluster.local

    def refused(*arguments: str) -> str:
        done = run_cli(*arguments, cwd=cluster.directory)
        assert (done.code, done.out) == (1, ""), done
        assert "Traceback" not in done.err
        return done.err

    assert str(cluster["a"].pid) in refused(*local.broker_arguments("a")), "it is open already"
    cluster["a"].stop(timeout=5)
    of_a = ("--data", str(local.data("a")))
    assert "'a'" in refused(*local.broker_arguments("b"), *of_a)
    names = f"a={local.addresses['a']}"
    moved = ",".join(f"{name}=127.0.0.1:{n}" for n, name in enumerate("abc", 1))
    for mapping, helps in ((names, False), (moved, True)):
        flags = ("--cluster", mapping, "--consensus", cluster.consensus)
        assert ("--readdress" in refused("broker", "--name", "a", *flags, *of_a)) == helps


def test_a_directory_keeps_to_its_protocol(make_cluster: MakeCluster) -> None:
    cluster = make_cluster(("solo",))
    cluster.start()
    cluster["solo"].stop(timeout=5)
    (protocol,) = {"raft", "zab"} - {cluster.consensus}
    other = [*cluster.local.broker_arguments("solo"), "--consensus", protocol]
    done = run_cli(*other, cwd=cluster.directory)
    assert (done.code, done.out) == (1, "")
    assert f"not {protocol!r}" in done.err
    assert "Traceback" not in done.err


# ---- enqueue and result -------------------------------------------------------------------------


@pytest.fixture
def solo(make_solo: Callable[[], Cluster]) -> Cluster:
    """One broker and one worker: commands look the same with three."""
    cluster = make_solo()
    cluster.start_worker("w1", "--pool", "thread", "--concurrency", "2")
    return cluster


def test_enqueue_prints_the_id_and_result_the_value(solo: Cluster) -> None:
    done = solo.cli("enqueue", "add", "1", "--kwargs", '{"y": 2}')
    assert (done.code, done.err) == (0, "")
    (id_,) = done.out.split()
    value = solo.cli("result", id_, "--wait", "--timeout", "20")
    assert (value.code, value.out, value.err) == (0, "3\n", "")
    again = solo.cli("result", id_)
    assert (again.code, again.out) == (0, "3\n")


def test_an_argument_is_json_if_it_parses_else_a_string(solo: Cluster) -> None:
    for argument, value in (
        ("-5", -5),
        ("text", "text"),
        ('"quoted"', "quoted"),
        ("null", None),
        ("[1, 2.5, {}]", [1, 2.5, {}]),
        ('{"$bytes": "AP8="}', {"$bytes": "AP8="}),
        ("NaN", "NaN"),
        ("é", "é"),
    ):
        done = solo.cli("enqueue", "echo", argument, "--wait", "--timeout", "20")
        assert (done.code, done.err) == (0, "")
        assert json.loads(done.out) == value


def test_a_failure_goes_to_stderr_with_its_traceback(solo: Cluster) -> None:
    done = solo.cli("enqueue", "fail", "9", "--id", "f", "--wait", "--timeout", "20")
    assert (done.code, done.out) == (1, "")
    assert "ValueError: attempt 1 fails as asked" in done.err
    assert "Traceback" in done.err
    later = solo.cli("result", "f")
    assert (later.code, later.out) == (1, "")
    assert later.err.startswith("failed\n")


def test_what_has_no_result_yet_says_its_state(solo: Cluster) -> None:
    assert solo.cli("enqueue", "add", "1", "--queue", "nobody", "--id", "q").out == "q\n"
    now = solo.cli("result", "q")
    assert (now.code, now.out, now.err) == (1, "", "queued\n")

    def later() -> bool:
        done = solo.cli("result", "q", "--wait", "--timeout", "0.2")
        assert (done.code, done.out) == (1, "")
        # The time may be over before the broker has answered anything.
        assert done.err.startswith(("queued\n", "Error: Unavailable: ")), done.err
        return done.err.startswith("queued\n")

    solo.wait_until(later, "it still waits")
    waited = solo.cli("enqueue", "add", "1", "--queue", "nobody", "--wait", "--timeout", "0.2")
    assert (waited.code, waited.out) == (1, "")
    assert solo.cli("result", "nosuch").code == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("enqueue",),
        ("enqueue", "add", "--queeu", "x"),
        ("enqueue", "add", "-x"),
        ("enqueue", "add", "--kwargs", "[1]"),
        ("enqueue", "add", "--kwargs", "{"),
        ("enqueue", "add", "--timeout", "-1"),
        ("enqueue", "add", "--timeout", "0"),
        ("enqueue", "add", "--timeout", "nan"),
        ("enqueue", "add", "--timeout", "inf"),
        ("enqueue", "add", "--id", ""),
        ("enqueue", "add", "--id", "x" * 256),
        ("enqueue", "add", "--queue", ""),
        ("enqueue", "add", "--queue", "a,b"),
        ("enqueue", "x" * 256),
        ("enqueue", "add", "--brokers", "nonsense"),
        ("result",),
        ("result", ""),
        ("result", "x", "--timeout", "soon"),
        ("result", "x", "--timeout", "0"),
        ("status", "--brokers", ""),
        ("status", "--xml"),
        ("worker", "tasks"),
        ("worker", "tasks:app", "--pool", "fibre"),
        ("worker", "tasks:app", "--concurrency", "0"),
        ("worker", "tasks:app", "--queues", "a,,b"),
        ("worker", "tasks:app", "--queues", "x" * 256),
        ("worker", "tasks:app", "--queues", ",".join(map(str, range(1_001)))),
        ("worker", "tasks:app", "--name", "x" * 256),
        ("worker", "tasks:app", "--name", "a\nb"),
        ("demo", "--tasks", "0"),
        ("nosuch",),
    ],
)
def test_wrong_usage_exits_2_on_stderr(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = run_cli(*arguments, cwd=tmp_path)
    assert (done.code, done.out) == (2, "")
    assert "Usage:" in done.err


@pytest.mark.parametrize(
    "arguments", [("status",), ("result", "x"), ("enqueue", "add"), ("worker", "json:loads")]
)
def test_an_environment_that_names_no_address_is_wrong_usage(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    done = run_cli(*arguments, cwd=tmp_path, env={"RAFTWORK_BROKERS": "nonsense"})
    assert (done.code, done.out) == (2, "")
    assert "RAFTWORK_BROKERS: a broker's address must be HOST:PORT, got 'nonsense'" in done.err


def test_without_brokers_commands_exit_1_and_say_who_was_asked(tmp_path: Path) -> None:
    for arguments in (("enqueue", "add", *ABSENT), ("result", "x", *ABSENT)):
        done = run_cli(*arguments, cwd=tmp_path)
        assert (done.code, done.out) == (1, "")
        assert "127.0.0.1:1" in done.err
    unsure = run_cli("enqueue", "add", "--id", "mine", *ABSENT, cwd=tmp_path)
    assert "--id mine" in unsure.err, "how to enqueue it again without doing it twice"
    status = run_cli("status", "--json", "--brokers", "127.0.0.1:1", cwd=tmp_path)
    assert status.code == 1
    assert json.loads(status.out) == {
        "leader": None,
        "epoch": None,
        "consensus": None,
        "stale": True,
        "brokers": [
            {
                "name": "127.0.0.1:1",
                "address": "127.0.0.1:1",
                "role": "unreachable",
                "epoch": None,
                "committed": None,
                "applied": None,
                "reason": None,
            }
        ],
        "workers": [],
        "queues": {},
    }


# ---- worker -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "reason"),
    [("nosuch:app", "nosuch"), ("json:nosuch", "nosuch"), ("json:loads", "not an App")],
)
def test_a_worker_without_an_app_exits_1_and_says_why(
    tmp_path: Path, target: str, reason: str
) -> None:
    done = run_cli("worker", target, cwd=tmp_path)
    assert (done.code, done.out) == (1, "")
    assert reason in done.err
    assert "Traceback" not in done.err


def test_a_worker_finds_its_module_in_the_current_directory(
    make_cluster: MakeCluster, tmp_path: Path
) -> None:
    cluster = make_cluster(("solo",), worker_target="mytasks:queue")
    (cluster.directory / "mytasks.py").write_text(
        "from raftwork import App\n"
        f"queue = App(brokers={cluster.brokers!r})\n"
        "@queue.task\n"
        "def double(x):\n"
        "    return 2 * x\n"
    )
    cluster.start()
    # As the installed command is: `python -m` would put the directory on the path by itself.
    child = cluster.local.start(
        "w1", ["worker", "mytasks:queue", "--pool", "thread"], env={"PYTHONSAFEPATH": "1"}
    )
    done = cluster.cli("enqueue", "mytasks.double", "21", "--wait", "--timeout", "20")
    assert (done.code, done.out) == (0, "42\n")
    (worker,) = cluster.see().workers
    assert worker.pid == child.pid
    assert worker.name.endswith(f"-{child.pid}")
    assert child.stop(timeout=10) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_told_to_stop_while_it_imports_its_tasks_exits_0(
    make_cluster: MakeCluster, number: signal.Signals
) -> None:
    cluster = make_cluster(("solo",))
    (cluster.directory / "slow.py").write_text(
        "import pathlib, time\npathlib.Path('imports').touch()\ntime.sleep(600)\n"
    )
    worker = cluster.local.start("w1", ["worker", "slow:app"])
    cluster.wait_until((cluster.directory / "imports").exists, "it imports")
    worker.signal(number)
    assert worker.wait(timeout=PATIENCE) == 0


# ---- status -------------------------------------------------------------------------------------


def test_status_shows_brokers_workers_and_queues(cluster: Cluster) -> None:
    cluster.start_worker("w1", "--pool", "thread", "--concurrency", "3", "--queues", "default,x")
    for n in range(3):
        cluster.app.enqueue("add", n).result(timeout=20)
    dead, other = cluster.followers()
    cluster.wait_for_caught_up(other)  # two lead without the third, which may be late
    cluster.kill(dead)
    done = cluster.cli("status", "--json")
    assert (done.code, done.err) == (0, "")
    seen = json.loads(done.out)
    assert (seen["leader"], seen["consensus"], seen["stale"]) == (
        cluster.leader(),
        cluster.consensus,
        False,
    )
    brokers = {broker["name"]: broker for broker in seen["brokers"]}
    assert set(brokers) == {"a", "b", "c"}
    assert brokers[dead] == {
        "name": dead,
        "address": cluster.local.addresses[dead],
        "role": "unreachable",
        "epoch": None,
        "committed": None,
        "applied": None,
        "reason": None,
    }
    assert sorted(broker["role"] for broker in brokers.values()) == [
        "follower",
        "leader",
        "unreachable",
    ]
    (worker,) = seen["workers"]
    assert (worker["name"], worker["slots"], worker["state"]) == ("w1", 3, "active")
    assert sorted(worker["queues"]) == ["default", "x"]
    assert worker["pid"] == cluster["w1"].pid
    assert set(worker) == {
        *("name", "host", "pid", "slots", "running", "weight", "cpu", "memory", "queues", "state"),
        *("reason", "others", "load", "terms", "parked"),
    }
    assert seen["queues"] == {
        "default": {"queued": 0, "running": 0, "succeeded": 3, "failed": 0, "lost": 0}
        | {"bytes": 0, "balancer": None, "max_length": None, "max_bytes": None}
        | {"fair": None, "weights": None, "patience": None}
        | {"concurrency": None, "rate": None, "burst": None}
        | {
            "scheduled": 0,
            "delayed": 0,
            "blocked": 0,
            "cancelled": 0,
            "paused": False,
            "paused_until": None,
        }
    }
    people = cluster.cli("status")
    assert people.code == 0
    assert all(word in people.out for word in ("leader", "unreachable", "w1", "default"))
    assert "…" not in people.out, "what goes to a pipe is not cut off"


@pytest.mark.parametrize(
    "command", ["broker", "worker", "enqueue", "result", "status", "demo", "drain", "chaos"]
)
def test_every_command_explains_itself_with_an_example(tmp_path: Path, command: str) -> None:
    done = run_cli(command, "--help", cwd=tmp_path)
    assert (done.code, done.err) == (0, "")
    assert f"raftwork {command}" in done.out.partition("Example:")[2]
