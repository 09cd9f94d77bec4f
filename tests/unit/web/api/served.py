"""The API over a cluster in this process, as the tests beside this file have it."""

from typing import Any

from starlette.testclient import TestClient

from raftwork import App
from raftwork.web.access import Rules
from raftwork.web.application import application
from tests.unit.web.seen import watch

HOST = "http://127.0.0.1:7780"


OURS = {"X-Raftwork": "1"}


app = App(brokers="127.0.0.1:1")


@app.task(name="sums.add")
def add(x: int, y: int) -> int:
    return x + y


@app.task(name="sums.fail")
def fail(what: str) -> None:
    raise ValueError(f"no such customer: {what}")


def client(rules: Rules | None = None, base: str = HOST) -> TestClient:
    return TestClient(
        application(watch(), app, rules), base_url=base, raise_server_exceptions=False
    )


def got(answer: Any) -> Any:
    assert answer.status_code == 200, answer.text
    return answer.json()
