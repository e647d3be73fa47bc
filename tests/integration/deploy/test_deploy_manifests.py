"""The manifests are valid, current, and name nothing that the code does not have."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from services.runtime import process
from services.runtime.health import LIVE
from services.runtime.process import RuntimeSettings
from services.runtime.setting_names import ALL_NAMES
from services.runtime.settings import load
from tests.integration.deploy.pods import Pod, ours, pods
from tests.support.manifests import TARGETS, committed, manifests, of_kind, render

ROOT = Path(__file__).resolve().parents[3]
OLDEST, NEWEST = "1.32", "1.37"
TARGET = pytest.mark.parametrize("target", TARGETS)

ARROWS = {
    ("gateway", "registry", 7301),
    ("gateway", "scheduler", 7302),
    ("scheduler", "registry", 7301),
    ("worker", "registry", 7301),
    ("worker", "scheduler", 7302),
    ("registry", "etcd", 2379),
    ("scheduler", "etcd", 2379),
    ("registry", "postgres", 5432),
    ("scheduler", "postgres", 5432),
}
"""The picture in ARCHITECTURE.md, with "SQL" as postgres."""
AROUND = {("migrate", "postgres", 5432), ("etcd", "etcd", 2380)}
"""What Kubernetes adds: the migration Job, and etcd's members among themselves."""


@TARGET
def test_the_rendered_manifests_are_what_kustomize_makes(target: str) -> None:
    fresh = render(target)
    assert fresh is None or list(yaml.safe_load_all(fresh)) == list(yaml.safe_load_all(committed(target)))


@pytest.mark.parametrize(
    ("target", "version"), [*((target, NEWEST) for target in TARGETS), ("production", OLDEST)]
)
def test_every_object_is_valid(target: str, version: str) -> None:
    for manifest in manifests(target):
        kubernetes_validate.validate(manifest, version, strict=True)


def test_the_validation_sees_a_misspelled_field() -> None:
    broken = {**manifests("base")[0], "spce": {}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, OLDEST, strict=True)


@TARGET
def test_every_command_is_a_module_and_every_setting_a_name(target: str) -> None:
    found = ours(target)
    assert set(found) == {
        "registry",
        "scheduler",
        "worker",
        "gateway",
        "migrate-registry",
        "migrate-scheduler",
    }
    for name, pod in found.items():
        assert importlib.util.find_spec(pod.module) is not None, pod.module
        assert name.removeprefix("migrate-") in pod.module
        assert {key for key in pod.env if key not in ALL_NAMES} == set()


@TARGET
def test_ports_and_probes_are_those_that_the_settings_open(target: str) -> None:
    for name, pod in ours(target).items():
        if pod.kind == "Job":
            continue
        declared = {port["name"]: port["containerPort"] for port in pod.container["ports"]}
        expected = {"health": _port(pod.env["TGFLEET_HEALTH_LISTEN"])}
        expected["metrics"] = _port(pod.env["TGFLEET_METRICS_LISTEN"])
        if name != "worker":  # its own port serves health only, which the health port does
            expected["grpc"] = _port(pod.env[f"TGFLEET_{name.upper()}_LISTEN"])
        assert declared == expected
        probes = {
            kind: pod.container[f"{kind}Probe"]["grpc"] for kind in ("startup", "liveness", "readiness")
        }
        assert {probe["port"] for probe in probes.values()} == {expected["health"]}
        assert probes["startup"]["service"] == probes["liveness"]["service"] == LIVE
        assert probes["readiness"].get("service", "") == (LIVE if name == "scheduler" else "")


@TARGET
def test_services_are_headless_and_lead_to_the_ports_that_endpoints_name(target: str) -> None:
    everything = pods(target)
    for name, service in of_kind(target, "Service").items():
        pod = everything.get(name)
        if pod is None:
            continue
        assert service["spec"]["clusterIP"] == "None"
        assert service["spec"]["selector"].items() <= pod.labels.items()
        named = {port["name"]: port["containerPort"] for port in pod.container["ports"]}
        assert all(named[port["targetPort"]] == port["port"] for port in service["spec"]["ports"])
    env = ours(target)["gateway"].env
    for setting in ("TGFLEET_REGISTRY_ENDPOINTS", "TGFLEET_SCHEDULER_ENDPOINTS"):
        name, port = re.fullmatch(r"dns:///(\w+):(\d+)", env[setting]).groups()  # type: ignore[union-attr]
        assert int(port) in {p["port"] for p in of_kind(target, "Service")[name]["spec"]["ports"]}


@pytest.mark.parametrize("target", ["demo", "production"])
def test_the_policies_are_exactly_the_arrows_of_the_architecture(target: str) -> None:
    policies = of_kind(target, "NetworkPolicy")
    assert policies["default-deny"]["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    into = {arrow for p in policies.values() for arrow in _arrows(p["spec"], "ingress", "from")}
    out = {arrow for p in policies.values() for arrow in _arrows(p["spec"], "egress", "to")}
    assert into == out == ARROWS | AROUND
    ports = {(s, port["port"]) for s, m in of_kind(target, "Service").items() for port in m["spec"]["ports"]}
    assert {(end, port) for _, end, port in into} <= ports


def test_the_only_ways_in_and_out_are_the_gateway_the_workers_and_names() -> None:
    open_in, open_out = set(), set()
    for name, policy in of_kind("production", "NetworkPolicy").items():
        open_in |= {name for rule in policy["spec"].get("ingress", ()) if "from" not in rule}
        for rule in policy["spec"].get("egress", ()):
            open_out |= {name for peer in rule["to"] if "ipBlock" in peer or "namespaceSelector" in peer}
    assert (open_in, open_out) == ({"gateway"}, {"worker", "dns"})


def test_the_architecture_draws_each_service_of_the_arrows() -> None:
    picture = (ROOT / "ARCHITECTURE.md").read_text().split("```")[1]
    for word in ("gateway", "registry", "scheduler", "workers", "etcd", "SQL", "Telegram"):
        assert word in picture


@TARGET
def test_pods_are_restricted_and_secrets_are_files(target: str) -> None:
    for pod in pods(target).values():
        context, container = pod.spec["securityContext"], pod.container
        assert context["runAsNonRoot"] is True
        assert context["runAsUser"] > 0
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod.spec["automountServiceAccountToken"] is False
        assert pod.spec["enableServiceLinks"] is False
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert "memory" in container["resources"]["limits"]
        assert not any("secretKeyRef" in str(entry) for entry in container.get("env", ()))
        assert re.search(r":[\w.]+$", container["image"]) or target == "base", container["image"]
    assert of_kind(target, "Secret") == {}


@TARGET
def test_every_file_that_is_named_is_in_a_volume(target: str) -> None:
    for pod in ours(target).values():
        mounted = [path for path, _ in pod.mounts()]
        for name, value in pod.env.items():
            path = value.removeprefix("file://")
            if path.startswith("/"):
                assert any(path.startswith(f"{mount}/") for mount in mounted), f"{pod.name}: {name}={value}"


@TARGET
def test_a_pod_gets_more_time_to_end_than_the_process_takes(target: str) -> None:
    for name, pod in ours(target).items():
        if pod.kind != "Job":
            common = {key: value for key, value in pod.env.items() if key == "TGFLEET_SHUTDOWN_GRACE"}
            grace = load(RuntimeSettings, common).shutdown_grace.total_seconds()
            assert pod.spec["terminationGracePeriodSeconds"] >= process._MAIN_LIMIT + grace, name


@TARGET
def test_disruptions_and_spread(target: str) -> None:
    budgets = {
        b["spec"]["selector"]["matchLabels"]["app.kubernetes.io/name"]: b["spec"] for b in _budgets(target)
    }
    for name in ("registry", "scheduler", "worker", "gateway"):
        assert budgets[name]["maxUnavailable"] == 1
        assert len(ours(target)[name].spec["topologySpreadConstraints"]) == 2


def test_production_runs_two_or_more_of_each() -> None:
    counts = {n: m["spec"]["replicas"] for n, m in of_kind("production", "Deployment", "StatefulSet").items()}
    assert counts == {"registry": 2, "scheduler": 2, "gateway": 2, "worker": 3, "etcd": 3, "postgres": 1}


def test_production_names_each_pod_in_its_certificate() -> None:
    for name in ("registry", "scheduler", "worker", "gateway"):
        pod = ours("production")[name]
        (volume,) = [v["csi"]["volumeAttributes"] for path, v in pod.mounts() if path == "/run/tls"]
        assert volume["csi.cert-manager.io/uri-sans"] == f"spiffe://tgfleet/{name}/${{POD_NAME}}"
        assert volume["csi.cert-manager.io/dns-names"] == f"{name}.tgfleet"


def test_etcd_takes_only_certificates_of_a_ca_of_its_own() -> None:
    """Of the fleet's CA every worker has one."""
    everything = pods("production")
    arguments = dict(
        one.removeprefix("--").split("=", 1) for one in everything["etcd"].container["command"][1:]
    )
    assert arguments["client-cert-auth"] == arguments["peer-client-cert-auth"] == "true"
    urls = [value for name, value in arguments.items() if "client-url" in name or "peer-url" in name]
    assert len(urls) == 4
    assert all(url.startswith("https://") for url in [*urls, arguments["initial-cluster"].partition("=")[2]])
    mounted = [f"{path}/" for path, _ in everything["etcd"].mounts()]
    files = [value for name, value in arguments.items() if name.endswith("-file")]
    assert len(files) == 6
    assert all(any(file.startswith(path) for path in mounted) for file in files)
    issuers = {
        name: {v["csi"]["volumeAttributes"]["csi.cert-manager.io/issuer-name"] for _, v in _csi(pod)}
        for name, pod in everything.items()
    }
    with_etcds = {name for name, found in issuers.items() if "tgfleet-etcd" in found}
    assert with_etcds == {"etcd", "registry", "scheduler"}
    assert issuers["etcd"] == {"tgfleet-etcd"}


def _csi(pod: Pod) -> list[tuple[str, Any]]:
    return [(path, volume) for path, volume in pod.mounts() if "csi" in volume]


def test_etcd_is_a_version_that_keeps_its_data() -> None:
    image = pods("production")["etcd"].container["image"]
    version = tuple(map(int, image.rpartition(":v")[2].split(".")))
    assert version[:2] in {(3, 5), (3, 6)}
    assert version >= ((3, 5, 33) if version[:2] == (3, 5) else (3, 6, 14))


def _port(listen: str) -> int:
    return int(listen.rpartition(":")[2])


def _budgets(target: str) -> Iterator[dict[str, Any]]:
    yield from of_kind(target, "PodDisruptionBudget").values()


def _arrows(spec: dict[str, Any], direction: str, peers: str) -> Iterator[tuple[str, str, int]]:
    own = spec["podSelector"].get("matchLabels", {}).get("app.kubernetes.io/name", "")
    for rule in spec.get(direction, ()):
        for peer in rule.get(peers, ()):
            if "namespaceSelector" in peer or "ipBlock" in peer:
                continue
            other = peer["podSelector"]["matchLabels"]["app.kubernetes.io/name"]
            for port in rule["ports"]:
                yield (other, own, port["port"]) if direction == "ingress" else (own, other, port["port"])


def test_stores_outside_of_the_cluster_are_reached_by_address_and_nothing_else_changes() -> None:
    out = set()
    for name in ("registry", "scheduler", "migrate"):
        for rule in of_kind("managed", "NetworkPolicy")[name]["spec"]["egress"]:
            out |= {(name, rule["ports"][0]["port"]) for peer in rule["to"] if "ipBlock" in peer}
    assert out == {(a, port) for a, b, port in ARROWS | AROUND if b in {"etcd", "postgres"} and a != "etcd"}
    assert "etcd" not in pods("managed")
    assert "postgres" not in pods("managed")
