"""How sessions, leases and the generation stand in etcd: keys and values, and the small pieces of
transactions.

`sessions/<auth_key_id>` on its worker's lease, `leases/<lease id>` (whose the lease is) on the same one, so
that it exists if and only if the lease does, and `generation`, the mirror of the number in SQL. Values are
JSON with sorted keys, so that equal content is equal bytes and can be compared inside a transaction.
"""

import json
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from services.registry.adapters.etcd_client import rpc_pb2
from services.registry.domain.leasing import Owner

PREFIX = "/tgfleet/"
MIRROR = f"{PREFIX}generation".encode()
MARK = f"{PREFIX}last-grant".encode()
"""Written by every transaction that may grant or release; its mod_revision tells which was the last."""
OPENING = f"{PREFIX}opening".encode()
"""There while the wait after a generation was opened runs: on a lease of its own, so that no clock but etcd's
counts."""


@dataclass(frozen=True, slots=True)
class SessionValue:
    """What a session's key holds."""

    account_id: str
    worker_id: str
    incarnation: str
    request_id: str
    generation: int
    settle_ms: int
    settling: bool

    @property
    def settle(self) -> timedelta:
        """The settle time that the session was granted with."""
        return timedelta(milliseconds=self.settle_ms)

    def encode(self) -> bytes:
        """As stored."""
        return _json({name: getattr(self, name) for name in self.__slots__})


class NewSessions:
    """Values of sessions that are granted in one call: equal to `SessionValue(...).encode()`, made from what
    the call has in common, as a call may grant a thousand."""

    def __init__(self, owner: Owner, request_id: str, generation: int) -> None:
        self._common = SessionValue(
            "", owner.worker_id, owner.incarnation, request_id, generation, 0, settling=False
        )
        self._tails: dict[timedelta, bytes] = {}

    def of(self, account_id: str, settle: timedelta) -> bytes:
        """The value of one."""
        tail = self._tails.get(settle)
        if tail is None:
            settle_ms = round(settle.total_seconds() * 1000)
            whole = replace(self._common, settle_ms=settle_ms).encode()
            tail = self._tails[settle] = whole.removeprefix(b'{"account_id":""')
        return b'{"account_id":' + json.dumps(account_id).encode() + tail


def decode_session(data: bytes) -> SessionValue:
    """The value of a session's key. Anything foreign counts as held by nobody known."""
    try:
        return SessionValue(**json.loads(data))
    except (ValueError, TypeError):
        return SessionValue("", "", "", "", 0, 0, settling=False)


def session_key(auth_key_id: str) -> bytes:
    """Of one auth key."""
    return f"{PREFIX}sessions/{auth_key_id}".encode()


def lease_key(lease_id: int) -> bytes:
    """Of one lease's owner."""
    return f"{PREFIX}leases/{lease_id:016x}".encode()


def lease_value(owner: Owner, generation: int) -> bytes:
    """Whose a lease is."""
    return _json({"worker_id": owner.worker_id, "incarnation": owner.incarnation, "generation": generation})


def mirror_value(generation: int) -> bytes:
    """The mirror of a generation's number."""
    return str(generation).encode()


def put(key: bytes, value: bytes, lease_id: int = 0) -> Any:
    """A put, as part of a transaction."""
    return rpc_pb2.RequestOp(request_put=rpc_pb2.PutRequest(key=key, value=value, lease=lease_id))


def read(key: bytes) -> Any:
    """A read, as part of a transaction."""
    return rpc_pb2.RequestOp(request_range=rpc_pb2.RangeRequest(key=key))


def remove(key: bytes) -> Any:
    """A removal, as part of a transaction."""
    return rpc_pb2.RequestOp(request_delete_range=rpc_pb2.DeleteRangeRequest(key=key))


def nested(compare: list[Any], success: list[Any], failure: list[Any]) -> Any:
    """A transaction inside another one."""
    return rpc_pb2.RequestOp(
        request_txn=rpc_pb2.TxnRequest(compare=compare, success=success, failure=failure)
    )


def is_value(key: bytes, value: bytes) -> Any:
    """The key has that value."""
    return rpc_pb2.Compare(key=key, target=rpc_pb2.Compare.VALUE, result=rpc_pb2.Compare.EQUAL, value=value)


def is_absent(key: bytes) -> Any:
    """There is no such key."""
    return rpc_pb2.Compare(
        key=key, target=rpc_pb2.Compare.CREATE, result=rpc_pb2.Compare.EQUAL, create_revision=0
    )


def is_unchanged(key: bytes, mod_revision: int) -> Any:
    """Nobody wrote the key since."""
    return rpc_pb2.Compare(
        key=key, target=rpc_pb2.Compare.MOD, result=rpc_pb2.Compare.EQUAL, mod_revision=mod_revision
    )


def is_not_older(key: bytes, revision: int) -> Any:
    """The key was last written at that revision or later."""
    return rpc_pb2.Compare(
        key=key, target=rpc_pb2.Compare.MOD, result=rpc_pb2.Compare.GREATER, mod_revision=revision - 1
    )


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
