"""Raw updates into messages that the worker understands. Pure translation.

What Telegram's own account 777000 writes is dropped here, at the first line that sees it: login codes go no
further.
"""

from datetime import UTC, datetime
from typing import Any

from pyrogram import raw, utils

from services.worker.domain.telegram import SERVICE_USER_ID, ChatKind, IncomingMessage

_NEW_MESSAGES = (raw.types.UpdateNewMessage, raw.types.UpdateNewChannelMessage)


def to_message(update: Any, users: dict[int, Any], chats: dict[int, Any]) -> IncomingMessage | None:
    """The message of an update, if it is a new one that somebody else wrote."""
    if not isinstance(update, _NEW_MESSAGES):
        return None
    message = update.message
    if not isinstance(message, raw.types.Message) or message.out:
        return None
    chat_id, kind = _chat(message.peer_id, chats)
    sender_id = utils.get_peer_id(message.from_id or message.peer_id)
    if SERVICE_USER_ID in {chat_id, sender_id}:
        return None
    user = users.get(sender_id)
    return IncomingMessage(
        chat_id=chat_id,
        chat_kind=ChatKind.CHANNEL if message.post else kind,
        message_id=message.id,
        sender_id=sender_id,
        sender_is_bot=bool(getattr(user, "bot", False)) or message.via_bot_id is not None,
        sender_is_contact=_is_contact(user),
        sent_at=datetime.fromtimestamp(message.date, UTC),
        text=message.message or "",
        first_name=getattr(user, "first_name", None) or "",
    )


def _chat(peer: Any, chats: dict[int, Any]) -> tuple[int, ChatKind]:
    chat_id = utils.get_peer_id(peer)
    if isinstance(peer, raw.types.PeerUser):
        return chat_id, ChatKind.PRIVATE
    channel = chats.get(peer.channel_id) if isinstance(peer, raw.types.PeerChannel) else None
    return chat_id, ChatKind.CHANNEL if getattr(channel, "broadcast", False) else ChatKind.GROUP


def _is_contact(user: Any) -> bool:
    """A `min` user does not say; then it is none (https://core.telegram.org/api/min)."""
    return bool(getattr(user, "contact", False)) and not getattr(user, "min", False)


def sent_message_id(result: Any) -> int | None:
    """The id that a sent message got, from the answer to messages.sendMessage."""
    if isinstance(result, raw.types.UpdateShortSentMessage):
        return int(result.id)
    for update in getattr(result, "updates", []):
        if isinstance(update, raw.types.UpdateMessageID):
            return int(update.id)
    return None
