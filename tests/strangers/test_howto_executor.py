"""An executor as the page prints it: over a worker that unpickles nothing, and one that may."""

from tests.strangers.place import Place, blocks


def test_the_page_works_as_printed(alone: Place) -> None:
    page = blocks("howto-executor.md")
    for _, title, text in page:
        if title:
            alone.write(title, text)
    (commands,) = [text.splitlines() for language, _, text in page if language == "sh"]
    (printed,) = [text for language, _, text in page if language == "text"]
    strict = alone.start(f"{commands[0]} --concurrency 2", "strict")
    done = alone.sh("python count.py")
    assert (done.code, done.out) == (0, printed), done.err

    alone.write("other.py", "def f(): return 1\n")
    alone.write("ask.py", ASK)
    done = alone.sh("python ask.py")
    assert "this worker calls functions of 'sums' alone, not 'other:f'" in done.out, done

    strict.stop()
    alone.start(f"{commands[1]} --concurrency 2", "permits")
    done = alone.sh("python count.py")
    assert done.out.splitlines()[-1] == "None", done  # no exception
    assert alone.sh("python ask.py").out == "None\n"


ASK = """
from raftwork.executor import Executor
import other
with Executor() as executor:
    print(executor.submit(other.f).exception())
"""
