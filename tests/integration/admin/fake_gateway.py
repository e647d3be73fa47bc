"""A gateway that answers by a scenario, as a program of its own: `python -m ... SCENARIO`.

Prints its address on the first line. The CLI is tested against it as a real process over a real socket. One
file for each group of services; here they are put together.
"""

import asyncio
import sys
from datetime import timedelta

from services.runtime.addresses import HostPort
from services.runtime.process import Lifecycle, RuntimeSettings
from services.runtime.server import ServiceServer
from tests.integration.admin.fake_accounts import Accounts
from tests.integration.admin.fake_fleet import Fleet
from tests.integration.admin.fake_tokens import Audit, Keys, Tokens
from tests.integration.admin.fake_transfers import Transfers
from tgfleet.gateway.v1 import (
    account_pb2_grpc,
    audit_pb2_grpc,
    fleet_pb2_grpc,
    key_pb2_grpc,
    token_pb2_grpc,
    transfer_pb2_grpc,
)


async def main(scenario: str) -> None:
    server = ServiceServer(
        "gateway", HostPort("127.0.0.1", 0), Lifecycle(RuntimeSettings(shutdown_grace=timedelta(0)))
    )
    server.add(fleet_pb2_grpc.add_FleetServiceServicer_to_server, Fleet(scenario))
    server.add(account_pb2_grpc.add_AccountServiceServicer_to_server, Accounts())
    server.add(token_pb2_grpc.add_TokenServiceServicer_to_server, Tokens())
    server.add(key_pb2_grpc.add_KeyServiceServicer_to_server, Keys(scenario))
    server.add(audit_pb2_grpc.add_AuditServiceServicer_to_server, Audit())
    server.add(transfer_pb2_grpc.add_TransferServiceServicer_to_server, Transfers(scenario))
    async with server:
        print(server.address, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    from services.runtime.logs import set_up_logs

    set_up_logs("fake", level="error")
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "all"))
