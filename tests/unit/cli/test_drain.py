"""`raftwork drain --wait`: what it makes of the looks it takes."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Self

import pytest
from click.testing import CliRunner

from raftwork.cli import cluster as asking
from raftwork.cli import drain

Look = SimpleNamespace


def look(leader: str | None = "a", **workers: str) -> Look:
    """One of the cluster; `p7="lost"` is the state of the worker with that pid."""
    rows = [Look(name="w", host="h", pid=int(p[1:]), state=s) for p, s in workers.items()]
    return Look(leader=leader, epoch=1, workers=rows)


def twice(*states: str) -> Look:
    """Rows of one pid: in containers all have the same."""
    rows = [Look(name="w", host="h", pid=1, state=state) for state in states]
    return Look(leader="a", epoch=1, workers=rows)


class Cluster:
    """An App that drains, and the looks that follow; the last is seen again and again."""

    def __init__(self, looks: list[Look]) -> None:
        self._looks: Iterator[Look] = iter(looks)
        self._seen = looks[0]

    def observe(self, _brokers: str | None) -> Look:
        self._seen = next(self._looks, self._seen)
        return self._seen

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def drain(self, name: str) -> None:
        assert name == "w"


@pytest.mark.parametrize(
    ("looks", "code"),
    [
        ([look(p7="active"), look(p7="draining"), look()], 0),
        ([look(p7="active"), look(p7="draining"), look(p7="lost")], 1),
        ([look(p7="active"), look(p7="lost")], 1),
        ([look(p7="lost", p8="active"), look(p7="lost", p8="draining"), look(p7="lost")], 0),
        ([look(None), look(p7="lost", p8="draining"), look(p7="lost")], 0),
        ([twice("lost", "active"), twice("lost", "draining"), twice("lost", "lost")], 1),
        (
            [
                look(p7="active", p8="active"),
                look(p7="lost", p8="draining"),
                look(p8="draining"),
                look(),
            ],
            1,
        ),
    ],
    ids=[
        "it leaves",
        "it is killed",
        "it is killed before the second look",
        "another was lost before",
        "another was lost before, and nobody led at the first look",
        "one of the same pid was lost before",
        "one of two is killed, and shown as lost no more in the end",
    ],
)
def test_who_is_lost_while_it_drains_has_not_left(
    looks: list[Look], code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = Cluster(looks)
    monkeypatch.setattr(drain, "observe", cluster.observe)
    monkeypatch.setattr(asking, "connect", lambda *_: cluster)
    monkeypatch.setattr(drain, "_LOOK_S", 0)
    monkeypatch.setattr(drain, "_KNOWN_S", 0)
    done = CliRunner().invoke(drain.command, ["w", "--wait"])
    assert done.exit_code == code, done.output
    said = done.output.splitlines()
    assert said[0] == "w drains"
    assert (said[-1] == "w has ended") == (code == 0)
