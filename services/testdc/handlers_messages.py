"""The part of the control API that says things as other people, and reads and removes what was said."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import islice, takewhile
from secrets import randbits

from services.runtime.errors import FailedPrecondition, InvalidArgument
from services.testdc.domain.afterwards import delete
from services.testdc.domain.errors import TelegramError
from services.testdc.domain.forwarding import Order, forward
from services.testdc.domain.judge_transfers import TransferVerdict, judge_transfer
from services.testdc.domain.media import Media, MediaKind
from services.testdc.domain.message import Message
from services.testdc.domain.pages import Page
from services.testdc.domain.peer import Peer, PeerKind
from services.testdc.domain.speech import Delivery, Draft, send
from services.testdc.handlers_base import HandlersBase

_ALBUM = range(2, 11)
"""An album has 2 to 10 parts."""
_MEDIA_IDS = 1 << 60
"""Media that is sent through this API is numbered from here."""


class MessageHandlers(HandlersBase):
    """Single messages."""

    def send_message(
        self,
        sender_id: int,
        chat: Peer,
        text: str,
        reply_to: int = 0,
        *,
        media: MediaKind | None = None,
        topic_id: int = 0,
    ) -> Message:
        """Say something as anybody, 777000 included; clients hear of it. Returns the sender's copy.

        Raises NotFound, FailedPrecondition with Telegram's error name as reason.
        """
        carried = Media(media, self._media_id()) if media else None
        return self._send(sender_id, chat, Draft(text, reply_to=reply_to, media=carried, topic_id=topic_id))

    def send_album(
        self, sender_id: int, chat: Peer, parts: Sequence[MediaKind], caption: str = "", topic_id: int = 0
    ) -> list[Message]:
        """Say something in several parts. Raises InvalidArgument beside the errors of send_message."""
        if len(parts) not in _ALBUM:
            raise InvalidArgument("An album has 2 to 10 parts.", field="parts")
        grouped = self._centre.state.world.next_album()
        draft = Draft(caption, grouped_id=grouped, topic_id=topic_id)
        sent: list[Message] = []
        for kind in parts:
            draft = replace(draft, media=Media(kind, self._media_id()), text="" if sent else caption)
            sent.append(self._send(sender_id, chat, draft))
        return sent

    def forward_messages(
        self, sender_id: int, source: Peer, target: Peer, ids: Sequence[int], *, drop_author: bool = False
    ) -> list[Message]:
        """Forward or copy as anybody. Raises NotFound, FailedPrecondition."""
        self._user(sender_id)
        randoms = tuple(randbits(62) + 1 for _ in ids)
        order = Order(source, target, tuple(ids), randoms, drop_author=drop_author)
        try:
            done = forward(self._centre.state.world, sender_id, order, self._now())
        except TelegramError as e:
            raise FailedPrecondition(f"Telegram would refuse this: {e}.", reason=e.name) from e
        self._centre.state.touch()
        self._centre.desk.deliver(done.deliveries)
        return [sent.message for sent in done.sent]

    def get_messages(
        self, user_id: int, chat: Peer, limit: int = 100, after_id: int | None = None
    ) -> list[Message]:
        """A chat as one of its members sees it, oldest first: the newest messages, or those above a number.

        Raises NotFound.
        """
        box = self._box(user_id, chat)
        if after_id is None:
            return box.history(chat, Page(limit=limit))[::-1]
        return list(islice(box.walk(chat, after_id), limit))

    def judge_transfer(
        self, source: Peer, target: Peer, first_id: int = 0, last_id: int = 0
    ) -> TransferVerdict:
        """Whether messages of one channel reached another exactly once. Raises NotFound."""
        origin, stored = self._channel(source).box, self._channel(target).box
        due = takewhile(
            lambda message: not last_id or message.message_id <= last_id, origin.walk(source, first_id - 1)
        )
        records = self._centre.scribe.journal.since(0)
        return judge_transfer(source, due, target, stored.walk(target, 0), records)

    def delete_messages(self, chat: Peer, message_ids: Sequence[int], user_id: int = 0) -> None:
        """Remove messages for everybody. Raises NotFound."""
        world = self._centre.state.world
        if chat.kind is PeerKind.CHANNEL:
            channel = self._channel(chat)
            events = tuple(channel.box.delete(list(message_ids)))
            deliveries = [Delivery(member, events) for member in sorted(channel.members) if events]
        else:
            self._user(user_id)
            deliveries = delete(world, user_id, list(message_ids), revoke=True)
        self._centre.state.touch()
        self._centre.desk.deliver(deliveries)

    def spoil_messages(
        self, chat: Peer, message_ids: Iterable[int], error: TelegramError | None = None
    ) -> None:
        """Let every forward of these messages fail with an error; None makes them good. Raises NotFound."""
        peer = self._channel(chat).peer
        bad = self._centre.state.world.bad
        for message_id in message_ids:
            bad.pop((peer, message_id), None)
            if error is not None:
                bad[peer, message_id] = error
        self._centre.state.touch()

    def _send(self, sender_id: int, chat: Peer, draft: Draft) -> Message:
        self._user(sender_id)
        try:
            sent = send(self._centre.state.world, sender_id, chat, draft, self._now())
        except TelegramError as e:
            raise FailedPrecondition(f"Telegram would refuse this: {e}.", reason=e.name) from e
        return self._told(sent).message

    def _media_id(self) -> int:
        return _MEDIA_IDS + self._centre.state.world.next_uid()
