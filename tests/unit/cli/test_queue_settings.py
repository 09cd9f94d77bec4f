"""What can be set for a queue is said once, and everything else is made of that."""

from dataclasses import asdict

import click
import pytest

from raftwork.cli.queue import set_command
from raftwork.features.queue_settings import SETTINGS, QueueSettings, changes, settings_of
from raftwork.messages import QueueStatus
from tests.unit.client.fake_app import queue as a_queue


@pytest.mark.parametrize("name", SETTINGS)
def test_every_setting_is_an_option_an_argument_and_part_of_the_frames(name: str) -> None:
    setting = SETTINGS[name]
    option = next(each for each in set_command.params if each.name == name)
    assert isinstance(option, click.Option)
    assert option.help is not None
    assert option.help.startswith(setting.help)
    assert option.help.endswith(f"none: {setting.unset}.")
    queue, app = a_queue()
    queue.set(**dict.fromkeys([name]))
    assert len(app.asked) == 1
    values: dict[type, str | int | dict[str, int]] = {
        str: "lru",
        int: 7,
        bool: True,
        dict: {"acme": 3},
    }
    value = "5/s" if name == "rate" else values[setting.kind]
    told = settings_of(changes(**{name: value}))
    assert asdict(told) == dict.fromkeys(SETTINGS) | {name: value}
    assert not setting.bounds or setting.bounds in QueueStatus._fields


def test_nothing_is_set_unless_it_was() -> None:
    assert QueueSettings() == QueueSettings(balancer=None, max_length=None, max_bytes=None)
