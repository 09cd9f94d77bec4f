"""`python -m tests.unit.cli.top.shot`: make the picture of docs/howto-top.md again."""

import asyncio
import re
from pathlib import Path
from unittest.mock import patch

from raftwork.cli.top.asking import Alarm
from raftwork.cli.top.screen import Top
from tests.unit.cli.top.seen import AT, QUEUES, WORKERS, Told, picture, task

SHOT = Path(__file__).parents[4] / "docs" / "images" / "top.svg"
IDS = [f"0199c1a2-7f2b-7c3e-8d4f-5a6b7c8d9e{n:02x}" for n in range(6)]
NAMES = (
    "reports.build",
    "mail.send",
    "mail.send",
    "shop.orders.confirm",
    "thumbnails.make",
    "etl.load",
)


async def svg() -> str:
    """As a terminal of 150 columns shows it; no font is loaded from elsewhere."""
    tasks = [
        task(id_, name, seconds)
        for id_, name, seconds in zip(IDS, NAMES, (812, 65, 3.2, 41, 7, 240), strict=True)
    ]
    resting = WORKERS[0]._replace(
        name="w3", pid=11, running=0, reason="rests for 8 s: 3 tasks in a row were lost with it"
    )
    alarm = Alarm(
        "warning",
        "no worker serves the queue bulk (queued: 18)",
        "raftwork worker MODULE:APP --queues bulk",
    )
    bulk = QUEUES[0]._replace(name="bulk", queued=18, running=0, succeeded=0, failed=0, lost=0)
    told = Told(
        picture(queues=[*QUEUES, bulk], workers=[*WORKERS, resting], tasks=tasks, alarms=[alarm])
    )
    app = Top(told)
    with patch("time.time", lambda: AT + 1):
        async with app.run_test(size=(150, 32)) as pilot:
            await pilot.press("down")
            await pilot.pause()
            app.look()
            await pilot.pause()
            made = app.export_screenshot(title="raftwork top")
    return re.sub(r"@font-face \{.*?\}\s*", "", made, flags=re.DOTALL)


if __name__ == "__main__":
    SHOT.write_text(asyncio.run(svg()))
