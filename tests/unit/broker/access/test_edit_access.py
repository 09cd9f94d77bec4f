"""`keys allow` and `revoke`: what people wrote in the list stays as they wrote it."""

from pathlib import Path

import pytest

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


def test_a_revoked_name_is_gone_and_nothing_else_is() -> None:
    text = allowed(allowed("# mine\n", "f", WORKER, KEYS[0]), "f", OTHER, KEYS[1])
    left = revoked(text, "f", "mailer")
    assert parse_access(left, "f").grants == {KEYS[1]: OTHER}
    assert left.startswith("# mine\n")
    with pytest.raises(AccessListRefused, match="mailer has no key in it"):
        revoked(left, "f", "mailer")


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
    write_access(str(file), "two\n")
    assert file.read_text() == "two\n"
    assert file.stat().st_mode & 0o777 == 0o640
    assert list(tmp_path.iterdir()) == [file]
