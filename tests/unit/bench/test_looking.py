"""`python -m bench looking`: its arithmetic, and that its viewers do what a page does."""

import re
from pathlib import Path

import pytest

from bench.looking.cost import wal_bytes
from bench.looking.page import named
from bench.looking.run import main
from bench.looking.settings import in_turn, share_kept
from bench.looking.viewers import PAGES, shows
from raftwork.web.application import static_files


def test_both_sides_are_measured_in_each_round_and_neither_always_first() -> None:
    sides: list[str] = []
    rates = {"without": iter([100.0, 200.0, 50.0]), "with": iter([98.0, 196.0, 49.0])}

    def measure(side: str) -> float:
        sides.append(side)
        return next(rates[side])

    found = in_turn("x", 3, lambda: measure("without"), lambda: measure("with"))
    assert sides == ["without", "with", "with", "without", "without", "with"]
    assert found.ratio == pytest.approx(0.98)
    kept = share_kept(found, "here", seen=3)
    assert kept.value == pytest.approx(0.98)
    assert kept.more == {"tasks/s without": 100, "tasks/s with": 98, "seen": 3}


def test_a_viewer_asks_for_what_the_page_asks_for() -> None:
    """As often, too: what a page needs stands in its own file."""
    files = static_files()
    for page, sources in PAGES.items():
        text = files[f"pages/{page}.js"].decode()
        for source in sources:
            noun = re.escape(source.path.partition("?")[0])
            said = re.findall(
                rf'(?:path: |query\()"{noun}".*?every: (?:before \? 0 : )?([\d_]+)', text
            )
            assert str(int(source.every_s * 1_000)) in [each.replace("_", "") for each in said], (
                source
            )
    assert 'path: "overview", every: 1_000' in files["app.js"].decode()


def test_the_streams_words_are_those_of_the_page() -> None:
    live = """const SHOWS = {
      overview: ["leader", "queues"],
      failures: ["failures"],
    };
    const other = { x: ["y"] };"""
    assert shows(live) == {"overview": {"leader", "queues"}, "failures": {"failures"}}
    assert shows("no stream") == {}


def test_a_page_weighs_what_it_names() -> None:
    files = {f"static/{name}": content for name, content in static_files().items()}
    page = files["static/index.html"].decode()
    assert "static/app.js" in named(page) and "static/app.css" in named(page)
    assert "./vendor/lit-html-3.3.3/lit-html.js" in named(files["static/app.js"].decode())
    assert named(
        'import"../a.js";import("./later.js"); a { b: url(c.woff2) } d { e: url(data:x) }'
    ) == ["../a.js", "c.woff2"]


def test_a_wal_is_found_wherever_a_broker_keeps_it(tmp_path: Path) -> None:
    (tmp_path / "g1").mkdir()
    (tmp_path / "g1" / "state.db-wal").write_bytes(bytes(7))
    (tmp_path / "x.db-wal").write_bytes(bytes(3))
    (tmp_path / "x.db").write_bytes(bytes(100))
    assert wal_bytes(tmp_path) == 10


def test_a_row_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["nonsense"])
    assert "no row nonsense; there are events, viewers, rest" in capsys.readouterr().err
