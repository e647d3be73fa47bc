"""What a rendered pod would give its container: command, environment, files. Knows no service of ours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.support.manifests import Manifest, of_kind

WORKLOADS = ("Deployment", "StatefulSet", "Job")
OURS = ("registry", "scheduler", "worker", "gateway", "migrate-registry", "migrate-scheduler")


@dataclass(frozen=True)
class Pod:
    """One workload's pod; there is one container in each."""

    name: str
    kind: str
    labels: Mapping[str, str]
    spec: Manifest
    env: Mapping[str, str]

    @property
    def container(self) -> Manifest:
        (only,) = self.spec["containers"]
        return dict(only)

    @property
    def module(self) -> str:
        """The Python module that the command runs."""
        python, option, module = self.container["command"]
        assert (python, option) == ("python", "-m"), self.container["command"]
        return str(module)

    def mounts(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Where each volume is mounted, and the volume; nothing is known of one that is claimed."""
        volumes = {volume["name"]: volume for volume in self.spec.get("volumes", ())}
        claimed = set() if self.kind != "StatefulSet" else {"data"}
        for mount in self.container["volumeMounts"]:
            yield mount["mountPath"], {} if mount["name"] in claimed else volumes[mount["name"]]


def pods(target: str) -> dict[str, Pod]:
    """Every workload's pod, stores included."""
    maps = {name: m["data"] for name, m in of_kind(target, "ConfigMap").items()}
    return {name: _pod(name, manifest, maps) for name, manifest in of_kind(target, *WORKLOADS).items()}


def ours(target: str) -> dict[str, Pod]:
    """Only those that run our image."""
    return {name: pod for name, pod in pods(target).items() if name in OURS}


def _pod(name: str, manifest: Manifest, maps: Mapping[str, Mapping[str, str]]) -> Pod:
    template = manifest["spec"]["template"]
    (container,) = template["spec"]["containers"]
    env: dict[str, str] = {}
    for source in container.get("envFrom", ()):
        env |= maps[source["configMapRef"]["name"]]
    for entry in container.get("env", ()):
        env[entry["name"]] = entry["value"] if "value" in entry else _field(entry["valueFrom"], name)
    return Pod(name, manifest["kind"], template["metadata"]["labels"], template["spec"], env)


def _field(source: Mapping[str, Any], name: str) -> str:
    """The first pod's name: the only field that our manifests ask for."""
    assert source == {"fieldRef": {"fieldPath": "metadata.name"}}, source
    return f"{name}-0"
