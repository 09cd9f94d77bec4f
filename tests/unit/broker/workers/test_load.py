"""The weight: what a worker's heartbeats make of it, alone and among others."""

from itertools import pairwise
from math import exp, inf, log2, nan
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raftwork.broker.workers.load import FLOOR, LoadEstimate, share, weigh
from raftwork.messages import Heartbeat

numbers = st.floats(allow_nan=True, allow_infinity=True)


class Team:
    """Workers by name, told of once a second."""

    def __init__(self, *names: str, host: str | None = None) -> None:
        queues = frozenset({"default"})
        self.now = 0
        self.gauges = {name: LoadEstimate(host=host or name, queues=queues) for name in names}
        self.tasks = dict.fromkeys(names, 0)
        self.logs = dict.fromkeys(names, 0.0)

    def beat(
        self,
        name: str,
        *,
        cpu: float | None = 0.0,
        own: float | None = 0.0,
        memory: float | None = 0.1,
        load: float | None = 0.0,
        place: int = 0,
        tasks: int = 0,
        seconds: float = 0.1,
    ) -> None:
        self.tasks[name] += tasks
        self.logs[name] += tasks * log2(seconds * 1e9)
        done, logs = self.tasks[name], self.logs[name]
        beat = Heartbeat(1, cpu, memory, load, 0, 0, False, own, done, logs, place)
        self.gauges[name].update(beat, self.now)

    def weigh(self) -> dict[str, float]:
        weigh(list(self.gauges.values()), self.now)
        return {name: load_estimate.weight for name, load_estimate in self.gauges.items()}

    def second(self) -> dict[str, float]:
        weights = self.weigh()
        self.now += 1_000
        return weights


@pytest.mark.parametrize(
    ("told", "taken"), [(0.3, 0.3), (-1.0, 0.0), (7.0, 1.0), (inf, 1.0), (-inf, 0.0), (nan, 1.0)]
)
def test_a_share_is_between_none_and_all(told: float, taken: float) -> None:
    assert share(told) == taken


@given(
    st.lists(
        st.builds(
            Heartbeat,
            session=st.just(1),
            cpu=st.none() | numbers,
            memory=st.none() | numbers,
            load=st.none() | numbers,
            running=st.just(0),
            window=st.just(0),
            draining=st.just(False),
            own=st.none() | numbers,
            ended=st.integers(0, 2**63 - 1),
            log_times=numbers,
            place=st.integers(0, 2),
        ),
        max_size=12,
    ),
    st.integers(0, 10_000),
)
def test_a_weight_is_sane_whatever_workers_tell(beats: list[Heartbeat], age: int) -> None:
    gauges = [LoadEstimate(), LoadEstimate()]
    for i, beat in enumerate(beats):
        gauges[i % 2].update(beat, 0)
        weigh(gauges, age)
        for load_estimate in gauges:
            assert FLOOR <= load_estimate.weight <= 1.0
            assert all(0.0 <= term <= 1.0 for term in load_estimate.terms)
            assert isinstance(load_estimate.reason, str)


def test_a_worker_nobody_heard_of_yet_is_as_good_as_any() -> None:
    team = Team("new", "old")
    team.beat("old", tasks=50)
    assert team.weigh()["new"] == 1.0


def test_others_work_counts_and_its_own_does_not() -> None:
    team = Team("busy", "hogged")
    for _ in range(5):
        team.beat("busy", cpu=1.0, own=0.95)
        team.beat("hogged", cpu=0.6, own=0.0)
        team.second()
    weights = team.weigh()
    assert weights["busy"] == pytest.approx(0.95, abs=0.01)
    assert weights["hogged"] == pytest.approx(0.4, abs=0.05)
    assert "others use" in team.gauges["hogged"].reason
    assert team.gauges["busy"].reason == ""


def test_two_heartbeats_make_a_hogged_worker_the_last_resort_and_one_brings_it_back() -> None:
    team = Team("w")
    over = []
    for cpu in (0.0, 1.0, 1.0, 1.0, 0.0, 0.0):
        team.beat("w", cpu=cpu)
        team.second()
        over.append(team.gauges["w"].crowded)
    assert over == [False, False, True, True, False, False]
    team.beat("w")
    assert team.weigh()["w"] > 0.75


def test_a_crowded_worker_has_the_least_weight_and_says_why() -> None:
    team = Team("w")
    team.beat("w", cpu=0.92)
    assert team.weigh() == {"w": FLOOR}
    assert team.gauges["w"].reason == "overloaded: others use 92% of its CPUs"


def test_a_worker_short_of_memory_does_not_flap() -> None:
    team = Team("w")
    seen = []
    for memory in (0.9, 0.94, 0.96, 0.92, 0.94, 0.89, 0.94):
        team.beat("w", memory=memory)
        seen.append(team.gauges["w"].overloaded)
    assert seen == [False, False, True, True, True, False, False]


def test_overload_does_not_flap_in_between() -> None:
    team = Team("w")
    seen = []
    for cpu in [0.8] * 5 + [0.95] * 5 + [0.8] * 5 + [0.6] * 5 + [0.8] * 5:
        team.beat("w", cpu=cpu)
        team.second()
        seen.append(team.gauges["w"].crowded)
    assert [seen[i] for i in (4, 9, 14, 19, 24)] == [False, True, True, False, False]
    assert sum(a is not b for a, b in pairwise(seen)) == 2


def test_memory_counts_only_once_it_runs_short() -> None:
    team = Team("free", "short", "full")
    team.beat("free", memory=0.7)
    team.beat("short", memory=0.9)
    team.beat("full", memory=0.96)
    weights = team.weigh()
    assert weights["free"] == 1.0
    assert weights["short"] == pytest.approx(0.2)
    assert weights["full"] == FLOOR
    assert [g.overloaded for g in team.gauges.values()] == [False, False, True]
    assert team.gauges["full"].reason == "overloaded: 96% of its memory is in use"


def test_speeds_are_told_apart_by_how_long_tasks_take() -> None:
    team = Team("1", "2", "4", "8")
    for _ in range(20):
        for name in team.gauges:
            team.beat(name, cpu=0.5, own=0.5, tasks=int(name), seconds=1 / int(name))
        team.second()
    assert team.weigh() == pytest.approx({"1": 1 / 8, "2": 1 / 4, "4": 1 / 2, "8": 1.0}, rel=0.3)
    assert "times as long" in team.gauges["1"].reason


def test_one_long_task_does_not_make_a_slow_worker() -> None:
    team = Team("unlucky", "other")
    for second in range(10):
        team.beat("unlucky", tasks=5)
        team.beat("other", tasks=5)
        team.second()
        if second == 8:
            team.beat("unlucky", tasks=1, seconds=60.0)
    assert team.weigh()["unlucky"] > 0.7


def test_a_few_tasks_say_little() -> None:
    team = Team("new", "old")
    team.beat("old", tasks=50)
    team.beat("new", tasks=1, seconds=0.8)
    assert team.weigh()["new"] > 0.4  # 0.125 by that one


@pytest.mark.parametrize("count", [40, 400])
def test_among_many_workers_alike_none_looks_slow_by_chance(count: int) -> None:
    rng, team = Random(1), Team(*(f"w{i}" for i in range(count)))
    for _ in range(40):
        for name in team.gauges:
            team.beat(name, tasks=1, seconds=rng.expovariate(1.0))
        team.second()
    assert min(team.weigh().values()) > 0.75
    assert {load_estimate.reason for load_estimate in team.gauges.values()} == {""}


def test_speeds_are_told_apart_however_long_each_task_takes() -> None:
    rng, speeds = Random(1), (1, 2, 4, 8)
    team = Team(*(f"{speed} {i}" for speed in speeds for i in range(25)))
    for _ in range(40):
        for name in team.gauges:
            team.beat(name, tasks=1, seconds=rng.expovariate(int(name[0])))
        team.second()
    weights = team.weigh()
    means = [sum(w for n, w in weights.items() if n[0] == str(s)) / 25 for s in speeds]
    assert [mean / means[-1] for mean in means] == pytest.approx([0.125, 0.25, 0.5, 1.0], rel=0.3)


def test_many_short_tasks_a_second_tell_speeds_apart_too() -> None:
    team = Team("slow", "fast")
    for _ in range(30):
        team.beat("slow", tasks=100, seconds=0.004)
        team.beat("fast", tasks=200, seconds=0.002)
        team.second()
    assert team.weigh() == pytest.approx({"slow": 0.5, "fast": 1.0}, rel=0.1)


def test_speed_is_compared_among_workers_of_the_same_queues_only() -> None:
    team = Team("reports", "mails")
    team.gauges["reports"].queues = frozenset({"reports"})
    team.beat("reports", tasks=50, seconds=100.0)
    team.beat("mails", tasks=50, seconds=0.01)
    assert team.weigh() == {"reports": 1.0, "mails": 1.0}


def test_what_was_measured_beside_a_hog_is_forgotten_with_it() -> None:
    team = Team("w", "other")
    for cpu, seconds in ((1.0, 1.0), (1.0, 1.0), (1.0, 1.0), (0.0, 1.0), (0.0, 0.1), (0.0, 0.1)):
        team.beat("w", cpu=cpu, tasks=8 if cpu else 0, seconds=seconds)
        team.beat("other", tasks=8)
        team.second()
    assert team.weigh()["w"] > 0.8


def test_a_neighbours_end_is_noticed_though_it_never_crowded_the_worker() -> None:
    team = Team("w", "other")
    for _ in range(10):
        team.beat("w", cpu=1.0, own=0.33, tasks=4, seconds=0.3)
        team.beat("other", cpu=0.5, own=0.5, tasks=4)
        team.second()
    assert not team.gauges["w"].crowded
    assert team.weigh()["w"] == pytest.approx(0.33, abs=0.03)
    for _ in range(3):  # too few tasks come by to measure it anew
        team.beat("w")
        team.beat("other", cpu=0.7, own=0.7, tasks=6)
        team.second()
    assert team.weigh()["w"] > 0.8


class Kernel:
    """Its mean run queue over a minute, per CPU; five seconds a step."""

    def __init__(self) -> None:
        self.load, self._seconds = 0.0, 0

    def second(self, threads: float) -> float:
        self._seconds += 1
        if self._seconds % 5 == 0:
            self.load += (threads - self.load) * (1 - exp(-1 / 12))
        return round(self.load, 2)


@pytest.mark.parametrize("threads", [1.5, 2.0, 4.0, 20.0])
@pytest.mark.parametrize("seconds", [12, 25, 300, 301, 302, 303, 304])
def test_ten_seconds_after_a_hog_its_worker_is_as_good_as_before(
    threads: float, seconds: int
) -> None:
    team, kernel, weights = Team("w", "other"), Kernel(), []
    for hogged in [True] * seconds + [False] * 10:
        load = kernel.second(threads if hogged else 0.0)
        cpu, slowed = float(hogged), 0.1 * (threads + 1)
        team.beat("w", cpu=cpu, load=load, tasks=int(hogged), seconds=slowed)
        team.beat("other", cpu=0.5, own=0.5, tasks=8)
        weights.append(team.second()["w"])
    assert weights[seconds - 1] == FLOOR
    assert weights[-1] > 0.9


def test_a_run_queue_counts_once_it_has_lasted() -> None:
    team, kernel = Team("w"), Kernel()
    weights = []
    for _ in range(120):
        team.beat("w", cpu=0.1, load=kernel.second(5.0))
        weights.append(team.second()["w"])
    assert min(weights[:10]) > 0.8
    assert weights[-1] < 0.3


def test_an_old_heartbeat_counts_less_and_less() -> None:
    team = Team("w")
    team.beat("w")
    weights = []
    for _ in range(6):
        weights.append(team.weigh()["w"])
        team.now += 500
    assert weights == pytest.approx([1.0, 1.0, 1.0, 1.0, 2 / 3, 1 / 3])


def test_workers_that_share_cpus_do_not_take_each_other_out() -> None:
    team = Team(*(f"w{i}" for i in range(20)), host="big")
    for _ in range(5):
        for name in team.gauges:
            team.beat(name, cpu=1.0, own=0.05)
        team.second()
    assert min(team.weigh().values()) > 0.95
    # On other CPUs of the same machine it is somebody else's work.
    for _ in range(5):
        team.beat("w0", cpu=1.0, own=0.05, place=1)
        team.second()
    assert team.gauges["w0"].crowded


def test_a_long_run_queue_counts_where_cpus_look_idle() -> None:
    team = Team("thrashing")
    team.beat("thrashing", cpu=0.1, load=5.0)
    assert team.weigh()["thrashing"] == pytest.approx(0.2)
    assert "threads want" in team.gauges["thrashing"].reason
