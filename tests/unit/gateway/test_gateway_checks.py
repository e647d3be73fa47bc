"""Every public request has a form."""

from services.gateway.checks import _CHECKS
from tgfleet.gateway.v1 import account_pb2, audit_pb2, fleet_pb2, key_pb2, token_pb2, transfer_pb2


def test_every_public_request_has_a_check() -> None:
    requests = {
        method.input_type.full_name
        for module in (fleet_pb2, account_pb2, token_pb2, key_pb2, audit_pb2, transfer_pb2)
        for service in module.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    }
    assert {request.DESCRIPTOR.full_name for request in _CHECKS} == requests
