"""The Kubernetes manifests as objects. `python -m tests.support.manifests` renders them (needs kubectl).

We found no package on PyPI that ships kustomize, and Debian 12's kubectl is too old for components. So the
rendered manifests are committed, with a digest of what they were made from: a machine without a kubectl of
1.24 or later tests those and sees when they are stale; one with it compares them with what it renders itself.
"""

from __future__ import annotations

import functools
import hashlib
import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml

Manifest = dict[str, Any]

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy" / "k8s"
RENDERED = FOLDER / "rendered"
TARGETS = {
    "base": "base",
    "demo": "overlays/demo",
    "production": "overlays/production",
    "managed": "overlays/managed",
}


def sources_digest() -> str:
    """Changes with every byte of deploy/k8s, what was rendered left out."""
    digest = hashlib.sha256()
    for path in sorted(FOLDER.rglob("*.yaml")):
        if RENDERED not in path.parents:
            digest.update(f"{path.relative_to(FOLDER).as_posix()}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()


def header() -> str:
    """The first line of a rendered file."""
    return f"# Made by `make manifests` from sources with sha256 {sources_digest()}; do not edit.\n"


def render(target: str) -> str | None:
    """What kubectl makes of the sources; None on a machine without one that knows components."""
    kubectl = shutil.which("kubectl")
    if kubectl is None or not _knows_components(kubectl):
        return None
    command = [kubectl, "kustomize", str(FOLDER / TARGETS[target])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@functools.cache
def _knows_components(kubectl: str) -> bool:
    """Whether it holds a kustomize of today: it says which one (since 1.24)."""
    command = [kubectl, "version", "--client", "-o", "json"]
    told = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False).stdout
    return "kustomizeVersion" in told


def committed(target: str) -> str:
    """The rendered file as it is in the repository. Fails when the sources have changed since."""
    text = (RENDERED / f"{target}.yaml").read_text()
    assert text.startswith(header()), (
        f"{target} is stale: run `make manifests` and commit deploy/k8s/rendered"
    )
    return text.removeprefix(header())


@functools.cache
def manifests(target: str) -> list[Manifest]:
    """The objects of a target."""
    return list(yaml.safe_load_all(committed(target)))


def of_kind(target: str, *kinds: str) -> dict[str, Manifest]:
    """A target's objects of these kinds by name."""
    return {m["metadata"]["name"]: m for m in manifests(target) if m["kind"] in kinds}


def main() -> None:
    """Writes all rendered files."""
    RENDERED.mkdir(exist_ok=True)
    for target in TARGETS:
        text = render(target)
        assert text is not None, "kubectl is not on the PATH"
        (RENDERED / f"{target}.yaml").write_text(header() + text)


if __name__ == "__main__":
    main()
