"""Ctrl-C in the first third of a second."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

#: A library of ours that is interrupted while it is imported.
LIBRARY = "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(30)\n"


@pytest.mark.parametrize("called", ["module", "script"])
def test_ctrl_c_while_the_command_is_imported_is_no_traceback(tmp_path: Path, called: str) -> None:
    (tmp_path / "msgpack.py").write_text(LIBRARY)
    script = Path(sys.executable).with_name("raftwork")
    command = [sys.executable, "-m", "raftwork"] if called == "module" else [script]
    done = subprocess.run(
        [*command, "status"],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (-signal.SIGINT, "")


def test_a_program_that_imports_the_package_is_interrupted_as_ever() -> None:
    program = "import signal, raftwork; print(signal.getsignal(signal.SIGINT))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "default_int_handler" in done.stdout


def test_once_it_has_begun_it_is_interrupted_as_ever() -> None:
    program = (
        "import sys, signal; sys.argv = ['/usr/bin/raftwork', '--version']\n"
        "from raftwork.cli import main\n"
        "print(signal.getsignal(signal.SIGINT))\n"
        "main(standalone_mode=False)\n"
        "print(signal.getsignal(signal.SIGINT))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    first, _, last = done.stdout.splitlines()
    assert (first, "default_int_handler" in last) == (str(signal.SIG_DFL), True)
