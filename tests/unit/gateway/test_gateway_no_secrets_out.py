"""No public answer has a field for a secret, but for those that are meant to be told once."""

from __future__ import annotations

from collections.abc import Iterator

from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor, FileDescriptor

from tgfleet.gateway.v1 import account_pb2, audit_pb2, event_pb2, fleet_pb2, key_pb2, token_pb2

FILES: list[FileDescriptor] = [
    module.DESCRIPTOR for module in (account_pb2, audit_pb2, event_pb2, fleet_pb2, key_pb2, token_pb2)
]
MEANT = {
    "tgfleet.gateway.v1.CreateTokenResponse.secret",
    # Message texts, for operators; viewers get them empty (tests/integration/gateway/test_gateway_events.py).
    "tgfleet.gateway.v1.MessageReceived.text",
    "tgfleet.gateway.v1.MessageAnswered.text",
}
WORDS = ("session_string", "session_file", "auth_key", "secret", "password", "api_hash", "proxy", "code")
HARMLESS = {
    "tgfleet.gateway.v1.Account.auth_key_id",  # the key's public fingerprint
    "tgfleet.gateway.v1.AnnouncedFile.auth_key_id",
    "tgfleet.gateway.v1.Account.session_file",  # the name of a file on its worker
    "tgfleet.gateway.v1.Account.proxy",  # without its password
    "tgfleet.gateway.v1.MasterKey.secrets",  # how many it seals
}


def answers() -> Iterator[FieldDescriptor]:
    """Every field that some answer of a public RPC can hold."""
    outputs = [m.output_type for file in FILES for s in file.services_by_name.values() for m in s.methods]
    seen: set[str] = set()
    todo: list[Descriptor] = list(outputs)
    while todo:
        message = todo.pop()
        if message.full_name in seen:
            continue
        seen.add(message.full_name)
        for field in message.fields:
            yield field
            if field.message_type is not None:
                todo.append(field.message_type)


def is_marked(field: FieldDescriptor) -> bool:
    options = descriptor_pb2.FieldOptions.FromString(field.GetOptions().SerializeToString())
    return options.debug_redact


def test_only_what_is_meant_to_be_told_is_marked_as_secret() -> None:
    assert {field.full_name for field in answers() if is_marked(field)} == MEANT


def test_no_other_field_is_named_like_a_secret() -> None:
    suspicious = {field.full_name for field in answers() if any(word in field.name for word in WORDS)}
    assert suspicious - MEANT - HARMLESS == set()
