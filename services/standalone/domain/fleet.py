"""The children of a whole fleet on one machine, as data. The only place that knows which services there are.

Start order follows `needs`. Stop order: the gateway first, so that nobody is promised anything; the
scheduler, so that it moves no account from a stopping worker to another; the workers, which close their
clients and give their leases back through the registry; the registry; etcd and the test data centre.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from services.standalone.domain.children import ChildSpec
from services.standalone.domain.home import Home
from services.standalone.domain.mode import Times

LISTENERS = ("etcd", "etcd-peer", "registry", "scheduler", "testdc", "testdc-media", "testdc-control")
"""What needs a fixed port, beside the gateway and the workers, to be found again after a restart."""

_STAGE_GATEWAY, _STAGE_SCHEDULER, _STAGE_WORKERS, _STAGE_REGISTRY, _STAGE_LAST = range(5)
_WORKER_STOP_LIMIT = 20.0
"""Seconds; a worker closes its clients (up to 500) and flushes its facts before it releases their leases."""
RESTART_MARGIN = timedelta(seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetPlan:
    """Everything that decides what is started."""

    python: tuple[str, ...]
    """The command that runs a module, up to `-m`."""
    home: Home
    times: Times
    workers: int
    ports: Mapping[str, int] = field(default_factory=dict)
    """A port on 127.0.0.1 for each of LISTENERS and each worker."""
    gateway_listen: str = ""
    """host:port."""
    etcd_binary: str = ""
    """Empty: `etcd_endpoints` is used instead of an etcd of our own."""
    etcd_endpoints: str = ""
    database_urls: Mapping[str, str] = field(default_factory=dict)
    """By service, where it is not a SQLite file of ours."""
    master_key: str = ""
    """Path of the master keys."""
    telegram: Mapping[str, str] = field(default_factory=dict)
    """What only workers get."""
    testdc: bool = False
    rest_crashed_workers: bool = False
    """Whether a crashed worker stays down until its accounts have moved. For the demo, which shows the
    move; its sessions cannot be used before T + S anyway."""
    lock_fd: int = -1


def worker_names(count: int) -> list[str]:
    """`worker-1`, `worker-2`, ..."""
    return [f"worker-{number}" for number in range(1, count + 1)]


def fleet_specs(plan: FleetPlan) -> list[ChildSpec]:
    """The children, each after those it needs."""
    specs = [_testdc(plan), _stranger(plan)] if plan.testdc else []
    if plan.etcd_binary:
        specs.append(_etcd(plan))
    specs.append(_registry(plan))
    specs.append(_scheduler(plan))
    specs.extend(_worker(plan, name) for name in worker_names(plan.workers))
    specs.append(_gateway(plan))
    return specs


def _service(plan: FleetPlan, service: str) -> tuple[str, ...]:
    return (*plan.python, f"services.{service}")


def _local(plan: FleetPlan, listener: str) -> str:
    return f"127.0.0.1:{plan.ports[listener]}"


def _etcd_endpoints(plan: FleetPlan) -> str:
    return _local(plan, "etcd") if plan.etcd_binary else plan.etcd_endpoints


def _etcd_needed(plan: FleetPlan) -> tuple[str, ...]:
    return ("etcd",) if plan.etcd_binary else ()


def _database_url(plan: FleetPlan, service: str) -> str:
    return plan.database_urls.get(service) or f"sqlite+aiosqlite:///{plan.home.database(service)}"


def _seconds(duration: timedelta) -> str:
    return f"{duration.total_seconds():g}s"


def _lease_times(plan: FleetPlan) -> dict[str, str]:
    return {
        "TGFLEET_LEASE_TTL": _seconds(plan.times.ttl),
        "TGFLEET_LEASE_SETTLE": _seconds(plan.times.settle),
    }


def _etcd(plan: FleetPlan) -> ChildSpec:
    client, peer = f"http://{_local(plan, 'etcd')}", f"http://{_local(plan, 'etcd-peer')}"
    etcd = [plan.etcd_binary, "--name=tgfleet", f"--data-dir={plan.home.etcd}"]
    etcd += [f"--listen-client-urls={client}", f"--advertise-client-urls={client}"]
    etcd += [f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}"]
    etcd += [f"--initial-cluster=tgfleet={peer}", "--initial-cluster-state=new"]
    etcd += ["--auto-compaction-mode=periodic", "--auto-compaction-retention=1h", "--log-level=warn"]
    guard = _service(plan, "standalone.guard")
    keep = ("--listen", _local(plan, "etcd"), "--keep-fd", str(plan.lock_fd))
    return ChildSpec(name="etcd", argv=(*guard, *keep, "--", *etcd), stop_stage=_STAGE_LAST, whole_group=True)


def _registry(plan: FleetPlan) -> ChildSpec:
    env = {
        "TGFLEET_REGISTRY_LISTEN": _local(plan, "registry"),
        "TGFLEET_REGISTRY_DATABASE_URL": _database_url(plan, "registry"),
        "TGFLEET_ETCD_ENDPOINTS": _etcd_endpoints(plan),
        "TGFLEET_MASTER_KEY_FILE": plan.master_key or str(plan.home.master_key),
        "TGFLEET_BOOTSTRAP_TOKEN_FILE": str(plan.home.token),
        **_lease_times(plan),
    }
    return ChildSpec(
        name="registry",
        argv=_service(plan, "registry"),
        env=env,
        needs=_etcd_needed(plan),
        stop_stage=_STAGE_REGISTRY,
    )


def _scheduler(plan: FleetPlan) -> ChildSpec:
    env = {
        "TGFLEET_SCHEDULER_LISTEN": _local(plan, "scheduler"),
        "TGFLEET_SCHEDULER_DATABASE_URL": _database_url(plan, "scheduler"),
        "TGFLEET_REGISTRY_ENDPOINTS": _local(plan, "registry"),
        "TGFLEET_ETCD_ENDPOINTS": _etcd_endpoints(plan),
        **_lease_times(plan),
    }
    return ChildSpec(
        name="scheduler",
        argv=_service(plan, "scheduler"),
        env=env,
        needs=("registry", *_etcd_needed(plan)),
        stop_stage=_STAGE_SCHEDULER,
    )


def _worker(plan: FleetPlan, name: str) -> ChildSpec:
    rest = plan.times.ttl + plan.times.settle + RESTART_MARGIN if plan.rest_crashed_workers else timedelta()
    env = {
        "TGFLEET_WORKER_ID": name,
        "TGFLEET_WORKER_LISTEN": _local(plan, name),
        "TGFLEET_WORKER_SESSIONS_DIR": str(plan.home.sessions(name)),
        "TGFLEET_REGISTRY_ENDPOINTS": _local(plan, "registry"),
        "TGFLEET_SCHEDULER_ENDPOINTS": _local(plan, "scheduler"),
        **plan.telegram,
    }
    return ChildSpec(
        name=name,
        argv=_service(plan, "worker"),
        env=env,
        needs=("registry", "scheduler", *(("testdc",) if plan.testdc else ())),
        stop_stage=_STAGE_WORKERS,
        stop_limit=_WORKER_STOP_LIMIT,
        restart_rest=rest.total_seconds(),
    )


def _gateway(plan: FleetPlan) -> ChildSpec:
    env = {
        "TGFLEET_GATEWAY_LISTEN": plan.gateway_listen,
        "TGFLEET_REGISTRY_ENDPOINTS": _local(plan, "registry"),
        "TGFLEET_SCHEDULER_ENDPOINTS": _local(plan, "scheduler"),
    }
    return ChildSpec(
        name="gateway",
        argv=_service(plan, "gateway"),
        env=env,
        needs=("registry", "scheduler"),
        stop_stage=_STAGE_GATEWAY,
    )


def _testdc(plan: FleetPlan) -> ChildSpec:
    env = {
        "TGFLEET_TESTDC_LISTEN": _local(plan, "testdc"),
        "TGFLEET_TESTDC_MEDIA_PORT": str(plan.ports["testdc-media"]),
        "TGFLEET_TESTDC_CONTROL_LISTEN": _local(plan, "testdc-control"),
        "TGFLEET_TESTDC_RSA_KEY": str(rsa_key(plan)),
        "TGFLEET_TESTDC_STATE": str(plan.home.testdc / "state"),
        "TGFLEET_TESTDC_JOURNAL": str(plan.home.testdc / "journal.jsonl"),
    }
    return ChildSpec(name="testdc", argv=_service(plan, "testdc"), env=env, stop_stage=_STAGE_LAST)


def _stranger(plan: FleetPlan) -> ChildSpec:
    arguments = (_local(plan, "testdc"), str(shared_session(plan)))
    return ChildSpec(
        name="stranger",
        argv=(*_service(plan, "testdc.foreign_client"), *arguments),
        needs=("testdc",),
        stop_stage=_STAGE_GATEWAY,
    )


def shared_session(plan: FleetPlan) -> Path:
    """Where the demo's other program, a stranger to the fleet, finds the session that it uses as well."""
    return plan.home.testdc / "shared-session"


def rsa_key(plan: FleetPlan) -> Path:
    """Where the test data centre writes the public key that its clients need."""
    return plan.home.testdc / "rsa_key.pem"


def testdc_control(plan: FleetPlan) -> str:
    """Where the test data centre's control interface is."""
    return _local(plan, "testdc-control")


def testdc_address(plan: FleetPlan) -> str:
    """Where the test data centre is."""
    return _local(plan, "testdc")


def demo_telegram(plan: FleetPlan) -> dict[str, str]:
    """Settings that point workers at the test data centre."""
    return {
        "TGFLEET_TELEGRAM_DC": _local(plan, "testdc"),
        "TGFLEET_TELEGRAM_RSA_KEY": str(rsa_key(plan)),
        "TGFLEET_CHAT_RULES_FILE": str(plan.home.chat_rules),
    }
