"""Django's tasks, as their page prints it: a project, its worker, and what is enqueued."""

from importlib.util import find_spec

from tests.strangers.place import Place, blocks

PAGE = blocks("howto-django.md")
MANAGE = """
import os, sys
from django.core.management import execute_from_command_line
os.environ["DJANGO_SETTINGS_MODULE"] = "shop.settings"
execute_from_command_line(sys.argv)
"""


def test_the_page_works_as_printed(alone: Place) -> None:
    for _, title, text in PAGE:
        if title:
            if title.endswith("settings.py"):
                (at,) = [line for line in text.splitlines() if '"brokers"' in line]
                brokers = alone.env["RAFTWORK_BROKERS"]
                text = text.replace(at, f'        "OPTIONS": {{"brokers": "{brokers}"}},')
                if find_spec("django.tasks") is None:
                    text = text.replace('"shop"]', '"shop", "django_tasks"]')
            alone.write(title, text)
    for package in ("shop", "shop/management", "shop/management/commands"):
        alone.write(f"{package}/__init__.py", "")
    alone.write("manage.py", MANAGE)
    (commands,) = [text.splitlines() for language, _, text in PAGE if language == "sh"]
    assert alone.sh("python manage.py check").code == 0
    worker = alone.start(f"{commands[1]} --concurrency 2", "worker")
    done = alone.sh("python manage.py try_tasks")
    assert done.out.splitlines() == [
        "hello Ada",
        "FAILED <class 'ZeroDivisionError'> [1, 0]",
    ], done.err
    listed = alone.sh("raftwork tasks --tag task=shop.tasks.greet --json")
    assert listed.out.count('"raftwork.django"') == 2, listed
    assert worker.stop() == 0
