"""What runs while somebody looks."""

import logging
import os
import time

from raftwork import App, current

app = App()
log = logging.getLogger("reports")


@app.task(name="mail.send")
def send(to: str) -> str:
    time.sleep(0.02)
    return f"sent to {to}"


@app.task(name="reports.build")
def build(pages: int, go: str = "") -> int:
    """Ends once there is the file `go`, if one is named."""
    for page in range(pages):
        if current().cancelled:
            raise InterruptedError
        log.info("begins page %d", page)
        current().progress(page / pages, f"page {page} of {pages}")
        time.sleep(0.5)
    while go and not os.path.exists(go):
        time.sleep(0.02)
    return pages


@app.task(name="billing.charge")
def charge(customer: str) -> None:
    raise ValueError(f"no such customer: {customer!r}")


@app.task(name="images.resize")
def resize(name: str) -> str:
    return name
