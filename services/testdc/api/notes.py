"""What the journal keeps of a call beside its name: who forwards what to where, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from services.testdc.domain.forwarding import MAX_MESSAGES, Forwarded
from services.testdc.tl import raw

_KINDS = {"user_id": "user", "chat_id": "chat", "channel_id": "channel"}


@dataclass(frozen=True, slots=True)
class Asked:
    """What a call asks for, as far as the journal cares. Empty where it does not apply."""

    random_id: int = 0
    source_chat: str = ""
    source_ids: tuple[int, ...] = ()
    random_ids: tuple[int, ...] = ()
    target_chat: str = ""
    drop_author: bool = False
    topic_id: int = 0

    @property
    def messages(self) -> int:
        """How many messages the call would send."""
        return min(len(self.source_ids), MAX_MESSAGES) or 1

    def fields(self) -> dict[str, Any]:
        """As fields of a journal record."""
        return {name: getattr(self, name) for name in self.__slots__}


def asked(query: Any, user_id: int) -> Asked:
    """Read off a call, whether it will be allowed or not."""
    if isinstance(query, raw.functions.messages.ForwardMessages):
        return Asked(
            source_chat=_named(query.from_peer, user_id),
            source_ids=tuple(query.id),
            random_ids=tuple(query.random_id),
            target_chat=_named(query.to_peer, user_id),
            drop_author=bool(query.drop_author),
            topic_id=query.top_msg_id or 0,
        )
    if isinstance(query, raw.functions.messages.SendMessage):
        return Asked(random_id=query.random_id, target_chat=_named(query.peer, user_id))
    random_id = getattr(query, "random_id", 0)
    return Asked(random_id=random_id if isinstance(random_id, int) else 0)


def made(forwarded: Forwarded, what: Asked) -> tuple[int, ...]:
    """The numbers that a call made, one for each it asked for; 0 for what was passed over."""
    by_random = {sent.message.random_id: sent.message.message_id for sent in forwarded.sent}
    return tuple(by_random.get(random_id, 0) for random_id in what.random_ids)


def _named(given: Any, user_id: int) -> str:
    if isinstance(given, raw.types.InputPeerSelf):
        return f"user:{user_id}"
    for name, kind in _KINDS.items():
        if number := getattr(given, name, 0):
            return f"{kind}:{number}"
    return ""
