"""Hunts spread over days: none is done twice before all are done once, and none is lost."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.sim.mutants import record
from tests.sim.mutants.catalogue import ALL
from tests.sim.mutants.hunt import Catch
from tests.sim.mutants.mutant import Mutant
from tests.sim.mutants.record import hunted, in_turn, read, valid, write
from tests.sim.mutants.surgery import Edit

ONE, OTHER, THIRD = ALL[:3]


@pytest.fixture(autouse=True)
def _no_history(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "hunt", lambda _mutant: Catch(2, "tokens grow", "they shrink"))


def test_what_waits_longest_comes_first(tmp_path: Path) -> None:
    path = tmp_path / "record"
    earlier = replace(hunted(ONE, "1234567"), at="2026-11-30T22:50Z")
    write(path, [earlier, replace(hunted(OTHER, "1234567"), at="2026-11-29T22:50Z")])
    assert in_turn([ONE, OTHER, THIRD], read(path)) == [THIRD, OTHER, ONE]


def test_a_mutant_that_has_changed_since_was_never_hunted(tmp_path: Path) -> None:
    path = tmp_path / "record"
    write(path, [hunted(ONE, "1234567"), hunted(OTHER, "1234567")])
    changed = replace(ONE, edits=(Edit(ONE.edits[0].place, "this", "that"),))
    assert in_turn([OTHER, changed], read(path)) == [changed, OTHER]
    assert [found.mutant for found in valid([OTHER, changed], read(path))] == [OTHER.name]


def test_an_interruption_costs_nothing_that_was_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "record"
    write(path, [hunted(ONE, "1234567")])

    def stops(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("os.replace", stops)
    with pytest.raises(KeyboardInterrupt):
        write(path, [hunted(OTHER, "1234567")])
    assert list(read(path)) == [ONE.name]


def test_what_survives_or_shows_another_bug_is_not_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def found(catch: Catch | None) -> bool:
        def hunt(_mutant: Mutant) -> Catch | None:
            return catch

        monkeypatch.setattr(record, "hunt", hunt)
        return hunted(ONE, "1234567").caught

    assert found(Catch(1, "tokens grow", "they shrink"))
    assert not found(None)
    assert not found(Catch(1, "tokens grow", "they shrink", honest="they shrink"))
