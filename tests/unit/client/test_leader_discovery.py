"""Which broker a client takes for the leader."""

from raftwork.client.leader_discovery import PING_INTERVAL_MS, SILENCE_MS
from raftwork.messages import ClientHello, Code, HelloFirst, Leader, Ping, Refused
from tests.unit.client.playing import A, B, C, Play


def following(name: str, address: str, epoch: int = 1) -> Leader:
    return Leader(epoch, name, address, active=False, time=0)


def test_every_broker_is_greeted_as_soon_as_its_link_stands() -> None:
    play = Play()
    assert play.connected == [A, B, C]
    play.up(B, C)
    assert play.hellos == [B, C]


def test_a_broker_that_only_names_a_leader_is_not_sent_requests() -> None:
    play = Play()
    play.up(A, B)
    play.say(B, following("a", A))
    play.enqueue("t1")
    assert not play.enqueues


def test_the_highest_epoch_wins_whoever_spoke_last() -> None:
    play = Play()
    play.up(A, B)
    play.lead(B, epoch=5)
    play.lead(A, epoch=4)
    play.enqueue("t1")
    assert play.heard[-1][0] == B


def test_a_hint_to_an_unknown_address_is_followed() -> None:
    play = Play(A)
    play.up(A)
    play.say(A, following("d", "127.0.0.1:7999"))
    assert play.connected == [A, "127.0.0.1:7999"]
    play.up("127.0.0.1:7999")
    play.lead("127.0.0.1:7999")
    play.enqueue("t1")
    assert play.heard[-1][0] == "127.0.0.1:7999"


def test_a_hint_that_is_no_address_is_ignored() -> None:
    play = Play(A)
    play.up(A)
    play.say(A, following("d", "ipc:///etc/passwd"), following("d", "x:99999"))
    assert play.connected == [A]


def test_hints_cannot_make_a_client_connect_without_end() -> None:
    play = Play(A)
    play.up(A)
    for port in range(1, 500):
        play.say(A, following("d", f"127.0.0.1:{port}"))
    assert len(play.connected) == 33


def test_a_silent_leader_is_given_up_and_all_are_asked() -> None:
    play = Play()
    play.formed()
    play.enqueue("t1", timeout=60_000)
    play.run(SILENCE_MS - 1)
    assert {to for to, m in play.heard if isinstance(m, Ping)} == {A}
    play.heard.clear()
    play.run(PING_INTERVAL_MS)
    assert {to for to, m in play.heard if isinstance(m, Ping)} == {A, B, C}


def test_a_leader_that_answers_pings_stays_leader() -> None:
    play = Play()
    play.formed()
    play.enqueue("t1", timeout=60_000)
    play.run(5_000, answering=(A, Leader(1, "a", A, active=True, time=50_000)))
    assert {to for to, m in play.heard if isinstance(m, Ping)} == {A}


def test_nothing_is_asked_while_nothing_is_wanted() -> None:
    play = Play()
    play.formed()
    play.run(60_000)
    assert play.heard == []
    assert play.session.wake_at is None


def test_a_deposed_leader_gets_no_new_requests() -> None:
    play = Play()
    play.formed()
    play.say(A, following("", ""))
    play.enqueue("t1")
    assert not play.enqueues


def test_a_refusal_as_not_leader_makes_the_client_ask_all_at_once() -> None:
    play = Play()
    play.formed()
    number = play.enqueue("t1")
    play.say(A, Refused(number, Code.NOT_LEADER, "b"))
    play.run(0)
    assert {to for to, m in play.heard if isinstance(m, Ping)} >= {B, C}


def test_a_burst_of_hello_first_is_answered_by_one_hello() -> None:
    play = Play()
    play.formed()
    play.now += 1_000
    for i in range(50):
        play.enqueue(f"t{i}", f"u{i}")
    play.heard.clear()
    play.say(A, *[HelloFirst()] * 50)
    assert len(play.told(ClientHello)) == 1
    assert len(play.enqueues) == 50


def test_a_frame_that_is_no_message_changes_nothing() -> None:
    play = Play()
    play.formed()
    play.session.receive(A, b"\xc1\xff", play.now)
    play.enqueue("t1")
    assert play.heard[-1][0] == A
