"""TokenService, KeyService and AuditService of the fake gateway."""

# ruff: noqa: N802 - gRPC names its methods in CamelCase and always passes a request and a context

from collections.abc import AsyncIterator
from typing import Any

from services.runtime.errors import PermissionDenied
from tests.integration.admin.fake_common import STRANGE, authenticate, log
from tgfleet.gateway.v1 import audit_pb2, audit_pb2_grpc, key_pb2, key_pb2_grpc, token_pb2, token_pb2_grpc


class Tokens(token_pb2_grpc.TokenServiceServicer):
    """Makes one token and lists it."""

    async def CreateToken(self, request: Any, context: Any) -> Any:
        authenticate(context)
        if request.role == token_pb2.ROLE_ADMIN:
            raise PermissionDenied(
                "This call needs the role admin; the token has operator.", reason="ROLE_TOO_LOW"
            )
        token = token_pb2.ApiToken(name=request.name, role=request.role)
        return token_pb2.CreateTokenResponse(token=token, secret="tgf_brand_new_secret_1")

    async def ListTokens(self, request: Any, context: Any) -> Any:
        authenticate(context)
        token = token_pb2.ApiToken(name="grafana", role=token_pb2.ROLE_VIEWER)
        token.create_time.GetCurrentTime()
        token.last_use_time.GetCurrentTime()
        return token_pb2.ListTokensResponse(tokens=[token])

    async def UpdateToken(self, request: Any, context: Any) -> Any:
        authenticate(context)
        log("UpdateToken", name=request.name, role=request.role)
        return token_pb2.UpdateTokenResponse()

    async def RevokeToken(self, request: Any, context: Any) -> Any:
        authenticate(context)
        return token_pb2.RevokeTokenResponse()


class Keys(key_pb2_grpc.KeyServiceServicer):
    """Two keys; in the scenario `lost` some secrets are under a third one."""

    def __init__(self, scenario: str) -> None:
        self._lost = scenario == "lost"

    async def ListKeys(self, request: Any, context: Any) -> Any:
        authenticate(context)
        keys = [
            key_pb2.MasterKey(key_id="new", active=True, present=True, secrets=1200),
            key_pb2.MasterKey(key_id="old", present=True),
            key_pb2.MasterKey(key_id="gone", secrets=1),
        ]
        return key_pb2.ListKeysResponse(keys=keys[: 2 + self._lost])

    async def RotateKeys(self, request: Any, context: Any) -> AsyncIterator[Any]:
        authenticate(context)
        yield key_pb2.RotateKeysResponse(key_id="new", resealed=100, remaining=20)
        last = key_pb2.RotateKeysResponse(key_id="new", resealed=120, done=True)
        if self._lost:
            last.unreadable, last.unreadable_account_ids[:] = 1, ["acc_aaaaaaaaaaaa"]
        yield last


class Audit(audit_pb2_grpc.AuditServiceServicer):
    """Three entries, two to a page at most."""

    async def ListAuditEntries(self, request: Any, context: Any) -> Any:
        authenticate(context)
        log("ListAuditEntries", size=request.page_size, token=request.page_token)
        entries = []
        for number, outcome in enumerate((1, 2, 3)):
            entry = audit_pb2.AuditEntry(
                entry_id=f"e{number}",
                token_name="ops" if outcome != audit_pb2.AUDIT_OUTCOME_REFUSED else "",
                role=token_pb2.ROLE_OPERATOR,
                peer="127.0.0.1:4711",
                method="FleetService.StartAll",
                targets=[f"account={STRANGE}"],
                outcome=outcome,
                reason="TOKEN_INVALID" if outcome == audit_pb2.AUDIT_OUTCOME_REFUSED else "",
            )
            entry.time.GetCurrentTime()
            entries.append(entry)
        first = int(request.page_token or 0)
        last = first + min(2, request.page_size)
        token = str(last) if last < len(entries) else ""
        return audit_pb2.ListAuditEntriesResponse(entries=entries[first:last], next_page_token=token)
