"""`raftwork dashboard-token`: a token for the dashboard, and its line of the token file."""

import secrets

import click

from raftwork.cli.output import err, out


@click.command("dashboard-token")
@click.argument("role", type=click.Choice(["viewer", "operator", "admin"]))
@click.argument("name", required=False)
def command(role: str, name: str | None) -> None:
    """Make a token for the dashboard.

    Prints the line for `raftwork dashboard --token-file` on stdout, and the token itself on stderr:
    it is kept nowhere. A viewer looks, but not at arguments and results; an operator also cancels,
    retries, pauses and resumes; an admin may do everything.

    \b
    Example:
      raftwork dashboard-token operator zoe >> tokens
    """
    if name is not None and (not name.isprintable() or len(name.split()) != 1):
        raise click.UsageError("a name is printable, and without spaces")
    from hashlib import sha256

    token = secrets.token_urlsafe(32)
    out(f"{role} {sha256(token.encode()).hexdigest()} {name or role}")
    err(token)
