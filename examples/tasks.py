"""Tasks of a small shop. Run a worker beside this file: raftwork worker tasks:app"""

import sys

from raftwork import App, chord, current

app = App()  # RAFTWORK_BROKERS, else 127.0.0.1:7701, :7702 and :7703


@app.task
def add(x: int, y: int) -> int:
    return x + y


@app.task(retries=3, backoff=0.5, timeout=30)
async def charge(order: str, cents: int) -> str:
    # The token only grows. A payment service that refuses a smaller one than it has seen for this
    # order can never be fooled by a worker that was given up and still runs.
    return f"{order}: {cents} cents under token {current().token}"


@app.task
def total(values: list[int]) -> int:
    return sum(values)


@app.schedule("nightly", cron="30 2 * * *", tz="Europe/Berlin")
@app.task
def report() -> str:
    assert current().tick is not None
    return f"the report of {current().tick:%d %B %Y}"


@app.task(delivery="at_most_once")
def remind(address: str) -> None:
    print(f"a reminder to {address}", file=sys.stderr)


if __name__ == "__main__":
    runs = add.enqueue_many([(n, n) for n in range(10)])  # returns once a majority has them on disk
    print([run.result(timeout=30) for run in runs])
    print(charge.enqueue("order-7", 1250).result(timeout=30))
    print(chord([add.s(n, n) for n in range(5)], total.s()).enqueue().result(timeout=30))
