"""What a gRPC error says to a program: code, reason, field; read with google's own library, not with ours."""

from __future__ import annotations

from dataclasses import dataclass

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status


@dataclass(frozen=True)
class Refusal:
    """One error as a client sees it."""

    code: str
    reason: str
    fields: tuple[str, ...]
    message: str
    domain: str


def refusal(error: grpc.aio.AioRpcError) -> Refusal:
    """Reads an error's details; fails when it carries no ErrorInfo of tgfleet."""
    status = rpc_status.from_call(error)
    assert status is not None, f"no rich status: {error.code()} {error.details()}"
    info, fields = error_details_pb2.ErrorInfo(), []
    for detail in status.details:
        if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
            detail.Unpack(info)
        if detail.Is(error_details_pb2.BadRequest.DESCRIPTOR):
            bad = error_details_pb2.BadRequest()
            detail.Unpack(bad)
            fields += [violation.field for violation in bad.field_violations]
    return Refusal(error.code().name, info.reason, tuple(fields), status.message, info.domain)
