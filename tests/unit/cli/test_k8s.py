"""What `raftwork k8s` prints is what deploy/ has, and what Kubernetes takes."""

from base64 import b64decode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from raftwork.cli import main
from raftwork.keys import Role, new_key, write_key

ROOT = Path(__file__).parents[3]
#: The oldest and the newest of which kubernetes-validate is asked.
VERSIONS = ("1.29", "1.33")


def printed(*flags: str, code: int = 0) -> str:
    done = CliRunner().invoke(main, ["k8s", *flags])
    assert done.exit_code == code, done.output
    return done.output


def documents(*flags: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(printed(*flags)))


def test_the_file_in_deploy_is_what_it_prints() -> None:
    text = (ROOT / "deploy" / "kubernetes" / "raftwork.yaml").read_text()
    comments = [line for line in text.splitlines(keepends=True) if line.startswith("#")]
    assert text == "".join(comments) + printed()


def test_names_counts_and_images_are_those_asked_for() -> None:
    service, budget, policy, brokers, workers = documents(
        *("--name", "queue", "--brokers", "5", "--storage", "50Gi", "--secret", "mine"),
        *("--image", "r.example/raftwork@sha256:0f", "--workers", "9", "--app", "shop.tasks:app"),
    )
    assert {each["metadata"]["name"] for each in (service, budget, policy, brokers)} == {"queue"}
    assert brokers["spec"]["replicas"] == 5
    pod = brokers["spec"]["template"]["spec"]
    assert pod["containers"][0]["image"] == "r.example/raftwork@sha256:0f"
    secrets = [volume["secret"] for volume in pod["volumes"] if "secret" in volume]
    assert {secret["secretName"] for secret in secrets} == {"mine"}
    (cluster,) = [arg for arg in pod["containers"][0]["args"] if arg.startswith("--cluster=")]
    assert cluster.startswith("--cluster=queue-0=queue-0.queue:7701,queue-1=")
    assert cluster.count(":7701") == 5
    assert workers["spec"]["replicas"] == 9
    assert workers["spec"]["template"]["spec"]["containers"][0]["args"][1] == "shop.tasks:app"
    assert len(documents("--workers", "0")) == 4


@pytest.mark.parametrize(
    "flags",
    [
        ("--brokers", "4"),
        ("--name", "Upper"),
        ("--name", "x: {}"),
        ("--name", "a" * 41),
        ("--image", "a\nb: c"),
        ("--app", 'tasks:app"'),
        ("--storage", "ten"),
        ("--workers", "-1"),
    ],
)
def test_what_would_make_another_manifest_is_refused(flags: tuple[str, str]) -> None:
    printed(*flags, code=2)


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    for name in ("raftwork-0", "raftwork-1", "raftwork-2", "worker", "reader"):
        write_key(new_key(name, [Role.ADMIN]), str(tmp_path / f"{name}.key"))
    (tmp_path / "access.toml").write_text("# a list\n")
    (tmp_path / "other.key").write_text("of somebody else")
    return tmp_path


def test_the_secret_has_the_keys_of_the_cluster_and_no_other(keys: Path) -> None:
    secret, *rest = documents("--keys", str(keys))
    assert len(rest) == 5
    assert secret["kind"] == "Secret"
    found = {name: b64decode(data) for name, data in secret["data"].items()}
    files = ["access.toml", *(f"raftwork-{n}.key" for n in range(3)), "worker.key", "reader.key"]
    assert found == {name: (keys / name).read_bytes() for name in files}
    (keys / "reader.key").unlink()
    assert "there is no reader.key" in printed("--keys", str(keys), code=2)


def test_a_broker_sees_no_other_brokers_key_and_follows_the_list() -> None:
    *_, brokers, _ = documents()
    pod = brokers["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    whole = {volume["name"] for volume in pod["volumes"] if "secret" in volume}
    whole -= {volume["name"] for volume in pod["volumes"] if volume.get("secret", {}).get("items")}
    parts = [mount for mount in container["volumeMounts"] if mount["name"] in whole]
    assert {mount.get("subPathExpr", mount.get("subPath")) for mount in parts} == {
        *("$(POD).key", "reader.key")
    }
    assert {"POD"} <= {each["name"] for each in container["env"]}
    (listed,) = [mount for mount in container["volumeMounts"] if mount["name"] == "access"]
    assert not {"subPath", "subPathExpr"} & listed.keys(), "such a file stays as it was mounted"
    for flag, file in (("--key", "/keys/broker.key"), ("--access", "/access/access.toml")):
        assert f"{flag}={file}" in container["args"]


def test_brokers_are_reached_by_their_own_and_by_who_says_so() -> None:
    _, _, policy, brokers, workers = documents("--name", "queue")
    spec = policy["spec"]
    labels = brokers["spec"]["template"]["metadata"]["labels"]
    assert spec["podSelector"]["matchLabels"].items() <= labels.items()
    by_port = {rule["ports"][0]["port"]: rule["from"] for rule in spec["ingress"]}
    assert set(by_port) == {7701, 7780}
    assert all(rule["from"] for rule in spec["ingress"]), "without one it is everybody"
    own, programs = by_port[7701]
    for each in (labels, workers["spec"]["template"]["metadata"]["labels"]):
        assert own["podSelector"]["matchLabels"].items() <= each.items()
    assert programs["podSelector"]["matchLabels"] == {"queue-client": "true"}
    assert programs["namespaceSelector"] == {}
    (http,) = by_port[7780]
    assert http["podSelector"]["matchLabels"] == {"queue-http": "true"}


def test_a_key_that_others_can_read_is_not_passed_on(keys: Path) -> None:
    (keys / "worker.key").chmod(0o644)
    printed("--keys", str(keys), code=1)


@pytest.fixture(scope="module")
def validate() -> Callable[..., None]:
    found: Callable[..., None] = pytest.importorskip("kubernetes_validate").validate
    return found


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_takes_each_of_them(
    validate: Callable[..., None], version: str, keys: Path
) -> None:
    for each in documents("--keys", str(keys)):
        validate(each, version, strict=True)
