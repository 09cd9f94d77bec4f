"""Probes of somebody's orchestrator: over HTTP, by curl, by a command."""

import json
import signal
import urllib.error
import urllib.request
from http.client import HTTPException
from typing import Any

from raftwork.testing.processes import free_addresses
from tests.strangers.place import PATIENCE, Place


def _ask(address: str, path: str) -> tuple[int, dict[str, Any]]:
    """The status, and the document; 0 if nobody answers, or ends in the middle of it."""
    try:
        return _answer(f"http://{address}{path}")
    except (OSError, HTTPException):
        return 0, {}


def _answer(url: str) -> tuple[int, dict[str, Any]]:
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def _pid_of_http(place: Place, name: str) -> str:
    return place.sh(f"pgrep -P $(cat data/{name}/broker.pid)").out.strip()


def test_probes_follow_what_happens_to_a_cluster(place: Place) -> None:
    http = next(each for each in free_addresses(8) if each not in place.mapping)
    place.sh("for name in a b c; do raftwork keys new $name --role peer; done")
    place.sh("for name in a b c; do raftwork keys allow $name.key; done")
    place.sh("raftwork keys new ops --role admin && raftwork keys allow ops.key")
    place.sh("raftwork keys new w --role worker && raftwork keys allow w.key")
    place.env["RAFTWORK_KEY"] = "ops.key"
    keyed = "--access access.toml --key"
    a = place.broker("a", f"{keyed} a.key --http {http}")
    place.wait_until(lambda: _ask(http, "/livez")[0] == 200, "it is alive by itself")
    place.wait_until(lambda: "member" in str(_ask(http, "/readyz")), "it waits for the others")
    assert _ask(http, "/readyz")[0] == 503
    b = place.broker("b", f"{keyed} b.key")
    c = place.broker("c", f"{keyed} c.key")
    place.wait_until(lambda: _ask(http, "/readyz")[0] == 200, "it is ready")
    assert _ask(http, "/readyz/leader") == (200, {"ok": True, "checks": {"leader": "ok"}})
    place.wait_until(lambda: _ask(http, "/safe-to-stop")[0] == 200, "it may be stopped")
    assert place.sh("raftwork check may-stop a").code == 0
    well = place.sh("raftwork doctor --data data/a --broker-key a.key --json")
    ids = {each["id"]: each["severity"] for each in json.loads(well.out)}
    # A machine that runs tests may have a slow disk, which is said, and makes it exit 1.
    assert well.code == 0 or [id_ for id_ in ids if ids[id_] == "error"] == ["disk-sync"], well
    assert ids["brokers"] == ids["leader"] == ids["key-mode"] == ids["may-stop"] == "ok"
    c.kill()
    place.wait_until(lambda: _ask(http, "/safe-to-stop")[0] == 503, "it may not any more")
    refused = place.sh("raftwork check may-stop a")
    assert refused.code == 1
    assert "c does not answer" in refused.err
    assert "c of 3 brokers do not answer" in place.sh("raftwork doctor").out
    if place.consensus == "raft":  # which is none of a worker's business
        _a_worker_answers_too(place)
    before = _pid_of_http(place, "a")
    assert place.sh(f"kill -9 {before}").code == 0
    place.wait_until(lambda: _ask(http, "/livez")[0] == 200, "it was started again")
    assert a.code is None
    assert "nothing answers HTTP" in a.text
    b.kill()
    place.wait_until(lambda: _ask(http, "/readyz")[0] == 503, "it has no leader")
    assert _ask(http, "/livez")[0] == 200
    a.signal(signal.SIGKILL)
    place.wait_until(lambda: _ask(http, "/livez")[0] == 0, "it ended with its broker")


def _a_worker_answers_too(place: Place) -> None:
    """It is ready once a leader has it; its child comes back; it ends with the worker."""
    http = next(each for each in free_addresses(9) if each not in place.mapping)
    place.write("tasks.py", "from raftwork import App\n\napp = App()\n")
    worker = place.start(f"raftwork worker tasks:app --name w1 --key w.key --http {http}", "w1")
    place.wait_until(lambda: _ask(http, "/readyz")[0] == 200, "a leader has taken it on")
    child = place.sh(f"pgrep -P {worker.pid} -f worker_server").out.strip()
    assert place.sh(f"kill -9 {child}").code == 0
    place.wait_until(lambda: _ask(http, "/livez")[0] == 200, "it was started again")
    assert "nothing answers HTTP" in worker.text
    page = place.sh(f"curl -s http://{http}/metrics").out
    assert 'raftwork_worker_connected{worker="w1"} 1.0' in page
    worker.signal(signal.SIGKILL)
    place.wait_until(lambda: _ask(http, "/livez")[0] == 0, "it ended with its worker")
