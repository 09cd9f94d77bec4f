from raftwork.broker.requests.read_barrier import ReadBarrier


def test_a_question_is_answered_by_the_barrier_that_was_asked_for_after_it() -> None:
    read_barrier = ReadBarrier[str]()
    read_barrier.add("early")
    read_barrier.barrier(1)
    read_barrier.add("late")

    assert read_barrier.passed(1) == ["early"]
    assert read_barrier.asking

    read_barrier.barrier(2)

    assert read_barrier.passed(2) == ["late"]
    assert read_barrier.passed(2) == []


def test_all_that_wait_are_counted_before_a_barrier_and_behind_it() -> None:
    read_barrier = ReadBarrier[str]()
    read_barrier.add("a")
    read_barrier.barrier(1)
    read_barrier.add("b")
    read_barrier.add("c")

    assert len(read_barrier) == 3

    read_barrier.passed(1)

    assert len(read_barrier) == 2


def test_a_barrier_that_nobody_waits_for_keeps_nothing() -> None:
    read_barrier = ReadBarrier[str]()
    for token in range(10):
        read_barrier.barrier(token)

    assert not read_barrier._behind
    assert read_barrier.passed(3) == []
