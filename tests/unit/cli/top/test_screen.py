"""`raftwork top` in a terminal that is none: what is shown, what keys do, what is asked first."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
from textual.pilot import Pilot

from raftwork.cli.top.asking import Alarm, Answer, Running
from raftwork.cli.top.changes import Cancel, Drain, Pause, Resume
from raftwork.cli.top.screen import ROWS_MAX, Top
from tests.unit.cli.test_hostile_names import HOSTILE, SHOWN
from tests.unit.cli.top.seen import AT, QUEUES, WORKERS, Told, picture, renamed, shown, task

WIDE, NARROW = (150, 40), (80, 24)
Play = Callable[[Pilot[None]], Awaitable[None]]


def play(told: Told, act: Play, size: tuple[int, int] = NARROW) -> Top:
    """Have somebody look, and do that."""

    async def run() -> Top:
        app = Top(told)
        async with app.run_test(size=size, notifications=True) as pilot:
            await pilot.pause()
            await act(pilot)
        return app

    return asyncio.run(run())


def see(told: Told, size: tuple[int, int] = NARROW, *keys: str) -> str:
    """What is on the screen after these keys."""
    said = []

    async def act(pilot: Pilot[None]) -> None:
        await pilot.press(*keys)
        await look(pilot)
        said.append(screen(pilot))

    play(told, act, size)
    return said[0]


def screen(pilot: Pilot[None]) -> str:
    assert isinstance(pilot.app, Top)
    return shown(pilot.app)


async def look(pilot: Pilot[None]) -> None:
    """As the timer does."""
    assert isinstance(pilot.app, Top)
    pilot.app.look()
    await pilot.pause()
    await pilot.pause()


def column(text: str, title: str) -> list[str]:
    """The first words of the rows below a column's head, on a screen with one table."""
    lines = text.splitlines()
    head = next(n for n, line in enumerate(lines) if title in line)
    words = [re.findall(r"[\w.–-]+", line) for line in lines[head + 1 :]]
    return [word[0] for word in words if len(word) > 2][: len(QUEUES)]


# ---- what is shown ------------------------------------------------------------------------------


def test_a_wide_terminal_shows_everything_at_once() -> None:
    text = see(Told(), WIDE)
    for word in ("Queues 3", "Workers 2", "Running 2", "Brokers 3"):
        assert word in text
    for word in ("mail", "w1", "reports.build", "1:05", "follower"):
        assert word in text
    assert "a leads since 12:00:00Z (" in text
    assert "3 of 4 slots busy · 254 queued · 3 later · 12.5 ended/s · 0.5 failed/s" in text


def test_a_narrow_one_shows_one_table_and_a_key_another() -> None:
    text = see(Told())
    assert "Queues 3" in text and "Workers" not in text.replace("2 Workers", "")
    assert "w1" in see(Told(), NARROW, "2")
    assert "1:05" in see(Told(), NARROW, "3")
    assert "follower" in see(Told(), NARROW, "4")


def test_a_key_that_is_typed_with_the_one_before_is_for_the_table_that_that_chose() -> None:
    told = Told()

    async def act(pilot: Pilot[None]) -> None:
        assert isinstance(pilot.app, Top)
        pilot.app.action_pane(1)
        assert pilot.app.focused is pilot.app.panes.workers

    play(told, act)


@pytest.mark.parametrize("width", [20, 40, 60, 80])
def test_however_narrow_the_names_are_there(width: int) -> None:
    text = see(Told(), (width, 12))
    assert "mail" in text
    assert all(len(line) <= width for line in text.splitlines())


def test_states_are_words_and_not_colours_alone() -> None:
    assert "paused" in see(Told())
    assert "draining" in see(Told(), NARROW, "2")
    alarms = [Alarm("error", "b is full", "make room"), *[Alarm("warning", "w", "")] * 4]
    text = see(Told(picture(alarms=alarms, down="c")), WIDE)
    assert "ERROR: b is full → make room" in text
    assert text.count("WARNING: w") == 2
    assert "and 2 more: raftwork doctor" in text
    assert "unreachable" in text
    assert "2 of 3 brokers answer" in text


def test_hostile_names_stay_text() -> None:
    told = Told(renamed(HOSTILE))
    text = see(told, (400, 60))
    assert SHOWN in text and text.count(SHOWN[:20]) > 12, text
    assert not {c for c in text if not c.isprintable()} - {"\n"}
    told = Told()
    told.said = [Answer("no worker [red]x[/]\x1b[2J", done=False)]
    assert r"no worker [red]x[/]\x1b[2J" in see(told), "and what is told of a change"


def test_no_more_rows_are_shown_than_one_can_look_at() -> None:
    many = [QUEUES[0]._replace(name=f"q{n:04}", queued=n) for n in range(ROWS_MAX + 100)]
    told = Told(picture(queues=many))

    async def act(pilot: Pilot[None]) -> None:
        assert isinstance(pilot.app, Top)
        assert pilot.app.panes.queues.row_count == ROWS_MAX
        text = screen(pilot)
        assert f"Queues {ROWS_MAX} of {len(many)}" in text
        assert "q0599" in text, "the largest are among them"

    play(told, act)


# ---- a failover ---------------------------------------------------------------------------------


def test_it_goes_on_through_a_failover_and_says_since_when_nobody_leads() -> None:
    told = Told()

    async def act(pilot: Pilot[None]) -> None:
        told.picture = picture("", down="a", at=AT + 4, tasks=())
        await look(pilot)
        text = screen(pilot)
        assert "NO LEADER since 12:03:07Z" in text
        assert "2 of 3 brokers answer" in text
        assert "Workers 2, as of 12:03:07Z" in text and "w1" in text
        assert "Running 2, as of 12:03:07Z" in text
        assert "Queues 3, as the best broker knows them" in text
        told.picture = picture("b", down="a", at=AT + 6, workers=WORKERS[:1])
        await look(pilot)
        text = screen(pilot)
        assert "b leads since" in text and "NO LEADER" not in text
        assert "Workers 1 " in text and "as of" not in text

    play(told, act, WIDE)


def test_who_starts_without_a_leader_is_told_what_is_known() -> None:
    text = see(Told(picture("", down="a")), WIDE)
    assert "NO LEADER: no leader found; 2 of 3 brokers answer" in text
    told = Told(replace(picture(""), seen=replace(picture("").seen, failure="not let in: no key")))
    assert "NO LEADER: not let in: no key" in see(told, WIDE)


def test_what_runs_is_asked_for_only_while_it_is_seen() -> None:
    for size, wanted in ((NARROW, False), (WIDE, True)):
        told = Told()
        see(told, size)
        assert told.wants_running is wanted
    told = Told()
    see(told, NARROW, "3")
    assert told.wants_running
    told.picture = replace(told.picture, running=Running((), "no answer"))
    assert "what runs is not known: no answer" in see(told, NARROW, "3")


# ---- what keys do -------------------------------------------------------------------------------


def test_keys_sort_and_turn_round() -> None:
    assert column(see(Told()), "queued ↓") == ["mail", "default", "reports"]
    assert column(see(Told(), NARROW, "r"), "queued ↑") == ["reports", "default", "mail"]
    assert column(see(Told(), NARROW, "s"), "running ↓") == ["default", "mail", "reports"]


def test_the_selected_row_stays_that_of_the_same_thing() -> None:
    told = Told()

    async def act(pilot: Pilot[None]) -> None:
        await pilot.press("down")  # default
        told.picture = picture(queues=[QUEUES[0]._replace(queued=999), *QUEUES[1:]])
        await look(pilot)
        await pilot.press("p")
        assert "Pause the queue default?" in screen(pilot)
        await pilot.press("n")
        told.picture = picture(queues=[QUEUES[2], QUEUES[0]._replace(queued=1)])
        await look(pilot)
        await pilot.press("p", "y")

    play(told, act)
    assert told.changes == [Pause("default")]


def test_who_has_chosen_nothing_sees_what_comes_first() -> None:
    told = Told()

    async def act(pilot: Pilot[None]) -> None:
        told.picture = picture(queues=[*QUEUES, QUEUES[0]._replace(name="new", queued=9_999)])
        await look(pilot)
        await pilot.press("p", "y")

    play(told, act)
    assert told.changes == [Pause("new")]


@pytest.mark.parametrize(
    ("keys", "question", "change"),
    [
        (("p",), "Resume the queue mail?", Resume("mail")),
        (("down", "p"), "Pause the queue default?", Pause("default")),
        (("2", "d"), "Drain w1?", Drain("w1", 1)),
        (("3", "c"), "Cancel reports.build id-1?", Cancel("id-1", "reports.build")),
    ],
)
def test_a_change_is_asked_for_first(keys: tuple[str, ...], question: str, change: object) -> None:
    told = Told()

    async def act(pilot: Pilot[None]) -> None:
        await pilot.press(*keys)
        assert question in screen(pilot)
        for no in ("n", "escape", "enter"):  # enter presses what has the focus: no
            await pilot.press(no)
            assert question not in screen(pilot)
            assert told.changes == []
            await pilot.press(keys[-1])
        await pilot.press("y")
        told.said = [Answer("as you say", done=True)]
        await look(pilot)
        assert "as you say" in screen(pilot)

    play(told, act)
    assert told.changes == [change]


def test_workers_of_one_name_are_drained_together_and_the_question_says_so() -> None:
    told = Told(picture(workers=[WORKERS[0], WORKERS[0]._replace(pid=9)]))
    assert "Drain all 2 workers w1?" in see(told, NARROW, "2", "d")


def test_a_key_in_an_empty_table_does_nothing() -> None:
    told = Told(picture(queues=[], workers=[], tasks=[]))
    see(told, NARROW, "p", "2", "d", "3", "c", "s", "r", "down")
    assert told.changes == []


@pytest.mark.parametrize("key", ["q", "ctrl+c"])
def test_a_key_ends_it(key: str) -> None:
    async def act(pilot: Pilot[None]) -> None:
        await pilot.press(key)
        await pilot.pause()
        assert not pilot.app.is_running

    assert play(Told(), act).return_code == 0


def test_more_room_shows_more() -> None:
    told = Told(
        picture(tasks=[task(f"0199c1a2-7f2b-7c3e-8d4f-5a6b7c8d9e{n:02}") for n in range(3)])
    )

    async def act(pilot: Pilot[None]) -> None:
        assert "Workers 2" not in screen(pilot)
        await pilot.press("down")
        await pilot.resize_terminal(*WIDE)
        await look(pilot)
        assert "Workers 2" in screen(pilot) and "Running 3" in screen(pilot)
        await pilot.press("p", "y")

    play(told, act)
    assert told.changes == [Pause("default")], "what was selected still is"
