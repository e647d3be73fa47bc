"""Protobuf messages of the control API to domain objects and back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from enum import Enum
from typing import Any, TypeVar

from google.protobuf.message import Message as ProtobufMessage
from google.protobuf.timestamp_pb2 import Timestamp

from services.runtime.errors import InvalidArgument
from services.testdc.domain import faults, journal, judge
from services.testdc.domain.archive import Recipe
from services.testdc.domain.media import MediaKind
from services.testdc.domain.message import Message
from services.testdc.domain.peer import Peer, PeerKind
from services.testdc.handlers import Account
from services.testdc.handlers_chats import History, Role
from tgfleet.testdc.v1 import control_pb2 as pb

E = TypeVar("E", bound=Enum)
M = TypeVar("M", bound=ProtobufMessage)
_MOST_BYTES = 3_500_000


def account_out(account: Account) -> pb.Account:
    """An account with its session material."""
    return pb.Account(
        user_id=account.user_id,
        phone=account.phone,
        first_name=account.first_name,
        username=account.username,
        two_factor=account.two_factor,
        dc_id=account.dc_id,
        auth_key=account.auth_key,
        auth_key_id=account.auth_key_id,
        pyrogram_session=account.pyrogram_session,
        telethon_session=account.telethon_session,
        dead=account.dead,
    )


def chat_in(chat: pb.Chat) -> Peer:
    """A chat's name; raises InvalidArgument when none of the kinds is set."""
    match chat.WhichOneof("kind"):
        case "user_id":
            return Peer(PeerKind.USER, chat.user_id)
        case "group_id":
            return Peer(PeerKind.CHAT, chat.group_id)
        case "channel_id":
            return Peer(PeerKind.CHANNEL, chat.channel_id)
        case _:
            raise InvalidArgument("Name the chat by one of its kinds.", field="chat")


def chat_out(peer: Peer) -> pb.Chat:
    """A chat's name."""
    if peer.kind is PeerKind.USER:
        return pb.Chat(user_id=peer.peer_id)
    if peer.kind is PeerKind.CHAT:
        return pb.Chat(group_id=peer.peer_id)
    return pb.Chat(channel_id=peer.peer_id)


def message_out(message: Message) -> pb.Message:
    """A message as its owner has it."""
    media, origin = message.media, message.origin
    return pb.Message(
        message_id=message.message_id,
        message_uid=message.uid,
        author_id=message.author_id,
        send_time=timestamp(message.date),
        text=message.text,
        random_id=message.random_id,
        reply_to=message.reply_to,
        media=enum_out(pb.MediaKind, media.kind) if media else pb.MEDIA_KIND_UNSPECIFIED,
        media_id=media.media_id if media else 0,
        grouped_id=message.grouped_id,
        forward_from=str(origin) if origin else "",
        forward_post=origin.post if origin else 0,
        source_chat=message.source_chat,
        source_id=message.source_id,
        topic_id=message.topic_id,
        service=message.service,
        silent=message.silent,
    )


def media_in(kind: int) -> MediaKind | None:
    """A kind of media; raises InvalidArgument for one that does not exist."""
    return enum_in(MediaKind, pb.MediaKind, kind, "media") if kind else None


def role_in(role: int) -> Role:
    """What somebody is; raises InvalidArgument for nothing."""
    return enum_in(Role, pb.Role, role, "role")


_SHARES = ("albums", "media", "service", "deleted", "captions", "forwarded")


def history_in(history: pb.History) -> History:
    """Messages to be made; raises InvalidArgument for figures that make no sense."""
    shares = {name: getattr(history, name) for name in _SHARES}
    if any(not 0 <= share <= 1 for share in shares.values()):
        raise InvalidArgument("A share lies between 0 and 1.", field="history")
    kinds = tuple(enum_in(MediaKind, pb.MediaKind, kind, "history") for kind in history.kinds)
    recipe = Recipe(seed=history.seed, kinds=kinds or tuple(MediaKind), text_size=history.text_size, **shares)
    return History(
        count=history.count,
        recipe=recipe,
        author_ids=tuple(history.author_ids),
        start_time=history.start_time.seconds,
        interval=history.interval.ToTimedelta().total_seconds() if history.HasField("interval") else 1.0,
        topic_id=history.topic_id,
    )


def fault_in(fault: pb.Fault) -> faults.Fault:
    """A fault to be set; raises InvalidArgument for an unknown kind or a negative figure."""
    for name in ("seconds", "count", "skip", "share"):
        if getattr(fault, name) < 0:
            raise InvalidArgument(f"{name} is negative.", field=name)
    return faults.Fault(
        kind=enum_in(faults.FaultKind, pb.FaultKind, fault.kind, "kind"),
        user_id=fault.user_id,
        auth_key_id=fault.auth_key_id,
        connection_id=fault.connection_id,
        methods=tuple(fault.methods),
        code=fault.code,
        error=fault.error,
        seconds=fault.seconds,
        delay=fault.delay.ToTimedelta().total_seconds(),
        remaining=fault.count,
        skip=fault.skip,
        share=fault.share or 1.0,
        seed=fault.seed,
    )


def fault_out(fault: faults.Fault) -> pb.Fault:
    """A fault in force."""
    message = pb.Fault(
        fault_id=fault.fault_id,
        kind=enum_out(pb.FaultKind, fault.kind),
        user_id=fault.user_id,
        auth_key_id=fault.auth_key_id,
        connection_id=fault.connection_id,
        methods=fault.methods,
        code=fault.code,
        error=fault.error,
        seconds=fault.seconds,
        count=fault.remaining,
        skip=fault.skip,
        share=fault.share,
        seed=fault.seed,
    )
    message.delay.FromNanoseconds(round(fault.delay * 1e9))
    return message


_SAME_NAMES = (
    "seq",
    "connection_id",
    "peer",
    "media",
    "auth_key_id",
    "user_id",
    "method",
    "wrappers",
    "service",
    "effect",
    "code",
    "error",
    "wait",
    "call_seq",
    "chat",
    "message_id",
    "message_uid",
    "random_id",
    "text_digest",
    "detail",
    "call_id",
    "source_chat",
    "source_ids",
    "random_ids",
    "target_chat",
    "target_ids",
    "drop_author",
    "topic_id",
    "wait_until",
    "inside_wait",
)


def record_out(record: journal.Record) -> pb.Record:
    """A line of the journal."""
    return pb.Record(
        record_time=timestamp(record.wall_time),
        monotonic_seconds=record.time,
        kind=enum_out(pb.RecordKind, record.kind),
        outcome=_outcome_out(record.outcome),
        **{name: getattr(record, name) for name in _SAME_NAMES},
    )


def within_a_message(parts: Iterable[M]) -> Iterator[M]:
    """As many of the first parts as one gRPC message takes (4 MiB); the next page begins after them."""
    size = 0
    for part in parts:
        size += part.ByteSize() + 8
        if size > _MOST_BYTES:
            return
        yield part


def violation_out(violation: judge.Violation) -> pb.Violation:
    """One thing that must not happen."""
    return pb.Violation(
        kind=enum_out(pb.ViolationKind, violation.kind),
        sentence=violation.sentence,
        seqs=violation.seqs,
        auth_key_id=violation.auth_key_id,
        user_id=violation.user_id,
    )


def timestamp(seconds: float) -> Timestamp:
    """Unix seconds as protobuf writes them."""
    message = Timestamp()
    message.FromDatetime(datetime.fromtimestamp(seconds, UTC))
    return message


def _outcome_out(outcome: journal.Outcome) -> Any:
    if outcome is journal.Outcome.NONE:
        return pb.OUTCOME_UNSPECIFIED
    return enum_out(pb.Outcome, outcome)


def enum_out(wire: Any, member: Enum) -> Any:
    """Domain enums carry the names of the wire enums without their prefix."""
    return wire.Value(f"{_prefix(wire)}_{member.name}")


def enum_in(domain: type[E], wire: Any, value: int, field: str) -> E:
    """The domain's member for a wire value; raises InvalidArgument for one that does not exist."""
    names = {number: name for name, number in wire.items()}
    name = names.get(value, "").removeprefix(_prefix(wire) + "_")
    if name not in domain.__members__:
        raise InvalidArgument(f"{value} is none of the kinds that exist.", field=field)
    return domain[name]


def _prefix(wire: Any) -> str:
    return str(wire.keys()[0]).removesuffix("_UNSPECIFIED")
