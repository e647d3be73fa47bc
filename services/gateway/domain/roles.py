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
    "TokenService": {
        "CreateToken": Role.ADMIN,
        "ListTokens": Role.ADMIN,
        "RevokeToken": Role.ADMIN,
    },
}

REQUIRED_ROLES: Mapping[str, Role] = MappingProxyType(
    {
        f"/tgfleet.gateway.v1.{service}/{method}": role
        for service, methods in _TABLE.items()
        for method, role in methods.items()
    }
)
"""The role that a full method name (`/package.Service/Method`) needs."""


def is_open(method: str) -> bool:
    """Whether a full method name may be called without a token."""
    return method.startswith(OPEN_PREFIXES)
