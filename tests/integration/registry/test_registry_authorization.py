"""Who may call what of the registry, found by calling every method of its proto as every kind of service."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from services.registry.authorization import RULES
from services.runtime.addresses import HostPort
from services.runtime.lifecycle import Lifecycle
from services.runtime.server import ServiceServer
from tests.support.callers import ID, call, who_may_call
from tests.support.certificates import Authority, named
from tgfleet.registry.v1 import registry_pb2 as pb
from tgfleet.registry.v1 import registry_pb2_grpc

SERVICE = pb.DESCRIPTOR.services_by_name["RegistryService"]
ADD = registry_pb2_grpc.add_RegistryServiceServicer_to_server

NOT_THE_GATEWAYS = {
    "ResolveAccounts": {"scheduler"},
    "SetWanted": {"scheduler"},
    "WatchAccounts": {"scheduler"},
    "AcquireSessions": {"worker"},
    "RenewLeases": {"worker"},
    "ReleaseSessions": {"worker"},
    "ReportFacts": {"worker", "scheduler"},
}


class Nothing(registry_pb2_grpc.RegistryServiceServicer):
    """Implements nothing: only the rules are under test."""


async def test_every_method_lets_in_exactly_those_it_is_for(tmp_path: Path) -> None:
    found = await who_may_call(tmp_path, "registry", RULES, {SERVICE: (ADD, Nothing())})
    assert found == {m.name: NOT_THE_GATEWAYS.get(m.name, {"gateway"}) for m in SERVICE.methods}


def test_every_method_has_its_rule_and_every_rule_a_method() -> None:
    assert set(RULES) == {f"/{SERVICE.full_name}/{method.name}" for method in SERVICE.methods}


@pytest.fixture
async def worker(tmp_path: Path) -> AsyncIterator[grpc.aio.Channel]:
    authority, life = Authority(tmp_path / "ca"), Lifecycle()
    life.tls = authority.issue("registry", "r-1").certificates()
    server = ServiceServer("registry", HostPort("127.0.0.1", 0), life, rules=RULES)
    server.add(ADD, Nothing())
    async with server:
        credentials = authority.issue("worker", ID).channel_credentials()
        async with grpc.aio.secure_channel(
            str(server.address), credentials, options=named("registry")
        ) as channel:
            yield channel


@pytest.mark.parametrize(
    ("method", "as_worker"),
    [
        ("AcquireSessions", lambda name: pb.AcquireSessionsRequest(worker_id=name)),
        ("RenewLeases", lambda name: pb.RenewLeasesRequest(worker_id=name)),
        ("ReleaseSessions", lambda name: pb.ReleaseSessionsRequest(worker_id=name)),
        (
            "ReportFacts",
            lambda name: pb.ReportFactsRequest(facts=[pb.Fact(worker_id=ID), pb.Fact(worker_id=name)]),
        ),
    ],
)
async def test_a_worker_cannot_act_as_another(worker: grpc.aio.Channel, method: str, as_worker: Any) -> None:
    descriptor = SERVICE.methods_by_name[method]
    assert await call(worker, descriptor, as_worker("x-2")) == "NOT_YOUR_WORKER_ID"
    assert await call(worker, descriptor, as_worker("")) == "NOT_YOUR_WORKER_ID"
    assert await call(worker, descriptor, as_worker(ID)) != "NOT_YOUR_WORKER_ID"
