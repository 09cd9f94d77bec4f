"""Key files: made for their owner alone, refused where others can read them, silent of secrets."""

import os
import pickle
from dataclasses import replace
from pathlib import Path

import pytest

from raftwork.errors import KeyRefused
from raftwork.keys import (
    Key,
    Role,
    decoded,
    encoded,
    is_key_file,
    new_key,
    read_key,
    read_secrets,
    renewed,
    replace_key,
    write_key,
)

PUBLIC = encoded(b"p" * 32)


def made(tmp_path: Path) -> tuple[Key, Path]:
    key = new_key("mailer", [Role.WORKER, Role.CLIENT], ["mail.*"], {"a": (PUBLIC,)})
    path = tmp_path / "mailer.key"
    write_key(key, str(path))
    return key, path


def test_a_key_is_read_as_it_was_written(tmp_path: Path) -> None:
    key, path = made(tmp_path)
    read = read_key(path)
    for field in ("name", "roles", "queues", "public", "secret", "brokers"):
        assert getattr(read, field) == getattr(key, field)
    assert read.broker_keys == (PUBLIC,)
    assert read.file == str(path)


def test_only_its_owner_can_read_a_new_file_and_none_is_overwritten(tmp_path: Path) -> None:
    key, path = made(tmp_path)
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError):
        write_key(key, str(path))


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o602, 0o660, 0o640])
def test_a_file_that_others_can_read_or_change_is_refused(tmp_path: Path, mode: int) -> None:
    _, path = made(tmp_path)
    path.chmod(mode)
    with pytest.raises(KeyRefused, match=rf"mode {mode:04o}.*chmod 600"):
        read_key(path)


def test_a_group_may_read_what_another_user_owns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Kubernetes mounts secrets."""
    _, path = made(tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    path.chmod(0o440)
    assert read_key(path).name == "mailer"
    path.chmod(0o460)
    with pytest.raises(KeyRefused):
        read_key(path)


def test_no_text_has_the_secret_in_it(tmp_path: Path) -> None:
    key, path = made(tmp_path)
    secret = encoded(key.secret)
    assert secret in path.read_text()
    assert secret not in repr(key)
    assert repr(key.secret) not in repr(key)
    with pytest.raises(TypeError) as raised:
        pickle.dumps(key)
    assert secret not in str(raised.value)
    whole = path.read_text()
    for wrong in (
        whole.replace("secret = ", "secret "),
        whole.replace("secret = ", "secrets = "),
        whole.replace(f'"{secret}"', f'"{secret}'),
        whole.replace(f'"{secret}"', secret),
        whole.replace(f'"{secret}"', f'["{secret}"]'),
        whole.replace('="\n', '"\n'),
        whole.replace(key.public, PUBLIC),
        whole.replace('name = "mailer"', f'"{secret}" = 1'),
        whole.replace("[brokers]", f'["{secret}"]'),
        f"{secret} {whole}",
    ):
        assert wrong != whole
        path.write_text(wrong)
        with pytest.raises(KeyRefused) as refused:
            read_key(path)
        assert secret[:12] not in str(refused.value)
        assert str(path) in str(refused.value)


@pytest.mark.parametrize(
    ("field", "value", "why"),
    [
        ("name", '""', "no name"),
        ("name", "3", "name must be a string"),
        ("role", '["king"]', "role must be one or more of admin, client, peer, reader, worker"),
        ("role", '["peer", "admin"]', "nothing else"),
        ("queues", '"mail"', "queues must be an array of strings"),
        ("public", '"abc"', "44 characters"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, field: str, value: str, why: str) -> None:
    _, path = made(tmp_path)
    lines = [
        f"{field} = {value}" if line.startswith(f"{field} =") else line
        for line in path.read_text().splitlines()
    ]
    path.write_text("\n".join(lines))
    with pytest.raises(KeyRefused, match=why):
        read_key(path)


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ('name = "mailer"\n', "", "name is missing"),
        ('name = "mailer"', 'label = "mailer"', "a field that no key has; the fields are brokers"),
        ("[brokers]", "brokers = 3\n[other]", "a field that no key has"),
        ('name = "mailer"', 'name = "mailer', "no TOML: see line 2, column"),
    ],
)
def test_what_is_missing_or_too_much_is_said(tmp_path: Path, old: str, new: str, why: str) -> None:
    _, path = made(tmp_path)
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))
    with pytest.raises(KeyRefused, match=why):
        read_key(path)


def test_of_another_keys_public_half_it_is_said(tmp_path: Path) -> None:
    key, path = made(tmp_path)
    path.write_text(path.read_text().replace(key.public, PUBLIC))
    with pytest.raises(KeyRefused, match="is not that of its secret one; make a new key"):
        read_key(path)
    text = path.read_text().partition("[brokers]")[0]
    path.write_text(f"{text.replace(PUBLIC, key.public)}brokers = 3\n")
    with pytest.raises(KeyRefused, match=r"brokers must be a table, \[brokers\]"):
        read_key(path)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyRefused, match=f"the key {tmp_path} cannot be read: Is a directory"):
        read_key(tmp_path)
    with pytest.raises(KeyRefused, match=f"the key {tmp_path}/none cannot be read: No such file"):
        read_key(tmp_path / "none")
    with pytest.raises(KeyRefused, match="the key /dev/null is no regular file"):
        read_key("/dev/null")
    (tmp_path / "binary").write_bytes(b"\xff")
    (tmp_path / "binary").chmod(0o600)
    with pytest.raises(KeyRefused, match="is no text in UTF-8"):
        read_key(tmp_path / "binary")


def test_keys_for_contents_that_cannot_be_used_are_refused_with_the_reason(tmp_path: Path) -> None:
    path = tmp_path / "secrets"
    for text, why in (
        (b"", "has no key: raftwork keys secret prints one"),
        (b"short\n", "a key must be 32 bytes in base64, 44 characters, one a line"),
        (b"\xff", "cannot be read: it is no text in UTF-8"),
    ):
        path.write_bytes(text)
        path.chmod(0o600)
        with pytest.raises(KeyRefused, match=why):
            read_secrets(str(path))
    with pytest.raises(KeyRefused, match="cannot be read: No such file"):
        read_secrets(str(tmp_path / "none"))


def test_what_a_file_says_by_now_is_what_is_used_and_what_cannot_be_read_changes_nothing(
    tmp_path: Path,
) -> None:
    _, path = made(tmp_path)
    key = read_key(path)
    assert renewed(key) is key
    replace_key(other := new_key("mailer", [Role.ADMIN]), str(path))
    assert renewed(key) == replace(other, file=str(path))
    path.write_text("nonsense")
    assert renewed(key) is key
    path.unlink()
    assert renewed(key) is key
    assert renewed(other) is other, "it is in no file"


def test_a_key_has_one_way_to_be_written() -> None:
    """Texts are compared: two for one key would be two keys."""
    assert decoded(PUBLIC) == b"p" * 32
    other = PUBLIC[:-2] + chr(ord(PUBLIC[-2]) + 1) + "="
    for wrong in (other, PUBLIC[:-1], PUBLIC + "\n", "", "é" * 44):
        with pytest.raises(ValueError, match="44 characters"):
            decoded(wrong)


def test_a_key_file_is_told_from_other_files_and_texts(tmp_path: Path) -> None:
    _, path = made(tmp_path)
    other = tmp_path / "other"
    other.write_text("nothing of the kind")
    assert is_key_file(str(path))
    path.chmod(0o644)
    assert is_key_file(str(path))  # to be refused, rather than taken for something else
    assert not any(map(is_key_file, (str(other), "ada", "", "\0", str(tmp_path))))
