"""`raftwork keys`: who may do what, where brokers want keys."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import click

from raftwork.broker.access.access_list import (
    ALL_QUEUES,
    Grant,
    read_access,
)
from raftwork.broker.access.edit_access import allowed, revoked, write_access
from raftwork.cli.output import err, out
from raftwork.cli.values import print_json, usage
from raftwork.errors import AccessListRefused
from raftwork.keys import (
    KEY_BYTES,
    Key,
    Role,
    check_name,
    decoded,
    encoded,
    new_key,
    read_key,
    replace_key,
    write_key,
)

_ACCESS: Final = "access.toml"

_role_option = click.option(
    "--role",
    "roles",
    multiple=True,
    type=click.Choice([role.value for role in Role]),
    help="What the key is for; more than once, and it is for several things.",
)
_queues_option = click.option(
    "--queues",
    multiple=True,
    metavar="GLOB",
    help="The queues that it is for (default: all); more than once for several.",
)
_access_option = click.option(
    "--access",
    type=click.Path(dir_okay=False),
    default=_ACCESS,
    show_default=True,
    metavar="FILE",
    help="The list of the keys that brokers let in.",
)


@click.group("keys")
def command() -> None:
    """Make keys, and say whose are let in.

    A key is a file with a secret; its public half goes into the access list, which every broker
    has. Brokers with keys encrypt everything and let nobody else in: docs/howto-keys.md.

    \b
    Example:
      raftwork keys new a --role peer
      raftwork keys allow a.key
      raftwork keys new mailer --role worker --queues 'mail.*'
      raftwork keys allow mailer.key
    """


@command.command("new")
@click.argument("name")
@_role_option
@_queues_option
@click.option("--out", "file", metavar="FILE", help="Where to write it (default: NAME.key).")
@_access_option
def new(
    name: str, roles: tuple[str, ...], queues: tuple[str, ...], file: str | None, access: str
) -> None:
    """Make a key, in a file that only its owner can read.

    The brokers that it trusts are those in the access list, if there is one: make the brokers' keys
    and allow them first. A broker needs none of that in its own file. Prints the public half.

    \b
    Example:
      raftwork keys new mailer --role worker --queues 'mail.*'
    """
    if not roles:
        raise click.UsageError("--role is required: what is the key for?")
    with usage():
        given = frozenset(map(Role, roles))
        if Role.PEER in given and len(given) > 1:
            raise click.UsageError("a broker's key is for nothing else: --role peer alone")
        brokers = {} if Role.PEER in given else _brokers(access)
        key = new_key(name, given, queues or ALL_QUEUES, brokers)
    path = file or f"{name}.key"
    try:
        write_key(key, path)
    except FileExistsError:
        raise click.ClickException(f"{path} is there already, and no key is overwritten") from None
    if not brokers and Role.PEER not in given:
        err(
            f"no broker's key is in {access}, so this key can be used nowhere yet: allow the"
            f" brokers' keys, then add them to [brokers] in {path}, or make it again"
        )
    out(key.public)


@command.command("show")
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def show(file: str, as_json: bool) -> None:
    """Show what a key file says, but not its secret.

    \b
    Example:
      raftwork keys show mailer.key
    """
    key = read_key(file)
    document = {
        "name": key.name,
        "role": sorted(key.roles),
        "queues": list(key.queues),
        "public": key.public,
        "brokers": {name: list(keys) for name, keys in key.brokers.items()},
    }
    if as_json:
        print_json(document)
        return
    out(f"{key.name}: {', '.join(sorted(key.roles))}; queues {', '.join(key.queues)}")
    out(f"public {key.public}")
    for name, keys in key.brokers.items():
        out(f"broker {name} {' '.join(keys)}")


@command.command("refresh")
@click.argument("key_files", metavar="FILE…", nargs=-1, required=True)
@_access_option
def refresh(key_files: tuple[str, ...], access: str) -> None:
    """Have key files trust the brokers whose keys are in the access list, and no others.

    To be done for each worker's and program's file while a broker's key is replaced, and again once
    that is over. What reads such a file has to be started again.

    \b
    Example:
      raftwork keys refresh worker.key shop.key
    """
    brokers = _brokers(access)
    if not brokers:
        raise click.ClickException(f"no broker's key is in {access}")
    for file in key_files:
        key = read_key(file)
        if Role.PEER in key.roles:
            raise click.UsageError(f"{file} is a broker's: it goes by the access list itself")
        replace_key(replace(key, brokers=brokers), file)
        out(f"{file} trusts {', '.join(brokers)}")


@command.command("secret")
def secret() -> None:
    """Print a key for contents that brokers cannot read.

    Programs and workers need it, and brokers must not have it: docs/howto-encryption.md.

    \b
    Example:
      raftwork keys secret > contents.secret && chmod 600 contents.secret
      RAFTWORK_SECRETS=contents.secret raftwork worker tasks:app
    """
    out(encoded(secrets.token_bytes(KEY_BYTES)))


@command.command("allow")
@click.argument("key", metavar="FILE|PUB")
@_access_option
@click.option("--name", help="Whose key it is, if only its public half is given.")
@_role_option
@_queues_option
def allow(
    key: str, access: str, name: str | None, roles: tuple[str, ...], queues: tuple[str, ...]
) -> None:
    """Let a key in: put its public half into the access list, which is made if there is none.

    A key file says whose it is and what for; of a public half by itself (`raftwork keys show`)
    --name and --role do, unless the name is in the list already. A name may have two keys, while
    one replaces the other. Every broker needs the list, and SIGHUP to read it again.

    \b
    Example:
      raftwork keys allow mailer.key
      raftwork keys allow 'rq3…=' --name mailer --role worker
    """
    grant, public = _meant(key, access, name, roles, queues)
    try:
        write_access(access, allowed(_text(access), access, grant, public))
    except (AccessListRefused, OSError) as error:
        raise click.ClickException(str(error)) from None
    out(f"{grant.name} is allowed in {access}; brokers read it again on SIGHUP")


@command.command("revoke")
@click.argument("name")
@_access_option
def revoke(name: str, access: str) -> None:
    """Let the keys of a name in no more: take them out of the access list.

    Brokers that get SIGHUP then close what is open under them. What the name is for stays in the
    list, with its rates, for the key that `keys allow` lets in next.

    \b
    Example:
      raftwork keys revoke mailer
    """
    try:
        write_access(access, revoked(_text(access), access, name))
    except (AccessListRefused, OSError) as error:
        raise click.ClickException(str(error)) from None
    out(f"{name} is revoked in {access}; brokers read it again on SIGHUP")


def _meant(
    key: str, access: str, name: str | None, roles: tuple[str, ...], queues: tuple[str, ...]
) -> tuple[Grant, str]:
    """Whose public key to allow, and for what."""
    try:
        decoded(key)
    except ValueError:
        found = read_key(key)
        if name or roles or queues:
            raise click.UsageError(
                "the file says whose key it is: only --access goes with it"
            ) from None
        return _grant(found), found.public
    if not name:
        raise click.UsageError("a public key by itself does not say whose it is: --name")
    with usage():
        check_name(name)
    if roles:
        return Grant(name, frozenset(map(Role, roles)), queues or ALL_QUEUES), key
    known = _names(access).get(name)
    if known is None:
        raise click.UsageError(f"{name} is not in {access} yet: --role says what it is for")
    return known, key


def _grant(key: Key) -> Grant:
    return Grant(key.name, key.roles, key.queues)


def _names(access: str) -> Mapping[str, Grant]:
    try:
        return read_access(access).names if _text(access) else {}
    except AccessListRefused as error:
        raise click.ClickException(str(error)) from None


def _brokers(access: str) -> dict[str, tuple[str, ...]]:
    """The brokers' public keys; none if there is no list yet."""
    try:
        return read_access(access).broker_keys if _text(access) else {}
    except AccessListRefused as error:
        raise click.ClickException(str(error)) from None


def _text(access: str) -> str:
    try:
        with open(access, encoding="utf-8", newline="") as opened:
            return opened.read()
    except FileNotFoundError:
        return ""
