"""Finds chats for one account: by what the operator wrote, or by marked id with the access hash that this
account knows. Nothing is ever joined.

The library's storage knows every chat that came with any answer; what it does not know is looked for once in
the account's dialogs, bounded, because such a reading is long.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from pyrogram import raw, utils

from services.worker.adapters.telegram_packets import read_whole
from services.worker.domain import chat_names
from services.worker.domain.telegram import Refused
from services.worker.domain.transfer_answers import NotApplied
from services.worker.domain.transfer_orders import ChatReference

NOT_FOUND = "CHAT_NOT_FOUND"
_PAGE = 100
_MOST_PAGES = 20
_NO_DIALOGS_AGAIN = 600.0
"""Seconds before the dialogs are read through once more."""
_CHANNELS_FROM = -1_000_000_000_000
"""Marked ids from here upwards to 0 are basic groups, below are channels."""


class Caller(Protocol):
    """The account's client, as transfers use it. `left` gives the seconds that are left for the whole order;
    every call raises StillWaiting instead of being made inside a wait."""

    async def call(
        self, query: Any, limit: float, *, chat_id: int = 0, reader: Callable[[Any], Any] = read_whole
    ) -> Any:
        """One call; what it tells of peers is remembered. `reader` makes the result of an answer that may be
        `Unread`. Raises Refused, LinkDown, Fenced, StillWaiting."""
        ...

    async def stored_peer(self, chat_id: int) -> Any:
        """The input peer of a known chat, or None."""
        ...

    async def stored_name(self, name: str) -> Any:
        """The input peer of a chat known by its public name, or None."""
        ...

    @property
    def own_id(self) -> int:
        """The account's user."""
        ...

    @property
    def now(self) -> float:
        """Monotonic seconds."""
        ...

    @property
    def server_time(self) -> float:
        """Telegram's time of day, seconds since 1970."""
        ...


Left = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Found:
    """A chat that can be addressed."""

    peer: Any
    chat_id: int


class ChatFinder:
    """One account's way to chats."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._dialogs_read: float | None = None

    async def find(self, chat: ChatReference, left: Left) -> Found:
        """Raises NotApplied (CHAT_NOT_FOUND), Refused, LinkDown, Fenced, StillWaiting."""
        if chat.chat_id:
            return await self._by_id(chat.chat_id, chat.query, left)
        match chat_names.read(chat.query):
            case chat_names.ById(chat_id):
                return await self._by_id(chat_id, "", left)
            case chat_names.ByName(name):
                return await self._by_name(name, left)
            case chat_names.ByInvite(code):
                return await self._by_invite(code, left)
            case chat_names.Myself():
                return self._myself()
            case _:
                raise NotApplied(NOT_FOUND)

    async def _by_id(self, chat_id: int, query: str, left: Left) -> Found:
        if chat_id == self._caller.own_id:
            return self._myself()
        if _CHANNELS_FROM < chat_id < 0:
            return Found(raw.types.InputPeerChat(chat_id=-chat_id), chat_id)
        peer = await self._caller.stored_peer(chat_id)
        if peer is not None:
            return Found(peer, chat_id)
        name = chat_names.read(query) if query else None
        if isinstance(name, chat_names.ByName):
            found = await self._tolerant(self._resolve(name.name, left))
            if found is not None and found.chat_id == chat_id:
                return found
        await self._read_dialogs(chat_id, left)
        peer = await self._caller.stored_peer(chat_id)
        if peer is None:
            raise NotApplied(NOT_FOUND)
        return Found(peer, chat_id)

    async def _by_name(self, name: str, left: Left) -> Found:
        peer = await self._caller.stored_name(name)
        if peer is not None:
            return Found(peer, peer_id(peer))
        return await self._resolve(name, left)

    async def _resolve(self, name: str, left: Left) -> Found:
        query = raw.functions.contacts.ResolveUsername(username=name)
        chat_id = int(utils.get_peer_id((await self._caller.call(query, left())).peer))
        if chat_id == self._caller.own_id:
            return self._myself()
        peer = await self._caller.stored_peer(chat_id)
        if peer is None:
            raise NotApplied(NOT_FOUND)
        return Found(peer, chat_id)

    async def _by_invite(self, code: str, left: Left) -> Found:
        """Only of a chat that the account is in: an invite is looked at, never accepted."""
        answer = await self._caller.call(raw.functions.messages.CheckChatInvite(hash=code), left())
        if not isinstance(answer, raw.types.ChatInviteAlready):
            raise NotApplied(NOT_FOUND)
        if isinstance(answer.chat, raw.types.Channel):
            return await self._by_id(int(utils.get_channel_id(answer.chat.id)), "", left)
        return Found(raw.types.InputPeerChat(chat_id=answer.chat.id), -answer.chat.id)

    def _myself(self) -> Found:
        return Found(raw.types.InputPeerSelf(), self._caller.own_id)

    async def _tolerant(self, finding: Awaitable[Found]) -> Found | None:
        """A name may have gone to somebody else, or be gone; then the dialogs may still know the chat."""
        try:
            return await finding
        except Refused as error:
            if error.code == 420:  # noqa: PLR2004 - TELEGRAM.md section 2: a wait, not a word on the name
                raise
            return None
        except NotApplied:
            return None

    async def _read_dialogs(self, wanted: int, left: Left) -> None:
        """Pages through the dialogs until the chat was seen; what comes with them is remembered."""
        now = self._caller.now
        if self._dialogs_read is not None and now - self._dialogs_read < _NO_DIALOGS_AGAIN:
            return
        offset_date, offset_id, offset_peer = 0, 0, raw.types.InputPeerEmpty()
        for _ in range(_MOST_PAGES):
            query = raw.functions.messages.GetDialogs(
                offset_date=offset_date, offset_id=offset_id, offset_peer=offset_peer, limit=_PAGE, hash=0
            )
            page = await self._caller.call(query, left())
            if await self._caller.stored_peer(wanted) is not None:
                return  # not all were read: another chat may still be looked for
            last = _last_message(page)
            if not isinstance(page, raw.types.messages.DialogsSlice) or last is None:
                break
            offset_date, offset_id = last.date, last.id
            offset_peer = await self._caller.stored_peer(int(utils.get_peer_id(last.peer_id)))
            if offset_peer is None:
                break
        self._dialogs_read = now


def _last_message(page: Any) -> Any:
    """The top message of the page's last dialog: where the next page begins."""
    dialogs = [one for one in getattr(page, "dialogs", ()) if isinstance(one, raw.types.Dialog)]
    if not dialogs:
        return None
    last = dialogs[-1]
    chat_id = utils.get_peer_id(last.peer)
    for message in page.messages:
        peer = getattr(message, "peer_id", None)
        if message.id == last.top_message and peer is not None and utils.get_peer_id(peer) == chat_id:
            return message
    return None


def peer_id(peer: Any) -> int:
    """The marked id of an input peer."""
    if isinstance(peer, raw.types.InputPeerChannel):
        return int(utils.get_channel_id(peer.channel_id))
    if isinstance(peer, raw.types.InputPeerChat):
        return -int(peer.chat_id)
    return int(peer.user_id)


def input_channel(peer: Any) -> Any:
    """An input channel from its input peer, or None for another kind."""
    if not isinstance(peer, raw.types.InputPeerChannel):
        return None
    return raw.types.InputChannel(channel_id=peer.channel_id, access_hash=peer.access_hash)
