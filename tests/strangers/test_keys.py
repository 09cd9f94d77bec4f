"""Somebody gives a cluster keys, with the page alone."""

import re
from pathlib import Path

from tests.strangers.place import Place

PAGE = Path(__file__).parents[2] / "docs" / "howto-keys.md"
_BLOCK = re.compile(r"```sh title=\"(\w+)\"\n(.*?)```", re.DOTALL)

TASKS = """
from raftwork import App
app = App()

@app.task
def add(x, y):
    return x + y
"""


def test_the_page_works_as_printed(place: Place) -> None:
    blocks = {title: body.splitlines() for title, body in _BLOCK.findall(PAGE.read_text())}
    place.write("tasks.py", TASKS)

    def run(title: str) -> list[str]:
        said = [place.sh(line) for line in blocks[title]]
        for line, each in zip(blocks[title], said, strict=True):
            assert each.code == 0, (line, each)
        return [each.out for each in said]

    run("make")
    for name, line in zip("abc", blocks["brokers"], strict=True):
        place.start(f"{line} --consensus {place.consensus}", name)
    refused = place.sh("raftwork status")
    assert refused.code == 1
    place.env["RAFTWORK_KEY"] = "ops.key"
    place.wait_until(lambda: place.sh("raftwork status").code == 0, "a leader")
    assert "PermissionDenied" in place.sh("RAFTWORK_KEY= raftwork status").err
    (line,) = blocks["worker"]
    worker = place.start(line, "w1")
    done, shown, _ = run("use")
    assert done == "3\n"
    assert "leader" in shown
    (audit,) = run("audit")
    assert re.search(r"ops +SetQueue queue='default' changes=\d+ bytes +done", audit)
    run("revoke")
    place.wait_until(
        lambda: "not let in" in place.sh("raftwork enqueue tasks.add 1 2 --key shop.key").err,
        "shop is let in no more",
    )
    run("rotate")
    worker.stop()
    again = place.start(line.replace("w1.key", "w1-new.key"), "w1-new")
    place.wait_until(lambda: "joined the leader" in again.text, "it is taken under its new key")
