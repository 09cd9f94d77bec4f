"""Flows: what the body of a chord is given, and when: G19."""

from raftwork.chaos.findings.finding import Finding, Proofs
from raftwork.chaos.history import Given, Started
from raftwork.chaos.lives import Life, Record


def _broken(record: Record) -> Proofs:
    for task, life in record.tasks.items():
        for start in life.starts if "inputs" in life.wanted else ():
            given = [each for each in life.given if each.token == start.token]
            sources = [each.source for each in given]
            due = [f"{task}/{at}" for at in range(1, int(life.wanted["inputs"]) + 1)]
            if start.token in life.finished and sources != due:
                yield f"{task}: its body was given the values of {sources}, not of {due}"
            for each in given:
                yield from _wrong(start, each, record.tasks.get(each.source, Life()))


def _wrong(start: Started, given: Given, source: Life) -> Proofs:
    """A value that came before it was there, or is none that its task ended with."""
    done = source.finished.get(given.source_token)
    if done is None or done > start.at:
        yield f"{start.task}: its body began before {given.source} was done"
    stands = {end.token for end in source.outcomes}
    if stands and given.source_token not in stands:
        yield (
            f"{start.task}: its body was given what {given.source} returned under"
            f" {given.source_token}, and its outcome is of {stands}"
        )


FINDINGS = (
    Finding(
        "flow broken",
        "a body began before its last input, or was given other values, or in another order",
        _broken,
    ),
)
