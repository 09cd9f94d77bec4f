from raftwork.broker.requests.read_barrier import ReadBarrier


def test_a_question_is_answered_by_the_barrier_that_was_asked_for_after_it() -> None:
    questions = ReadBarrier[str]()
    questions.add("early")
    questions.barrier(1)
    questions.add("late")

    assert questions.passed(1) == ["early"]
    assert questions.asking

    questions.barrier(2)

    assert questions.passed(2) == ["late"]
    assert questions.passed(2) == []


def test_all_that_wait_are_counted_before_a_barrier_and_behind_it() -> None:
    questions = ReadBarrier[str]()
    questions.add("a")
    questions.barrier(1)
    questions.add("b")
    questions.add("c")

    assert len(questions) == 3

    questions.passed(1)

    assert len(questions) == 2


def test_a_barrier_that_nobody_waits_for_keeps_nothing() -> None:
    questions = ReadBarrier[str]()
    for token in range(10):
        questions.barrier(token)

    assert not questions._behind
    assert questions.passed(3) == []
