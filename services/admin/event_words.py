"""A sentence for an event that came without one. Pure."""

from datetime import UTC

from services.admin.humanise import REASONS, moment, span, word
from tgfleet.gateway.v1 import event_pb2


def event_words(event: event_pb2.Event) -> str:
    """The event's own sentence, else one made from what happened."""
    if event.detail:
        return event.detail
    kind = event.WhichOneof("kind")
    return _WORDS[kind](event) if kind in _WORDS else "Something happened that this command does not know."


def _session(event: event_pb2.Event) -> str:
    changed = event.session_changed
    why = word(REASONS, changed.reason)
    return f"The session is {_plain(changed.state)}{f': {why}' if why else ''}."


def _received(event: event_pb2.Event) -> str:
    return f"A message came in chat {event.message_received.chat_id}."


def _answered(event: event_pb2.Event) -> str:
    return f"An answer was sent in chat {event.message_answered.chat_id}."


def _wait(event: event_pb2.Event) -> str:
    wait = event.flood_wait
    where = f" in chat {wait.chat_id}" if wait.chat_id else ""
    until = moment(wait.until_time, event.time.ToDatetime(tzinfo=UTC))
    return f"Telegram told it to wait with {wait.method}{where} until {until}."


def _disconnected(event: event_pb2.Event) -> str:
    lost = event.disconnected
    back = f" It came back after {span(lost.downtime)}." if lost.reconnected else ""
    return f"The link was lost after {span(lost.uptime)} ({_plain(lost.cause)}).{back}"


def _worker(event: event_pb2.Event) -> str:
    return f"The worker is {_plain(event.worker_changed.state)}."


def _lost(event: event_pb2.Event) -> str:
    count = event.events_lost.count
    return f"{count:,} events are missing here." if count else "Events may be missing here."


def _plain(name: str) -> str:
    """`LINK_CLOSED` as `link closed`."""
    return name.lower().replace("_", " ")


_WORDS = {
    "session_changed": _session,
    "message_received": _received,
    "message_answered": _answered,
    "flood_wait": _wait,
    "disconnected": _disconnected,
    "worker_changed": _worker,
    "events_lost": _lost,
}
