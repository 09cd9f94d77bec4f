"""Who is let in beyond the list: the processes that answer HTTP beside brokers."""

from pathlib import Path

import pytest

from raftwork.broker.access.access_list import Grant
from raftwork.broker.access.admission import Admission
from raftwork.broker.access.edit_access import allowed, revoked
from raftwork.broker.access.gate import objection
from raftwork.features.enqueue import Enqueue
from raftwork.features.queue_settings import AskQueue
from raftwork.keys import Role, handed_key, new_key
from raftwork.messages import PROTOCOL, ClientHello, Ping, Spec, StatusRequest, encode_spec
from raftwork.wire import pack

A, B = new_key("a", [Role.PEER]), new_key("b", [Role.PEER])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path, text = tmp_path / "access.toml", ""
    for key in (A, B):
        text = allowed(text, str(path), Grant(key.name, key.roles), key.public)
    path.write_text(text)
    return path


@pytest.fixture
def admission(file: Path) -> Admission:
    return Admission(A, str(file), ["a", "b"])


def test_the_process_beside_a_broker_has_a_key_of_its_own_that_is_new_at_each_start(
    admission: Admission, file: Path
) -> None:
    mine = admission.http_key
    assert mine.public != A.public
    assert admission.knows(mine.public)
    assert not Admission(A, str(file), ["a", "b"]).knows(mine.public)
    handed = handed_key("a:http", mine.secret)
    assert handed.public == mine.public
    assert mine.public not in file.read_text()


def test_it_is_told_the_status_and_nothing_else(admission: Admission) -> None:
    grant = admission.grant(admission.http_key.public)
    assert grant is not None
    for allowed_ in (StatusRequest(1), ClientHello(PROTOCOL), Ping()):
        assert objection(grant, allowed_) is None
    spec = encode_spec(Spec("t", "default"))
    for refused in (Enqueue(1, 0, spec, pack([])), AskQueue(1, "default"), AskQueue(1, "*")):
        assert objection(grant, refused) is not None
    why = objection(grant, AskQueue(1, "default"))
    assert why is not None
    assert why.startswith("the key http is for the brokers' status only")


def test_another_broker_tells_which_key_its_process_has(admission: Admission) -> None:
    first, second = (new_key("http", [Role.READER]).public for _ in range(2))
    assert not admission.knows(first)
    admission.tell_http("b", first)
    grant = admission.grant(first)
    assert grant is not None
    assert grant.roles == {Role.READER}
    admission.tell_http("b", second)
    assert not admission.knows(first), "that broker was started again"
    assert admission.knows(second)
    for nothing in ("", "no key", first[:-1]):
        admission.tell_http("b", nothing)
        assert not admission.knows(second)
        assert not admission.knows(nothing)
        admission.tell_http("b", second)
    assert admission.knows(admission.http_key.public)


def test_what_a_broker_told_goes_with_its_key(admission: Admission, file: Path) -> None:
    told = new_key("http", [Role.READER]).public
    admission.tell_http("b", told)
    new = new_key("b", [Role.PEER])
    text = revoked(file.read_text(), "", "b")
    file.write_text(allowed(text, "", Grant("b", new.roles), new.public))
    assert admission.reload() == {B.public, told}
    assert not admission.knows(told)
    assert admission.knows(admission.http_key.public)


def test_a_key_in_the_list_is_what_the_list_says(admission: Admission) -> None:
    admission.tell_http("b", B.public)
    grant = admission.grant(B.public)
    assert grant is not None
    assert grant.roles == {Role.PEER}
