"""`systemctl`, as far as the runbooks use it: runs the units of deploy/systemd, and nothing else.

UNITS is a directory with these files; what runs is kept there, too. Each unit has a supervisor of
its own, as systemd would be: it starts the command again, unless it was told to stop or the exit
code is one that prevents it, and with Type=notify `start` returns once the command says READY=1.
"""

import fnmatch
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

UNITS = Path(os.environ["UNITS"])
WAIT_S = 60.0


def field(text: str, name: str, default: str = "") -> str:
    found = re.findall(rf"^{name}=(.*)$", text, re.MULTILINE)
    return found[0] if found else default


def unit(name: str) -> tuple[str, str]:
    """The text of its file, filled in, and its instance."""
    template, _, instance = name.removesuffix(".service").partition("@")
    text = (UNITS / f"{template}@.service").read_text()
    return text.replace("%i", instance).replace("%H", socket.gethostname()), instance


def state(name: str, what: str) -> Path:
    return UNITS / f"{name}.{what}"


def running() -> list[str]:
    return sorted(path.name.removesuffix(".main") for path in UNITS.glob("*.main"))


def until(condition: object, what: str) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():  # type: ignore[operator]
        if time.monotonic() > deadline:
            sys.exit(f"not within {WAIT_S} s: {what}")
        time.sleep(0.01)


def start(name: str) -> None:
    if state(name, "main").exists():
        return
    for what in ("stop", "ready", "over"):
        state(name, what).unlink(missing_ok=True)
    with state(name, "log").open("ab") as log:
        subprocess.Popen(
            [sys.executable, __file__, "supervise", name],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    until(lambda: state(name, "ready").exists() or state(name, "over").exists(), f"{name} starts")


def supervise(name: str) -> None:
    text, _ = unit(name)
    never = {int(code) for code in field(text, "RestartPreventExitStatus").split()}
    while not state(name, "stop").exists():
        code = once(name, text)
        if code in never:
            break
        time.sleep(float(field(text, "RestartSec", "1")))
    state(name, "main").unlink(missing_ok=True)
    state(name, "over").touch()


def once(name: str, text: str) -> int:
    where = f"/tmp/units.{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified:
        notified.bind(where)
        notified.settimeout(0.02)
        child = subprocess.Popen(
            shlex.split(field(text, "ExecStart")),
            cwd=field(text, "WorkingDirectory") or None,
            env=os.environ | {"NOTIFY_SOCKET": where},
        )
        new = state(name, "new")
        new.write_text(str(child.pid))
        new.replace(state(name, "main"))
        ready = field(text, "Type") != "notify"
        while child.poll() is None:
            if ready:
                state(name, "ready").touch()
                child.wait()
                break
            try:
                ready = b"READY=1" in notified.recv(1_024)
            except TimeoutError:
                continue
    os.unlink(where)
    return child.returncode


def tell(name: str, number: int) -> None:
    with suppress(FileNotFoundError, ProcessLookupError):  # between two of its starts
        os.kill(int(state(name, "main").read_text()), number)


def stop(name: str) -> None:
    if not state(name, "main").exists():
        return
    state(name, "stop").touch()
    told = ""

    def over() -> bool:
        nonlocal told
        now = state(name, "main").read_text() if state(name, "main").exists() else told
        if now != told:  # else one that is started again just now would never be told
            told = now
            tell(name, signal.SIGTERM)
        return state(name, "over").exists()

    until(over, f"{name} stops")


def main() -> None:
    action, *names = [each for each in sys.argv[1:] if not each.startswith("--")]
    if action == "supervise":
        supervise(*names)
        return
    for pattern in names:
        found = fnmatch.filter(running(), pattern) if "*" in pattern else [pattern]
        for name in found:
            if action in ("stop", "restart"):
                stop(name)
            if action in ("start", "restart", "enable"):
                start(name)
            if action == "reload":
                tell(name, signal.SIGHUP)


if __name__ == "__main__":
    main()
