"""FastAPI, Flask and notebooks, as their page prints them."""

from tests.strangers.place import Place, blocks

PAGE = blocks("howto-web.md")
ASK_API = """
import asyncio
from fastapi.testclient import TestClient
from raftwork import Status
from api import api
from tasks import greet

with TestClient(api) as client:
    answer = client.post("/greetings/ada")
    print(answer.status_code, client.get("/greet/bob").json())
    address = "/greetings/" + answer.json()["id"]
    while (seen := client.get(address).json())["value"] is None:
        pass
    print(seen, client.get("/greetings/nobody").status_code)
try:
    greet.enqueue("late")
except Exception as error:
    print(type(error).__name__)
"""
HANG_UP = """
import asyncio
from tasks import app, greet

async def main():
    async with app:
        run = await greet.aenqueue("eve")
        waiting = asyncio.create_task(run.aresult())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        print(waiting.cancelled(), await run.aresult(timeout=60))

asyncio.run(main())
"""
ASK_WEB = """
from web import web
client = web.test_client()
begun = client.post("/greetings/ada")
print(begun.status_code, client.get("/greetings/" + begun.json["id"]).json["value"])
"""
TYPED = """
from raftwork import App
app = App()
@app.task
def f():
    return 1
print(f())
f.enqueue()
"""


def written(place: Place) -> Place:
    for _, title, text in PAGE:
        if title:
            place.write(title, text)
    return place


def test_fastapi(alone: Place) -> None:
    written(alone).start("raftwork worker tasks:app --concurrency 1", "worker")
    alone.write("ask.py", ASK_API)
    done = alone.sh("python ask.py")
    assert done.out.splitlines() == [
        "202 hello bob",
        "{'status': 'succeeded', 'value': 'hello ada'} 404",
        "AppClosed",
    ], done.err
    alone.write("hang_up.py", HANG_UP)
    done = alone.sh("python hang_up.py")
    assert done.out == "True hello eve\n", done.err


def test_flask(alone: Place) -> None:
    written(alone).start("raftwork worker web:app --concurrency 1", "worker")
    alone.write("ask.py", ASK_WEB)
    done = alone.sh("python ask.py")
    assert done.out == "202 good day ada\n", done.err


def test_notebooks(alone: Place) -> None:
    (cell,) = [text for language, _, text in PAGE if language == "text"]
    magic, module = cell.split("\n", 1)
    written(alone).write(magic.removeprefix("%%writefile "), module)
    alone.start("raftwork worker cells:app --concurrency 1 --pickle", "worker")
    done = alone.sh("python notebook.py && python - < by_value.py")
    assert done.out == "49\n[1, 4, 7, 10]\n", done.err
    done = alone.sh("python -", stdin=TYPED)
    assert done.out == "1\n" and "ValueError" in done.err
