"""What a raw chat says about this account's rights in it. Pure translation
(core.telegram.org/api/rights, core.telegram.org/api/channel)."""

from typing import Any

from pyrogram import raw, utils

from services.worker.domain.transfer_answers import ChatFacts

_t = raw.types


def facts_of(chat: Any, own_id: int) -> ChatFacts:
    """Everything but top id, slow mode's seconds and the topic."""
    if isinstance(chat, _t.Channel):
        return _channel(chat)
    if isinstance(chat, _t.Chat):
        return _group(chat)
    if isinstance(chat, _t.User):
        kind = "self" if chat.id == own_id else "user"
        title = " ".join(part for part in (chat.first_name, chat.last_name) if part)
        return ChatFacts(chat_id=chat.id, kind=kind, title=title, can_read=True, can_post=not chat.deleted)
    if isinstance(chat, _t.ChannelForbidden):
        kind = "channel" if chat.broadcast else "supergroup"
        chat_id = int(utils.get_channel_id(chat.id))
        return ChatFacts(chat_id=chat_id, kind=kind, title=chat.title, error="CHANNEL_PRIVATE")
    if isinstance(chat, _t.ChatForbidden):
        return ChatFacts(chat_id=-chat.id, kind="group", title=chat.title, error="CHAT_FORBIDDEN")
    return ChatFacts(error="CHAT_NOT_FOUND")


def may_manage_topics(chat: Any) -> bool:
    """Whether the account may write in a closed topic."""
    rights = getattr(chat, "admin_rights", None)
    return bool(getattr(chat, "creator", False)) or bool(getattr(rights, "manage_topics", False))


def exempt_from_slow_mode(chat: Any) -> bool:
    """Owners and admins are."""
    return bool(getattr(chat, "creator", False)) or getattr(chat, "admin_rights", None) is not None


def _channel(chat: Any) -> ChatFacts:
    readable = not _banned(chat.banned_rights, "view_messages") and (
        not chat.left or bool(chat.username or chat.usernames)
    )
    return ChatFacts(
        chat_id=int(utils.get_channel_id(chat.id)),
        kind="channel" if chat.broadcast else "supergroup",
        title=chat.title,
        can_read=readable,
        can_post=_may_post(chat),
        protected=bool(chat.noforwards),
    )


def _may_post(chat: Any) -> bool:
    rights = chat.admin_rights
    if chat.creator:
        return True
    if chat.broadcast:
        return bool(rights and rights.post_messages)
    if chat.left:
        return False
    if rights is not None:
        return True
    if chat.gigagroup or _banned(chat.banned_rights, "view_messages"):
        return False
    return not (
        _banned(chat.banned_rights, "send_messages") or _banned(chat.default_banned_rights, "send_messages")
    )


def _group(chat: Any) -> ChatFacts:
    inside = not chat.left
    privileged = chat.creator or chat.admin_rights is not None
    may_post = privileged or not _banned(chat.default_banned_rights, "send_messages")
    moved = int(utils.get_channel_id(chat.migrated_to.channel_id)) if chat.migrated_to else 0
    return ChatFacts(
        chat_id=-chat.id,
        kind="group",
        title=chat.title,
        can_read=inside,
        can_post=bool(inside and may_post and not chat.deactivated),
        protected=bool(chat.noforwards),
        migrated_to_chat_id=moved,
    )


def _banned(rights: Any, name: str) -> bool:
    return bool(getattr(rights, name, False))
