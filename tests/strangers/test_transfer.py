"""An operator looks who the members are, and has another one lead."""

import json

from tests.strangers.place import Place

NAMES = ["a", "b", "c"]


def test_leadership_goes_where_an_operator_wants_it(place: Place) -> None:
    brokers = place.brokers()
    place.wait_until(lambda: place.status()["leader"] is not None, "a leader")

    shown = place.sh("raftwork cluster show")
    assert shown.code == 0, shown.err
    assert [line.split()[0] for line in shown.out.splitlines()[-3:]] == NAMES

    def leader() -> str:
        document = json.loads(place.sh("raftwork cluster show --json").out)
        assert [member["name"] for member in document["members"]] == NAMES
        return str(document["leader"])

    place.wait_until(lambda: leader() in NAMES, "a leader that is shown")
    for name in NAMES:  # one of them leads already, and the others take over
        moved = place.sh(f"raftwork cluster transfer {name}")
        assert (moved.code, moved.out) == (0, f"{name}\n"), moved.err
    moved = place.sh("raftwork cluster transfer --json")
    assert moved.code == 0, moved.err
    told = json.loads(moved.out)
    assert told["before"] == "c"
    assert told["leader"] in {"a", "b"}

    gone = told["before"]
    brokers[gone].stop()
    refused = place.sh(f"raftwork cluster transfer {gone} --wait 0.5")
    assert (refused.code, refused.out) == (1, "")
    assert "was not handed over within 0.5 s: c d" in refused.err  # does not answer, did not
    refused = place.sh("raftwork cluster transfer d")
    assert (refused.code, refused.out) == (1, "")
    assert "there is no broker 'd'; there are a, b, c" in refused.err
