"""A worker over an engine, as the page prints it, and over loky."""

import pytest

from tests.strangers.place import Place, blocks

LOKY = """
from joblib.externals.loky import get_reusable_executor
def make():
    return get_reusable_executor(2, timeout=600)
"""


@pytest.mark.parametrize("engine", ["", LOKY], ids=["processes", "loky"])
def test_the_page_works_as_printed(alone: Place, engine: str) -> None:
    page = blocks("howto-engines.md")
    for _, title, text in page:
        if title:
            alone.write(title, engine if engine and title == "engine.py" else text)
    ((command,),) = [text.splitlines() for language, _, text in page if language == "sh"]
    worker = alone.start(command, "worker")
    done = alone.sh("raftwork enqueue tasks.square 7 --wait --timeout 60")
    assert (done.code, done.out) == (0, "49\n"), done.err
    done = alone.sh("raftwork enqueue tasks.dies_once --wait --timeout 60")
    assert (done.code, done.out) == (0, '"came back in attempt 2"\n'), done.err
    done = alone.sh("raftwork enqueue tasks.square 8 --wait --timeout 60")
    assert done.out == "64\n", done.err
    assert worker.stop() == 0


def test_the_two_flags_go_together(alone: Place) -> None:
    for flags in ("--pool executor", "--executor engine:make", "--pool thread --executor a:b"):
        done = alone.sh(f"raftwork worker tasks:app {flags}")
        assert done.code == 2 and "go together" in done.err
    alone.write("tasks.py", "from raftwork import App\napp = App()\n")
    done = alone.sh("raftwork worker tasks:app --pool executor --executor tasks:nothing")
    assert done.code == 1 and "names no function that makes an executor" in done.err
