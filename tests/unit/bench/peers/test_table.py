"""The arithmetic and the tables of `python -m bench peers`."""

import pytest

from bench.harness import Figures
from bench.peers.catalogue import RAFTWORK
from bench.peers.measures import Sample
from bench.peers.table import Results, Side, Spread, markdown, report, schedule


def side(others: float = 0.0, **values: float) -> Side:
    samples = {name.replace("_", "-"): Sample(value) for name, value in values.items()}
    return Side("1.0", others, samples)


def test_raftwork_is_measured_just_before_or_after_each_other() -> None:
    assert schedule(["raftwork", "a", "b", "c"], 0) == [["a", "raftwork", "b"], ["c", "raftwork"]]
    assert schedule(["raftwork"], 0) == [["raftwork"]]


@pytest.mark.parametrize("peers", [["a"], ["a", "b"], ["a", "b", "c", "d", "e"]])
def test_neither_is_always_first(peers: list[str]) -> None:
    def before(number: int) -> dict[str, bool]:
        return {
            name: group.index(name) < group.index(RAFTWORK)
            for group in schedule([RAFTWORK, *peers], number)
            for name in group
            if name != RAFTWORK
        }

    assert before(0).keys() == set(peers)
    assert before(1) == {name: not was for name, was in before(0).items()}
    assert before(2) == before(0)


def test_only_neighbours_are_compared() -> None:
    """The machine is half as fast in the second group."""
    results = Results(
        [
            {"celery": side(enqueue=100), RAFTWORK: side(enqueue=200)},
            {RAFTWORK: side(enqueue=100), "celery": side(enqueue=50)},
            {RAFTWORK: side(enqueue=1), "etcd": side(enqueue=1)},
        ]
    )
    assert results.ratio("celery", "enqueue") == Spread(2, 2, 2)
    assert results.spread("celery", "enqueue") == Spread(75, 50, 100)
    assert results.spread(RAFTWORK, "enqueue") == Spread(100, 1, 200)


def test_what_one_of_both_has_not_measured_is_not_compared() -> None:
    results = Results(
        [
            {"celery": side(enqueue=100)},  # Raftwork failed
            {RAFTWORK: side(enqueue=300), "celery": side(enqueue=100)},
            {RAFTWORK: side(enqueue=300, failover=7), "celery": side()},
        ]
    )
    assert results.ratio("celery", "enqueue") == Spread(3, 3, 3)
    assert results.ratio("celery", "failover") is None
    assert results.ratio("etcd", "enqueue") is None


def test_the_table_shows_medians_and_the_spread_of_ratios() -> None:
    slow = Side("1.0", 0, {"one-in-flight": Sample(4.0, {"p99": 9.0})})
    fast = Side("1.0", 0, {"one-in-flight": Sample(2.0, {"p99": 3.0}), "enqueue": Sample(1234.5)})
    results = Results([{RAFTWORK: fast, "celery": slow}])
    lines = list(markdown(results, ["one-in-flight", "enqueue"]))
    assert lines == [
        "| | one in flight, p50, ms | one thread, tasks/s |",
        "|---|---|---|",
        "| Raftwork | 2 (p99 3) | 1,234 |",
        "| Celery, Redis | 4 (p99 9) | – |",
        "",
        "Raftwork ÷ the other, measured next to each other: median (least–most)",
        "",
        "| | one in flight, p50, ms | one thread, tasks/s |",
        "|---|---|---|",
        "| Raftwork ÷ Celery, Redis | 0.5 (0.5–0.5) | – |",
    ]


def test_the_extremes_of_a_failover_are_those_of_single_kills(
    capsys: pytest.CaptureFixture[str],
) -> None:
    gaps = (Sample(20, {"least": 10, "most": 30}), Sample(40, {"least": 35, "most": 90}))
    results = Results([{RAFTWORK: Side("1.0", 0, {"failover": each})} for each in gaps])
    figures = Figures("peers")
    report(results, figures, "2 rounds")
    capsys.readouterr()
    (found,) = figures.figures
    assert (found.value, found.more) == (30, {"least": 10, "most": 90})


def test_the_figures_say_who_was_skipped_and_what_others_took(
    capsys: pytest.CaptureFixture[str],
) -> None:
    results = Results(
        [
            {RAFTWORK: side(0.1, enqueue=50), "etcd": side(0.2, enqueue=100)},
            {RAFTWORK: side(0.3, enqueue=75), "etcd": side(0.2, enqueue=100)},
        ],
        {"celery": "skipped: no program redis-server (…)"},
    )
    figures = Figures("peers")
    report(results, figures, "2 rounds")
    capsys.readouterr()
    etcd = figures.figures[-1]
    assert etcd.name == "enqueue one by one, one thread: etcd put"
    assert etcd.more == {
        "least": 100,
        "most": 100,
        "Raftwork÷it": 0.625,
        "least÷": 0.5,
        "most÷": 0.75,
    }
    said = "\n".join(figures.notes)
    assert "Celery, Redis: skipped: no program redis-server" in said
    assert "Raftwork: others took 20%, at most 30%" in said
    assert "etcd put: no “end to end, batches of 1,000”: no queue" in said
