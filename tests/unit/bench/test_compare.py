"""`python -m bench compare`: its arithmetic, and that each tree is measured as itself."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.compare import compare, interval, order, report


def test_a_ratio_says_how_many_times_as_good_the_working_tree_is() -> None:
    rates = compare("rate", "tasks/s", [100, 200, 50], [110, 240, 60], less_is_better=False)
    assert rates.ratio == pytest.approx(1.2)
    assert (rates.least, rates.most) == pytest.approx((1.1, 1.2))
    times = compare("time", "ms", [4, 6, 2], [2, 2, 2], less_is_better=True)
    assert (times.before, times.after) == (4, 2)
    assert times.ratio == pytest.approx(2)


def test_only_what_was_measured_in_the_same_round_is_compared() -> None:
    """The machine is twice as slow from the third round on, for both sides."""
    before, after = [100, 100, 50, 50, 50], [102, 102, 51, 51, 51]
    found = compare("rate", "tasks/s", before, after, less_is_better=False)
    assert found.ratio == pytest.approx(1.02)
    assert found.verdict == "better"


def test_a_verdict_needs_rounds_and_agreement() -> None:
    def verdict(*ratios: float) -> str:
        pair = [1.0] * len(ratios), list(ratios)
        return compare("", "", *pair, less_is_better=False).verdict

    assert verdict(0.5, 0.5, 0.5, 0.5) == "too few rounds"
    assert verdict(0.5, 0.9, 0.8, 0.7, 0.6) == "worse"
    assert verdict(1.5, 1.9, 1.8, 1.7, 1.6) == "better"
    assert verdict(1.5, 1.9, 1.8, 1.7, 0.9) == "no difference seen"


def test_the_interval_is_of_the_sign_test() -> None:
    """Its levels stand in every table of the binomial distribution."""
    values = list(map(float, range(1, 12)))
    assert interval(values[:5]) == (1, 5, 0.9375)
    assert interval(values[:8]) == (2, 7, 1 - 2 * 9 / 256)
    assert interval(values) == (3, 9, 1 - 2 * (1 + 11 + 55) / 2048)
    assert interval(values[:1]) == (1, 1, 0)


def test_neither_side_always_goes_first() -> None:
    assert order(3) == [(0, 1), (1, 0), (0, 1)]


def test_the_table_names_both_sides_and_the_verdict() -> None:
    found = [compare("enqueue", "tasks/s", [100] * 5, [50] * 5, less_is_better=False)]
    text = report("v1.0", "working tree", found)
    assert "v1.0" in text.splitlines()[0]
    assert text.splitlines()[1].endswith("worse")


def test_what_is_no_measurement_is_refused_before_anything_runs() -> None:
    root = Path(__file__).parents[3]
    asked = [sys.executable, "-m", "bench", "compare", "HEAD", "--only", "luck"]
    done = subprocess.run(asked, cwd=root, env=os.environ, capture_output=True, text=True)
    assert done.returncode == 2
    assert "no measurement luck; there is throughput, enqueue, one-in-flight" in done.stderr
