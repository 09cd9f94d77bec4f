"""Brokers and workers need their asserts."""

import click


def require_assertions() -> None:
    """Refuse to serve under `python -O`, which leaves out every assert.

    They are invariants: a replica that breaks one must stop before it commits.
    """
    if not __debug__:
        raise click.UsageError(
            "Python runs optimised, without the asserts that stop a broker or worker before it does"
            " harm: start it without -O and -OO, and unset PYTHONOPTIMIZE"
        )
