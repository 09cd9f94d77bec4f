"""Commands import what they run when they run it: whoever asks for help waits for no more."""

import subprocess
import sys

HEAVY = {"apsw", "asyncio", "psutil", "rich", "subprocess", "zmq"}


def test_the_command_line_itself_imports_nothing_heavy() -> None:
    code = f"import sys, raftwork.cli; print(*sorted({HEAVY} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "\n"
