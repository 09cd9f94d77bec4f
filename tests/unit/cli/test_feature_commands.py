"""Commands that capabilities say of themselves, and how the others are found."""

import json
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import NamedTuple, Self

import click
import pytest
from click.testing import CliRunner, Result

import raftwork.cli
from raftwork.cli import cluster, feature_commands
from raftwork.client.reply import Reply
from raftwork.errors import UnknownTask
from raftwork.features.command_line import Argument, CommandLine, Option
from raftwork.messages.bounds import Name


class Sift(NamedTuple):
    request: int
    queue: Name
    ids: list[str]
    dry: bool
    least: int | None
    older: float = 1.5


class Sifted(NamedTuple):
    request: int
    found: int


LINE = CommandLine(
    path=("queue", "sift"),
    request=Sift,
    reply=Sifted,
    help="Look through a queue.\n\nNothing changes.",
    example="raftwork queue sift mail t1\nraftwork queue sift mail t1 --dry",
    arguments=(Argument("queue"), Argument("ids")),
    options=(
        Option("older", "Seconds that a task has waited."),
        Option("least", "Of attempts."),
        Option("dry", "Only count."),
    ),
    says="{found} in {queue}",
)


class FakeApp:
    def __init__(self) -> None:
        self.asked: list[object] = []
        self.error: Exception | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def call(self, request: Sift, reply: type[Sifted]) -> Reply[Sifted]:
        assert reply is Sifted
        self.asked.append(request)
        answer: Reply[Sifted] = Reply()
        if self.error is None:
            answer.tell(Sifted(7, 3))
        else:
            answer.fail(self.error)
        return answer


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> FakeApp:
    made = FakeApp()
    monkeypatch.setattr(cluster, "connect", lambda *_: made)
    return made


@pytest.fixture
def invoke() -> Callable[..., Result]:
    main = type(raftwork.cli.main)("raftwork")
    main.add_command(click.Group("queue"))
    feature_commands.add_to(main, LINE)

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(main, ["queue", "sift", *arguments], terminal_width=80)

    return run


def test_it_sends_the_request_it_is_given_and_prints_how_the_reply_reads(
    app: FakeApp, invoke: Callable[..., Result]
) -> None:
    done = invoke("mail", "t1", "t2", "--dry", "--least", "3")
    assert (done.exit_code, done.stdout, done.stderr) == (0, "3 in mail\n", "")
    assert app.asked == [Sift(0, "mail", ["t1", "t2"], dry=True, least=3, older=1.5)]
    as_json = invoke("mail", "t1", "--least", "3", "--json")
    assert json.loads(as_json.stdout) == {"found": 3}


def test_what_the_cluster_refuses_exits_1_and_what_is_no_request_2(
    app: FakeApp, invoke: Callable[..., Result]
) -> None:
    for arguments in ((), ("t1",), ("t1", "--least", "-1"), ("t1", "--least", "1", "--older", "x")):
        assert invoke("mail", *arguments).exit_code == 2
    for queue, said in (
        ("", "queue must have 1 to 255 characters, got 0"),
        (256 * "x", "queue must have 1 to 255 characters, got 256"),
        ("\udcff", "it has a lone surrogate: '\\udcff'"),
    ):
        done = invoke(queue, "t1", "--least", "1")
        assert (done.exit_code, said in done.stderr) == (2, True), done.stderr
    assert invoke("mail", "\udcff", "--least", "1").exit_code == 2
    assert app.asked == []
    app.error = UnknownTask("no task t1")
    done = invoke("mail", "t1", "--least", "3")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "Error: UnknownTask: no task t1\n" in done.stderr


def test_its_help_has_everything_that_was_said(invoke: Callable[..., Result]) -> None:
    told = invoke("--help").stdout
    for text in (
        "Look through a queue.",
        "Nothing changes.",
        "raftwork queue sift mail t1 --dry",
        "QUEUE IDS…",
        "Seconds that a task has waited.  [default: 1.5]",
        "--least INTEGER RANGE",
        "--brokers",
        "--timeout",
        "--json",
    ):
        assert text in told


def test_a_command_takes_no_others_place() -> None:
    main = click.Group("raftwork")
    with pytest.raises(KeyError):
        feature_commands.add_to(main, LINE)
    main.add_command(click.Group("queue"))
    feature_commands.add_to(main, LINE)
    with pytest.raises(ValueError, match="there is a command of this name already"):
        feature_commands.add_to(main, LINE)


def test_those_of_all_features_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    features = [SimpleNamespace(command_lines=lines) for lines in ((), (LINE,))]
    monkeypatch.setattr(feature_commands, "FEATURES", features)
    assert list(feature_commands.command_lines()) == [LINE]


def test_a_module_with_a_command_is_a_subcommand() -> None:
    found = {
        module.command.name
        for name, module in sys.modules.items()
        if name.startswith("raftwork.cli.")
        and isinstance(vars(module).get("command"), click.Command)
    }
    assert found <= set(raftwork.cli.main.commands)
    assert found >= {"broker", "worker", "enqueue", "result", "queue", "dead", "drain", "status"}
