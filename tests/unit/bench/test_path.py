"""What most tasks have in common is found in the events of all processes."""

from bench.path import BEGIN, END, Event, Step, steps, tasks


def task(began: int, *between: tuple[int, str, str], took: int = 10_000) -> list[Event]:
    events = [Event(began + at, role, what) for at, role, what in between]
    return [Event(began, "client", BEGIN), *events, Event(began + took, "client", END)]


def test_a_task_is_what_happens_from_its_begin_to_its_end_in_whichever_process() -> None:
    beat = Event(15_000, "leader", "wakes")
    first = task(0, (5_000, "leader", "reads"))
    second = task(20_000, (3_000, "worker", "runs"), (4_000, "worker", "ran"))
    assert tasks([*second, beat, *first]) == [first, second]


def test_a_task_without_an_end_is_none() -> None:
    assert tasks(task(0)[:-1]) == []


def test_a_step_is_the_median_moment_of_an_event_after_the_begin() -> None:
    events = [
        event
        for began, at in ((0, 1_000), (20_000, 2_000), (40_000, 9_000))
        for event in task(began, (at, "leader", "reads"))
    ]
    assert steps(events, 0.6) == [
        Step(0.0, "client", BEGIN, 1.0),
        Step(2.0, "leader", "reads", 1.0),
        Step(10.0, "client", END, 1.0),
    ]


def test_what_few_tasks_have_is_left_out_and_the_second_time_is_a_step_of_its_own() -> None:
    events = [
        *task(0, (1_000, "leader", "wakes"), (2_000, "leader", "wakes")),
        *task(20_000, (1_000, "leader", "wakes"), (4_000, "leader", "wakes")),
        *task(40_000, (500, "leader", "beats"), (1_000, "leader", "wakes")),
    ]
    found = [(step.what, step.median_us) for step in steps(events, 0.6)]
    assert found == [(BEGIN, 0.0), ("wakes", 1.0), ("wakes", 3.0), (END, 10.0)]
