"""`raftwork keys`: what it makes, shows, lets in and revokes; and `--key` where it is given."""

import json
import pickle
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from raftwork import App, KeyRefused
from raftwork.broker.access.access_list import read_access
from raftwork.cli import main
from raftwork.cli.values import be_nobody
from raftwork.keys import Role, encoded, read_key


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RAFTWORK_KEY", raising=False)
    return tmp_path


def keys(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["keys", *arguments], prog_name="raftwork")


def done(*arguments: str) -> str:
    result = keys(*arguments)
    assert result.exit_code == 0, result.stderr
    return result.stdout.strip()


def test_a_key_is_made_shown_let_in_and_revoked(here: Path) -> None:
    broker = done("new", "a", "--role", "peer")
    done("allow", "a.key")
    public = done("new", "mailer", "--role", "worker", "--queues", "mail.*", "--queues", "bulk")
    made = read_key("mailer.key")
    assert made.public == public
    assert made.roles == {Role.WORKER}
    assert made.queues == ("mail.*", "bulk")
    assert made.brokers == {"a": (broker,)}
    done("allow", "mailer.key")
    grants = read_access("access.toml").grants
    assert {grant.name: public for public, grant in grants.items()} == {
        "a": broker,
        "mailer": public,
    }
    assert grants[public].queues == ("mail.*", "bulk")
    shown = json.loads(done("show", "mailer.key", "--json"))
    assert shown == {
        "name": "mailer",
        "role": ["worker"],
        "queues": ["mail.*", "bulk"],
        "public": public,
        "brokers": {"a": [broker]},
    }
    assert public in done("show", "mailer.key")
    done("revoke", "mailer")
    assert public not in read_access("access.toml").grants
    refused = keys("revoke", "mailer")
    assert refused.exit_code == 1
    assert "mailer has no key in it" in refused.stderr


def test_a_secret_is_never_shown() -> None:
    said = [keys("new", "ada", "--role", "client"), keys("show", "ada.key")]
    said += [keys("allow", "ada.key"), keys("show", "ada.key", "--json")]
    secret = encoded(read_key("ada.key").secret)
    assert not any(secret in result.output for result in said)
    assert secret not in Path("access.toml").read_text()


def test_a_public_half_by_itself_is_let_in_under_a_name() -> None:
    public = done("new", "ada", "--role", "client", "--out", "x")
    assert keys("allow", public).exit_code == 2
    assert keys("allow", public, "--name", "ada").exit_code == 2
    done("allow", public, "--name", "ada", "--role", "client")
    second = done("new", "ada", "--role", "client", "--out", "y")
    done("allow", second, "--name", "ada")
    assert set(read_access("access.toml").grants) == {public, second}


@pytest.mark.parametrize(
    ("arguments", "code", "why"),
    [
        (("new", "ada"), 2, "--role is required"),
        (("new", "a b", "--role", "client"), 2, "no name"),
        (("new", "a", "--role", "peer", "--role", "admin"), 2, "nothing else"),
        (("new", "ada", "--role", "king"), 2, "king"),
        (("allow", "none.key"), 1, "none.key cannot be read"),
        (("show", "none.key"), 2, "none.key"),
    ],
)
def test_what_is_wrong_is_said(arguments: tuple[str, ...], code: int, why: str) -> None:
    result = keys(*arguments)
    assert result.exit_code == code
    assert why in result.stderr


def test_no_key_is_overwritten() -> None:
    first = done("new", "ada", "--role", "client")
    again = keys("new", "ada", "--role", "client")
    assert again.exit_code == 1
    assert "ada.key is there already" in again.stderr
    assert read_key("ada.key").public == first


def test_a_key_that_others_can_read_is_refused_by_every_command() -> None:
    done("new", "ada", "--role", "client")
    Path("ada.key").chmod(0o644)
    for command in (
        ("status",),
        ("enqueue", "add", "1"),
        ("result", "id"),
        ("worker", "m:app"),
        ("broker", "--name", "ada", "--cluster", "ada=127.0.0.1:1", "--data", "d"),
    ):
        result = CliRunner().invoke(main, [*command, "--key", "ada.key"], prog_name="raftwork")
        assert result.exit_code == 2, command
        assert "mode 0644" in result.stderr


def test_a_broker_needs_both_and_its_own_key() -> None:
    done("new", "a", "--role", "peer")
    done("allow", "a.key")
    for flags, why in (
        (("--key", "a.key"), "go together"),
        (("--access", "access.toml"), "go together"),
        (("--key", "a.key", "--access", "access.toml", "--insecure"), "leave it out"),
    ):
        broker = ("broker", "--name", "a", "--cluster", "a=127.0.0.1:1", "--data", "d", *flags)
        result = CliRunner().invoke(main, list(broker), prog_name="raftwork")
        assert result.exit_code == 2
        assert why in result.stderr
    other = ("broker", "--name", "b", "--cluster", "b=127.0.0.1:1", "--data", "d")
    both = ("--key", "a.key", "--access", "access.toml")
    result = CliRunner().invoke(main, [*other, *both], prog_name="raftwork")
    assert result.exit_code == 2
    assert "is that of 'a'" in result.stderr
    exposed = ("broker", "--name", "a", "--cluster", "a=10.0.0.1:1", "--data", "d", *both)
    shown = CliRunner().invoke(main, [*exposed, "--check-config"], prog_name="raftwork")
    assert shown.exit_code == 0, shown.stderr


def test_a_value_of_enqueues_key_is_a_tasks_key_unless_it_is_a_key_file() -> None:
    done("new", "ada", "--role", "client")
    for twice in (("x", "y"), ("ada.key", "ada.key")):
        flags = [word for value in twice for word in ("--key", value)]
        result = CliRunner().invoke(main, ["enqueue", "add", *flags], prog_name="raftwork")
        assert result.exit_code == 2
        assert "is given twice" in result.stderr


def test_a_cluster_of_our_own_is_dealt_with_without_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """`raftwork demo` with RAFTWORK_KEY set was refused by its own brokers."""
    monkeypatch.setenv("RAFTWORK_KEY", "none.key")
    monkeypatch.setenv("RAFTWORK_SECRETS", "none.secret")
    be_nobody()
    assert App().key is None
    assert App().codec is None


def test_a_key_that_the_environment_names_is_used_and_a_wrong_one_refused(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done("new", "ada", "--role", "client")
    monkeypatch.setenv("RAFTWORK_KEY", "ada.key")
    app = App()
    assert app.key is not None
    assert app.key.name == "ada"
    assert pickle.loads(pickle.dumps(app)) is app
    assert encoded(app.key.secret).encode() not in pickle.dumps(app)
    monkeypatch.setenv("RAFTWORK_KEY", "none.key")
    with pytest.raises(KeyRefused, match=r"none\.key cannot be read"):
        App()
    assert App(key="ada.key").key is not None


def test_secrets_for_contents_are_printed_and_read(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = here / "contents.secret"
    file.write_text(f"{done('secret')}\n{done('secret')}\n")
    monkeypatch.setenv("RAFTWORK_SECRETS", "contents.secret")
    with pytest.raises(KeyRefused, match="chmod 600"):
        App()
    file.chmod(0o600)
    assert App().codec is not None
    file.write_text("nonsense")
    with pytest.raises(KeyRefused, match="44 characters, one a line"):
        App()
