"""A trial's report, for people and for programs."""

from collections.abc import Iterator
from dataclasses import asdict

from raftwork.chaos.run import Report
from raftwork.chaos.timings import summary


def document(report: Report) -> dict[str, object]:
    """As `raftwork chaos --json` prints it; times in seconds."""
    verdict = report.verdict
    return {
        "good": report.good,
        "seconds": round(report.seconds, 1),
        "faults": dict(report.faults),
        **dict(_counts(report)),
        "findings": {name: len(found) for name, found in verdict.findings.items()},
        "losses": asdict(verdict.losses),
        "times": {
            name: {"samples": len(samples), "median": median, "max": longest}
            for name, samples in _samples(report)
            if (figures := summary(samples))
            for median, longest in (figures,)
        },
        "troubles": report.troubles,
    }


def rows(report: Report) -> Iterator[tuple[str, str]]:
    """The lines of the verdict's table."""
    for fault, count in sorted(report.faults.items()):
        yield f"fault: {fault}", str(count)
    for name, number in _counts(report):
        yield name, str(number)
    losses = report.verdict.losses
    for name, found in report.verdict.findings.items():
        where = f" (first {losses.first}, middle {losses.middle}, last {losses.last})"
        yield name, f"{len(found)}{where if name == 'lost' and found else ''}"
    for name, samples in _samples(report):
        if figures := summary(samples):
            yield f"{name}, median / max (s)", f"{figures[0]:.2f} / {figures[1]:.2f}"
    yield "trouble besides", str(len(report.troubles))
    yield "seconds", f"{report.seconds:.0f}"


def _counts(report: Report) -> Iterator[tuple[str, int]]:
    verdict = report.verdict
    yield "enqueued", verdict.enqueued
    yield "acknowledged", verdict.acknowledged
    yield "recovered", verdict.recovered
    yield "succeeded", verdict.succeeded
    yield "given up (at most once)", verdict.given_up
    yield "failed on purpose", verdict.failed
    yield "cancelled", verdict.cancelled
    yield "runs", verdict.runs
    yield "run more than once", verdict.run_more_than_once
    yield "status reads", verdict.status_reads


def _samples(report: Report) -> Iterator[tuple[str, list[float]]]:
    timings = report.timings
    for fault in timings.acknowledged:
        yield f"{fault} to next acknowledgement", timings.acknowledged[fault]
        yield f"{fault} to first new task started", timings.pushed[fault]
    yield "kill worker to its tasks elsewhere", timings.moved
