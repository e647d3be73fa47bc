"""Protobuf <-> domain for the stream to the scheduler. Nothing else."""

from collections.abc import Iterable

from services.worker import wire
from services.worker.domain import orders, picture
from services.worker.wire_transfers import transfer_orders
from tgfleet.gateway.v1 import event_pb2, fleet_pb2
from tgfleet.scheduler.v1 import scheduler_pb2 as scheduler
from tgfleet.worker.v1 import worker_pb2 as worker


def report(given: picture.SessionReport) -> worker.SessionReport:
    """A report on the wire."""
    message = worker.SessionReport(
        account_id=given.account_id,
        command_id=given.command_id,
        state=fleet_pb2.SessionState.Value(f"SESSION_STATE_{given.state}"),
        reason=wire.reason(given.reason),
        detail=given.detail,
        chatting=given.chatting,
        state_time=wire.timestamp(given.state_time),
        user_id=given.user_id,
        released=given.released,
    )
    if given.token is not None:
        message.token.CopyFrom(wire.token(given.token))
    if given.outcome is not None:
        message.outcome = wire.outcome(given.outcome)
    if given.retry_time is not None:
        message.retry_time.CopyFrom(wire.timestamp(given.retry_time))
    return message


def announced(files: Iterable[picture.SessionFile]) -> list[fleet_pb2.AnnouncedFile]:
    """Session files on the wire."""
    return [
        fleet_pb2.AnnouncedFile(
            file_name=file.file_name,
            auth_key_id=file.auth_key_id,
            user_id=file.user_id,
            problem=file.problem,
        )
        for file in files
    ]


def hello(worker_id: str, incarnation: str, capacity: int, whole: picture.Picture) -> worker.Hello:
    """The first message of a stream."""
    return worker.Hello(
        worker_id=worker_id,
        incarnation=incarnation,
        capacity=capacity,
        sessions=[report(given) for given in whole.sessions],
        files=announced(whole.files),
        draining=whole.draining,
        transfer_order_ids=whole.order_ids,
    )


def event(given: picture.Happening, worker_id: str) -> event_pb2.Event:
    """An event on the wire."""
    message = event_pb2.Event(
        time=wire.timestamp(given.time),
        account_id=given.account_id,
        name=given.name,
        worker_id=worker_id,
        detail=given.detail,
    )
    match given.kind:
        case picture.SessionChanged() as kind:
            message.session_changed.state = kind.state
            message.session_changed.reason = wire.reason(kind.reason)
        case picture.MessageReceived() as kind:
            message.message_received.chat_id = kind.chat_id
            message.message_received.message_id = kind.message_id
            message.message_received.sender_id = kind.sender_id
            message.message_received.text = kind.text
        case picture.MessageAnswered() as kind:
            message.message_answered.chat_id = kind.chat_id
            message.message_answered.message_id = kind.message_id
            message.message_answered.reply_to_message_id = kind.reply_to_message_id
            message.message_answered.text = kind.text
        case picture.Waiting() as kind:
            message.flood_wait.CopyFrom(wire.flood_wait(kind.method, kind.chat_id, kind.until))
        case picture.Disconnected() as kind:
            message.disconnected.cause = kind.cause
            message.disconnected.uptime.CopyFrom(wire.duration(kind.uptime))
            message.disconnected.reconnected = kind.reconnected
            if kind.downtime is not None:
                message.disconnected.downtime.CopyFrom(wire.duration(kind.downtime))
    return message


def order(message: scheduler.AttachWorkerResponse) -> orders.Order | None:
    """What the scheduler said; None for a kind that this worker does not know yet."""
    command: orders.Command
    match message.WhichOneof("message"):
        case "welcome":
            command = orders.Welcome(message.welcome.heartbeat_period.ToTimedelta().total_seconds())
        case "start":
            starts = tuple(
                orders.StartOne(one.account_id, one.chat, one.session_file, message.start.assignment)
                for one in message.start.sessions
            )
            command = orders.Start(message.start.command_id, starts)
        case "stop":
            command = orders.Stop(message.stop.command_id, tuple(message.stop.account_ids))
        case "set_chat":
            chat = message.set_chat
            command = orders.SetChat(chat.command_id, tuple(chat.account_ids), chat.chat)
        case "drain":
            command = orders.Drain(message.drain.drain)
        case "fleet_users":
            command = orders.FleetUsers(frozenset(message.fleet_users.user_ids))
        case "configure":
            command = orders.Configure(tuple(_config(one) for one in message.configure.sessions))
        case "transfer_orders":
            command = transfer_orders(message.transfer_orders)
        case _:
            return None
    return orders.Order(message.term, command)


def _config(message: worker.SessionConfig) -> orders.SessionConfig:
    policy = wire.chat_policy(message.chat_policy)
    return orders.SessionConfig(message.account_id, message.name, policy, message.time_zone)
