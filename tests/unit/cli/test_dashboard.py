"""`raftwork dashboard` and the tokens for it: what is refused before anything is served."""

from hashlib import sha256
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from raftwork.broker.options import BrokerConfig
from raftwork.cli import main
from raftwork.web.access import Role, read_tokens


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (("--listen", "0.0.0.0:7780"), "--token-file says who may do what"),
        (("--listen", "7780"), "7780"),
        (("--root-path", "queue"), "must begin with / and not end with one"),
        (("--root-path", "/queue/"), "must begin with / and not end with one"),
        (("--auth-header", "X-User"), "--auth-header and --trust-proxy go together"),
        (("--trust-proxy", "10.0.0.1"), "--auth-header and --trust-proxy go together"),
        (("--auth-header", "X-User", "--trust-proxy", "proxy"), "'proxy' does not appear to be"),
        (("--token-file", "nowhere"), "does not exist"),
        (("--log-link", "javascript:alert('{task_id}')"), "must begin with http:// or https://"),
        (("--log-link", "https://logs.example/"), "and have {task_id} in it"),
    ],
)
def test_what_cannot_be_meant_is_wrong_usage(flags: tuple[str, ...], text: str) -> None:
    done = invoke("dashboard", *flags)
    assert done.exit_code == 2, done.output
    assert text in " ".join(done.stderr.split())


def test_a_token_file_that_is_none_is_refused_with_the_line(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text("admin hunter2\n")
    done = invoke("dashboard", "--token-file", str(file))
    assert done.exit_code == 1
    assert f"{file}:1: a line is ROLE SHA256 [NAME]" in done.stderr.replace("\n", "")
    assert "hunter2" not in done.stderr


def test_a_token_and_its_line_belong_together(tmp_path: Path) -> None:
    done = invoke("dashboard-token", "operator", "zoe")
    assert done.exit_code == 0
    file = tmp_path / "tokens"
    file.write_text(done.stdout)
    (digest, visitor) = next(iter(read_tokens(str(file)).items()))
    assert digest == sha256(done.stderr.strip().encode()).hexdigest()
    assert (visitor.name, visitor.role) == ("zoe", Role.OPERATOR)
    assert invoke("dashboard-token", "root").exit_code == 2
    assert invoke("dashboard-token", "admin", "two words").exit_code == 2


def test_a_broker_has_tokens_and_a_key_for_what_it_serves_alone(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="--http-tokens is for what --http answers"):
        BrokerConfig(
            name="a", cluster={"a": "127.0.0.1:1"}, data=tmp_path, http_tokens=Path("tokens")
        )
    config = BrokerConfig(
        name="a",
        cluster={"a": "127.0.0.1:1"},
        data=tmp_path,
        http="127.0.0.1:7780",
        http_key=Path("reader.key"),
    )
    assert config.http_key is not None and config.http_key.is_absolute()
