"""One server process for `benchmarks.rpc_call`: `python -m benchmarks.rpc_server bare|ours`.

Both serve the same handler on uvloop. `bare` is grpc.aio and nothing else; `ours` is what the gateway is made
of: its authentication, the runtime's interceptor (metrics, error mapping, request ids, logs at the default
level) and server options. Prints its port, serves until its input ends.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import grpc
import uvloop

from services.gateway.domain.credentials import Caller
from services.gateway.domain.roles import Role
from services.gateway.handlers.authentication import Authenticator
from services.gateway.interceptor import AuthenticationInterceptor
from services.runtime.addresses import HostPort
from services.runtime.clock import SystemClock
from services.runtime.lifecycle import Lifecycle, RuntimeSettings
from services.runtime.logs import set_up_logs
from services.runtime.process import spare_the_collector
from services.runtime.server import ServiceServer
from tgfleet.gateway.v1 import account_pb2, account_pb2_grpc


class _Accounts(account_pb2_grpc.AccountServiceServicer):
    """Answers at once."""

    async def GetAccount(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002
        return account_pb2.GetAccountResponse(account=account_pb2.Account(name=request.account_id))


class _Authority:
    """Knows every token; the authenticator remembers the answer for some seconds, as in the gateway."""

    async def verify(self, secret: str) -> Caller:  # noqa: ARG002
        return Caller("bench", Role.OPERATOR, None)


async def _bare() -> None:
    server = grpc.aio.server()
    account_pb2_grpc.add_AccountServiceServicer_to_server(_Accounts(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await server.stop(0)


async def _ours() -> None:
    set_up_logs("bench")
    spare_the_collector()  # as `runtime.process.run` does
    authenticator = Authenticator(_Authority(), SystemClock())
    server = ServiceServer(
        "bench",
        HostPort("127.0.0.1", 0),
        Lifecycle(RuntimeSettings()),
        interceptors=(AuthenticationInterceptor(authenticator),),
    )
    server.add(account_pb2_grpc.add_AccountServiceServicer_to_server, _Accounts())
    async with server:
        print(server.address.port, flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    main = _bare if sys.argv[1] == "bare" else _ours
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
