"""Who may call what of the scheduler, found by calling every method of its proto as every kind of service."""

from pathlib import Path

import grpc

from services.runtime.addresses import HostPort
from services.runtime.lifecycle import Lifecycle
from services.runtime.server import ServiceServer
from services.scheduler.authorization import RULES
from services.scheduler.dispatcher import DispatcherServicer
from services.scheduler.leader import Seat
from tests.support.callers import ID, call, who_may_call
from tests.support.certificates import Authority, named
from tgfleet.scheduler.v1 import scheduler_pb2 as pb
from tgfleet.scheduler.v1 import scheduler_pb2_grpc as pb_grpc
from tgfleet.scheduler.v1 import transfer_pb2, transfer_pb2_grpc
from tgfleet.worker.v1 import worker_pb2

SCHEDULER = pb.DESCRIPTOR.services_by_name["SchedulerService"]
TRANSFERS = transfer_pb2.DESCRIPTOR.services_by_name["TransferService"]
DISPATCHER = pb.DESCRIPTOR.services_by_name["DispatcherService"]


class NoScheduler(pb_grpc.SchedulerServiceServicer):
    """Implements nothing: only the rules are under test."""


class NoTransfers(transfer_pb2_grpc.TransferServiceServicer):
    """The same."""


class Attached(pb_grpc.DispatcherServiceServicer):
    """Reads one Hello and answers."""

    async def AttachWorker(self, request_iterator, context):  # type: ignore[no-untyped-def]  # noqa: N802
        async for _ in request_iterator:
            yield pb.AttachWorkerResponse(term=1)


async def test_every_method_lets_in_exactly_those_it_is_for(tmp_path: Path) -> None:
    services = {
        SCHEDULER: (pb_grpc.add_SchedulerServiceServicer_to_server, NoScheduler()),
        TRANSFERS: (transfer_pb2_grpc.add_TransferServiceServicer_to_server, NoTransfers()),
        DISPATCHER: (pb_grpc.add_DispatcherServiceServicer_to_server, DispatcherServicer(Seat())),
    }
    found = await who_may_call(tmp_path, "scheduler", RULES, services)
    of_gateway = [*SCHEDULER.methods, *TRANSFERS.methods]
    expected = {method.name: {"gateway"} for method in of_gateway}
    assert found == {**expected, "AttachWorker": {"worker"}}


def test_every_method_has_its_rule_and_every_rule_a_method() -> None:
    methods = [*SCHEDULER.methods, *TRANSFERS.methods, *DISPATCHER.methods]
    assert set(RULES) == {f"/{m.containing_service.full_name}/{m.name}" for m in methods}


async def test_a_worker_attaches_as_itself_only(tmp_path: Path) -> None:
    authority, life = Authority(tmp_path / "ca"), Lifecycle()
    life.tls = authority.issue("scheduler", "s-1").certificates()
    server = ServiceServer("scheduler", HostPort("127.0.0.1", 0), life, rules=RULES)
    server.add(pb_grpc.add_DispatcherServiceServicer_to_server, Attached())
    credentials = authority.issue("worker", ID).channel_credentials()
    attach = DISPATCHER.methods_by_name["AttachWorker"]
    async with (
        server,
        grpc.aio.secure_channel(str(server.address), credentials, options=named("scheduler")) as channel,
    ):
        assert await call(channel, attach, _hello("x-2")) == "NOT_YOUR_WORKER_ID"
        assert await call(channel, attach, _hello(ID)) == ""


def _hello(worker_id: str) -> pb.AttachWorkerRequest:
    return pb.AttachWorkerRequest(hello=worker_pb2.Hello(worker_id=worker_id, incarnation="i"))
