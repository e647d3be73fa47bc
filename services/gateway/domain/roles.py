"""Which role each public RPC needs: the one table. An RPC that is not in it is closed to everybody."""

from collections.abc import Mapping
from enum import IntEnum
from types import MappingProxyType


class Role(IntEnum):
    """What a caller may do; each role may do all that the lower ones may. The numbers are those of the
    contract's Role."""

    VIEWER = 1
    OPERATOR = 2
    ADMIN = 3


OPEN_PREFIXES = ("/grpc.health.v1.Health/", "/grpc.reflection.")
"""Methods that need no token: they tell nothing of the fleet. Reflection is only there where the setting
allows it."""

_PACKAGE = "/tgfleet.gateway.v1."

_READ_ONLY = frozenset(
    {
        "FleetService.GetFleetStatus",
        "FleetService.ListWorkers",
        "FleetService.WatchEvents",
        "AccountService.ListAccounts",
        "AccountService.GetAccount",
        "TokenService.ListTokens",
        "TransferService.GetTransfer",
        "TransferService.ListTransfers",
        "TransferService.WatchTransfer",
        "TransferService.ExplainTransfer",
        "KeyService.ListKeys",
        "AuditService.ListAuditEntries",
    }
)
"""RPCs that change nothing. Every other one of ours leaves an entry in the audit trail, so that a new RPC is
audited unless somebody says here that it only reads."""

_TABLE: Mapping[str, Mapping[str, Role]] = {
    "FleetService": {
        "StartAll": Role.OPERATOR,
        "StopAll": Role.OPERATOR,
        "StartChat": Role.OPERATOR,
        "StopChat": Role.OPERATOR,
        "GetFleetStatus": Role.VIEWER,
        "ListWorkers": Role.VIEWER,
        "DrainWorker": Role.OPERATOR,
        "ResumeStarts": Role.OPERATOR,
        "WatchEvents": Role.VIEWER,
    },
    "AccountService": {
        "ListAccounts": Role.VIEWER,
        "GetAccount": Role.VIEWER,
        "ImportAccounts": Role.OPERATOR,
        "UpdateAccount": Role.OPERATOR,
        "DeleteAccount": Role.OPERATOR,
        "EnableAccount": Role.OPERATOR,
        "DisableAccount": Role.OPERATOR,
        "ResetFloodWaits": Role.OPERATOR,
    },
    "TransferService": {
        "CreateTransfer": Role.OPERATOR,
        "GetTransfer": Role.VIEWER,
        "ListTransfers": Role.VIEWER,
        "WatchTransfer": Role.VIEWER,
        "PauseTransfer": Role.OPERATOR,
        "ResumeTransfer": Role.OPERATOR,
        "CancelTransfer": Role.OPERATOR,
        "ExplainTransfer": Role.VIEWER,
        "SettleBatch": Role.OPERATOR,
    },
    "TokenService": {
        "CreateToken": Role.ADMIN,
        "ListTokens": Role.ADMIN,
        "UpdateToken": Role.ADMIN,
        "RevokeToken": Role.ADMIN,
    },
    "KeyService": {"ListKeys": Role.ADMIN, "RotateKeys": Role.ADMIN},
    "AuditService": {"ListAuditEntries": Role.ADMIN},
}

REQUIRED_ROLES: Mapping[str, Role] = MappingProxyType(
    {
        f"{_PACKAGE}{service}/{method}": role
        for service, methods in _TABLE.items()
        for method, role in methods.items()
    }
)
"""The role that a full method name (`/package.Service/Method`) needs."""


def is_open(method: str) -> bool:
    """Whether a full method name may be called without a token."""
    return method.startswith(OPEN_PREFIXES)


def audited_as(method: str) -> str | None:
    """What the audit trail calls a full method name (`FleetService.StartAll`); None when a call of it leaves
    no entry. Methods that do not exist change nothing."""
    name = method.removeprefix(_PACKAGE).replace("/", ".")
    return name if method in REQUIRED_ROLES and name not in _READ_ONLY else None
