"""When a process gives up because of its key: once nobody is left who might take it."""

from raftwork.net.denials import UNDECIDED_MS, Denials

ALL = ("a", "b", "c")


def test_nobody_gives_up_while_one_may_take_it() -> None:
    denials = Denials()
    assert denials.verdict(ALL, 0) is None
    denials.denied("a", "no", 0)
    denials.link_up("b")
    assert denials
    assert denials.verdict(ALL, 10 * UNDECIDED_MS) is None
    denials.denied("b", "no", 0)  # what it is for, rather than who it is
    denials.denied("c", "no", 0)
    assert denials.verdict(ALL, 0) == "a, b, c: no"


def test_those_that_are_away_are_waited_for_a_moment() -> None:
    denials = Denials()
    denials.denied("a", "no", 100)
    assert denials.verdict(ALL, 100 + UNDECIDED_MS - 1) is None
    assert denials.decided_at == 100 + UNDECIDED_MS
    assert denials.verdict(ALL, 100 + UNDECIDED_MS) == "a: no"
    denials.denied("b", "never", 150)
    assert denials.verdict(ALL, 100 + UNDECIDED_MS) == "a: no; b: never"


def test_a_new_connection_is_a_new_chance() -> None:
    denials = Denials()
    for address in ALL:
        denials.denied(address, "no", 0)
    denials.link_up("b")
    assert denials.verdict(ALL, UNDECIDED_MS) is None
    denials.link_down("b")
    assert denials.verdict(ALL, UNDECIDED_MS) == "a, c: no"
    for address in ALL:
        denials.link_up(address)
    assert not denials
