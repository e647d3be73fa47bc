"""May this account answer this message? Exactly DESIGN section 5, as a list of small filters that say why
they refuse.

An account acts only in chats that the operator listed, and in private messages only from listed users or
contacts; only in answer; never to itself, to another account of the fleet, to bots, to channels or to
Telegram's own account 777000.
"""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from services.worker.domain.telegram import SERVICE_USER_ID, ChatKind, IncomingMessage

OLDEST_ANSWERED = timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class ChatPolicy:
    """Where an account may answer. Default: nowhere."""

    chat_ids: frozenset[int] = frozenset()
    user_ids: frozenset[int] = frozenset()
    contacts: bool = False


class Refusal(StrEnum):
    """Why a message is none of the account's business, or is not answered."""

    SERVICE = "SERVICE"
    SELF = "SELF"
    FLEET = "FLEET"
    BOT = "BOT"
    CHANNEL = "CHANNEL"
    NOT_LISTED = "NOT_LISTED"
    TOO_OLD = "TOO_OLD"
    NO_TEXT = "NO_TEXT"
    WAITING = "WAITING"
    RATE = "RATE"


def may_see(
    message: IncomingMessage, policy: ChatPolicy, own_id: int, fleet: AbstractSet[int]
) -> Refusal | None:
    """None when the message counts as received in a chat that the account may answer; else why it does not.
    What is refused here reaches no responder, event, count or log."""
    if SERVICE_USER_ID in {message.sender_id, message.chat_id}:
        return Refusal.SERVICE
    if message.sender_id == own_id:
        return Refusal.SELF
    if message.sender_id in fleet:
        return Refusal.FLEET
    if message.sender_is_bot:
        return Refusal.BOT
    if message.chat_kind is ChatKind.CHANNEL or message.sender_id <= 0:
        return Refusal.CHANNEL  # a negative sender is a channel, or a group's anonymous admin
    if not _listed(message, policy):
        return Refusal.NOT_LISTED
    return None


def may_answer(
    message: IncomingMessage, now: datetime, *, waiting: bool, within_rate: bool
) -> Refusal | None:
    """None when a message that `may_see` let through may be answered now."""
    if now - message.sent_at > OLDEST_ANSWERED:
        return Refusal.TOO_OLD
    if not message.text:
        return Refusal.NO_TEXT
    if waiting:
        return Refusal.WAITING
    if not within_rate:
        return Refusal.RATE
    return None


def _listed(message: IncomingMessage, policy: ChatPolicy) -> bool:
    if message.chat_kind is ChatKind.PRIVATE:
        return message.sender_id in policy.user_ids or (policy.contacts and message.sender_is_contact)
    return message.chat_id in policy.chat_ids
