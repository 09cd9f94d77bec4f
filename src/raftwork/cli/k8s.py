"""`raftwork k8s`: manifests for Kubernetes, of the templates in manifests/."""

from __future__ import annotations

import re
from base64 import b64encode
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Final

import click

from raftwork.cli.output import out_lines
from raftwork.keys import read_key
from raftwork.release import RELEASE

_PORT: Final = 7701
#: Pods are called NAME-0, …, and a label in the name of a host has 63 characters.
_NAME: Final = re.compile(r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?")
_SIZE: Final = re.compile(r"[1-9][0-9]*(Mi|Gi|Ti|M|G|T)")
#: Goes into the worker's command line as it is; and whatever an image may be called.
_PLAIN: Final = re.compile(r"[A-Za-z0-9_][-A-Za-z0-9_.:/@]*")


class _Manifest(Template):
    delimiter = "@"


def _matching(pattern: re.Pattern[str], what: str) -> click.ParamType[str]:
    def convert(text: str) -> str:
        if not pattern.fullmatch(text):
            raise click.BadParameter(f"{text!r} is no {what}")
        return text

    return click.types.FuncParamType(convert)


@click.command("k8s")
@click.option(
    "--name",
    type=_matching(_NAME, "name: a-z, 0-9 and -, at most 40 characters"),
    default="raftwork",
    show_default=True,
    help="Of the StatefulSet and its service; the brokers are NAME-0, NAME-1, …",
)
@click.option(
    "--brokers",
    "replicas",
    type=click.Choice(["1", "3", "5", "7"]),
    default="3",
    show_default=True,
    help="How many; an even number would survive no more than one less does.",
)
@click.option(
    "--image",
    type=_matching(_PLAIN, "name of an image"),
    default=f"raftwork:{RELEASE}",
    show_default=True,
    help="Of the brokers: see deploy/Dockerfile.",
)
@click.option(
    "--storage",
    type=_matching(_SIZE, "size, such as 10Gi"),
    default="10Gi",
    show_default=True,
    help="Of each broker's volume.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=0),
    default=2,
    show_default=True,
    help="How many; 0: none are made.",
)
@click.option(
    "--app",
    type=_matching(_PLAIN, "MODULE:APP"),
    default="tasks:app",
    show_default=True,
    metavar="MODULE:APP",
    help="Of the workers.",
)
@click.option(
    "--worker-image",
    type=_matching(_PLAIN, "name of an image"),
    default="raftwork-app:latest",
    show_default=True,
    help="Of the workers: the brokers', with your code in /app.",
)
@click.option(
    "--secret",
    type=_matching(_NAME, "name: a-z, 0-9 and -, at most 40 characters"),
    default="raftwork-keys",
    show_default=True,
    help="The Secret that has the keys.",
)
@click.option(
    "--keys",
    type=click.Path(file_okay=False, exists=True, path_type=Path),
    metavar="DIR",
    help="Print that Secret, too, of the key files and access.toml there. It is secret.",
)
def command(
    name: str,
    replicas: str,
    image: str,
    storage: str,
    workers: int,
    app: str,
    worker_image: str,
    secret: str,
    keys: Path | None,
) -> None:
    """Print manifests of a cluster with keys for Kubernetes.

    A headless Service, a PodDisruptionBudget, a NetworkPolicy and a StatefulSet of brokers, and a
    Deployment of workers. The Secret needs access.toml, a key file for each broker (NAME-0.key, …),
    worker.key, and reader.key, with which a broker's pod asks whether it may be stopped.

    \b
    Example:
      raftwork k8s | kubectl apply -f -
      raftwork k8s --brokers 5 --storage 50Gi --keys keys/ | kubectl apply -f -
    """
    names = [f"{name}-{number}" for number in range(int(replicas))]
    addresses = [f"{each}.{name}:{_PORT}" for each in names]
    values = {
        "name": name,
        "replicas": replicas,
        "image": image,
        "storage": storage,
        "workers": str(workers),
        "app": app,
        "worker_image": worker_image,
        "secret": secret,
        "addresses": ",".join(addresses),
        "cluster": ",".join(f"{n}={a}" for n, a in zip(names, addresses, strict=True)),
    }
    parts = [] if keys is None else [_manifest("keys", values) + _secrets(keys, names)]
    parts.append(_manifest("brokers", values))
    if workers:
        parts.append(_manifest("workers", values))
    out_lines("---\n".join(parts).rstrip("\n"))


def _manifest(which: str, values: dict[str, str]) -> str:
    text = (files("raftwork.cli") / "manifests" / f"{which}.yaml").read_text(encoding="utf-8")
    return _Manifest(text).substitute(values)


def _secrets(directory: Path, names: list[str]) -> str:
    """The files, as `data` of a Secret has them. Raises UsageError for one that is not there."""
    lines = []
    for file in ("access.toml", *(f"{each}.key" for each in (*names, "worker", "reader"))):
        path = directory / file
        if not path.is_file():
            raise click.UsageError(f"there is no {file} in {directory}; see raftwork keys new")
        if path.suffix == ".key":
            read_key(path)  # one that is none, or that others can read, is refused
        lines.append(f"  {file}: {b64encode(path.read_bytes()).decode()}\n")
    return "".join(lines)
