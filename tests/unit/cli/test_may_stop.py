"""`raftwork check may-stop` where nobody answers."""

from click.testing import CliRunner

from raftwork.cli.check import may_stop


def test_it_says_where_it_asked_and_what_to_do() -> None:
    done = CliRunner().invoke(may_stop, ["b", "--brokers", "127.0.0.1:9"])
    assert done.exit_code == 1
    assert "no broker answers at 127.0.0.1:9: start one, or name others with --brokers" in " ".join(
        done.output.split()
    )
