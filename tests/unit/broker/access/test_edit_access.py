"""`keys allow` and `revoke`: what people wrote in the list stays as they wrote it."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from raftwork import keys
from raftwork.broker.access.access_list import Grant, parse_access
from raftwork.broker.access.edit_access import allowed, revoked, write_access
from raftwork.errors import AccessListRefused
from raftwork.keys import Role, encoded

KEYS = [encoded(letter * 32) for letter in (b"a", b"b", b"c", b"d")]
WORKER = Grant("mailer", frozenset({Role.WORKER}), ("mail.*",))
OTHER = Grant('o"dd', frozenset({Role.CLIENT, Role.WORKER}))


def test_a_list_grows_from_nothing() -> None:
    text = allowed(allowed("", "f", WORKER, KEYS[0]), "f", OTHER, KEYS[1])
    assert parse_access(text, "f").grants == {KEYS[0]: WORKER, KEYS[1]: OTHER}
    assert allowed(text, "f", WORKER, KEYS[0]) == text


def test_a_name_has_two_keys_while_one_replaces_the_other_and_the_oldest_goes() -> None:
    text = "# mine\n" + allowed("", "f", WORKER, KEYS[0]) + "# the end\n"
    text = allowed(text, "f", WORKER, KEYS[1])
    assert list(parse_access(text, "f").grants) == KEYS[:2]
    text = allowed(text, "f", WORKER, KEYS[2])
    assert list(parse_access(text, "f").grants) == KEYS[1:3]
    assert text.startswith("# mine\n")
    assert text.endswith("# the end\n")


def test_a_key_is_not_let_in_for_something_else_or_under_another_name() -> None:
    text = allowed("", "f", WORKER, KEYS[0])
    with pytest.raises(AccessListRefused, match="is that of mailer"):
        allowed(text, "f", OTHER, KEYS[0])
    wider = Grant("mailer", frozenset({Role.ADMIN}))
    with pytest.raises(AccessListRefused, match=r"worker of mail\.\*, and this key is for admin"):
        allowed(text, "f", wider, KEYS[1])


#: As people write it.
BY_HAND = f"""\
# Ours. Ask zoe before you change it.\r

[keys.mailer]  # of the shop
role = "worker"  # sends mail
queues = ['mail.*']
keys = ["{KEYS[0]}"]   # the laptop's
tasks_per_second = 100  # agreed on
bytes_per_second = 1_000_000

# The next one is of ops.
[keys."o\\"dd"]
role = ["client", "worker"]
keys = [
    "{KEYS[1]}",  # the old one ]
    "{KEYS[2]}",
]  # two
"""


def test_a_revoked_name_has_no_key_and_nothing_else_is_another() -> None:
    left = revoked(BY_HAND, "f", "mailer")
    assert left == BY_HAND.replace(f'["{KEYS[0]}"]', "[]")
    assert {each.name for each in parse_access(left, "f").grants.values()} == {OTHER.name}
    with pytest.raises(AccessListRefused, match="mailer has no key in it"):
        revoked(left, "f", "mailer")
    without = revoked(BY_HAND, "f", OTHER.name)
    assert without == BY_HAND[: BY_HAND.index("keys = [\n")] + "keys = []  # two\n"


def test_the_next_key_of_a_revoked_name_has_its_rates_and_comments() -> None:
    """So the runbooks have it: revoked, and the new one allowed."""
    again = allowed(revoked(BY_HAND, "f", "mailer"), "f", WORKER, KEYS[3])
    assert again == BY_HAND.replace(KEYS[0], KEYS[3])
    grant = parse_access(again, "f").grants[KEYS[3]]
    assert (grant.tasks_per_second, grant.bytes_per_second) == (100, 1_000_000)
    more = allowed(BY_HAND, "f", WORKER, KEYS[3])
    assert more == BY_HAND.replace(f'["{KEYS[0]}"]', f'["{KEYS[0]}", "{KEYS[3]}"]')


def test_a_revoked_name_may_come_back_for_something_else() -> None:
    meant = Grant("mailer", frozenset({Role.ADMIN}))
    text = allowed(revoked(BY_HAND, "f", "mailer"), "f", meant, KEYS[3])
    assert 'role = ["admin"]  # sends mail\nqueues = ["*"]\n' in text
    assert parse_access(text, "f").grants[KEYS[3]].tasks_per_second == 100
    plain = allowed("", "f", meant, KEYS[0])
    text = allowed(revoked(plain, "f", "mailer"), "f", WORKER, KEYS[1])
    assert parse_access(text, "f").grants == {KEYS[1]: WORKER}


def test_what_is_written_in_another_way_is_left_to_people() -> None:
    text = f'keys = {{ mailer = {{ role = "worker", keys = ["{KEYS[0]}"] }} }}\n'
    assert parse_access(text, "f").grants
    with pytest.raises(AccessListRefused, match="edit it"):
        revoked(text, "f", "mailer")
    lines = allowed("", "f", WORKER, KEYS[0]).replace("keys = [", "keys = [\n")
    with pytest.raises(AccessListRefused, match="edit them"):
        allowed(lines, "f", WORKER, KEYS[1])


def test_a_list_is_replaced_as_a_whole(tmp_path: Path) -> None:
    file = tmp_path / "access.toml"
    write_access(str(file), "one\n")
    file.chmod(0o640)
    write_access(str(file), "two\r\n")
    assert file.read_bytes() == b"two\r\n"
    assert file.stat().st_mode & 0o777 == 0o640
    assert list(tmp_path.iterdir()) == [file]


def test_a_list_keeps_its_owner_and_stays_where_a_link_leads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root changes it, and brokers read it as another user."""
    file, link, given = tmp_path / "access.toml", tmp_path / "link", list[tuple[int, int]]()
    file.write_text("one\n")
    link.symlink_to(file)

    def owned(path: str) -> SimpleNamespace:
        new = path.endswith(".new")
        mode = os.stat(path).st_mode
        return SimpleNamespace(st_uid=0 if new else 990, st_gid=0 if new else 991, st_mode=mode)

    chown = SimpleNamespace(stat=owned, chown=lambda _file, *owner: given.append(owner))
    monkeypatch.setattr(keys, "os", SimpleNamespace(**{**vars(os), **vars(chown)}))
    write_access(str(link), "two\n")
    assert given == [(990, 991)]
    assert link.is_symlink()
    assert file.read_text() == "two\n"


def test_a_list_whose_owner_cannot_be_kept_stays_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "access.toml"
    file.write_text("one\n")
    monkeypatch.setattr(keys, "os", SimpleNamespace(**{**vars(os), "chmod": _not_permitted}))
    with pytest.raises(PermissionError):
        write_access(str(file), "two\n")
    assert file.read_text() == "one\n"
    assert list(tmp_path.iterdir()) == [file]


def _not_permitted(*_: object) -> None:
    raise PermissionError("not permitted")
